/* The combined format of nginx, written by hand against ABI 1: the peer of the same
 * parser with the SDK. The rules are in wasm-examples/nginx/README.md. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name), used))
#define INLINE static inline __attribute__((always_inline))

typedef struct { uint32_t off, len, flags, unused; int64_t time; } event;
typedef struct {
  uint32_t size, flags, count;
  const event *events;
  const uint8_t *data;
  uint32_t length, max_out;
  volatile uint32_t mark;
} batch;

enum { ADDR, USER, TIME, METHOD, URI, PROTOCOL, STATUS, BYTES, REFERER, AGENT };
enum { INT = 1 << 16, WHY = 0xF007 };
enum { NO_MATCH = 1, ERROR = 2 };
enum { ROW_WORDS = 4 + 10 * 3, TABLE_WORDS = 128 << 10 };

static uint32_t table[TABLE_WORDS];
static struct { uint32_t size, status, consumed, rows; uint32_t *table; uint32_t length, msg, msg_len; } result = {.size = 32};
static const char schema[] =
  "{\"name\":\"nginx\",\"version\":\"1.0.0\",\"fields\":["
  "{\"name\":\"remote_addr\",\"type\":\"string\"},{\"name\":\"remote_user\",\"type\":\"string\"},{\"name\":\"time_local\",\"type\":\"string\"},"
  "{\"name\":\"method\",\"type\":\"string\"},{\"name\":\"uri\",\"type\":\"string\"},{\"name\":\"protocol\",\"type\":\"string\"},"
  "{\"name\":\"status\",\"type\":\"int\"},{\"name\":\"body_bytes_sent\",\"type\":\"int\"},"
  "{\"name\":\"referer\",\"type\":\"string\"},{\"name\":\"user_agent\",\"type\":\"string\"}]}";
static const struct { uint32_t size, caps, status; const char *schema; uint32_t schema_len, msg, msg_len, wanted; } info =
  {.size = 32, .schema = schema, .schema_len = sizeof schema - 1};

/* The first c, or e. There are always 16 bytes of memory before e. */
INLINE const uint8_t *find(const uint8_t *p, const uint8_t *e, uint8_t c) {
  const v128_t want = wasm_u8x16_splat(c);
  for (; e - p >= 16; p += 16) {
    uint32_t m = wasm_i8x16_bitmask(wasm_i8x16_eq(wasm_v128_load(p), want));
    if (m) return p + __builtin_ctz(m);
  }
  uint32_t m = wasm_i8x16_bitmask(wasm_i8x16_eq(wasm_v128_load((const void *)((uintptr_t)e - 16)), want)) >> (16 - (e - p));
  return m ? p + __builtin_ctz(m) : e;
}

/* The end of a text in quotes that has a backslash before its first quote f. */
static const uint8_t *unquoted(const uint8_t *p, const uint8_t *e) {
  for (; p < e && *p != '"'; p++) if (*p == '\\') p++;
  return p < e ? p : e;
}

INLINE const uint8_t *quote(const uint8_t *p, const uint8_t *e) {
  const uint8_t *f = find(p, e, '"');
  return f > p && f[-1] == '\\' ? unquoted(p, e) : f;
}

INLINE uint32_t *put(uint32_t *o, uint32_t id, uint32_t a, uint32_t b) {
  o[0] = id;
  o[1] = a;
  o[2] = b;
  return o + 3;
}
INLINE uint32_t *put_text(uint32_t *o, uint32_t id, const uint8_t *p, const uint8_t *e) { return put(o, id, (uintptr_t)p, e - p); }

static int64_t long_number(const uint8_t *p, const uint8_t *e, bool minus) {
  uint64_t n = 0;
  for (; p < e; p++) {
    uint32_t d = *p - '0';
    if (d > 9 || n > (INT64_MAX - d) / 10) return -1;
    n = n * 10 + d;
  }
  return minus && n ? -1 : (int64_t)n;
}

/* All of [p, e), at least 0, or -1. */
INLINE int64_t number(const uint8_t *p, const uint8_t *e) {
  bool minus = p < e && *p == '-';
  p += minus;
  if (p == e) return -1;
  if (e - p > 18) return long_number(p, e, minus);
  int64_t n = 0;
  for (; p < e; p++) {
    uint32_t d = *p - '0';
    if (d > 9) return -1;
    n = n * 10 + d;
  }
  return minus && n ? -1 : n;
}

static uint32_t *wrong(uint32_t *row, uint32_t code, const char *why, uint32_t len) {
  row[1] = 1 | 1 << 16;
  row[2] = ERROR | code << 16;
  return put(row + 4, WHY, (uintptr_t)why, len);
}

/* Writes the row of a line behind its first word and returns where it ends. */
INLINE uint32_t *parse(uint32_t *row, const uint8_t *p, const uint8_t *e) {
  uint32_t *o = row + 4;
  row[1] = 1;
  row[2] = NO_MATCH;
  row[3] = 0;
  if (e > p && e[-1] == '\r') e--;
  const uint8_t *f = find(p, e, ' ');
  if (f == p || e - f < 3 || f[1] != '-' || f[2] != ' ') return row + 4;
  o = put_text(o, ADDR, p, f);
  f = find(p = f + 3, e, ' ');
  if (f == p || e - f < 2 || f[1] != '[') return row + 4;
  o = put_text(o, USER, p, f);
  f = find(p = f + 2, e, ']');
  if (f == p || e - f < 3 || f[1] != ' ' || f[2] != '"') return row + 4;
  o = put_text(o, TIME, p, f);

  const uint8_t *end = quote(p = f + 3, e);
  if (e - end < 2 || end[1] != ' ') return row + 4;
  const uint8_t *uri = find(p, end, ' '), *protocol = uri == end ? end : find(uri + 1, end, ' ');
  bool three = uri > p && protocol > uri + 1 && end - protocol > 1 && find(protocol + 1, end, ' ') == end;
  o = put_text(o, METHOD, p, uri);
  o = put_text(o, URI, uri + 1, protocol);
  o = put_text(o, PROTOCOL, protocol + 1, end);

  f = find(p = end + 2, e, ' ');
  if (f == e) return row + 4;
  int64_t status = number(p, f), sent = 0;
  o = put(o, STATUS | INT, status, 0);
  f = find(p = f + 1, e, ' ');
  if (e - f < 2 || f[1] != '"') return row + 4;
  if (f - p != 1 || *p != '-') {
    sent = number(p, f);
    o = put(o, BYTES | INT, sent, sent >> 32);
  }

  f = quote(p = f + 2, e);
  if (e - f < 3 || f[1] != ' ' || f[2] != '"') return row + 4;
  o = put_text(o, REFERER, p, f);
  f = quote(p = f + 3, e);
  if (e - f != 1) return row + 4;
  o = put_text(o, AGENT, p, f);
  if (!three) return wrong(row, 2, "request", 7);
  if (status < 0 || status > 999 || sent < 0) return wrong(row, 3, "number", 6);
  row[1] = 1 | (uint32_t)(o - row - 4) / 3 << 16;
  row[2] = 0;
  return o;
}

EXPORT(wt_abi_1) uint32_t wt_abi_1(void) { return 0; }

EXPORT(wt_alloc) uint32_t wt_alloc(uint32_t size) {
  size_t old = __builtin_wasm_memory_grow(0, ((uint64_t)size + 65535) >> 16);
  return old == SIZE_MAX ? 0 : old << 16;
}

EXPORT(wt_init) const void *wt_init(const uint8_t *config, uint32_t len) {
  (void)config, (void)len;
  return &info;
}

EXPORT(wt_process) const void *wt_process(batch *b, uint32_t len) {
  (void)len;
  uint32_t *o = table, i = 0;
  for (; i < b->count && o <= table + TABLE_WORDS - ROW_WORDS; i++) {
    const uint8_t *p = b->data + b->events[i].off;
    b->mark = i;
    o[0] = i;
    o = parse(o, p, p + b->events[i].len);
  }
  result.consumed = result.rows = i;
  result.table = table;
  result.length = (uint32_t)(o - table) * 4;
  return &result;
}
