/* wt.h - parsers for the wasmtail agent in C, ABI 1.
 *
 * SPDX-License-Identifier: MIT
 *
 * Permission is granted, free of charge, to use, copy, change and pass on this
 * file, with or without changes, as part of any program. It comes without
 * warranty of any kind.
 *
 * One header, C11, no libc: copy it beside your parser and compile with
 *
 *   clang --target=wasm32 -O2 -msimd128 -mbulk-memory -ffreestanding -nostdlib \
 *     -Wl,--no-entry -Wl,-z,stack-size=65536 -o parser.wasm parser.c
 *
 * A parser is two functions and one line:
 *
 *   #include "wt.h"
 *   enum { LEVEL, CODE };
 *   static void setup(wt_setup *s) {
 *     wt_name(s, "simple", "1.0.0");
 *     wt_field(s, "level", WT_STRING, "the level, as written");
 *     wt_field(s, "code", WT_INT, "the number after it");
 *   }
 *   static wt_status parse(wt_row *r, wt_str line) {
 *     wt_str level; int64_t code;
 *     if (!wt_until(&line, ' ', &level)) return WT_NO_MATCH;
 *     if (!wt_parse_int(line, &code)) return wt_error(r, 1, WT_TEXT("code"));
 *     wt_put_str(r, LEVEL, level);
 *     wt_put_int(r, CODE, code);
 *     return WT_OK;
 *   }
 *   WT_PARSER(setup, parse)
 *
 * What the header does: it exports what the agent calls, walks over the events
 * of a batch, writes the progress word before each, builds the schema, and
 * writes rows straight into the table that the agent reads. When the table or
 * the arena is full it hands the rest of the batch back, and gets it again.
 *
 * Memory: a wt_str is a range of bytes that somebody else owns. The line is
 * valid until parse returns as far as you are concerned, and until the next
 * batch as far as values are: putting a part of the line copies nothing. Values
 * that are not in the line go into the arena (wt_arena, wt_unescape, wt_join,
 * wt_lookup), which is emptied before each batch, or are constants. Keep no
 * pointer of a batch for the next one.
 *
 * Nothing here allocates for a line. Names that begin with wt__ are not for you.
 */
#ifndef WT_H
#define WT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __wasm_simd128__
#include <wasm_simd128.h>
#endif

/* ---- sizes, which may be defined before the header is included ---- */

/* Bytes of the table of rows: 16 a row and 12 a field. A row must fit into it. */
#ifndef WT_OUT_BYTES
#define WT_OUT_BYTES (512 << 10)
#endif
/* Bytes of the arena, for values made in a batch. */
#ifndef WT_ARENA_BYTES
#define WT_ARENA_BYTES (512 << 10)
#endif
/* Bytes of the schema, at most 65536. */
#ifndef WT_SCHEMA_BYTES
#define WT_SCHEMA_BYTES (16 << 10)
#endif
/* Bytes of the texts of the configuration that are kept. */
#ifndef WT_CONFIG_BYTES
#define WT_CONFIG_BYTES (8 << 10)
#endif

#define WT__IN static inline __attribute__((always_inline, unused))
#define WT__FN static __attribute__((noinline, unused))
#define WT__EXPORT(name) __attribute__((export_name(#name), used))
#define WT__IMPORT(name) __attribute__((import_module("wt"), import_name(#name)))
#define WT__LIKELY(x) __builtin_expect(!!(x), 1)
#define WT__UNLIKELY(x) __builtin_expect(!!(x), 0)

/* ---- values ---- */

/* wt_str is the bytes from p up to, not including, e. Not terminated by 0. */
typedef struct { const uint8_t *p, *e; } wt_str;

/* WT_TEXT makes a wt_str of a string constant. */
#define WT_TEXT(s) ((wt_str){(const uint8_t *)(s), (const uint8_t *)(s) + sizeof(s) - 1})

/* wt_len is the length in bytes. */
WT__IN uint32_t wt_len(wt_str s) { return (uint32_t)(s.e - s.p); }

/* wt_is is true when a and b have the same bytes. */
WT__IN bool wt_is(wt_str a, wt_str b) {
  uint32_t n = wt_len(a);
  if (n != wt_len(b)) return false;
  for (uint32_t i = 0; i < n; i++) if (a.p[i] != b.p[i]) return false;
  return true;
}

/* What a parser says of a line. */
typedef enum {
  WT_OK = 0,       /* parsed: the fields count */
  WT_NO_MATCH = 1, /* not of this format; fields put so far are forgotten */
  WT_ERROR = 2     /* of this format, and wrong; likewise */
} wt_status;

/* Kinds of a field's value, for wt_field. */
typedef enum { WT_STRING = 0, WT_INT = 1, WT_FLOAT = 2, WT_BOOL = 3, WT_NULL = 4, WT_BYTES = 5, WT_JSON = 6 } wt_kind;

/* What a parser may need leave for, for wt_caps. */
enum {
  WT_CAP_JOIN = 1,         /* a row for several events, events left for later */
  WT_CAP_DROP = 2,         /* wt_drop */
  WT_CAP_SPLIT = 4,        /* several rows for one event */
  WT_CAP_ROUTE = 8,        /* wt_put_route */
  WT_CAP_TIME = 16,        /* wt_put_time */
  WT_CAP_DYNAMIC_KEYS = 32 /* wt_put_key */
};

/* Levels of wt_log. */
enum { WT_DEBUG = 0, WT_INFO = 1, WT_WARN = 2, WT_FAIL = 3 };

/* Severities of wt_put_severity, as OpenTelemetry numbers them. */
enum { WT_SEV_TRACE = 1, WT_SEV_DEBUG = 5, WT_SEV_INFO = 9, WT_SEV_WARN = 13, WT_SEV_ERROR = 17, WT_SEV_FATAL = 21 };

/* The code and text of a row that does not fit into the table or the arena even
 * when it is the only one. */
#define WT_CODE_TOO_LARGE 255

/* ---- imports; a module has only those that it calls ---- */

WT__IMPORT(log) void wt__log(uint32_t level, const uint8_t *p, uint32_t n);
WT__IMPORT(log_level) uint32_t wt__log_level(void);
WT__IMPORT(counter_add) void wt__counter_add(uint32_t id, int64_t n);
WT__IMPORT(span_attr) void wt__span_attr(const uint8_t *k, uint32_t kn, const uint8_t *v, uint32_t vn);
WT__IMPORT(lookup) int32_t wt__lookup(uint32_t table, const uint8_t *k, uint32_t kn, uint8_t *out, uint32_t cap);

/* wt_log writes to the agent's log: at most 1024 bytes, at a limited rate. */
WT__IN void wt_log(uint32_t level, wt_str text) { wt__log(level, text.p, wt_len(text)); }
/* wt_log_level is the lowest level that is kept: below it, save the work. */
WT__IN uint32_t wt_log_level(void) { return wt__log_level(); }
/* wt_counter_add adds n >= 0 to the metric that wt_metric returned as id. */
WT__IN void wt_counter_add(uint32_t id, int64_t n) { wt__counter_add(id, n); }
/* wt_span_attr sets an attribute of the trace span of this batch: at most 16,
 * of 64 bytes of key and 256 of value. */
WT__IN void wt_span_attr(wt_str key, wt_str value) { wt__span_attr(key.p, wt_len(key), value.p, wt_len(value)); }

/* ---- the arena ---- */

static uint8_t wt__mem[WT_ARENA_BYTES] __attribute__((aligned(16)));
static uint32_t wt__used;  /* bytes of the arena in use */
static uint32_t wt__room;  /* bytes of values outside of the data that the host still takes */
static uint32_t wt__full;  /* a value of this row found no room */
static uintptr_t wt__data; /* the data of this batch */
static uint32_t wt__datalen;

/* wt_arena returns n bytes that are valid until the next batch, not cleared and
 * not aligned, or NULL when there is no room. Then the row is given back, so
 * return anything. */
WT__IN uint8_t *wt_arena(uint32_t n) {
  if (WT__UNLIKELY(n > WT_ARENA_BYTES - wt__used || n > wt__room)) {
    wt__full = 1;
    return NULL;
  }
  uint8_t *p = wt__mem + wt__used;
  wt__used += n;
  wt__room -= n;
  return p;
}

/* wt_shrink gives back the end of the newest piece of the arena: p has n bytes,
 * of which the first used are kept. */
WT__IN void wt_shrink(const uint8_t *p, uint32_t n, uint32_t used) {
  if (p + n == wt__mem + wt__used) {
    wt__used -= n - used;
    wt__room += n - used;
  }
}

/* A value that is neither in the data nor in the arena counts as made. */
WT__FN void wt__charge(const uint8_t *p, uint32_t n) {
  if ((uintptr_t)p - (uintptr_t)wt__mem < WT_ARENA_BYTES) return;
  if (n > wt__room) wt__full = 1;
  else wt__room -= n;
}

/* wt_join copies a and then b into the arena. */
WT__IN wt_str wt_join(wt_str a, wt_str b) {
  uint32_t n = wt_len(a), m = wt_len(b);
  uint8_t *p = wt_arena(n + m);
  if (!p) return (wt_str){a.p, a.p};
  __builtin_memcpy(p, a.p, n);
  __builtin_memcpy(p + n, b.p, m);
  return (wt_str){p, p + n + m};
}

/* wt_copy copies s into the arena. */
WT__IN wt_str wt_copy(wt_str s) { return wt_join(s, (wt_str){s.e, s.e}); }

/* wt_lookup finds key in a table of the agent's configuration, by its place
 * there, and puts the value into *out, in the arena. False when it is absent. */
WT__FN bool wt_lookup(uint32_t table, wt_str key, wt_str *out) {
  uint32_t left = WT_ARENA_BYTES - wt__used, cap = 256;
  if (cap > left) cap = left;
  if (cap > wt__room) cap = wt__room;
  for (int i = 0; i < 2; i++) {
    uint8_t *p = wt_arena(cap);
    if (!p) return false;
    int32_t n = wt__lookup(table, key.p, wt_len(key), p, cap);
    wt_shrink(p, cap, n < 0 || (uint32_t)n > cap ? 0 : (uint32_t)n);
    if (n < 0) return false;
    if ((uint32_t)n <= cap) {
      *out = (wt_str){p, p + n};
      return true;
    }
    cap = (uint32_t)n;
  }
  return false;
}

/* ---- finding ---- */

/* wt_find returns the first c in [p, e), or e. It takes 16 bytes a step where
 * the module is built with SIMD. The last step reads the 16 bytes before e,
 * which are always memory, so it never reads beyond e. The first step is not part
 * of the loop, because the agent's meter takes its toll where a loop begins, and
 * most fields are short. */
WT__IN const uint8_t *wt_find(const uint8_t *p, const uint8_t *e, uint8_t c) {
#ifdef __wasm_simd128__
  const v128_t want = wasm_u8x16_splat(c);
  if (WT__LIKELY((size_t)(e - p) >= 16)) {
    uint32_t m = wasm_i8x16_bitmask(wasm_i8x16_eq(wasm_v128_load(p), want));
    if (m) return p + __builtin_ctz(m);
    p += 16;
    while (WT__LIKELY((size_t)(e - p) >= 16)) {
      m = wasm_i8x16_bitmask(wasm_i8x16_eq(wasm_v128_load(p), want));
      if (m) return p + __builtin_ctz(m);
      p += 16;
    }
  }
  uint32_t left = (uint32_t)(e - p);
  uint32_t m = wasm_i8x16_bitmask(wasm_i8x16_eq(wasm_v128_load((const void *)((uintptr_t)e - 16)), want)) >> (16 - left);
  return m ? p + __builtin_ctz(m) : e;
#else
  while (p < e && *p != c) p++;
  return p;
#endif
}

/* wt_find2 returns the first a or b in [p, e), or e. */
WT__IN const uint8_t *wt_find2(const uint8_t *p, const uint8_t *e, uint8_t a, uint8_t b) {
#ifdef __wasm_simd128__
  const v128_t one = wasm_u8x16_splat(a), two = wasm_u8x16_splat(b);
  while (WT__LIKELY((size_t)(e - p) >= 16)) {
    v128_t v = wasm_v128_load(p);
    uint32_t m = wasm_i8x16_bitmask(wasm_v128_or(wasm_i8x16_eq(v, one), wasm_i8x16_eq(v, two)));
    if (m) return p + __builtin_ctz(m);
    p += 16;
  }
  uint32_t left = (uint32_t)(e - p);
  v128_t v = wasm_v128_load((const void *)((uintptr_t)e - 16));
  uint32_t m = wasm_i8x16_bitmask(wasm_v128_or(wasm_i8x16_eq(v, one), wasm_i8x16_eq(v, two))) >> (16 - left);
  return m ? p + __builtin_ctz(m) : e;
#else
  while (p < e && *p != a && *p != b) p++;
  return p;
#endif
}

/* wt_until takes the bytes before the first c into *out and steps over the c.
 * False, and nothing has changed, when there is no c. */
WT__IN bool wt_until(wt_str *s, uint8_t c, wt_str *out) {
  const uint8_t *f = wt_find(s->p, s->e, c);
  if (WT__UNLIKELY(f == s->e)) return false;
  *out = (wt_str){s->p, f};
  s->p = f + 1;
  return true;
}

/* wt_lit steps over one byte, if it is c. */
WT__IN bool wt_lit(wt_str *s, uint8_t c) {
  if (WT__UNLIKELY(s->p == s->e || *s->p != c)) return false;
  s->p++;
  return true;
}

/* wt_prefix steps over text, if s begins with it. */
WT__IN bool wt_prefix(wt_str *s, wt_str text) {
  uint32_t n = wt_len(text);
  if (wt_len(*s) < n) return false;
  for (uint32_t i = 0; i < n; i++) if (s->p[i] != text.p[i]) return false;
  s->p += n;
  return true;
}

/* The first quote that no backslash stands before, or e. */
WT__FN const uint8_t *wt__quote(const uint8_t *p, const uint8_t *e) {
  for (p = wt_find2(p, e, '"', '\\'); p < e && *p == '\\'; p = wt_find2(p + 2, e, '"', '\\')) {
    if (e - p < 2) return e;
  }
  return p;
}

/* wt_quoted takes a quoted text whose opening quote was stepped over: *out is
 * what is before the next quote that has no backslash before it, as it stands
 * (see wt_unescape); s goes on behind that quote. False, and nothing has
 * changed, when there is none. */
WT__IN bool wt_quoted(wt_str *s, wt_str *out) {
  const uint8_t *f = wt_find(s->p, s->e, '"');
  if (WT__UNLIKELY(f == s->e)) return false;
  if (WT__UNLIKELY(f != s->p && f[-1] == '\\')) { /* else it ends there */
    f = wt__quote(s->p, s->e);
    if (f == s->e) return false;
  }
  *out = (wt_str){s->p, f};
  s->p = f + 1;
  return true;
}

/* wt_chomp is s without one carriage return at its end. */
WT__IN wt_str wt_chomp(wt_str s) {
  if (s.p < s.e && s.e[-1] == '\r') s.e--;
  return s;
}

/* wt_trim is s without blanks and tabs at both ends. */
WT__IN wt_str wt_trim(wt_str s) {
  while (s.p < s.e && (*s.p == ' ' || *s.p == '\t')) s.p++;
  while (s.p < s.e && (s.e[-1] == ' ' || s.e[-1] == '\t')) s.e--;
  return s;
}

/* ---- rows ---- */

/* wt_row is the row being written. Its fields are put in order, and none twice. */
typedef struct {
  uint32_t *out, *head; /* where the next field goes, this row */
  uint32_t first, events;
  uint32_t code, action, flags;
  wt_str why;
  uintptr_t data; /* the data of this batch, at hand */
  uint32_t datalen;
  uint32_t made; /* 1 when a value is not in the data */
} wt_row;

/* The table, and room for a field that does not fit: a row that reaches beyond the
 * end stays there, which is seen when it ends. So putting a field needs no branch. */
static uint32_t wt__table[WT_OUT_BYTES / 4 + 4] __attribute__((aligned(16)));
#define WT__END (wt__table + WT_OUT_BYTES / 4)
WT__IN uint32_t *wt__within(uint32_t *out) { return (uintptr_t)out > (uintptr_t)WT__END ? WT__END + 1 : out; }

WT__IN void wt__put(wt_row *r, uint32_t word, uint32_t a, uint32_t b) {
  uint32_t *out = r->out;
  out[2] = b; /* the highest first: then the runtime checks one address for all */
  out[1] = a;
  out[0] = word;
  r->out = wt__within(out + 3);
}

WT__IN void wt__put_range(wt_row *r, uint32_t word, wt_str s) {
  r->made |= (uintptr_t)s.p - r->data > r->datalen;
  wt__put(r, word, (uint32_t)(uintptr_t)s.p, wt_len(s));
}

/* Charges the values of a row that are not in the data. */
WT__FN void wt__charge_row(const uint32_t *f, const uint32_t *out, uintptr_t data, uint32_t datalen) {
  for (; f < out; f += 3) {
    uint32_t kind = f[0] >> 16;
    if ((kind == WT_STRING || kind == WT_BYTES || kind == WT_JSON) && f[1] - data > datalen) wt__charge((const uint8_t *)(uintptr_t)f[1], f[2]);
  }
}

/* wt_put_str puts a string: UTF-8, or what the line has instead (the agent
 * repairs it). At most 1 MiB. id is what wt_field returned; after wt_put_key it
 * is ignored. */
WT__IN void wt_put_str(wt_row *r, uint32_t id, wt_str s) { wt__put_range(r, id, s); }
/* wt_put_bytes puts bytes that are not meant to be text. */
WT__IN void wt_put_bytes(wt_row *r, uint32_t id, wt_str s) { wt__put_range(r, id | WT_BYTES << 16, s); }
/* wt_put_json puts a JSON value, which must be valid and at most 64 deep. */
WT__IN void wt_put_json(wt_row *r, uint32_t id, wt_str s) { wt__put_range(r, id | WT_JSON << 16, s); }
/* wt_put_int puts a signed integer of 64 bits. */
WT__IN void wt_put_int(wt_row *r, uint32_t id, int64_t n) { wt__put(r, id | WT_INT << 16, (uint32_t)n, (uint32_t)((uint64_t)n >> 32)); }
/* wt_put_float puts a number; NaN and infinities leave the field out. */
WT__IN void wt_put_float(wt_row *r, uint32_t id, double x) {
  uint64_t n;
  __builtin_memcpy(&n, &x, 8);
  wt__put(r, id | WT_FLOAT << 16, (uint32_t)n, (uint32_t)(n >> 32));
}
/* wt_put_bool puts true or false. */
WT__IN void wt_put_bool(wt_row *r, uint32_t id, bool x) { wt__put(r, id | WT_BOOL << 16, x, 0); }
/* wt_put_null puts a field without a value, which is the same as none. */
WT__IN void wt_put_null(wt_row *r, uint32_t id) { wt__put(r, id | WT_NULL << 16, 0, 0); }

/* wt_put_key names the field that is put next, whose own id is then ignored.
 * 1 to 256 bytes. Needs WT_CAP_DYNAMIC_KEYS. */
WT__IN void wt_put_key(wt_row *r, wt_str name) { wt__put_range(r, 0xFFFF, name); }
/* wt_put_time sets the record's time, nanoseconds since 1970 UTC. Needs
 * WT_CAP_TIME. */
WT__IN void wt_put_time(wt_row *r, int64_t ns) { wt_put_int(r, 0xF001, ns); }
/* wt_put_severity sets the record's severity, 1 to 24: WT_SEV_INFO and so on. */
WT__IN void wt_put_severity(wt_row *r, uint32_t n) { wt_put_int(r, 0xF002, n); }
/* wt_put_body sets the record's message. */
WT__IN void wt_put_body(wt_row *r, wt_str s) { wt__put_range(r, 0xF003, s); }
/* wt_put_route names the log store for the record, which must be one of the
 * pipeline's routes. Needs WT_CAP_ROUTE. */
WT__IN void wt_put_route(wt_row *r, wt_str store) { wt__put_range(r, 0xF004, store); }
/* wt_put_trace_id sets the trace, 16 bytes, and wt_put_span_id the span, 8. */
WT__IN void wt_put_trace_id(wt_row *r, wt_str id) { wt__put_range(r, 0xF005 | WT_BYTES << 16, id); }
WT__IN void wt_put_span_id(wt_row *r, wt_str id) { wt__put_range(r, 0xF006 | WT_BYTES << 16, id); }

/* wt_keep_raw keeps the line beside the fields of this row. */
WT__IN void wt_keep_raw(wt_row *r) { r->flags |= 1; }

/* wt_error says that the line is wrong and why, to be returned from parse: a
 * code of your own from 0 to 255, which the agent counts, and a text of at most
 * 256 bytes. */
WT__IN wt_status wt_error(wt_row *r, uint32_t code, wt_str why) {
  r->code = code;
  r->why = why;
  return WT_ERROR;
}
/* wt_no_match is wt_error for a line that is not of the format. */
WT__IN wt_status wt_no_match(wt_row *r, uint32_t code, wt_str why) {
  r->code = code;
  r->why = why;
  return WT_NO_MATCH;
}
/* wt_drop removes the line, to be returned from parse. Needs WT_CAP_DROP. The
 * agent counts it as filtered. */
WT__IN wt_status wt_drop(wt_row *r) {
  r->action = 1;
  return WT_OK;
}

/* ---- batches ---- */

typedef struct { uint32_t off, len, flags, unused; int64_t time; } wt__event;
typedef struct {
  uint32_t size, flags, count;
  const wt__event *events;
  const uint8_t *data;
  uint32_t length, max_out;
  volatile uint32_t mark;
  int64_t now;
  uint64_t seq;
  uint32_t stream;
  const uint8_t *meta;
  uint32_t meta_len, unused;
} wt__head;

/* wt_batch is the batch being parsed. */
typedef struct {
  wt__head *in;
  const wt__event *events;
  uint32_t count;    /* events, which have the indexes 0 to count - 1 */
  uint32_t *out;     /* behind the last row that was ended */
  uint32_t rows, consumed;
  uint32_t *split_out; /* the state before the first row of the newest event */
  uint32_t split_first, split_rows, split_consumed;
  uintptr_t data;
  uint32_t datalen;
} wt_batch;

static wt__head *wt__in;

/* wt_line is event i, without its line end. */
WT__IN wt_str wt_line(const wt_batch *b, uint32_t i) {
  const uint8_t *p = (const uint8_t *)b->data + b->events[i].off;
  return (wt_str){p, p + b->events[i].len};
}
/* wt_count is how many events the batch has, at least 1. */
WT__IN uint32_t wt_count(const wt_batch *b) { return b->count; }
/* wt_final is true when all events must be consumed, because nothing follows. */
WT__IN bool wt_final(const wt_batch *b) { return b->in->flags & 1; }
/* wt_stream tells sources apart: a batch is of one. */
WT__IN uint32_t wt_stream(const wt_batch *b) { return b->in->stream; }
/* wt_event_flags: 1 a piece of an over-long line, 2 its end was not seen, 4 not
 * valid UTF-8. */
WT__IN uint32_t wt_event_flags(const wt_batch *b, uint32_t i) { return b->events[i].flags; }
/* wt_event_time is a time that the source knew, ns since 1970 UTC, or 0. */
WT__IN int64_t wt_event_time(const wt_batch *b, uint32_t i) { return b->events[i].time; }
/* wt_now is the time to use, ns since 1970 UTC. The same for a whole batch. */
WT__IN int64_t wt_now(void) { return wt__in->now; }
/* wt_meta is a JSON object about the source of this batch, empty when it is
 * the same as in the last batch of its stream. */
WT__IN wt_str wt_meta(void) { return (wt_str){wt__in->meta, wt__in->meta + wt__in->meta_len}; }

WT__IN wt_row wt__row(const wt_batch *b, uint32_t first, uint32_t events) {
  return (wt_row){.out = wt__within(b->out + 4), .head = b->out, .first = first, .events = events, .data = b->data, .datalen = b->datalen};
}

/* wt_begin begins a row for the events from first on. A row begins where the one
 * before it ended or, with WT_CAP_SPLIT, where that one began; more than one
 * event needs WT_CAP_JOIN. */
WT__IN wt_row wt_begin(wt_batch *b, uint32_t first, uint32_t events) {
  b->in->mark = first;
  if (first != b->split_first) {
    b->split_first = first;
    b->split_out = b->out;
    b->split_rows = b->rows;
    b->split_consumed = b->consumed;
  }
  return wt__row(b, first, events);
}

/* wt_begin for event i of a module that makes one row of each. */
WT__IN wt_row wt__begin_one(wt_batch *b, uint32_t i) {
  b->in->mark = i;
  b->split_out = b->out;
  b->split_rows = b->rows;
  b->split_consumed = b->consumed;
  return wt__row(b, i, 1);
}

/* A row that does not fit: give its events back or, when they have the whole
 * table for themselves, say so in a row of their own. Either way this call ends,
 * so that nothing more comes of those events. */
WT__IN bool wt__overflow(wt_batch *b, uint32_t first, uint32_t events) {
  static const char text[] = "row too large";
  b->out = b->split_out;
  b->rows = b->split_rows;
  b->consumed = b->split_consumed;
  if (b->rows) return false;
  wt__full = 0;
  wt__used = 0;
  wt__room = b->in->max_out < sizeof text ? 0 : b->in->max_out - sizeof text;
  uint32_t *o = b->out;
  o[0] = first;
  o[1] = events | 1 << 16;
  o[2] = WT_ERROR | WT_CODE_TOO_LARGE << 16;
  o[3] = 0;
  o[4] = 0xF007;
  o[5] = (uint32_t)(uintptr_t)text;
  o[6] = sizeof text - 1;
  b->out = o + 7;
  b->rows = 1;
  b->consumed = first + events;
  return false;
}

/* wt_end ends the row. False when it did not fit: then the function returns, and
 * the agent gives what is left again. */
WT__IN bool wt_end(wt_batch *b, wt_row *r, wt_status status) {
  uint32_t flags = r->flags, code = r->code;
  if (WT__UNLIKELY(status != WT_OK || r->action)) {
    r->out = wt__within(r->head + 4);
    r->made = 0;
    if (status != WT_OK && r->why.p) wt__put_range(r, 0xF007, r->why);
  }
  uint32_t *out = r->out;
  uint32_t fields = (uint32_t)(out - r->head - 4) / 3;
  if (WT__UNLIKELY((uintptr_t)out > (uintptr_t)WT__END || (WT_OUT_BYTES / 12 > 65535 && fields > 65535))) return wt__overflow(b, r->first, r->events);
  if (WT__UNLIKELY(r->made)) wt__charge_row(r->head + 4, out, r->data, r->datalen);
  if (WT__UNLIKELY(wt__full)) return wt__overflow(b, r->first, r->events);
  r->head[0] = r->first;
  r->head[1] = r->events | fields << 16;
  r->head[2] = status | r->action << 8 | code << 16;
  r->head[3] = flags;
  b->out = out;
  b->rows++;
  b->consumed = r->first + r->events;
  return true;
}

static struct { uint32_t size, status, consumed, rows; uint32_t *table; uint32_t length; const uint8_t *msg; uint32_t msg_len; } wt__result;

/* wt_give_up says that nothing can be made of this batch, which then goes on as
 * it is. The text, at most 1024 bytes, is for the log. For batch functions,
 * which return right after it. */
WT__IN void wt_give_up(wt_str why) {
  wt__result.status = 1;
  wt__result.msg = why.p;
  wt__result.msg_len = wt_len(why);
}
/* wt_fatal is wt_give_up, and the module is not called again. */
WT__IN void wt_fatal(wt_str why) {
  wt_give_up(why);
  wt__result.status = 2;
}

WT__IN wt_batch wt__open(wt__head *in) {
  wt__in = in;
  wt__data = (uintptr_t)in->data;
  wt__datalen = in->length;
  wt__used = 0;
  wt__room = in->max_out;
  wt__full = 0;
  wt__result.size = sizeof wt__result;
  wt__result.status = 0;
  wt__result.msg_len = 0;
  return (wt_batch){.in = in, .events = in->events, .count = in->count, .out = wt__table, .split_first = UINT32_MAX, .split_out = wt__table, .data = wt__data, .datalen = wt__datalen};
}

WT__IN void *wt__close(const wt_batch *b) {
  wt__result.consumed = b->consumed;
  wt__result.rows = b->rows;
  wt__result.table = wt__table;
  wt__result.length = (uint32_t)(b->out - wt__table) * 4;
  return &wt__result;
}

/* ---- setting up ---- */

/* wt_setup gathers what the module tells the agent when it is started. */
typedef struct {
  wt_str config; /* the configuration, JSON */
  uint32_t caps, wanted, fields, metrics, kept;
  wt_str message;
  uint32_t refused;
} wt_setup;

static uint8_t wt__schema[WT_SCHEMA_BYTES], wt__metrics[4096], wt__kept[WT_CONFIG_BYTES];
static uint32_t wt__schema_len, wt__metrics_len;
static struct { uint32_t size, caps, status; uint8_t *schema; uint32_t schema_len; const uint8_t *msg; uint32_t msg_len, wanted; } wt__info;

WT__FN void wt__add(uint8_t *buf, uint32_t *len, uint32_t cap, wt_str s, bool quote) {
  static const char hex[] = "0123456789abcdef";
  for (const uint8_t *p = s.p; p < s.e; p++) {
    if (*len + 6 > cap) {
      *len = cap; /* seen when the setup ends */
      return;
    }
    if (quote && (*p == '"' || *p == '\\')) buf[(*len)++] = '\\';
    if (quote && *p < 32) {
      const uint8_t u[] = {'\\', 'u', '0', '0', (uint8_t)hex[*p >> 4], (uint8_t)hex[*p & 15]};
      __builtin_memcpy(buf + *len, u, 6);
      *len += 6;
    } else {
      buf[(*len)++] = *p;
    }
  }
}

WT__FN wt_str wt__cstr(const char *s) {
  const uint8_t *p = (const uint8_t *)s, *e = p;
  while (*e) e++;
  return (wt_str){p, e};
}

WT__IN void wt__say(const char *s, bool quote) { wt__add(wt__schema, &wt__schema_len, sizeof wt__schema, wt__cstr(s), quote); }

/* wt_name names the parser and its version. Call it first, once. */
WT__FN void wt_name(wt_setup *s, const char *name, const char *version) {
  (void)s;
  wt__schema_len = 0;
  wt__say("{\"name\":\"", false);
  wt__say(name, true);
  wt__say("\",\"version\":\"", false);
  wt__say(version, true);
  wt__say("\",\"fields\":[", false);
}

/* wt_field adds a field to the schema and returns its id: 0 for the first, then
 * 1, and so on, so that an enum in the same order does as well. The name is of 1
 * to 256 bytes, does not begin with _ and is there once. At most 1024. */
WT__FN uint32_t wt_field(wt_setup *s, const char *name, wt_kind kind, const char *doc) {
  static const char *const kinds[] = {"string", "int", "float", "bool", "string", "bytes", "json"};
  wt__say(s->fields ? ",{\"name\":\"" : "{\"name\":\"", false);
  wt__say(name, true);
  wt__say("\",\"type\":\"", false);
  wt__say(kinds[kind], false);
  wt__say("\",\"doc\":\"", false);
  wt__say(doc, true);
  wt__say("\"}", false);
  return s->fields++;
}

/* wt_metric adds a counter and returns its id, for wt_counter_add. At most 64. */
WT__FN uint32_t wt_metric(wt_setup *s, const char *name) {
  wt__add(wt__metrics, &wt__metrics_len, sizeof wt__metrics, wt__cstr(s->metrics ? ",\"" : "\""), false);
  wt__add(wt__metrics, &wt__metrics_len, sizeof wt__metrics, wt__cstr(name), true);
  wt__add(wt__metrics, &wt__metrics_len, sizeof wt__metrics, wt__cstr("\""), false);
  return s->metrics++;
}

/* wt_caps declares what rows may do: WT_CAP_DROP | WT_CAP_TIME and so on. */
WT__IN void wt_caps(wt_setup *s, uint32_t caps) { s->caps |= caps; }
/* wt_want asks for batches of so many bytes. */
WT__IN void wt_want(wt_setup *s, uint32_t bytes) { s->wanted = bytes; }
/* wt_refuse refuses the configuration, and says why to the operator. */
WT__IN void wt_refuse(wt_setup *s, wt_str why) {
  s->refused = 1;
  s->message = why;
}

/* ---- JSON ---- */

WT__FN const uint8_t *wt__blank(const uint8_t *p, const uint8_t *e) {
  while (p < e && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
  return p;
}

/* The end of the value that begins at p, or NULL. It is as strict as finding the
 * end needs. */
WT__FN const uint8_t *wt__skip(const uint8_t *p, const uint8_t *e) {
  uint32_t depth = 0;
  while (p < e) {
    uint8_t c = *p;
    if (c == '"') {
      wt_str s = {p + 1, e}, t;
      if (!wt_quoted(&s, &t)) return NULL;
      p = s.p;
    } else if (c == '{' || c == '[') {
      depth++;
      p++;
      continue;
    } else if (c == '}' || c == ']') {
      if (!depth) return NULL;
      depth--;
      p++;
    } else if (c == ',' || c == ':' || c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      if (!depth) return NULL;
      p++;
      continue;
    } else {
      while (p < e && *p != ',' && *p != '}' && *p != ']' && *p != ' ' && *p != '\t' && *p != '\n' && *p != '\r') p++;
    }
    if (!depth) return p;
  }
  return NULL;
}

/* wt_json_get finds the value of a key of a JSON object, as it stands there: a
 * text with its quotes. Keys with escapes are not found. It reads the object up
 * to the key, and is no check of the rest. */
WT__FN bool wt_json_get(wt_str object, wt_str key, wt_str *value) {
  const uint8_t *p = wt__blank(object.p, object.e), *e = object.e;
  if (p == e || *p != '{') return false;
  for (p = wt__blank(p + 1, e); p < e && *p == '"'; p = wt__blank(p + 1, e)) {
    wt_str s = {p + 1, e}, name;
    if (!wt_quoted(&s, &name)) return false;
    p = wt__blank(s.p, e);
    if (p == e || *p != ':') return false;
    p = wt__blank(p + 1, e);
    const uint8_t *end = wt__skip(p, e);
    if (!end) return false;
    if (wt_is(name, key)) {
      *value = (wt_str){p, end};
      return true;
    }
    p = wt__blank(end, e);
    if (p == e || *p != ',') return false;
  }
  return false;
}

WT__FN int32_t wt__hex4(const uint8_t *p, const uint8_t *e) {
  int32_t n = 0;
  if (e - p < 4) return -1;
  for (int i = 0; i < 4; i++) {
    uint8_t c = p[i], l = c | 32;
    if (c >= '0' && c <= '9') n = n << 4 | (c - '0');
    else if (l >= 'a' && l <= 'f') n = n << 4 | (l - 'a' + 10);
    else return -1;
  }
  return n;
}

/* Decodes into q, which has room for s; a text never grows. */
WT__FN uint32_t wt__decode(wt_str s, uint8_t *q) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  uint8_t *begin = q;
  for (const uint8_t *p = s.p; p < s.e;) {
    if (*p != '\\' || s.e - p < 2) {
      *q++ = *p++;
      continue;
    }
    int32_t c = p[1] == 'u' ? wt__hex4(p + 2, s.e) : -1;
    if (c >= 0) {
      p += 6;
      if (c >= 0xD800 && c < 0xDC00 && s.e - p >= 6 && p[0] == '\\' && p[1] == 'u') {
        int32_t low = wt__hex4(p + 2, s.e);
        if (low >= 0xDC00 && low < 0xE000) {
          c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
          p += 6;
        }
      }
      if (c >= 0xD800 && c < 0xE000) c = 0xFFFD;
      if (c < 0x80) {
        *q++ = (uint8_t)c;
      } else if (c < 0x800) {
        *q++ = (uint8_t)(0xC0 | c >> 6);
        *q++ = (uint8_t)(0x80 | (c & 63));
      } else if (c < 0x10000) {
        *q++ = (uint8_t)(0xE0 | c >> 12);
        *q++ = (uint8_t)(0x80 | (c >> 6 & 63));
        *q++ = (uint8_t)(0x80 | (c & 63));
      } else {
        *q++ = (uint8_t)(0xF0 | c >> 18);
        *q++ = (uint8_t)(0x80 | (c >> 12 & 63));
        *q++ = (uint8_t)(0x80 | (c >> 6 & 63));
        *q++ = (uint8_t)(0x80 | (c & 63));
      }
      continue;
    }
    uint32_t i = 0;
    while (i < 8 && (uint8_t)from[i] != p[1]) i++;
    if (i < 8) {
      *q++ = (uint8_t)to[i];
    } else {
      *q++ = p[0];
      *q++ = p[1];
    }
    p += 2;
  }
  return (uint32_t)(q - begin);
}

/* wt_unescape decodes the escapes of a JSON text, without its quotes, into the
 * arena; a text without a backslash is returned as it is. What is no escape of
 * JSON stays; half a surrogate becomes U+FFFD. */
WT__IN wt_str wt_unescape(wt_str s) {
  if (WT__LIKELY(wt_find(s.p, s.e, '\\') == s.e)) return s;
  uint32_t n = wt_len(s);
  uint8_t *q = wt_arena(n);
  if (!q) return s;
  uint32_t used = wt__decode(s, q);
  wt_shrink(q, n, used);
  return (wt_str){q, q + used};
}

/* ---- numbers ---- */

/* For what may be more than 64 bits hold. */
WT__FN bool wt__parse_long(const uint8_t *p, const uint8_t *e, bool minus, int64_t *n) {
  uint64_t v = 0;
  for (; p < e; p++) {
    uint32_t d = (uint32_t)*p - '0';
    if (d > 9 || v > (9223372036854775808u - d) / 10) return false;
    v = v * 10 + d;
  }
  if (v > (uint64_t)INT64_MAX + minus) return false;
  *n = (int64_t)(minus ? 0 - v : v);
  return true;
}

/* wt_parse_int reads digits with at most a minus before them: all of s, and
 * within 64 bits, or it is false. */
WT__IN bool wt_parse_int(wt_str s, int64_t *n) {
  const uint8_t *p = s.p, *e = s.e;
  bool minus = p < e && *p == '-';
  if (WT__UNLIKELY(minus)) p++;
  if (WT__UNLIKELY(p == e)) return false;
  if (WT__UNLIKELY(e - p > 18)) return wt__parse_long(p, e, minus, n);
  int64_t v = 0;
  do {
    uint32_t d = (uint32_t)*p - '0';
    if (WT__UNLIKELY(d > 9)) return false;
    v = v * 10 + d;
  } while (++p < e);
  *n = minus ? -v : v;
  return true;
}

/* ---- finding and putting in one ---- */

/* wt_cut is wt_until and wt_put_str in one: it puts what is before the first c in
 * s, steps over that c, and returns how many bytes it put; -1, and nothing has
 * changed, when there is no c. */
WT__IN int32_t wt_cut(wt_row *r, uint32_t id, wt_str *s, uint8_t c) {
  wt_str part;
  if (!wt_until(s, c, &part)) return -1;
  wt__put_range(r, id, part);
  return (int32_t)wt_len(part);
}
/* wt_cut_quoted is wt_quoted and wt_put_str in one, and returns likewise. */
WT__IN int32_t wt_cut_quoted(wt_row *r, uint32_t id, wt_str *s) {
  wt_str part;
  if (!wt_quoted(s, &part)) return -1;
  wt__put_range(r, id, part);
  return (int32_t)wt_len(part);
}
/* How many digits 8 bytes begin with, least significant first. */
WT__IN uint32_t wt__digits_of(uint64_t w) {
  w ^= 0x3030303030303030; /* a digit is its value, and 10 to 127 comes over 127 by adding 118 */
  uint64_t above = ((w + 0x7676767676767676) | w) & 0x8080808080808080;
  return above ? (uint32_t)__builtin_ctzll(above) >> 3 : 8;
}
/* The number of the first of 8 digits, 1 to 8. Neighbours are added up, the earlier
 * one times 10, 100 and 10000. */
WT__IN int64_t wt__number_of(uint64_t w, uint32_t digits) {
  w = (w ^ 0x3030303030303030) << (64 - 8 * digits);
  w = (w * 10 + (w >> 8)) & 0x00ff00ff00ff00ff;
  w = (w * 100 + (w >> 16)) & 0x0000ffff0000ffff;
  return (int64_t)((w * 10000 + (w >> 32)) & 0xffffffff);
}
WT__FN wt_str wt__int_until(const uint8_t *p, const uint8_t *e, uint8_t c) {
  wt_str s = {p, e}, part = {0};
  wt_until(&s, c, &part);
  return part;
}
/* wt_cut_int is wt_until, wt_parse_int and wt_put_int in one: it puts the integer
 * before the first c, steps over that c, and sets *n to it. False, and nothing has
 * changed, when there is no c, or no integer before it. */
WT__IN bool wt_cut_int(wt_row *r, uint32_t id, wt_str *s, uint8_t c, int64_t *n) {
  const uint8_t *p = s->p;
  uint64_t w = 0;
  uint32_t digits = 0;
  if (WT__LIKELY(s->e - p > 8)) {
    __builtin_memcpy(&w, p, 8);
    digits = wt__digits_of(w);
  }
  if (WT__LIKELY(digits && p[digits] == c && (uint32_t)c - '0' > 9)) {
    *n = wt__number_of(w, digits);
    s->p = p + digits + 1;
  } else { /* short, long, negative or wrong */
    wt_str part = wt__int_until(p, s->e, c);
    if (!part.p || !wt_parse_int(part, n)) return false;
    s->p = part.e + 1;
  }
  wt_put_int(r, id, *n);
  return true;
}

/* Large numbers, for the few that a double does not hold exactly on the way. */
typedef struct { uint32_t w[40]; uint32_t n; } wt__big;
WT__FN void wt__big_mul(wt__big *x, uint32_t m) {
  uint64_t carry = 0;
  for (uint32_t i = 0; i < x->n; i++) {
    carry += (uint64_t)x->w[i] * m;
    x->w[i] = (uint32_t)carry;
    carry >>= 32;
  }
  if (carry) x->w[x->n++] = (uint32_t)carry;
}
WT__FN int32_t wt__big_bits(const wt__big *x) { return x->n ? (int32_t)(x->n * 32) - __builtin_clz(x->w[x->n - 1]) : 0; }
WT__FN void wt__big_shl(wt__big *x, uint32_t s) {
  uint32_t words = s / 32, bits = s % 32;
  for (uint32_t i = x->n + words + 1; i-- > 0;) {
    uint32_t hi = i >= words && i - words < x->n ? x->w[i - words] : 0;
    uint32_t lo = bits && i > words && i - words - 1 < x->n ? x->w[i - words - 1] : 0;
    x->w[i] = bits ? hi << bits | lo >> (32 - bits) : hi;
  }
  x->n += words + 1;
  while (x->n && !x->w[x->n - 1]) x->n--;
}
WT__FN bool wt__big_take(wt__big *x, const wt__big *y) { /* x -= y, if x >= y */
  if (x->n < y->n) return false;
  for (uint32_t i = x->n; i-- > 0;) {
    uint32_t b = i < y->n ? y->w[i] : 0;
    if (x->w[i] != b) {
      if (x->w[i] < b) return false;
      break;
    }
  }
  uint64_t borrow = 0;
  for (uint32_t i = 0; i < x->n; i++) {
    uint64_t d = (uint64_t)x->w[i] - (i < y->n ? y->w[i] : 0) - borrow;
    x->w[i] = (uint32_t)d;
    borrow = d >> 63;
  }
  while (x->n && !x->w[x->n - 1]) x->n--;
  return true;
}

WT__FN double wt__scale(uint64_t m, int32_t e10) { /* m * 10^e10, rounded once */
  wt__big a = {{(uint32_t)m, (uint32_t)(m >> 32)}, m >> 32 ? 2 : 1}, d = {{1}, 1};
  for (int32_t i = 0; i < e10; i++) wt__big_mul(&a, 5);
  for (int32_t i = 0; i > e10; i--) wt__big_mul(&d, 5);
  /* a / d * 2^e10: make the quotient 64 or 65 bits long */
  int32_t shift = 64 - (wt__big_bits(&a) - wt__big_bits(&d));
  if (shift > 0) wt__big_shl(&a, (uint32_t)shift);
  else if (shift < 0) wt__big_shl(&d, (uint32_t)-shift);
  wt__big_shl(&d, 64);
  uint64_t q = 0;
  int32_t exp = e10 - shift;
  bool top = wt__big_take(&a, &d); /* bit 64 */
  for (int i = 0; i < 64; i++) {
    wt__big_shl(&a, 1);
    q = q << 1 | wt__big_take(&a, &d);
  }
  bool sticky = a.n != 0;
  if (top) {
    sticky |= q & 1;
    q = q >> 1 | (uint64_t)1 << 63;
    exp++;
  }
  int32_t lead = __builtin_clzll(q);
  q <<= lead;
  exp -= lead; /* q * 2^exp with the top bit of q set */
  int32_t drop = 11, biased = exp + 63 + 1023;
  if (biased <= 0) drop += 1 - biased, biased = 0;
  if (biased >= 2047) return __builtin_inf();
  if (drop > 64) return 0;
  uint64_t kept = drop == 64 ? 0 : q >> drop, half = (uint64_t)1 << (drop - 1), rest = drop == 64 ? q : q & ((half << 1) - 1);
  if (rest > half || (rest == half && (sticky || (kept & 1)))) kept++;
  /* kept has its leading bit at 52 unless it is subnormal; adding lets a carry
   * run into the exponent. */
  uint64_t bits = biased ? ((uint64_t)(biased - 1) << 52) + kept : kept;
  double x;
  __builtin_memcpy(&x, &bits, 8);
  return x;
}

/* wt_parse_float reads a decimal number: all of s, such as -12, .5, 1e-3. It is
 * rounded correctly up to 18 significant digits, and to a neighbour at worst
 * beyond. False for anything else, and for what is too large for a double. */
WT__FN bool wt_parse_float(wt_str s, double *x) {
  static const double tens[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  const uint8_t *p = s.p, *e = s.e;
  bool minus = p < e && *p == '-';
  if (p < e && (*p == '-' || *p == '+')) p++;
  uint64_t m = 0;
  int32_t exp = 0, digits = 0;
  bool any = false, point = false, more = false;
  for (; p < e; p++) {
    uint32_t d = (uint32_t)*p - '0';
    if (*p == '.' && !point) {
      point = true;
      continue;
    }
    if (d > 9) break;
    any = true;
    if (digits < 18) {
      m = m * 10 + d;
      digits += m != 0;
      exp -= point;
    } else {
      more |= d != 0;
      exp += !point;
    }
    if (exp > 1 << 20 || exp < -(1 << 20)) return false;
  }
  if (!any) return false;
  if (p < e && (*p | 32) == 'e') {
    p++;
    bool down = p < e && *p == '-';
    if (p < e && (*p == '-' || *p == '+')) p++;
    if (p == e) return false;
    int32_t v = 0;
    for (; p < e; p++) {
      uint32_t d = (uint32_t)*p - '0';
      if (d > 9) return false;
      if (v < 100000) v = v * 10 + (int32_t)d;
    }
    exp += down ? -v : v;
  }
  if (p != e) return false;
  if (more) m = m * 10 + 1, exp--;
  double r;
  if (m == 0 || exp < -400) r = 0;
  else if (exp > 310) return false;
  else if (m <= (uint64_t)1 << 53 && exp >= 0 && exp <= 22) r = (double)m * tens[exp];
  else if (m <= (uint64_t)1 << 53 && exp < 0 && exp >= -22) r = (double)m / tens[-exp];
  else r = wt__scale(m, exp);
  if (r > 1.7976931348623157e308) return false;
  *x = minus ? -r : r;
  return true;
}

/* ---- times ---- */

WT__IN int32_t wt__digits(const uint8_t *p, int32_t n) { /* n digits, or -1 */
  int32_t v = 0;
  for (int32_t i = 0; i < n; i++) {
    uint32_t d = (uint32_t)p[i] - '0';
    if (d > 9) return -1;
    v = v * 10 + (int32_t)d;
  }
  return v;
}

WT__FN int32_t wt__month(const uint8_t *p) { /* Jan is 1, or -1 */
  static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";
  for (int32_t i = 0; i < 12; i++) {
    if ((p[0] | 32) == names[3 * i] && (p[1] | 32) == names[3 * i + 1] && (p[2] | 32) == names[3 * i + 2]) return i + 1;
  }
  return -1;
}

WT__FN int32_t wt__days_in(int32_t y, int32_t m) {
  if (m == 2) return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0 ? 29 : 28;
  return m == 4 || m == 6 || m == 9 || m == 11 ? 30 : 31;
}

/* Days from 1970-01-01 to a date from 1678 on. */
WT__FN int32_t wt__days(int32_t y, int32_t m, int32_t d) {
  static const int16_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  int32_t full = y - 1;
  int32_t days = full * 365 + full / 4 - full / 100 + full / 400 - 719162;
  return days + before[m - 1] + (m > 2 && wt__days_in(y, 2) == 29) + d - 1;
}

typedef struct { int32_t year, month, day, hour, min, sec; } wt__clock;

/* Seconds since 1970, or false when there is no such time. A leap second is the
 * second after it. */
WT__FN bool wt__seconds(const wt__clock *c, int64_t *out) {
  if (c->year < 1678 || c->year > 2261 || c->month < 1 || c->month > 12 || c->day < 1 || c->day > wt__days_in(c->year, c->month)) return false;
  if (c->hour < 0 || c->hour > 23 || c->min < 0 || c->min > 59 || c->sec < 0 || c->sec > 60) return false;
  *out = (int64_t)wt__days(c->year, c->month, c->day) * 86400 + c->hour * 3600 + c->min * 60 + c->sec;
  return true;
}

/* Nanoseconds of the digits from *p on, of which there is at least one. */
WT__FN bool wt__fraction(const uint8_t **p, const uint8_t *e, int64_t *ns) {
  int64_t v = 0, unit = 100000000;
  const uint8_t *q = *p;
  for (; q < e && (uint32_t)*q - '0' < 10; q++) {
    v += (*q - '0') * unit;
    unit /= 10;
  }
  if (q == *p) return false;
  *p = q;
  *ns = v;
  return true;
}

/* Seconds east of UTC: Z, +hh:mm, +hhmm or +hh. All of [p, e). */
WT__FN bool wt__zone(const uint8_t *p, const uint8_t *e, int32_t *east) {
  *east = 0;
  if (e - p == 1 && (*p | 32) == 'z') return true;
  if (e - p < 3 || (*p != '+' && *p != '-')) return false;
  int32_t h = wt__digits(p + 1, 2), m = 0;
  if (e - p == 6 && p[3] == ':') m = wt__digits(p + 4, 2);
  else if (e - p == 5) m = wt__digits(p + 3, 2);
  else if (e - p != 3) return false;
  if (h < 0 || h > 23 || m < 0 || m > 59) return false;
  *east = (h * 3600 + m * 60) * (*p == '-' ? -1 : 1);
  return true;
}

/* wt_time_rfc3339 reads 2006-01-02T15:04:05.999999999+07:00, all of s. A blank
 * or t may stand for T, a comma for the point, and without a zone it is UTC.
 * Years 1678 to 2261, as in all functions of this kind; *ns is nanoseconds since
 * 1970 UTC. */
WT__FN bool wt_time_rfc3339(wt_str s, int64_t *ns) {
  const uint8_t *p = s.p;
  if (s.e - p < 19 || p[4] != '-' || p[7] != '-' || ((p[10] | 32) != 't' && p[10] != ' ') || p[13] != ':' || p[16] != ':') return false;
  wt__clock c = {wt__digits(p, 4), wt__digits(p + 5, 2), wt__digits(p + 8, 2), wt__digits(p + 11, 2), wt__digits(p + 14, 2), wt__digits(p + 17, 2)};
  int64_t sec, frac = 0;
  int32_t east = 0;
  if (!wt__seconds(&c, &sec)) return false;
  p += 19;
  if (p < s.e && (*p == '.' || *p == ',')) {
    p++;
    if (!wt__fraction(&p, s.e, &frac)) return false;
  }
  if (p < s.e && !wt__zone(p, s.e, &east)) return false;
  *ns = (sec - east) * 1000000000 + frac;
  return true;
}

/* wt_time_clf reads 02/Jan/2006:15:04:05 -0700, all of s. */
WT__FN bool wt_time_clf(wt_str s, int64_t *ns) {
  const uint8_t *p = s.p;
  if (s.e - p != 26 || p[2] != '/' || p[6] != '/' || p[11] != ':' || p[14] != ':' || p[17] != ':' || p[20] != ' ') return false;
  wt__clock c = {wt__digits(p + 7, 4), wt__month(p + 3), wt__digits(p, 2), wt__digits(p + 12, 2), wt__digits(p + 15, 2), wt__digits(p + 18, 2)};
  int64_t sec;
  int32_t east;
  if (!wt__seconds(&c, &sec) || !wt__zone(p + 21, s.e, &east)) return false;
  *ns = (sec - east) * 1000000000;
  return true;
}

/* wt_time_epoch reads a number of units since 1970, with or without a fraction,
 * all of s; per_second is 1 for seconds, 1000 for milliseconds, 1000000 or
 * 1000000000. Not negative. */
WT__FN bool wt_time_epoch(wt_str s, int64_t per_second, int64_t *ns) {
  int64_t unit = 1000000000 / per_second, frac = 0, v = 0;
  const uint8_t *p = s.p;
  for (; p < s.e && (uint32_t)*p - '0' < 10; p++) {
    v = v * 10 + (*p - '0');
    if (v > INT64_MAX / 10 - 1) return false;
  }
  if (p == s.p || v > INT64_MAX / unit - 1) return false;
  if (p < s.e && *p == '.') {
    p++;
    if (!wt__fraction(&p, s.e, &frac)) return false;
  }
  if (p != s.e) return false;
  *ns = v * unit + frac / per_second;
  return true;
}

/* wt_time_syslog reads Jan _2 15:04:05, all of s, as UTC. It has no year: it is
 * the latest such time that is not more than a day after now. */
WT__FN bool wt_time_syslog(wt_str s, int64_t now, int64_t *ns) {
  const uint8_t *p = s.p;
  if (s.e - p != 15 || p[3] != ' ' || p[6] != ' ' || p[9] != ':' || p[12] != ':') return false;
  int32_t day = p[4] == ' ' ? wt__digits(p + 5, 1) : wt__digits(p + 4, 2);
  int32_t year = 1970 + (int32_t)(now / 31556952000000000); /* a mean year: off by one at most */
  for (int32_t y = year + 2; y > year - 10; y--) {
    wt__clock c = {y, wt__month(p), day, wt__digits(p + 7, 2), wt__digits(p + 10, 2), wt__digits(p + 13, 2)};
    int64_t sec;
    if (wt__seconds(&c, &sec) && sec * 1000000000 <= now + 86400000000000) {
      *ns = sec * 1000000000;
      return true;
    }
  }
  return false;
}

/* ---- the configuration ---- */

/* wt_config_str gets a text of the configuration by its key, decoded, valid as
 * long as the module. False when it is absent or no text. */
WT__FN bool wt_config_str(wt_setup *s, wt_str key, wt_str *out) {
  wt_str v;
  if (!wt_json_get(s->config, key, &v) || *v.p != '"') return false;
  v.p++;
  v.e--;
  if (wt_len(v) > WT_CONFIG_BYTES - s->kept) {
    wt_refuse(s, WT_TEXT("the texts of the configuration are too long for this module"));
    return false;
  }
  uint8_t *q = wt__kept + s->kept;
  uint32_t n = wt__decode(v, q);
  s->kept += n;
  *out = (wt_str){q, q + n};
  return true;
}

/* wt_config_int, wt_config_float and wt_config_bool get a value by its key, and
 * fallback when it is absent or of another kind. */
WT__FN int64_t wt_config_int(wt_setup *s, wt_str key, int64_t fallback) {
  wt_str v;
  int64_t n;
  return wt_json_get(s->config, key, &v) && wt_parse_int(v, &n) ? n : fallback;
}
WT__FN double wt_config_float(wt_setup *s, wt_str key, double fallback) {
  wt_str v;
  double x;
  return wt_json_get(s->config, key, &v) && wt_parse_float(v, &x) ? x : fallback;
}
WT__FN bool wt_config_bool(wt_setup *s, wt_str key, bool fallback) {
  wt_str v;
  if (!wt_json_get(s->config, key, &v)) return fallback;
  return wt_is(v, WT_TEXT("true")) || (fallback && !wt_is(v, WT_TEXT("false")));
}

/* ---- exports ---- */

WT__EXPORT(wt_abi_1) uint32_t wt_abi_1(void) { return 0; }

WT__EXPORT(wt_alloc) void *wt_alloc(uint32_t size) {
  if (size > 0x7fff0000u) return NULL;
  size_t old = __builtin_wasm_memory_grow(0, (size + 65535) / 65536);
  return old == SIZE_MAX ? NULL : (void *)(old * 65536);
}

WT__IN void *wt__init(const uint8_t *config, uint32_t len, void (*setup)(wt_setup *)) {
  wt_setup s = {.config = {config, config + len}};
  wt__metrics_len = 0;
  setup(&s);
  if (s.metrics) {
    wt__say("],\"metrics\":[", false);
    wt__add(wt__schema, &wt__schema_len, sizeof wt__schema, (wt_str){wt__metrics, wt__metrics + wt__metrics_len}, false);
  }
  wt__say("]}", false);
  if (wt__schema_len >= sizeof wt__schema || wt__metrics_len >= sizeof wt__metrics) wt_refuse(&s, WT_TEXT("the schema is too long: define WT_SCHEMA_BYTES"));
  wt__info.size = sizeof wt__info;
  wt__info.caps = s.caps;
  wt__info.status = s.refused;
  wt__info.schema = wt__schema;
  wt__info.schema_len = wt__schema_len;
  wt__info.msg = s.message.p;
  wt__info.msg_len = wt_len(s.message);
  wt__info.wanted = s.wanted;
  return &wt__info;
}

#define WT__INIT(setup) \
  WT__EXPORT(wt_init) void *wt_init(const uint8_t *config, uint32_t len) { return wt__init(config, len, setup); }

/* WT_PARSER(setup, parse) makes a module of
 *   void setup(wt_setup *s), called once, and
 *   wt_status parse(wt_row *r, wt_str line), called for each event. */
#define WT_PARSER(setup, parse) \
  WT__INIT(setup) \
  WT__EXPORT(wt_process) void *wt_process(void *batch, uint32_t len) { \
    (void)len; \
    wt_batch b = wt__open((wt__head *)batch); \
    for (uint32_t i = 0; i < b.count; i++) { \
      wt_row r = wt__begin_one(&b, i); \
      if (!wt_end(&b, &r, parse(&r, wt_line(&b, i)))) break; \
    } \
    return wt__close(&b); \
  }

/* WT_BATCH_PARSER(setup, process) makes a module of
 *   void process(wt_batch *b), called for each batch, which goes over the events
 * itself: for i below wt_count(b), r = wt_begin(b, i, n), puts,
 * if (!wt_end(b, &r, WT_OK)) return. Events without a row come again, which is
 * how a joiner waits for more; when wt_final(b), leave none. */
#define WT_BATCH_PARSER(setup, process) \
  WT__INIT(setup) \
  WT__EXPORT(wt_process) void *wt_process(void *batch, uint32_t len) { \
    (void)len; \
    wt_batch b = wt__open((wt__head *)batch); \
    process(&b); \
    return wt__close(&b); \
  }

#endif
