package binlog

import (
	"encoding/binary"
	"io"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/wasmtail/wasmtail/agent/intake"
	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/mysqlserver"
	"github.com/wasmtail/wasmtail/internal/replication"
)

// FuzzCursor reads any text as a cursor. What is understood comes out again.
func FuzzCursor(f *testing.F) {
	f.Add([]byte(`{"gtid":"0-1-100","within":"0-1-101","records":3,"tables":"00"}`))
	f.Add([]byte(`{"gtid":"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5","mysql":true,"tables":""}`))
	f.Add([]byte(`{"file":"b.000003","at":4,"tables":"ff"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, tables, err := decodePosition(text)
		if err != nil {
			return
		}
		again, sameTables, err := decodePosition(p.encode(tables))
		require.NoError(t, err)
		require.Equal(t, tables, sameTables)
		require.Equal(t, p.String(), again.String())
		require.Equal(t, p.records, again.records)
	})
}

// FuzzSession follows a binlog of any events: types and bodies, one behind the other,
// each with its length in front.
func FuzzSession(f *testing.F) {
	with := func(events ...string) (stream []byte) {
		for _, e := range events {
			stream = append(binary.LittleEndian.AppendUint16(stream, uint16(len(e)-1)), e...)
		}
		return stream
	}
	const (
		table  = "\x13\x12\x00\x00\x00\x00\x00\x01\x00\x01d\x00\x01t\x00\x02\x03\x0f\x02\x0a\x00\x03\x01\x01\x00\x04\x05\x02id\x01v"
		insert = "\x1e\x12\x00\x00\x00\x00\x00\x01\x00\x02\x00\x02\xff\x00\x01\x00\x00\x00\x02ab"
		gtid   = "\xa2\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
		xid    = "\x10\x00\x00\x00\x00\x00\x00\x00\x00"
	)
	query := func(sql string) string {
		return "\x02" + string(make([]byte, 8)) + "\x00\x00\x00\x00\x00" + "\x00" + sql
	}
	f.Add(with(gtid, table, insert, xid), true)
	f.Add(with(gtid, query("SAVEPOINT s"), table, insert, query("ROLLBACK TO s"), query("ROLLBACK")), false)
	f.Add(with("\x04\x04\x00\x00\x00\x00\x00\x00\x00b.000002", query("CREATE TABLE x (id INT)"), query("XA ROLLBACK 'x'")), true)
	f.Fuzz(func(t *testing.T, stream []byte, byFile bool) {
		x := fuzzed(t, byFile)
		for len(stream) >= 3 {
			n := min(int(binary.LittleEndian.Uint16(stream)), len(stream)-3)
			h := replication.Header{Type: replication.Type(stream[2]), Time: 1, Size: n + 23, End: 100}
			if x.handle(t.Context(), h, stream[3:3+n]) != nil {
				break
			}
			stream = stream[3+n:]
		}
		require.NoError(t, x.in.flush(t.Context()))
		_, _, err := decodePosition([]byte(x.stream.Status().Cursor))
		require.NoError(t, err)
	})
}

// fuzzed is a session without a connection, at a server that does not answer.
func fuzzed(t *testing.T, byFile bool) *session {
	c := Config{Hosts: []string{"127.0.0.1:1"}, DDL: true}
	c.User = "u"
	config.Defaults(&c)
	config.Defaults(&c.Account)
	p := &position{known: new(replication.Set)}
	if byFile {
		p = &position{file: "b.000001", at: 4}
	}
	checkpoints, _ := store(t)
	log := logrus.New()
	log.SetOutput(io.Discard)
	in, err := New(c, Env{Pipeline: "p", Checkpoints: checkpoints, BatchBytes: 1000, Linger: time.Hour, Log: log})
	require.NoError(t, err)
	s, err := intake.Open(intake.Config{
		Pipeline: "p", Name: in.name(), Checkpoints: checkpoints, Start: p.encode(in.tables), BatchBytes: 1000, Linger: time.Hour, Emit: newSink().emit,
	})
	require.NoError(t, err)
	in.position, in.batcher = p, s.Batcher(0)
	db, err := c.Open(mysqlserver.Target{Address: c.Hosts[0]})
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	x := in.open(s, &source{db: db, address: c.Hosts[0], mariaDB: true}, nil)
	return x
}
