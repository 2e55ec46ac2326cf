// The combined format of nginx, written by hand against ABI 1: the peer of the same
// parser with the SDK. The rules are in wasm-examples/nginx/README.md.
#include <cstdint>
#include <string_view>
#include <wasm_simd128.h>

#define INLINE inline __attribute__((always_inline))
#define EXPORT(name) extern "C" __attribute__((export_name(#name), used))

namespace {

using std::string_view;

struct Event {
  uint32_t off, len, flags, unused;
  int64_t time;
};
struct Batch {
  uint32_t size, flags, count;
  const Event *events;
  const char *data;
  uint32_t length, max_out;
  volatile uint32_t mark;
};
struct Row {
  uint32_t first;
  uint16_t events, fields;
  uint8_t status, action;
  uint16_t code;
  uint32_t flags;
};
struct Field {
  uint16_t id;
  uint8_t kind, flags;
  uint32_t a, b;
};
struct Result {
  uint32_t size, status, consumed, rows;
  const uint8_t *table;
  uint32_t length, msg, msg_len;
};
struct Info {
  uint32_t size, caps, status;
  const char *schema;
  uint32_t schema_len, msg, msg_len, wanted;
};

enum : uint16_t { ADDR, USER, TIME, METHOD, URI, PROTOCOL, STATUS, BYTES, REFERER, AGENT, FIELDS, WHY = 0xF007 };
enum : uint8_t { OK, NO_MATCH, ERROR };
enum : uint8_t { STRING, INT };

constexpr uint32_t table_bytes = 512 << 10, row_bytes = sizeof(Row) + FIELDS * sizeof(Field);
alignas(8) uint8_t table[table_bytes];
Result result = {sizeof(Result), 0, 0, 0, table, 0, 0, 0};
constexpr string_view schema =
    R"({"name":"nginx","version":"1.0.0","fields":[)"
    R"({"name":"remote_addr","type":"string"},{"name":"remote_user","type":"string"},{"name":"time_local","type":"string"},)"
    R"({"name":"method","type":"string"},{"name":"uri","type":"string"},{"name":"protocol","type":"string"},)"
    R"({"name":"status","type":"int"},{"name":"body_bytes_sent","type":"int"},)"
    R"({"name":"referer","type":"string"},{"name":"user_agent","type":"string"}]})";
const Info info = {sizeof(Info), 0, 0, schema.data(), schema.size(), 0, 0, 0};

// Cursor is what is left of a line.
struct Cursor {
  const char *p, *e;

  // The first c, or the end. There are always 16 bytes of memory before the end.
  INLINE const char *find(char c) const {
    const v128_t want = wasm_i8x16_splat(c);
    const char *at = p;
    for (; e - at >= 16; at += 16) {
      if (uint32_t m = wasm_i8x16_bitmask(wasm_i8x16_eq(wasm_v128_load(at), want))) return at + __builtin_ctz(m);
    }
    uint32_t m = wasm_i8x16_bitmask(wasm_i8x16_eq(wasm_v128_load(reinterpret_cast<const void *>(reinterpret_cast<uintptr_t>(e) - 16)), want)) >> (16 - (e - at));
    return m ? at + __builtin_ctz(m) : e;
  }
  INLINE const char *find_quote() const {
    const char *f = find('"');
    return f != p && f[-1] == '\\' ? find_unescaped() : f;
  }
  __attribute__((noinline)) const char *find_unescaped() const {
    const char *f = p;
    for (; f < e && *f != '"'; f++) if (*f == '\\') f++;
    return f < e ? f : e;
  }
  // What is before f, behind which text must follow.
  INLINE bool cut(const char *f, string_view text, string_view &part) {
    if (static_cast<size_t>(e - f) < text.size()) return false;
    for (size_t i = 0; i < text.size(); i++) if (f[i] != text[i]) return false;
    part = string_view(p, f - p);
    p = f + text.size();
    return true;
  }
};

// Digits with at most a minus before them, at least 0, or -1.
__attribute__((noinline)) int64_t long_number(string_view s) {
  bool minus = s[0] == '-';
  if (minus) s.remove_prefix(1);
  uint64_t n = 0;
  for (char c : s) {
    uint32_t d = static_cast<uint32_t>(c) - '0';
    if (d > 9 || n > (INT64_MAX - d) / 10) return -1;
    n = n * 10 + d;
  }
  return s.empty() || (minus && n) ? -1 : static_cast<int64_t>(n);
}
INLINE int64_t number(string_view s) {
  if (s.empty() || s.size() > 18 || s[0] == '-') return s.empty() ? -1 : long_number(s);
  int64_t n = 0;
  for (char c : s) {
    uint32_t d = static_cast<uint32_t>(c) - '0';
    if (d > 9) return -1;
    n = n * 10 + d;
  }
  return n;
}

INLINE void put(Field *&f, uint16_t id, string_view s) { *f++ = {id, STRING, 0, static_cast<uint32_t>(reinterpret_cast<uintptr_t>(s.data())), static_cast<uint32_t>(s.size())}; }
INLINE void put(Field *&f, uint16_t id, int64_t n) { *f++ = {id, INT, 0, static_cast<uint32_t>(n), static_cast<uint32_t>(n >> 32)}; }

// Puts the fields of a line and sets its status.
INLINE Field *parse(Row *row, Field *f, string_view line) {
  Field *const none = f;
  row->status = NO_MATCH;
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  Cursor c = {line.data(), line.data() + line.size()};
  string_view s, request;
  if (!c.cut(c.find(' '), " - ", s) || s.empty()) return none;
  put(f, ADDR, s);
  if (!c.cut(c.find(' '), " [", s) || s.empty()) return none;
  put(f, USER, s);
  if (!c.cut(c.find(']'), "] \"", s) || s.empty()) return none;
  put(f, TIME, s);

  if (!c.cut(c.find_quote(), "\" ", request)) return none;
  Cursor r = {request.data(), request.data() + request.size()};
  bool three = r.cut(r.find(' '), " ", s) && !s.empty();
  put(f, METHOD, s);
  three = three && r.cut(r.find(' '), " ", s) && !s.empty();
  put(f, URI, s);
  three = three && r.p != r.e && r.find(' ') == r.e;
  put(f, PROTOCOL, string_view(r.p, r.e - r.p));

  if (!c.cut(c.find(' '), " ", s)) return none;
  int64_t status = number(s), sent = 0;
  put(f, STATUS, status);
  if (!c.cut(c.find(' '), " \"", s)) return none;
  if (s != "-") put(f, BYTES, sent = number(s));

  if (!c.cut(c.find_quote(), "\" \"", s)) return none;
  put(f, REFERER, s);
  if (!c.cut(c.find_quote(), "\"", s) || c.p != c.e) return none;
  put(f, AGENT, s);
  if (three && status >= 0 && status <= 999 && sent >= 0) {
    row->status = OK;
    return f;
  }
  row->status = ERROR;
  row->code = three ? 3 : 2;
  f = none;
  put(f, WHY, three ? string_view("number") : string_view("request"));
  return f;
}

} // namespace

EXPORT(wt_abi_1) uint32_t wt_abi_1() { return 0; }

EXPORT(wt_alloc) uint32_t wt_alloc(uint32_t size) {
  size_t old = __builtin_wasm_memory_grow(0, (uint64_t{size} + 65535) >> 16);
  return old == SIZE_MAX ? 0 : old << 16;
}

EXPORT(wt_init) const Info *wt_init(const char *, uint32_t) { return &info; }

EXPORT(wt_process) const Result *wt_process(Batch *b, uint32_t) {
  uint8_t *out = table;
  uint32_t i = 0;
  for (; i < b->count && out <= table + table_bytes - row_bytes; i++) {
    b->mark = i;
    Row *row = reinterpret_cast<Row *>(out);
    Field *fields = reinterpret_cast<Field *>(row + 1);
    *row = {i, 1, 0, OK, 0, 0, 0};
    Field *end = parse(row, fields, string_view(b->data + b->events[i].off, b->events[i].len));
    row->fields = static_cast<uint16_t>(end - fields);
    out = reinterpret_cast<uint8_t *>(end);
  }
  result.consumed = result.rows = i;
  result.length = static_cast<uint32_t>(out - table);
  return &result;
}
