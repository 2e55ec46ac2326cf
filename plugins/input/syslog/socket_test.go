package syslog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMailbox_GetsWhatWasSent: datagrams of all lengths, one by one and many at once,
// over each kind of socket.
func TestMailbox_GetsWhatWasSent(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for network, place := range map[string]string{"udp4": "127.0.0.1:0", "udp6": "[::1]:0", "udp": ":0", "unixgram": filepath.Join(t.TempDir(), "s")} {
		t.Run(network, func(t *testing.T) {
			pc, err := net.ListenPacket(network, place)
			require.NoError(t, err)
			defer func() { _ = pc.Close() }()
			_, err = growBuffer(pc.(socket), 4<<20)
			require.NoError(t, err)
			m, err := newMailbox(pc.(socket), network == "unixgram")
			require.NoError(t, err)
			from, err := net.Dial(network, pc.LocalAddr().String())
			require.NoError(t, err)
			defer func() { _ = from.Close() }()
			for _, together := range []int{1, 3, 20, 1, 7} {
				var want [][]byte
				for i := range together {
					text := bytes.Repeat([]byte(fmt.Sprintf("%d.", i)), random.IntN(1+[]int{10, 1000, 20_000}[random.IntN(3)]))
					if network == "unixgram" && len(want) > 8 {
						break // the sender would wait: there are few places
					}
					_, err := from.Write(text)
					require.NoError(t, err)
					want = append(want, text)
				}
				require.NoError(t, pc.SetReadDeadline(time.Now().Add(patience)))
				for len(want) > 0 {
					n, err := m.receive()
					require.NoError(t, err)
					for i := range n {
						d := m.at(i)
						require.Equal(t, string(want[0]), string(d.bytes))
						require.False(t, d.truncated)
						require.Equal(t, network != "unixgram", d.peer.IsValid())
						require.True(t, !d.peer.IsValid() || d.peer.IsLoopback() || d.peer.Unmap().IsLoopback(), "%s", d.peer)
						want = want[1:]
					}
				}
			}
			require.NoError(t, pc.SetReadDeadline(time.Now()))
			_, err = m.receive()
			require.True(t, isTimeout(err), "%v", err)
			require.NoError(t, pc.Close())
			_, err = m.receive()
			require.ErrorIs(t, err, net.ErrClosed)
		})
	}
}

func TestMailbox_SaysWhatIsCutOff(t *testing.T) {
	pc, err := net.ListenPacket("unixgram", filepath.Join(t.TempDir(), "s"))
	require.NoError(t, err)
	defer func() { _ = pc.Close() }()
	m, err := newMailbox(pc.(socket), true)
	require.NoError(t, err)
	from, err := net.Dial("unixgram", pc.LocalAddr().String())
	require.NoError(t, err)
	defer func() { _ = from.Close() }()
	require.NoError(t, from.(*net.UnixConn).SetWriteBuffer(2<<20))
	_, err = from.Write(bytes.Repeat([]byte("x"), datagramMax+1))
	if err != nil {
		t.Skipf("the system lets nobody send so long a datagram: %v", err)
	}
	_, err = from.Write([]byte("short"))
	require.NoError(t, err)
	require.NoError(t, pc.SetReadDeadline(time.Now().Add(patience)))
	for _, want := range []int{datagramMax, 5} {
		n, err := m.receive()
		require.NoError(t, err)
		if n == 2 {
			require.True(t, m.at(0).truncated)
			require.Len(t, m.at(0).bytes, datagramMax)
			require.False(t, m.at(1).truncated)
			require.Equal(t, "short", string(m.at(1).bytes))
			return
		}
		require.Len(t, m.at(0).bytes, want)
		require.Equal(t, want == datagramMax, m.at(0).truncated)
	}
}
