package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// base is the time of the first test record: recent, so that retention keeps it.
var base = time.Now().Truncate(time.Hour).Add(-2 * time.Hour)

func openTest(t *testing.T, dir string) *Engine {
	t.Helper()
	e, err := Open(Options{Dir: dir, Retention: 30 * 24 * time.Hour})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

// lines are n records, numbered from first.
type lines struct{ first, n int }

// addRows adds records, one a second; place is project/logstore.
func addRows(r *Rows, place string, l lines) {
	project, logstore, _ := strings.Cut(place, "/")
	for i := l.first; i < l.first+l.n; i++ {
		level := "info"
		if i%10 == 0 {
			level = "error"
		}
		stream := []Field{{Name: "_logstore", Value: logstore}}
		r.Add(project, base.Add(time.Duration(i)*time.Second).UnixNano(), stream, append(stream,
			Field{Name: "level", Value: level},
			Field{Name: "n", Value: strconv.Itoa(i)},
			Field{Name: "__wt_seq__", Value: strconv.Itoa(1000 + i)},
			Field{Name: "_msg", Value: fmt.Sprintf("request %d took a while", i)}))
	}
}

func write(t *testing.T, w Writer, place string, l lines) {
	t.Helper()
	rows := NewRows()
	defer rows.Release()
	addRows(rows, place, l)
	require.Equal(t, l.n, rows.Len())
	require.NoError(t, w.Write(context.Background(), rows))
}

// ask returns the rows of an answer as maps.
func ask(t *testing.T, qr Querier, q Query) []map[string]string {
	t.Helper()
	got, err := askErr(qr, q)
	require.NoError(t, err)
	return got
}

func askErr(qr Querier, q Query) ([]map[string]string, error) {
	var got []map[string]string
	err := qr.Run(context.Background(), q, func(row []Field) error {
		m := make(map[string]string, len(row))
		for _, f := range row {
			m[string([]byte(f.Name))] = string([]byte(f.Value))
		}
		got = append(got, m)
		return nil
	})
	return got, err
}

func countOf(t *testing.T, qr Querier, project, query string) int {
	t.Helper()
	got := ask(t, qr, Query{Project: project, LogsQL: query, Pipes: "| stats count() n"})
	require.Len(t, got, 1)
	n, err := strconv.Atoi(got[0]["n"])
	require.NoError(t, err)
	return n
}
