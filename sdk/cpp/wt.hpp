// wt.hpp - parsers for the wasmtail agent in C++, ABI 1.
//
// SPDX-License-Identifier: MIT
//
// Permission is granted, free of charge, to use, copy, change and pass on this
// file, with or without changes, as part of any program. It comes without
// warranty of any kind.
//
// One header, C++17, with or without a standard library: copy it beside your
// parser and compile with
//
//   clang++ --target=wasm32-wasi -std=c++17 -O2 -msimd128 -mbulk-memory \
//     -fno-exceptions -fno-rtti -mexec-model=reactor -o parser.wasm parser.cpp
//
// or, without a library, with --target=wasm32 -ffreestanding -nostdlib
// -Wl,--no-entry in place of the first and the last of these settings.
//
// A parser is a class and one line:
//
//   #include "wt.hpp"
//   enum { LEVEL, CODE };
//   struct Simple {
//     explicit Simple(wt::Setup &s) {
//       s.name("simple", "1.0.0");
//       s.field("level", wt::STRING, "the level, as written");
//       s.field("code", wt::INT, "the number after it");
//     }
//     wt::Status parse(wt::Row &row, wt::Str line) {
//       wt::Str level; int64_t code;
//       if (!line.until(' ', level)) return wt::NO_MATCH;
//       if (!wt::parse_int(line, code)) return row.error(1, "code");
//       row.put_str(LEVEL, level);
//       row.put_int(CODE, code);
//       return wt::OK;
//     }
//   };
//   WT_PARSER(Simple)
//
// What the header does: it exports what the agent calls, walks over the events
// of a batch, writes the progress word before each, builds the schema, and
// writes rows straight into the table that the agent reads. When the table or
// the arena is full it hands the rest of the batch back, and gets it again.
//
// Memory: a Str is a range of bytes that somebody else owns. The line is valid
// until parse returns as far as you are concerned, and until the next batch as
// far as values are: putting a part of the line copies nothing. Values that are
// not in the line go into the arena (arena, unescape, join, lookup), which is
// emptied before each batch, or are constants. Keep no pointer of a batch for
// the next one. Values that a std::string owns must be copied (copy).
//
// Nothing here allocates for a line. Names that end with _ are not for you.
#ifndef WT_HPP
#define WT_HPP

#include <stddef.h>
#include <stdint.h>
#ifdef __wasm_simd128__
#include <wasm_simd128.h>
#endif
#if __has_include(<string_view>)
#include <string_view>
#define WT_STRING_VIEW 1
#endif

// ---- sizes, which may be defined before the header is included ----

// Bytes of the table of rows: 16 a row and 12 a field. A row must fit into it.
#ifndef WT_OUT_BYTES
#define WT_OUT_BYTES (512 << 10)
#endif
// Bytes of the arena, for values made in a batch.
#ifndef WT_ARENA_BYTES
#define WT_ARENA_BYTES (512 << 10)
#endif
// Bytes of the schema, at most 65536.
#ifndef WT_SCHEMA_BYTES
#define WT_SCHEMA_BYTES (16 << 10)
#endif
// Bytes of the texts of the configuration that are kept.
#ifndef WT_CONFIG_BYTES
#define WT_CONFIG_BYTES (8 << 10)
#endif

#define WT__IN static inline __attribute__((always_inline, unused))
#define WT__ME inline __attribute__((always_inline))
#define WT__FN static __attribute__((noinline, unused))
#define WT__EXPORT(name) extern "C" __attribute__((export_name(#name), used))
#define WT__IMPORT(name) extern "C" __attribute__((import_module("wt"), import_name(#name)))
#define WT__LIKELY(x) __builtin_expect(!!(x), 1)
#define WT__UNLIKELY(x) __builtin_expect(!!(x), 0)

namespace wt {

// ---- values ----

struct Str;
WT__IN const uint8_t *find(const uint8_t *p, const uint8_t *e, uint8_t c);
WT__IN const uint8_t *find2(const uint8_t *p, const uint8_t *e, uint8_t a, uint8_t b);
WT__FN const uint8_t *quote_(const uint8_t *p, const uint8_t *e);

// Str is the bytes from p up to, not including, e. Not terminated by 0.
struct Str {
  const uint8_t *p = nullptr, *e = nullptr;

  WT__ME Str() {}
  WT__ME Str(const uint8_t *begin, const uint8_t *end) : p(begin), e(end) {}
  // From a string constant.
  template <size_t N> WT__ME Str(const char (&s)[N]) : p(reinterpret_cast<const uint8_t *>(s)), e(p + N - 1) {}
#ifdef WT_STRING_VIEW
  WT__ME Str(std::string_view s) : p(reinterpret_cast<const uint8_t *>(s.data())), e(p + s.size()) {}
  WT__ME std::string_view view() const { return {reinterpret_cast<const char *>(p), size()}; }
#endif

  // size is the length in bytes.
  WT__ME uint32_t size() const { return static_cast<uint32_t>(e - p); }
  WT__ME bool empty() const { return p == e; }
  WT__ME bool operator==(const Str &o) const {
    uint32_t n = size();
    if (n != o.size()) return false;
    for (uint32_t i = 0; i < n; i++) if (p[i] != o.p[i]) return false;
    return true;
  }
  WT__ME bool operator!=(const Str &o) const { return !(*this == o); }
  // has is true when the byte c is somewhere in it.
  WT__ME bool has(uint8_t c) const { return find(p, e, c) != e; }

  // until takes the bytes before the first c into out and steps over the c.
  // False, and nothing has changed, when there is no c.
  WT__ME bool until(uint8_t c, Str &out) {
    const uint8_t *f = find(p, e, c);
    if (WT__UNLIKELY(f == e)) return false;
    out = Str(p, f);
    p = f + 1;
    return true;
  }
  // lit steps over one byte, if it is c.
  WT__ME bool lit(uint8_t c) {
    if (WT__UNLIKELY(p == e || *p != c)) return false;
    p++;
    return true;
  }
  // prefix steps over text, if this begins with it.
  WT__ME bool prefix(Str text) {
    uint32_t n = text.size();
    if (size() < n) return false;
    for (uint32_t i = 0; i < n; i++) if (p[i] != text.p[i]) return false;
    p += n;
    return true;
  }
  // quoted takes a quoted text whose opening quote was stepped over: out is what
  // is before the next quote that has no backslash before it, as it stands (see
  // unescape); it goes on behind that quote. False, and nothing has changed, when
  // there is none.
  WT__ME bool quoted(Str &out) {
    const uint8_t *f = find(p, e, '"');
    if (WT__UNLIKELY(f == e)) return false;
    if (WT__UNLIKELY(f != p && f[-1] == '\\')) { // else it ends there
      f = quote_(p, e);
      if (f == e) return false;
    }
    out = Str(p, f);
    p = f + 1;
    return true;
  }
  // chomp is this without one carriage return at its end.
  WT__ME Str chomp() const { return p < e && e[-1] == '\r' ? Str(p, e - 1) : *this; }
  // trim is this without blanks and tabs at both ends.
  WT__ME Str trim() const {
    Str s = *this;
    while (s.p < s.e && (*s.p == ' ' || *s.p == '\t')) s.p++;
    while (s.p < s.e && (s.e[-1] == ' ' || s.e[-1] == '\t')) s.e--;
    return s;
  }
};

// What a parser says of a line.
enum Status : uint32_t {
  OK = 0,       // parsed: the fields count
  NO_MATCH = 1, // not of this format; fields put so far are forgotten
  ERROR = 2     // of this format, and wrong; likewise
};

// Kinds of a field's value, for Setup::field.
enum Kind : uint32_t { STRING = 0, INT = 1, FLOAT = 2, BOOL = 3, NULL_ = 4, BYTES = 5, JSON = 6 };

// What a parser may need leave for, for Setup::caps.
enum : uint32_t {
  CAP_JOIN = 1,         // a row for several events, events left for later
  CAP_DROP = 2,         // Row::drop
  CAP_SPLIT = 4,        // several rows for one event
  CAP_ROUTE = 8,        // Row::put_route
  CAP_TIME = 16,        // Row::put_time
  CAP_DYNAMIC_KEYS = 32 // Row::put_key
};

// Levels of log.
enum : uint32_t { DEBUG = 0, INFO = 1, WARN = 2, FAIL = 3 };

// Severities of Row::put_severity, as OpenTelemetry numbers them.
enum : uint32_t { SEV_TRACE = 1, SEV_DEBUG = 5, SEV_INFO = 9, SEV_WARN = 13, SEV_ERROR = 17, SEV_FATAL = 21 };

// The code of a row that does not fit into the table or the arena even when it
// is the only one.
constexpr uint32_t CODE_TOO_LARGE = 255;

// ---- imports; a module has only those that it calls ----

WT__IMPORT(log) void wt__log(uint32_t level, const uint8_t *p, uint32_t n);
WT__IMPORT(log_level) uint32_t wt__log_level();
WT__IMPORT(counter_add) void wt__counter_add(uint32_t id, int64_t n);
WT__IMPORT(span_attr) void wt__span_attr(const uint8_t *k, uint32_t kn, const uint8_t *v, uint32_t vn);
WT__IMPORT(lookup) int32_t wt__lookup(uint32_t table, const uint8_t *k, uint32_t kn, uint8_t *out, uint32_t cap);

// log writes to the agent's log: at most 1024 bytes, at a limited rate.
WT__IN void log(uint32_t level, Str text) { wt__log(level, text.p, text.size()); }
// log_level is the lowest level that is kept: below it, save the work.
WT__IN uint32_t log_level() { return wt__log_level(); }
// counter_add adds n >= 0 to the metric that metric returned as id.
WT__IN void counter_add(uint32_t id, int64_t n) { wt__counter_add(id, n); }
// span_attr sets an attribute of the trace span of this batch: at most 16,
// of 64 bytes of key and 256 of value.
WT__IN void span_attr(Str key, Str value) { wt__span_attr(key.p, key.size(), value.p, value.size()); }

// ---- the arena ----

static uint8_t mem_[WT_ARENA_BYTES] __attribute__((aligned(16)));
static uint32_t used_;  // bytes of the arena in use
static uint32_t room_;  // bytes of values outside of the data that the host still takes
static uint32_t full_;  // a value of this row found no room
static uintptr_t data_; // the data of this batch
static uint32_t datalen_;

// arena returns n bytes that are valid until the next batch, not cleared and
// not aligned, or nullptr when there is no room. Then the row is given back, so
// return anything.
WT__IN uint8_t *arena(uint32_t n) {
  if (WT__UNLIKELY(n > WT_ARENA_BYTES - used_ || n > room_)) {
    full_ = 1;
    return nullptr;
  }
  uint8_t *p = mem_ + used_;
  used_ += n;
  room_ -= n;
  return p;
}

// shrink gives back the end of the newest piece of the arena: p has n bytes,
// of which the first used are kept.
WT__IN void shrink(const uint8_t *p, uint32_t n, uint32_t used) {
  if (p + n == mem_ + used_) {
    used_ -= n - used;
    room_ += n - used;
  }
}

// A value that is neither in the data nor in the arena counts as made.
WT__FN void charge_(const uint8_t *p, uint32_t n) {
  if ((uintptr_t)p - (uintptr_t)mem_ < WT_ARENA_BYTES) return;
  if (n > room_) full_ = 1;
  else room_ -= n;
}

// join copies a and then b into the arena.
WT__IN Str join(Str a, Str b) {
  uint32_t n = a.size(), m = b.size();
  uint8_t *p = arena(n + m);
  if (!p) return Str{a.p, a.p};
  __builtin_memcpy(p, a.p, n);
  __builtin_memcpy(p + n, b.p, m);
  return Str{p, p + n + m};
}

// copy copies s into the arena.
WT__IN Str copy(Str s) { return join(s, Str{s.e, s.e}); }

// lookup finds key in a table of the agent's configuration, by its place
// there, and puts the value into *out, in the arena. False when it is absent.
WT__FN bool lookup(uint32_t table, Str key, Str &out) {
  uint32_t left = WT_ARENA_BYTES - used_, cap = 256;
  if (cap > left) cap = left;
  if (cap > room_) cap = room_;
  for (int i = 0; i < 2; i++) {
    uint8_t *p = arena(cap);
    if (!p) return false;
    int32_t n = wt__lookup(table, key.p, key.size(), p, cap);
    shrink(p, cap, n < 0 || (uint32_t)n > cap ? 0 : (uint32_t)n);
    if (n < 0) return false;
    if ((uint32_t)n <= cap) {
      out = Str{p, p + n};
      return true;
    }
    cap = (uint32_t)n;
  }
  return false;
}

// ---- finding ----

// find returns the first c in [p, e), or e. It takes 16 bytes a step where
// the module is built with SIMD. The last step reads the 16 bytes before e,
// which are always memory, so it never reads beyond e. The first step is not part
// of the loop, because the agent's meter takes its toll where a loop begins, and
// most fields are short.
WT__IN const uint8_t *find(const uint8_t *p, const uint8_t *e, uint8_t c) {
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

// find2 returns the first a or b in [p, e), or e.
WT__IN const uint8_t *find2(const uint8_t *p, const uint8_t *e, uint8_t a, uint8_t b) {
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

// The first quote that no backslash stands before, or e.
WT__FN const uint8_t *quote_(const uint8_t *p, const uint8_t *e) {
  for (p = find2(p, e, '"', '\\'); p < e && *p == '\\'; p = find2(p + 2, e, '"', '\\')) {
    if (e - p < 2) return e;
  }
  return p;
}

// ---- integers ----

// For what may be more than 64 bits hold.
WT__FN bool parse_long_(const uint8_t *p, const uint8_t *e, bool minus, int64_t &n) {
  uint64_t v = 0;
  for (; p < e; p++) {
    uint32_t d = (uint32_t)*p - '0';
    if (d > 9 || v > (9223372036854775808u - d) / 10) return false;
    v = v * 10 + d;
  }
  if (v > (uint64_t)INT64_MAX + minus) return false;
  n = (int64_t)(minus ? 0 - v : v);
  return true;
}

// parse_int reads digits with at most a minus before them: all of s, and within 64
// bits, or it is false.
WT__IN bool parse_int(Str s, int64_t &n) {
  const uint8_t *p = s.p, *e = s.e;
  bool minus = p < e && *p == '-';
  if (WT__UNLIKELY(minus)) p++;
  if (WT__UNLIKELY(p == e)) return false;
  if (WT__UNLIKELY(e - p > 18)) return parse_long_(p, e, minus, n);
  int64_t v = 0;
  do {
    uint32_t d = (uint32_t)*p - '0';
    if (WT__UNLIKELY(d > 9)) return false;
    v = v * 10 + d;
  } while (++p < e);
  n = minus ? -v : v;
  return true;
}

// How many digits 8 bytes begin with, least significant first.
WT__IN uint32_t digits_of_(uint64_t w) {
  w ^= 0x3030303030303030; // a digit is its value, and 10 to 127 comes over 127 by adding 118
  uint64_t above = ((w + 0x7676767676767676) | w) & 0x8080808080808080;
  return above ? (uint32_t)__builtin_ctzll(above) >> 3 : 8;
}
// The number of the first of 8 digits, 1 to 8. Neighbours are added up, the earlier
// one times 10, 100 and 10000.
WT__IN int64_t number_of_(uint64_t w, uint32_t digits) {
  w = (w ^ 0x3030303030303030) << (64 - 8 * digits);
  w = (w * 10 + (w >> 8)) & 0x00ff00ff00ff00ff;
  w = (w * 100 + (w >> 16)) & 0x0000ffff0000ffff;
  return (int64_t)((w * 10000 + (w >> 32)) & 0xffffffff);
}
WT__FN Str int_until_(Str s, uint8_t c) {
  Str part;
  s.until(c, part);
  return part;
}

// ---- rows ----

// The table, and room for a field that does not fit: a row that reaches beyond the
// end stays there, which is seen when it ends. So putting a field needs no branch.
static uint32_t table_[WT_OUT_BYTES / 4 + 4] __attribute__((aligned(16)));
WT__IN uint32_t *table_end_() { return table_ + WT_OUT_BYTES / 4; }
WT__IN uint32_t *within_(uint32_t *out) { return (uintptr_t)out > (uintptr_t)table_end_() ? table_end_() + 1 : out; }

// Charges the values of a row that are not in the data.
WT__FN void charge_row_(const uint32_t *f, const uint32_t *out) {
  for (; f < out; f += 3) {
    uint32_t kind = f[0] >> 16;
    if ((kind == STRING || kind == BYTES || kind == JSON) && f[1] - data_ > datalen_) charge_((const uint8_t *)(uintptr_t)f[1], f[2]);
  }
}

// Row is the row being written. Its fields are put in order, and none twice.
struct Row {
  // put_str puts a string: UTF-8, or what the line has instead (the agent repairs
  // it). At most 1 MiB. id is what Setup::field returned; after put_key it is
  // ignored.
  WT__ME void put_str(uint32_t id, Str s) { put_range_(id, s); }
  // put_bytes puts bytes that are not meant to be text.
  WT__ME void put_bytes(uint32_t id, Str s) { put_range_(id | BYTES << 16, s); }
  // put_json puts a JSON value, which must be valid and at most 64 deep.
  WT__ME void put_json(uint32_t id, Str s) { put_range_(id | JSON << 16, s); }
  // put_int puts a signed integer of 64 bits.
  WT__ME void put_int(uint32_t id, int64_t n) { put_(id | INT << 16, static_cast<uint32_t>(n), static_cast<uint32_t>(static_cast<uint64_t>(n) >> 32)); }
  // put_float puts a number; NaN and infinities leave the field out.
  WT__ME void put_float(uint32_t id, double x) {
    uint64_t n;
    __builtin_memcpy(&n, &x, 8);
    put_(id | FLOAT << 16, static_cast<uint32_t>(n), static_cast<uint32_t>(n >> 32));
  }
  // put_bool puts true or false.
  WT__ME void put_bool(uint32_t id, bool x) { put_(id | BOOL << 16, x, 0); }
  // put_null puts a field without a value, which is the same as none.
  WT__ME void put_null(uint32_t id) { put_(id | NULL_ << 16, 0, 0); }
  // cut is until and put_str in one: it puts what is before the first c in s, steps
  // over that c, and returns how many bytes it put; -1, and nothing has changed,
  // when there is no c.
  WT__ME int32_t cut(uint32_t id, Str &s, uint8_t c) {
    Str part;
    if (!s.until(c, part)) return -1;
    put_str(id, part);
    return static_cast<int32_t>(part.size());
  }
  // cut_quoted is quoted and put_str in one, and returns likewise.
  WT__ME int32_t cut_quoted(uint32_t id, Str &s) {
    Str part;
    if (!s.quoted(part)) return -1;
    put_str(id, part);
    return static_cast<int32_t>(part.size());
  }
  // cut_int is until, parse_int and put_int in one: it puts the integer before the
  // first c, steps over that c, and sets n to it. False, and nothing has changed,
  // when there is no c, or no integer before it.
  WT__ME bool cut_int(uint32_t id, Str &s, uint8_t c, int64_t &n) {
    uint64_t w = 0;
    uint32_t digits = 0;
    if (WT__LIKELY(s.e - s.p > 8)) {
      __builtin_memcpy(&w, s.p, 8);
      digits = digits_of_(w);
    }
    if (WT__LIKELY(digits && s.p[digits] == c && (uint32_t)c - '0' > 9)) {
      n = number_of_(w, digits);
      s.p += digits + 1;
    } else { // short, long, negative or wrong
      Str part = int_until_(s, c);
      if (!part.p || !parse_int(part, n)) return false;
      s.p = part.e + 1;
    }
    put_int(id, n);
    return true;
  }
  // put_key names the field that is put next, whose own id is then ignored. 1 to
  // 256 bytes. Needs CAP_DYNAMIC_KEYS.
  WT__ME void put_key(Str name) { put_range_(0xFFFF, name); }
  // put_time sets the record's time, nanoseconds since 1970 UTC. Needs CAP_TIME.
  WT__ME void put_time(int64_t ns) { put_int(0xF001, ns); }
  // put_severity sets the record's severity, 1 to 24: SEV_INFO and so on.
  WT__ME void put_severity(uint32_t n) { put_int(0xF002, n); }
  // put_body sets the record's message.
  WT__ME void put_body(Str s) { put_range_(0xF003, s); }
  // put_route names the log store for the record, which must be one of the
  // pipeline's routes. Needs CAP_ROUTE.
  WT__ME void put_route(Str store) { put_range_(0xF004, store); }
  // put_trace_id sets the trace, 16 bytes, and put_span_id the span, 8.
  WT__ME void put_trace_id(Str id) { put_range_(0xF005 | BYTES << 16, id); }
  WT__ME void put_span_id(Str id) { put_range_(0xF006 | BYTES << 16, id); }
  // keep_raw keeps the line beside the fields of this row.
  WT__ME void keep_raw() { flags_ |= 1; }
  // error says that the line is wrong and why, to be returned from parse: a code
  // of your own from 0 to 255, which the agent counts, and a text of at most 256
  // bytes.
  WT__ME Status error(uint32_t code, Str why) {
    code_ = code;
    why_ = why;
    return ERROR;
  }
  // no_match is error for a line that is not of the format.
  WT__ME Status no_match(uint32_t code, Str why) {
    error(code, why);
    return NO_MATCH;
  }
  // drop removes the line, to be returned from parse. Needs CAP_DROP. The agent
  // counts it as filtered.
  WT__ME Status drop() {
    action_ = 1;
    return OK;
  }

  uint32_t *out_, *head_; // where the next field goes, this row
  uint32_t first_, events_;
  uint32_t code_ = 0, action_ = 0, flags_ = 0;
  Str why_;
  uintptr_t begin_; // the data of this batch, at hand
  uint32_t size_;
  uint32_t made_ = 0; // 1 when a value is not in the data

  WT__ME void put_(uint32_t word, uint32_t a, uint32_t b) {
    uint32_t *out = out_;
    out[2] = b; // the highest first: then the runtime checks one address for all
    out[1] = a;
    out[0] = word;
    out_ = within_(out + 3);
  }
  WT__ME void put_range_(uint32_t word, Str s) {
    made_ |= (uintptr_t)s.p - begin_ > size_;
    put_(word, (uint32_t)(uintptr_t)s.p, s.size());
  }
};

// ---- batches ----

struct Event_ { uint32_t off, len, flags, unused; int64_t time; };
struct Head_ {
  uint32_t size, flags, count;
  const Event_ *events;
  const uint8_t *data;
  uint32_t length, max_out;
  volatile uint32_t mark;
  int64_t now;
  uint64_t seq;
  uint32_t stream;
  const uint8_t *meta;
  uint32_t meta_len, unused;
};
static_assert(sizeof(void *) != 4 || (sizeof(Event_) == 24 && sizeof(Head_) == 64), "the layout of ABI 1");

static Head_ *in_;
struct Result_ { uint32_t size, status, consumed, rows; uint32_t *table; uint32_t length; const uint8_t *msg; uint32_t msg_len; };
static Result_ result_;

// now is the time to use, ns since 1970 UTC. The same for a whole batch.
WT__IN int64_t now() { return in_->now; }
// meta is a JSON object about the source of this batch, empty when it is the
// same as in the last batch of its stream.
WT__IN Str meta() { return Str(in_->meta, in_->meta + in_->meta_len); }

// Batch is the batch being parsed.
struct Batch {
  // count is how many events the batch has, at least 1: 0 to count() - 1.
  WT__ME uint32_t count() const { return count_; }
  // line is event i, without its line end.
  WT__ME Str line(uint32_t i) const {
    const uint8_t *p = (const uint8_t *)begin_ + events_[i].off;
    return Str(p, p + events_[i].len);
  }
  // final is true when all events must be consumed, because nothing follows.
  WT__ME bool final() const { return in_->flags & 1; }
  // stream tells sources apart: a batch is of one.
  WT__ME uint32_t stream() const { return in_->stream; }
  // event_flags: 1 a piece of an over-long line, 2 its end was not seen, 4 not
  // valid UTF-8.
  WT__ME uint32_t event_flags(uint32_t i) const { return events_[i].flags; }
  // event_time is a time that the source knew, ns since 1970 UTC, or 0.
  WT__ME int64_t event_time(uint32_t i) const { return events_[i].time; }

  // begin begins a row for the events from first on. A row begins where the one
  // before it ended or, with CAP_SPLIT, where that one began; more than one event
  // needs CAP_JOIN.
  WT__ME Row begin(uint32_t first, uint32_t events) {
    in_->mark = first;
    if (first != split_first_) {
      split_first_ = first;
      split_out_ = out_;
      split_rows_ = rows_;
      split_consumed_ = consumed_;
    }
    return row_(first, events);
  }

  // end ends the row. False when it did not fit: then the function returns, and the
  // agent gives what is left again.
  WT__ME bool end(Row &r, Status status) {
    if (WT__UNLIKELY(status != OK || r.action_)) {
      r.out_ = within_(r.head_ + 4);
      r.made_ = 0;
      if (status != OK && r.why_.p) r.put_range_(0xF007, r.why_);
    }
    uint32_t *out = r.out_;
    uint32_t fields = (uint32_t)(out - r.head_ - 4) / 3;
    if (WT__UNLIKELY((uintptr_t)out > (uintptr_t)table_end_() || (WT_OUT_BYTES / 12 > 65535 && fields > 65535))) return overflow_(r.first_, r.events_);
    if (WT__UNLIKELY(r.made_)) charge_row_(r.head_ + 4, out);
    if (WT__UNLIKELY(full_)) return overflow_(r.first_, r.events_);
    r.head_[0] = r.first_;
    r.head_[1] = r.events_ | fields << 16;
    r.head_[2] = status | r.action_ << 8 | r.code_ << 16;
    r.head_[3] = r.flags_;
    out_ = out;
    rows_++;
    consumed_ = r.first_ + r.events_;
    return true;
  }

  // give_up says that nothing can be made of this batch, which then goes on as it
  // is. The text, at most 1024 bytes, is for the log. For process functions, which
  // return right after it.
  WT__ME void give_up(Str why) { stop_(1, why); }
  // fatal is give_up, and the module is not called again.
  WT__ME void fatal(Str why) { stop_(2, why); }

  const Event_ *events_;
  uint32_t count_;
  uint32_t *out_ = table_; // behind the last row that was ended
  uint32_t rows_ = 0, consumed_ = 0;
  uint32_t *split_out_ = table_; // the state before the first row of the newest event
  uint32_t split_first_ = UINT32_MAX, split_rows_ = 0, split_consumed_ = 0;
  uintptr_t begin_; // the data
  uint32_t size_;

  WT__ME explicit Batch(Head_ *in) : events_(in->events), count_(in->count) {
    in_ = in;
    data_ = begin_ = (uintptr_t)in->data;
    datalen_ = size_ = in->length;
    used_ = 0;
    room_ = in->max_out;
    full_ = 0;
    result_.size = sizeof result_;
    result_.status = 0;
    result_.msg_len = 0;
  }
  // begin for event i of a module that makes one row of each.
  WT__ME Row begin_one_(uint32_t i) {
    in_->mark = i;
    split_out_ = out_;
    split_rows_ = rows_;
    split_consumed_ = consumed_;
    return row_(i, 1);
  }
  WT__ME Row row_(uint32_t first, uint32_t events) const {
    Row r;
    r.out_ = within_(out_ + 4);
    r.head_ = out_;
    r.first_ = first;
    r.events_ = events;
    r.begin_ = begin_;
    r.size_ = size_;
    return r;
  }
  WT__ME void *close_() const {
    result_.consumed = consumed_;
    result_.rows = rows_;
    result_.table = table_;
    result_.length = (uint32_t)(out_ - table_) * 4;
    return &result_;
  }
  WT__ME void stop_(uint32_t status, Str why) {
    result_.status = status;
    result_.msg = why.p;
    result_.msg_len = why.size();
  }
  // A row that does not fit: give its events back or, when they have the whole
  // table for themselves, say so in a row of their own. Either way this call ends,
  // so that nothing more comes of those events.
  WT__ME bool overflow_(uint32_t first, uint32_t events) {
    static const char text[] = "row too large";
    out_ = split_out_;
    rows_ = split_rows_;
    consumed_ = split_consumed_;
    if (rows_) return false;
    full_ = 0;
    used_ = 0;
    room_ = in_->max_out < sizeof text ? 0 : in_->max_out - sizeof text;
    uint32_t *o = out_;
    o[0] = first;
    o[1] = events | 1 << 16;
    o[2] = ERROR | CODE_TOO_LARGE << 16;
    o[3] = 0;
    o[4] = 0xF007;
    o[5] = (uint32_t)(uintptr_t)text;
    o[6] = sizeof text - 1;
    out_ = o + 7;
    rows_ = 1;
    consumed_ = first + events;
    return false;
  }
};

// ---- JSON ----

WT__FN const uint8_t *blank_(const uint8_t *p, const uint8_t *e) {
  while (p < e && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
  return p;
}

// The end of the value that begins at p, or nullptr. It is as strict as finding the
// end needs.
WT__FN const uint8_t *skip_(const uint8_t *p, const uint8_t *e) {
  uint32_t depth = 0;
  while (p < e) {
    uint8_t c = *p;
    if (c == '"') {
      Str s(p + 1, e), t;
      if (!s.quoted(t)) return nullptr;
      p = s.p;
    } else if (c == '{' || c == '[') {
      depth++;
      p++;
      continue;
    } else if (c == '}' || c == ']') {
      if (!depth) return nullptr;
      depth--;
      p++;
    } else if (c == ',' || c == ':' || c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      if (!depth) return nullptr;
      p++;
      continue;
    } else {
      while (p < e && *p != ',' && *p != '}' && *p != ']' && *p != ' ' && *p != '\t' && *p != '\n' && *p != '\r') p++;
    }
    if (!depth) return p;
  }
  return nullptr;
}

// json_get finds the value of a key of a JSON object, as it stands there: a
// text with its quotes. Keys with escapes are not found. It reads the object up
// to the key, and is no check of the rest.
WT__FN bool json_get(Str object, Str key, Str &value) {
  const uint8_t *p = blank_(object.p, object.e), *e = object.e;
  if (p == e || *p != '{') return false;
  for (p = blank_(p + 1, e); p < e && *p == '"'; p = blank_(p + 1, e)) {
    Str s(p + 1, e), name;
    if (!s.quoted(name)) return false;
    p = blank_(s.p, e);
    if (p == e || *p != ':') return false;
    p = blank_(p + 1, e);
    const uint8_t *end = skip_(p, e);
    if (!end) return false;
    if (name == key) {
      value = Str{p, end};
      return true;
    }
    p = blank_(end, e);
    if (p == e || *p != ',') return false;
  }
  return false;
}

WT__FN int32_t hex4_(const uint8_t *p, const uint8_t *e) {
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

// Decodes into q, which has room for s; a text never grows.
WT__FN uint32_t decode_(Str s, uint8_t *q) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  uint8_t *begin = q;
  for (const uint8_t *p = s.p; p < s.e;) {
    if (*p != '\\' || s.e - p < 2) {
      *q++ = *p++;
      continue;
    }
    int32_t c = p[1] == 'u' ? hex4_(p + 2, s.e) : -1;
    if (c >= 0) {
      p += 6;
      if (c >= 0xD800 && c < 0xDC00 && s.e - p >= 6 && p[0] == '\\' && p[1] == 'u') {
        int32_t low = hex4_(p + 2, s.e);
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

// unescape decodes the escapes of a JSON text, without its quotes, into the
// arena; a text without a backslash is returned as it is. What is no escape of
// JSON stays; half a surrogate becomes U+FFFD.
WT__IN Str unescape(Str s) {
  if (WT__LIKELY(find(s.p, s.e, '\\') == s.e)) return s;
  uint32_t n = s.size();
  uint8_t *q = arena(n);
  if (!q) return s;
  uint32_t used = decode_(s, q);
  shrink(q, n, used);
  return Str{q, q + used};
}

// ---- numbers ----

// Large numbers, for the few that a double does not hold exactly on the way.
struct big_ { uint32_t w[40]; uint32_t n; };
WT__FN void big_mul_(big_ *x, uint32_t m) {
  uint64_t carry = 0;
  for (uint32_t i = 0; i < x->n; i++) {
    carry += (uint64_t)x->w[i] * m;
    x->w[i] = (uint32_t)carry;
    carry >>= 32;
  }
  if (carry) x->w[x->n++] = (uint32_t)carry;
}
WT__FN int32_t big_bits_(const big_ *x) { return x->n ? (int32_t)(x->n * 32) - __builtin_clz(x->w[x->n - 1]) : 0; }
WT__FN void big_shl_(big_ *x, uint32_t s) {
  uint32_t words = s / 32, bits = s % 32;
  for (uint32_t i = x->n + words + 1; i-- > 0;) {
    uint32_t hi = i >= words && i - words < x->n ? x->w[i - words] : 0;
    uint32_t lo = bits && i > words && i - words - 1 < x->n ? x->w[i - words - 1] : 0;
    x->w[i] = bits ? hi << bits | lo >> (32 - bits) : hi;
  }
  x->n += words + 1;
  while (x->n && !x->w[x->n - 1]) x->n--;
}
WT__FN bool big_take_(big_ *x, const big_ *y) { // x -= y, if x >= y
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

WT__FN double scale_(uint64_t m, int32_t e10) { // m * 10^e10, rounded once
  big_ a = {{(uint32_t)m, (uint32_t)(m >> 32)}, m >> 32 ? 2u : 1u}, d = {{1}, 1};
  for (int32_t i = 0; i < e10; i++) big_mul_(&a, 5);
  for (int32_t i = 0; i > e10; i--) big_mul_(&d, 5);
  // a / d * 2^e10: make the quotient 64 or 65 bits long
  int32_t shift = 64 - (big_bits_(&a) - big_bits_(&d));
  if (shift > 0) big_shl_(&a, (uint32_t)shift);
  else if (shift < 0) big_shl_(&d, (uint32_t)-shift);
  big_shl_(&d, 64);
  uint64_t q = 0;
  int32_t exp = e10 - shift;
  bool top = big_take_(&a, &d); // bit 64
  for (int i = 0; i < 64; i++) {
    big_shl_(&a, 1);
    q = q << 1 | big_take_(&a, &d);
  }
  bool sticky = a.n != 0;
  if (top) {
    sticky |= q & 1;
    q = q >> 1 | (uint64_t)1 << 63;
    exp++;
  }
  int32_t lead = __builtin_clzll(q);
  q <<= lead;
  exp -= lead; // q * 2^exp with the top bit of q set
  int32_t drop = 11, biased = exp + 63 + 1023;
  if (biased <= 0) drop += 1 - biased, biased = 0;
  if (biased >= 2047) return __builtin_inf();
  if (drop > 64) return 0;
  uint64_t kept = drop == 64 ? 0 : q >> drop, half = (uint64_t)1 << (drop - 1), rest = drop == 64 ? q : q & ((half << 1) - 1);
  if (rest > half || (rest == half && (sticky || (kept & 1)))) kept++;
  // kept has its leading bit at 52 unless it is subnormal; adding lets a carry
  // run into the exponent.
  uint64_t bits = biased ? ((uint64_t)(biased - 1) << 52) + kept : kept;
  double x;
  __builtin_memcpy(&x, &bits, 8);
  return x;
}

// parse_float reads a decimal number: all of s, such as -12, .5, 1e-3. It is
// rounded correctly up to 18 significant digits, and to a neighbour at worst
// beyond. False for anything else, and for what is too large for a double.
WT__FN bool parse_float(Str s, double &x) {
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
  else r = scale_(m, exp);
  if (r > 1.7976931348623157e308) return false;
  x = minus ? -r : r;
  return true;
}

// ---- times ----

WT__IN int32_t digits_(const uint8_t *p, int32_t n) { // n digits, or -1
  int32_t v = 0;
  for (int32_t i = 0; i < n; i++) {
    uint32_t d = (uint32_t)p[i] - '0';
    if (d > 9) return -1;
    v = v * 10 + (int32_t)d;
  }
  return v;
}

WT__FN int32_t month_(const uint8_t *p) { // Jan is 1, or -1
  static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";
  for (int32_t i = 0; i < 12; i++) {
    if ((p[0] | 32) == names[3 * i] && (p[1] | 32) == names[3 * i + 1] && (p[2] | 32) == names[3 * i + 2]) return i + 1;
  }
  return -1;
}

WT__FN int32_t days_in_(int32_t y, int32_t m) {
  if (m == 2) return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0 ? 29 : 28;
  return m == 4 || m == 6 || m == 9 || m == 11 ? 30 : 31;
}

// Days from 1970-01-01 to a date from 1678 on.
WT__FN int32_t days_(int32_t y, int32_t m, int32_t d) {
  static const int16_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  int32_t full = y - 1;
  int32_t days = full * 365 + full / 4 - full / 100 + full / 400 - 719162;
  return days + before[m - 1] + (m > 2 && days_in_(y, 2) == 29) + d - 1;
}

struct clock_ { int32_t year, month, day, hour, min, sec; };

// Seconds since 1970, or false when there is no such time. A leap second is the
// second after it.
WT__FN bool seconds_(const clock_ *c, int64_t *out) {
  if (c->year < 1678 || c->year > 2261 || c->month < 1 || c->month > 12 || c->day < 1 || c->day > days_in_(c->year, c->month)) return false;
  if (c->hour < 0 || c->hour > 23 || c->min < 0 || c->min > 59 || c->sec < 0 || c->sec > 60) return false;
  *out = (int64_t)days_(c->year, c->month, c->day) * 86400 + c->hour * 3600 + c->min * 60 + c->sec;
  return true;
}

// Nanoseconds of the digits from *p on, of which there is at least one.
WT__FN bool fraction_(const uint8_t **p, const uint8_t *e, int64_t *ns) {
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

// Seconds east of UTC: Z, +hh:mm, +hhmm or +hh. All of [p, e).
WT__FN bool zone_(const uint8_t *p, const uint8_t *e, int32_t *east) {
  *east = 0;
  if (e - p == 1 && (*p | 32) == 'z') return true;
  if (e - p < 3 || (*p != '+' && *p != '-')) return false;
  int32_t h = digits_(p + 1, 2), m = 0;
  if (e - p == 6 && p[3] == ':') m = digits_(p + 4, 2);
  else if (e - p == 5) m = digits_(p + 3, 2);
  else if (e - p != 3) return false;
  if (h < 0 || h > 23 || m < 0 || m > 59) return false;
  *east = (h * 3600 + m * 60) * (*p == '-' ? -1 : 1);
  return true;
}

// time_rfc3339 reads 2006-01-02T15:04:05.999999999+07:00, all of s. A blank
// or t may stand for T, a comma for the point, and without a zone it is UTC.
// Years 1678 to 2261, as in all functions of this kind; ns is nanoseconds since
// 1970 UTC.
WT__FN bool time_rfc3339(Str s, int64_t &ns) {
  const uint8_t *p = s.p;
  if (s.e - p < 19 || p[4] != '-' || p[7] != '-' || ((p[10] | 32) != 't' && p[10] != ' ') || p[13] != ':' || p[16] != ':') return false;
  clock_ c = {digits_(p, 4), digits_(p + 5, 2), digits_(p + 8, 2), digits_(p + 11, 2), digits_(p + 14, 2), digits_(p + 17, 2)};
  int64_t sec, frac = 0;
  int32_t east = 0;
  if (!seconds_(&c, &sec)) return false;
  p += 19;
  if (p < s.e && (*p == '.' || *p == ',')) {
    p++;
    if (!fraction_(&p, s.e, &frac)) return false;
  }
  if (p < s.e && !zone_(p, s.e, &east)) return false;
  ns = (sec - east) * 1000000000 + frac;
  return true;
}

// time_clf reads 02/Jan/2006:15:04:05 -0700, all of s.
WT__FN bool time_clf(Str s, int64_t &ns) {
  const uint8_t *p = s.p;
  if (s.e - p != 26 || p[2] != '/' || p[6] != '/' || p[11] != ':' || p[14] != ':' || p[17] != ':' || p[20] != ' ') return false;
  clock_ c = {digits_(p + 7, 4), month_(p + 3), digits_(p, 2), digits_(p + 12, 2), digits_(p + 15, 2), digits_(p + 18, 2)};
  int64_t sec;
  int32_t east;
  if (!seconds_(&c, &sec) || !zone_(p + 21, s.e, &east)) return false;
  ns = (sec - east) * 1000000000;
  return true;
}

// time_epoch reads a number of units since 1970, with or without a fraction,
// all of s; per_second is 1 for seconds, 1000 for milliseconds, 1000000 or
// 1000000000. Not negative.
WT__FN bool time_epoch(Str s, int64_t per_second, int64_t &ns) {
  int64_t unit = 1000000000 / per_second, frac = 0, v = 0;
  const uint8_t *p = s.p;
  for (; p < s.e && (uint32_t)*p - '0' < 10; p++) {
    v = v * 10 + (*p - '0');
    if (v > INT64_MAX / 10 - 1) return false;
  }
  if (p == s.p || v > INT64_MAX / unit - 1) return false;
  if (p < s.e && *p == '.') {
    p++;
    if (!fraction_(&p, s.e, &frac)) return false;
  }
  if (p != s.e) return false;
  ns = v * unit + frac / per_second;
  return true;
}

// time_syslog reads Jan _2 15:04:05, all of s, as UTC. It has no year: it is
// the latest such time that is not more than a day after now.
WT__FN bool time_syslog(Str s, int64_t now, int64_t &ns) {
  const uint8_t *p = s.p;
  if (s.e - p != 15 || p[3] != ' ' || p[6] != ' ' || p[9] != ':' || p[12] != ':') return false;
  int32_t day = p[4] == ' ' ? digits_(p + 5, 1) : digits_(p + 4, 2);
  int32_t year = 1970 + (int32_t)(now / 31556952000000000); // a mean year: off by one at most
  for (int32_t y = year + 2; y > year - 10; y--) {
    clock_ c = {y, month_(p), day, digits_(p + 7, 2), digits_(p + 10, 2), digits_(p + 13, 2)};
    int64_t sec;
    if (seconds_(&c, &sec) && sec * 1000000000 <= now + 86400000000000) {
      ns = sec * 1000000000;
      return true;
    }
  }
  return false;
}

// ---- setting up ----

static uint8_t schema_[WT_SCHEMA_BYTES], metrics_[4096], kept_[WT_CONFIG_BYTES];
struct Info_ { uint32_t size, caps, status; uint8_t *schema; uint32_t schema_len; const uint8_t *msg; uint32_t msg_len, wanted; };
static Info_ info_;

// Setup gathers what the module tells the agent when it is started.
struct Setup {
  // name names the parser and its version. Call it first, once.
  void name(Str name, Str version) {
    schema_len_ = 0;
    say_("{\"name\":\"");
    say_(name, true);
    say_("\",\"version\":\"");
    say_(version, true);
    say_("\",\"fields\":[");
  }
  // field adds a field to the schema and returns its id: 0 for the first, then 1,
  // and so on, so that an enum in the same order does as well. The name is of 1 to
  // 256 bytes, does not begin with _ and is there once. At most 1024.
  __attribute__((noinline)) uint32_t field(Str name, Kind kind, Str doc) {
    static const Str kinds[] = {"string", "int", "float", "bool", "string", "bytes", "json"};
    if (fields_) say_(",");
    say_("{\"name\":\"");
    say_(name, true);
    say_("\",\"type\":\"");
    say_(kinds[kind]);
    say_("\",\"doc\":\"");
    say_(doc, true);
    say_("\"}");
    return fields_++;
  }
  // metric adds a counter and returns its id, for counter_add. At most 64.
  uint32_t metric(Str name) {
    add_(metrics_, metrics_len_, sizeof metrics_, counters_ ? Str(",\"") : Str("\""), false);
    add_(metrics_, metrics_len_, sizeof metrics_, name, true);
    add_(metrics_, metrics_len_, sizeof metrics_, "\"", false);
    return counters_++;
  }
  // caps declares what rows may do: CAP_DROP | CAP_TIME and so on.
  void caps(uint32_t caps) { caps_ |= caps; }
  // want asks for batches of so many bytes.
  void want(uint32_t bytes) { wanted_ = bytes; }
  // refuse refuses the configuration, and says why to the operator.
  void refuse(Str why) {
    refused_ = 1;
    message_ = why;
  }

  // config is the whole configuration, JSON. It is valid in the constructor only.
  Str config() const { return config_; }
  // config_str gets a text of the configuration by its key, decoded, valid as long
  // as the module. False when it is absent or no text.
  bool config_str(Str key, Str &out) {
    Str v;
    if (!json_get(config_, key, v) || *v.p != '"') return false;
    v.p++;
    v.e--;
    if (v.size() > WT_CONFIG_BYTES - kept_len_) {
      refuse("the texts of the configuration are too long for this module");
      return false;
    }
    uint8_t *q = kept_ + kept_len_;
    uint32_t n = decode_(v, q);
    kept_len_ += n;
    out = Str(q, q + n);
    return true;
  }
  // config_int, config_float and config_bool get a value by its key, and fallback
  // when it is absent or of another kind.
  int64_t config_int(Str key, int64_t fallback) const {
    Str v;
    int64_t n;
    return json_get(config_, key, v) && parse_int(v, n) ? n : fallback;
  }
  double config_float(Str key, double fallback) const {
    Str v;
    double x;
    return json_get(config_, key, v) && parse_float(v, x) ? x : fallback;
  }
  bool config_bool(Str key, bool fallback) const {
    Str v;
    if (!json_get(config_, key, v)) return fallback;
    return v == Str("true") || (fallback && v != Str("false"));
  }

  Str config_, message_;
  uint32_t caps_ = 0, wanted_ = 0, fields_ = 0, counters_ = 0, kept_len_ = 0, refused_ = 0;
  uint32_t schema_len_ = 0, metrics_len_ = 0;

  void say_(Str s, bool quote = false) { add_(schema_, schema_len_, sizeof schema_, s, quote); }
  __attribute__((noinline)) static void add_(uint8_t *buf, uint32_t &len, uint32_t cap, Str s, bool quote) {
    static const char hex[] = "0123456789abcdef";
    for (const uint8_t *p = s.p; p < s.e; p++) {
      if (len + 6 > cap) {
        len = cap; // seen when the setup ends
        return;
      }
      if (quote && (*p == '"' || *p == '\\')) buf[len++] = '\\';
      if (quote && *p < 32) {
        const uint8_t u[] = {'\\', 'u', '0', '0', (uint8_t)hex[*p >> 4], (uint8_t)hex[*p & 15]};
        __builtin_memcpy(buf + len, u, 6);
        len += 6;
      } else {
        buf[len++] = *p;
      }
    }
  }
  void *close_() {
    if (counters_) {
      say_("],\"metrics\":[");
      say_(Str(metrics_, metrics_ + metrics_len_));
    }
    say_("]}");
    if (schema_len_ >= sizeof schema_ || metrics_len_ >= sizeof metrics_) refuse("the schema is too long: define WT_SCHEMA_BYTES");
    info_ = {sizeof info_, caps_, refused_, schema_, schema_len_, message_.p, message_.size(), wanted_};
    return &info_;
  }
};

// ---- exports ----

struct Place_ {};

} // namespace wt

inline void *operator new(size_t, void *at, wt::Place_) noexcept { return at; }

namespace wt {

WT__EXPORT(wt_abi_1) uint32_t wt_abi_1() { return 0; }

WT__EXPORT(wt_alloc) void *wt_alloc(uint32_t size) {
  if (size > 0x7fff0000u) return nullptr;
  size_t old = __builtin_wasm_memory_grow(0, (size + 65535) / 65536);
  return old == SIZE_MAX ? nullptr : (void *)(old * 65536);
}

} // namespace wt

#define WT__INIT(T) \
  alignas(T) static unsigned char wt_parser_[sizeof(T)]; \
  WT__EXPORT(wt_init) void *wt_init(const uint8_t *config, uint32_t len) { \
    wt::Setup s; \
    s.config_ = wt::Str(config, config + len); \
    new (wt_parser_, wt::Place_()) T(s); \
    return s.close_(); \
  }

// WT_PARSER(T) makes a module of a class with
//   T(wt::Setup &s), called once, and
//   wt::Status parse(wt::Row &row, wt::Str line), called for each event.
#define WT_PARSER(T) \
  WT__INIT(T) \
  WT__EXPORT(wt_process) __attribute__((flatten)) void *wt_process(void *batch, uint32_t) { \
    wt::Batch b((wt::Head_ *)batch); \
    T &parser = *(T *)wt_parser_; \
    for (uint32_t i = 0; i < b.count(); i++) { \
      wt::Row row = b.begin_one_(i); \
      if (!b.end(row, parser.parse(row, b.line(i)))) break; \
    } \
    return b.close_(); \
  }

// WT_BATCH_PARSER(T) makes a module of a class with
//   T(wt::Setup &s), called once, and
//   void process(wt::Batch &batch), called for each batch, which goes over the
// events itself: for i below batch.count(), row = batch.begin(i, n), puts,
// if (!batch.end(row, wt::OK)) return. Events without a row come again, which is
// how a joiner waits for more; when batch.final(), leave none.
#define WT_BATCH_PARSER(T) \
  WT__INIT(T) \
  WT__EXPORT(wt_process) void *wt_process(void *batch, uint32_t) { \
    wt::Batch b((wt::Head_ *)batch); \
    ((T *)wt_parser_)->process(b); \
    return b.close_(); \
  }

#endif
