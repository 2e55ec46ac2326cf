package replication

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/require"
)

// event is an event as a server sends it, with a checksum.
func event(typ Type, body []byte) []byte {
	e := make([]byte, headerLen, headerLen+len(body)+checksumLen)
	e[4] = byte(typ)
	binary.LittleEndian.PutUint32(e[5:], 1)
	binary.LittleEndian.PutUint32(e[9:], uint32(headerLen+len(body)+checksumLen))
	e = append(e, body...)
	return binary.LittleEndian.AppendUint32(e, crc32.ChecksumIEEE(e))
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	require.NoError(t, err)
	return b
}

// FuzzEvents takes any bytes for an event, and all that is read from it.
func FuzzEvents(f *testing.F) {
	table := unhex(f, "120000000000"+"0100"+"0164"+"00"+"0174"+"00"+"04"+"03f60ffc"+"06"+"0a02"+"1400"+"02"+"00"+"0f")
	f.Add(byte(TableMap), table, []byte{})
	f.Add(byte(writeRows2), unhex(f, "120000000000"+"0100"+"0200"+"04"+"ff"+"00"+"01000000"+"8000000505"+"0161"+"0100"+"62"), table)
	f.Add(byte(updateRows1), unhex(f, "120000000000"+"0100"+"04"+"ffff"+"0f"+"0f"), table)
	f.Add(byte(Query), unhex(f, "0000000000000000"+"01"+"0000"+"0000"+"6400"+"424547494e"), []byte{})
	f.Add(byte(MariaDBGTID), unhex(f, "01000000000000000000000001"), []byte{})
	f.Add(byte(MySQLGTID), make([]byte, 42), []byte{})
	f.Add(byte(Payload), unhex(f, "0101"+"00"+"0201"+"ff"+"00"), []byte{})
	f.Add(byte(Rotate), unhex(f, "0400000000000000"+"622e303031"), []byte{})
	f.Add(byte(rowsCompressed2), unhex(f, "120000000000"+"0100"+"0200"+"04"+"ff"+"8105789c63000000010001"), table)
	f.Fuzz(func(t *testing.T, typ byte, body, said []byte) {
		var e Events
		e.Begin(true, 1<<20)
		packet := event(Type(typ), body)
		h, opened, err := e.Open(packet, len(packet))
		if Type(typ) == Format {
			return
		}
		require.NoError(t, err)
		require.Equal(t, body, append([]byte{}, opened...))
		_, _, _ = Rotated(opened)
		_, _, _ = ReadGTID(h, opened)
		if q, err := e.ReadQuery(h, opened); err == nil {
			_ = q.Control()
		}
		_ = e.Unpack(opened, func(Header, []byte) error { return nil })
		for _, short := range []bool{false, true} {
			e.short = short
			_ = e.TableID(opened)
			if table, err := e.ReadTable(said, map[int]string{8: "latin1", 45: "utf8mb4"}); err == nil {
				readAll(t, &e, h, opened, table)
			}
			if table, err := e.ReadTable(opened, nil); err == nil {
				h.Type = updateRows2
				readAll(t, &e, h, said, table)
			}
			h.Type = Type(typ)
		}
	})
}

// readAll reads the rows of an event, and shows all their values.
func readAll(t *testing.T, e *Events, h Header, body []byte, table *Table) {
	rows, err := e.ReadRows(h, body, table)
	if err != nil {
		return
	}
	var row Row
	var text []byte
	for total := 0; ; {
		more, err := rows.Next(&row)
		if err != nil || !more {
			return
		}
		total += row.Size
		require.Positive(t, row.Size)
		require.LessOrEqual(t, total, 1<<20+len(rows.rest)+total)
		for _, image := range [][]Value{row.Before, row.After} {
			for i := range image {
				if !image[i].Absent && !image[i].Null {
					text = table.Columns[i].AppendText(text[:0], &image[i])
				}
			}
		}
	}
}

// FuzzOpen takes any bytes for an event.
func FuzzOpen(f *testing.F) {
	f.Add(event(Query, []byte("x")), true)
	f.Add(event(Format, append(make([]byte, 2+50+4), headerLen)), false)
	f.Fuzz(func(t *testing.T, packet []byte, crc bool) {
		var e Events
		e.Begin(crc, 1<<20)
		if _, body, err := e.Open(packet, len(packet)); err == nil {
			require.LessOrEqual(t, len(body), len(packet)-headerLen)
		}
	})
}

// FuzzSet reads sets of GTIDs and writes them: the same set must come out.
func FuzzSet(f *testing.F) {
	f.Add("0-1-100,3-7-18446744073709551615", false)
	f.Add("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7,3e11fa47-71ca-11e1-9e33-c80aa9429563:9", true)
	f.Fuzz(func(t *testing.T, text string, mysql bool) {
		s, err := ParseSet(text, mysql)
		if err != nil {
			return
		}
		again, err := ParseSet(s.String(), mysql)
		require.NoError(t, err)
		require.Equal(t, s.String(), again.String())
		require.Equal(t, s.String(), s.Clone().String())
	})
}

// FuzzJSON takes any bytes for a document.
func FuzzJSON(f *testing.F) {
	f.Add(unhex(f, "0001000e000b0001000c0c0061"+"0162"))
	f.Add(unhex(f, "02020008000505000c0700"+"00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		require.LessOrEqual(t, len(appendJSON(nil, raw)), 200*len(raw)+64<<10)
	})
}
