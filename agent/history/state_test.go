package history

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// save writes a state as an import through a pipeline would.
func save(t *testing.T, dataDir string, s State) {
	t.Helper()
	dir := filepath.Join(dataDir, Folder, s.Pipeline)
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t, s.Save(dir))
}

func TestStates_TellWhatIsRunningFromWhatWasKilled(t *testing.T) {
	dir := t.TempDir()
	list, err := States(dir)
	require.NoError(t, err)
	require.Empty(t, list, "nothing was imported")
	now := time.Now()
	for i, c := range []struct {
		phase, want Phase
		age         time.Duration
	}{
		{Running, Running, time.Second}, {Running, Killed, time.Minute}, {Paused, Paused, time.Hour}, {Finished, Finished, time.Hour}, {Failed, Failed, time.Hour},
	} {
		s := State{Pipeline: strconv.Itoa(i), Phase: c.phase, Updated: now.Add(-c.age), Patterns: []string{"/a*"}, AckedBytes: 3, TotalBytes: 7}
		save(t, dir, s)
		list, err = States(dir)
		require.NoError(t, err)
		require.Len(t, list, i+1)
		require.Equal(t, c.want, list[i].Phase)
		require.EqualValues(t, 3, list[i].AckedBytes)
	}
}

func TestStates_OneThatCannotBeReadHidesNoOther(t *testing.T) {
	dir := t.TempDir()
	save(t, dir, State{Pipeline: "good", Phase: Finished})
	require.NoError(t, os.MkdirAll(filepath.Join(dir, Folder, "new"), 0o700))
	bad := filepath.Join(dir, Folder, "bad")
	require.NoError(t, os.MkdirAll(bad, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(bad, stateFile), []byte("{"), 0o600))
	list, err := States(dir)
	require.ErrorContains(t, err, "cannot read the state of the import through bad")
	require.Len(t, list, 1)
	require.Equal(t, "good", list[0].Pipeline)
}

func TestState_KeepsTheFirstFailuresAndCountsAll(t *testing.T) {
	var s State
	for i := range failuresKept + 5 {
		s.Fail("/f"+strconv.Itoa(i), errors.New("it is damaged"))
	}
	require.Equal(t, failuresKept+5, s.Failed)
	require.Len(t, s.Failures, failuresKept)
	require.Equal(t, "/f0: it is damaged", s.Failures[0])
}
