package demolog

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/internal/formats"
)

func TestTheDemonstrationLogsAreRecognised(t *testing.T) {
	g := generator{rnd: rand.New(rand.NewPCG(1, 2))}
	var access, shop []byte
	for range 500 {
		access = g.access(access, time.Now())
		shop = g.shop(shop, time.Now())
	}
	require.Equal(t, "nginx_access", formats.Detect(access).Name)
	require.Equal(t, "application", formats.Detect(shop).Name)
}

func TestAFullFileIsRotated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	require.NoError(t, appendFile(path, bytes.Repeat([]byte("x"), rotateBytes+1)))
	require.NoError(t, appendFile(path, []byte("new\n")))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "new\n", string(data))
	_, err = os.Stat(path + ".1")
	require.NoError(t, err)
}
