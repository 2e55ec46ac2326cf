package replication

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

// TestDocuments has documents byte by byte, as the format is described.
func TestDocuments(t *testing.T) {
	for bytes, want := range map[string]string{
		"":                                   `null`,
		"0400":                               `null`,
		"0401":                               `true`,
		"0402":                               `false`,
		"05ffff":                             `-1`,
		"06ffff":                             `65535`,
		"0700000080":                         `-2147483648`,
		"08ffffffff":                         `4294967295`,
		"090000000000000080":                 `-9223372036854775808`,
		"0affffffffffffffff":                 `18446744073709551615`,
		"0b000000000000f8bf":                 `-1.5`,
		"0c03" + "c3a922":                    `"é\""`,
		"0c8001" + strings.Repeat("61", 128): `"` + strings.Repeat("a", 128) + `"`,
		"0000000400":                         `{}`,
		"0200000400":                         `[]`,
		"00" + "0100" + "0e00" + "0b000100" + "0c0c00" + "61" + "0162":                                  `{"a":"b"}`,
		"02" + "0200" + "0a00" + "05f6ff" + "040100":                                                    `[-10,true]`,
		"02" + "0100" + "0900" + "02ff00" + "0000":                                                      ``, // its place is not in it
		"00" + "0100" + "1700" + "0b000100" + "020c00" + "6b" + "0100" + "0b00" + "050700" + "00000000": `{"k":[7]}`,
		"0ff6" + "05" + "0502" + "80" + "7b" + "2d":                                                     `123.45`,
		"0f0a" + "08" + "0000000000e8b719":                                                              `"2025-10-20"`,
	} {
		raw, err := hex.DecodeString(bytes)
		require.NoError(t, err)
		got := string(appendJSON(nil, raw))
		if want == "" {
			require.True(t, strings.HasPrefix(got, "base64:"), "%s: %s", bytes, got)
			continue
		}
		require.Equal(t, want, got, bytes)
	}
}

// TestAnyDocument writes random documents as the server does, small and large, and
// reads them.
func TestAnyDocument(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		want := randomValue(random, 4)
		width := []int{2, 4}[random.IntN(2)]
		kind, data := encode(want, width)
		var got any
		d := json.NewDecoder(bytes.NewReader(appendJSON(nil, append([]byte{kind}, data...))))
		d.UseNumber()
		require.NoError(t, d.Decode(&got))
		text, err := json.Marshal(want)
		require.NoError(t, err)
		again, err := json.Marshal(got)
		require.NoError(t, err)
		require.JSONEq(t, string(text), string(again))
	}
}

func randomValue(random *rand.Rand, depth int) any {
	switch kind := random.IntN(8); {
	case kind == 0 && depth > 0:
		list := make([]any, random.IntN(6))
		for i := range list {
			list[i] = randomValue(random, depth-1)
		}
		return list
	case kind <= 2 && depth > 0:
		object := map[string]any{}
		for range random.IntN(6) {
			object[strings.Repeat("k", random.IntN(4))+string(rune('a'+random.IntN(26)))] = randomValue(random, depth-1)
		}
		return object
	case kind == 3:
		return strings.Repeat("é\n", random.IntN(100))
	case kind == 4:
		return random.Int64() >> random.IntN(63) * int64(1-2*random.IntN(2))
	case kind == 5:
		return math.Round(random.NormFloat64()*1e6) / 64
	}
	return []any{nil, true, false}[random.IntN(3)]
}

// encode is a value in the binary format, whose containers have places of a width.
func encode(v any, width int) (kind byte, data []byte) {
	switch v := v.(type) {
	case nil:
		return jsonLiteral, []byte{0}
	case bool:
		if v {
			return jsonLiteral, []byte{1}
		}
		return jsonLiteral, []byte{2}
	case int64:
		switch {
		case v >= math.MinInt16 && v <= math.MaxInt16:
			return jsonInt16, binary.LittleEndian.AppendUint16(nil, uint16(v))
		case v >= math.MinInt32 && v <= math.MaxInt32:
			return jsonInt32, binary.LittleEndian.AppendUint32(nil, uint32(v))
		}
		return jsonInt64, binary.LittleEndian.AppendUint64(nil, uint64(v))
	case float64:
		return jsonDouble, binary.LittleEndian.AppendUint64(nil, math.Float64bits(v))
	case string:
		for n := len(v); ; n >>= 7 {
			if n < 128 {
				data = append(data, byte(n))
				break
			}
			data = append(data, byte(n)|128)
		}
		return jsonString, append(data, v...)
	case []any:
		return container(nil, v, width)
	case map[string]any:
		var keys []string
		for k := range v {
			keys = append(keys, k)
		}
		slices.SortFunc(keys, func(a, b string) int { // as the server orders them
			if len(a) != len(b) {
				return len(a) - len(b)
			}
			return strings.Compare(a, b)
		})
		values := make([]any, len(keys))
		for i, k := range keys {
			values[i] = v[k]
		}
		return container(append([]string{}, keys...), values, width)
	}
	panic("a value of another kind")
}

func container(keys []string, values []any, width int) (kind byte, data []byte) {
	number := func(dst []byte, n int) []byte {
		return append(dst, binary.LittleEndian.AppendUint32(nil, uint32(n))[:width]...)
	}
	at := 2*width + len(values)*(1+width)
	if keys != nil {
		at += len(keys) * (width + 2)
	}
	var head, entries, tail []byte
	for _, k := range keys {
		head = binary.LittleEndian.AppendUint16(number(head, at+len(tail)), uint16(len(k)))
		tail = append(tail, k...)
	}
	for _, v := range values {
		of, data := encode(v, width)
		entries = append(entries, of)
		if isInline(of, width) {
			entries = append(entries, append(data, 0, 0, 0)[:width]...)
			continue
		}
		entries = number(entries, at+len(tail))
		tail = append(tail, data...)
	}
	data = number(number(nil, len(values)), at+len(tail))
	data = slices.Concat(data, head, entries, tail)
	kind = jsonSmallArray
	if keys != nil {
		kind = jsonSmallObject
	}
	if width == 4 {
		kind++
	}
	return kind, data
}

// TestPayload unpacks a transaction that MySQL has compressed, and one that is longer
// than it may be.
func TestPayload(t *testing.T) {
	plain := func(typ Type, body string) []byte { // events in it have no checksum
		e := event(typ, []byte(body))
		e = e[:len(e)-checksumLen]
		binary.LittleEndian.PutUint32(e[9:], uint32(len(e)))
		return e
	}
	events := slices.Concat(plain(Query, "first"), plain(XID, "second"), plain(writeRows2, strings.Repeat("x", 5000)))
	z, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	payload := func(kind byte, data []byte) []byte {
		head := []byte{payloadCompression, 1, kind, payloadSize, 3, 0xfc}
		head = binary.LittleEndian.AppendUint16(head, uint16(len(data)))
		return append(append(head, payloadEnd), data...)
	}
	for _, body := range [][]byte{payload(payloadZstd, z.EncodeAll(events, nil)), payload(payloadPlain, events)[:]} {
		if body[2] == payloadPlain { // needs a number of more bytes
			body = append([]byte{payloadCompression, 3, 0xfc, 255, 0}, body[3:]...)
		}
		var got []string
		e := Events{max: 1000}
		require.NoError(t, e.Unpack(body, func(h Header, body []byte) error {
			got = append(got, string(body))
			require.Equal(t, h.Type == writeRows2, h.Cut)
			return nil
		}))
		require.Equal(t, []string{"first", "second", strings.Repeat("x", 1000-headerLen)}, got)
		require.Error(t, e.Unpack(body[:len(body)-1], func(Header, []byte) error { return nil }))
	}
	e := Events{max: 1000}
	require.ErrorContains(t, e.Unpack(payload(7, events), nil), "its kind is 7")
}

func TestSets(t *testing.T) {
	const uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	s, err := ParseSet(uuid+":1-5:7:10-12,\n3E11FA47-71CA-11E1-9E33-C80AA9429563:1", true)
	require.NoError(t, err)
	require.Equal(t, uuid+":1-5:7:10-12,3e11fa47-71ca-11e1-9e33-c80aa9429563:1", s.String())
	before := s.Clone()
	id := [16]byte(unhex(t, strings.ReplaceAll(uuid, "-", "")))
	s.Add(GTID{MySQL: true, UUID: id, Number: 6})
	s.Add(GTID{MySQL: true, UUID: id, Number: 13})
	require.Equal(t, uuid+":1-7:10-13,3e11fa47-71ca-11e1-9e33-c80aa9429563:1", s.String())
	require.Equal(t, uuid+":1-5:7:10-12,3e11fa47-71ca-11e1-9e33-c80aa9429563:1", before.String())
	// What a server is sent has the end of a span behind it.
	one, err := ParseSet(uuid+":1-5", true)
	require.NoError(t, err)
	require.Equal(t, "0100000000000000"+strings.ReplaceAll(uuid, "-", "")+"0100000000000000"+"0100000000000000"+"0600000000000000", hex.EncodeToString(one.appendBlock(nil)))

	m, err := ParseSet("3-1-5,0-2-9", false)
	require.NoError(t, err)
	m.Add(GTID{Domain: 3, Server: 2, Number: 6})
	require.Equal(t, "0-2-9,3-2-6", m.String())
	for _, broken := range []string{"1-2", "a-b-c", uuid, uuid + ":", uuid + ":0", uuid + ":5-4", uuid + ":tag:1"} {
		_, err := ParseSet(broken, strings.Contains(broken, uuid))
		require.Error(t, err, broken)
	}
}

// TestMySQLTransaction reads what begins a transaction of MySQL.
func TestMySQLTransaction(t *testing.T) {
	body := append([]byte{1}, unhex(t, "3e11fa4771ca11e19e33c80aa9429562")...)
	body = binary.LittleEndian.AppendUint64(body, 42)
	g, alone, err := ReadGTID(Header{Type: MySQLGTID}, append(body, make([]byte, 17)...))
	require.NoError(t, err)
	require.False(t, alone)
	require.Equal(t, "3e11fa47-71ca-11e1-9e33-c80aa9429562:42", g.String())
	_, _, err = ReadGTID(Header{Type: TaggedGTID}, body)
	require.ErrorContains(t, err, "GTIDs with tags are not supported")
}
