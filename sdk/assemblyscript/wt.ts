// wt.ts - parsers for the wasmtail agent in AssemblyScript, ABI 1.
//
// SPDX-License-Identifier: MIT
//
// Permission is granted, free of charge, to use, copy, change and pass on this
// file, with or without changes, as part of any program. It comes without
// warranty of any kind.
//
// One file: copy it beside your parser and compile with
//
//   asc parser.ts --runtime stub --use abort= -O3 --noAssert --enable simd \
//     --exportStart _initialize -o parser.wasm
//
// A parser is two functions, and the exports at its end:
//
//   import { INT, NO_MATCH, OK, STRING, Status, Str, error, field, init, int_value, name, none, open,
//     parse_int, process, put_int, put_str, rest, text, until } from "./wt";
//   const LEVEL: u32 = 0, CODE: u32 = 1;
//   const WHY = text("code");
//   function setup(): void {
//     name("simple", "1.0.0");
//     field("level", STRING, "the level, as written");
//     field("code", INT, "the number after it");
//   }
//   function parse(line: Str): Status {
//     open(line);
//     const level = until(0x20);
//     if (none(level)) return NO_MATCH;
//     if (!parse_int(rest())) return error(1, WHY);
//     put_str(LEVEL, level);
//     put_int(CODE, int_value);
//     return OK;
//   }
//   export { wt_abi_1, wt_alloc } from "./wt";
//   export function wt_init(config: usize, len: u32): usize { return init(config, len, setup); }
//   export function wt_process(batch: usize, len: u32): usize { return process(batch, parse); }
//
// What the file does: it walks over the events of a batch, writes the progress
// word before each, builds the schema, and writes rows straight into the table
// that the agent reads. When the table or the arena is full it hands the rest of
// the batch back, and gets it again.
//
// A Str is a number, not an object: the address and the length of bytes that
// somebody else owns. There is one cursor: open sets it, until, lit, prefix and
// quoted move it. Strings of the language are for the setup only, because they
// are objects; text makes a Str of one, once.
//
// Memory: putting a part of the line copies nothing. Values that are not in the
// line go into the arena (arena, unescape, join, copy, lookup), which is emptied
// before each batch, or were made by text. Keep no Str of a batch for the next
// one. Nothing here allocates for a line. Names that end with _ are not for you.

// ---- sizes, for you to change ----

/** Bytes of the table of rows: 16 a row and 12 a field. A row must fit into it. */
export const OUT_BYTES: u32 = 524288;
/** Bytes of the arena, for values made in a batch. */
export const ARENA_BYTES: u32 = 524288;
/** Bytes of the schema, at most 65536. */
export const SCHEMA_BYTES: u32 = 16384;
/** Bytes of what text makes, and of the texts of the configuration. */
export const TEXT_BYTES: u32 = 8192;

// The table, and room for a field that does not fit: a row that reaches beyond the end
// stays there, which is seen when it ends. So putting a field needs no branch.
const TABLE_: usize = memory.data(524304, 16);
const ARENA_: usize = memory.data(524288, 16);
const SCHEMA_: usize = memory.data(16384, 16);
const TEXT_: usize = memory.data(8192, 16);
const METRICS_: usize = memory.data(4096, 16);
const INFO_: usize = memory.data(32, 8);
const RESULT_: usize = memory.data(32, 8);

// ---- values ----

/** A range of bytes: the address in the low word, the length in the high one. */
export type Str = u64;

/** No text: what until and others return when there is none. */
export const NONE: Str = 0;

/** Makes a Str of the bytes from begin up to, not including, end. */
// @ts-ignore: decorator
@inline
export function str(begin: usize, end: usize): Str {
  return <u64>begin | <u64>(end - begin) << 32;
}
/** The address of the first byte. */
// @ts-ignore: decorator
@inline
export function begin_of(s: Str): usize {
  return <usize>s;
}
/** The length in bytes. */
// @ts-ignore: decorator
@inline
export function size(s: Str): u32 {
  return <u32>(s >> 32);
}
/** The address behind the last byte. */
// @ts-ignore: decorator
@inline
export function end_of(s: Str): usize {
  return <usize>s + <usize>(s >> 32);
}
/** True for NONE, which is not the same as an empty text. */
// @ts-ignore: decorator
@inline
export function none(s: Str): bool {
  return s == 0;
}
/** True for a text without bytes, and for NONE. */
// @ts-ignore: decorator
@inline
export function empty(s: Str): bool {
  return s >> 32 == 0;
}
/** True when a and b have the same bytes. */
export function is(a: Str, b: Str): bool {
  const n = size(a), p = begin_of(a), q = begin_of(b);
  if (n != size(b)) return false;
  for (let i: u32 = 0; i < n; i++) if (load<u8>(p + i) != load<u8>(q + i)) return false;
  return true;
}
/** True when s is the one byte c. */
// @ts-ignore: decorator
@inline
export function is_byte(s: Str, c: u8): bool {
  return size(s) == 1 && load<u8>(begin_of(s)) == c;
}

/** What a parser says of a line. */
export type Status = u32;
/** Parsed: the fields count. */
export const OK: Status = 0;
/** Not of this format; fields put so far are forgotten. */
export const NO_MATCH: Status = 1;
/** Of this format, and wrong; likewise. */
export const ERROR: Status = 2;

/** Kinds of a field's value, for field. */
export const STRING: u32 = 0, INT: u32 = 1, FLOAT: u32 = 2, BOOL: u32 = 3, NULL: u32 = 4, BYTES: u32 = 5, JSON: u32 = 6;

/** What a parser may need leave for, for caps: a row for several events and events
 * left for later; drop; several rows for one event; put_route; put_time; put_key. */
export const CAP_JOIN: u32 = 1, CAP_DROP: u32 = 2, CAP_SPLIT: u32 = 4, CAP_ROUTE: u32 = 8, CAP_TIME: u32 = 16, CAP_DYNAMIC_KEYS: u32 = 32;

/** Levels of log. */
export const DEBUG: u32 = 0, INFO: u32 = 1, WARN: u32 = 2, FAIL: u32 = 3;

/** Severities of put_severity, as OpenTelemetry numbers them. */
export const SEV_TRACE: u32 = 1, SEV_DEBUG: u32 = 5, SEV_INFO: u32 = 9, SEV_WARN: u32 = 13, SEV_ERROR: u32 = 17, SEV_FATAL: u32 = 21;

/** The code of a row that does not fit into the table or the arena even when it is
 * the only one. */
export const CODE_TOO_LARGE: u32 = 255;

// ---- imports; a module has only those that it calls ----

// @ts-ignore: decorator
@external("wt", "log")
declare function log_(level: u32, p: usize, n: u32): void;
// @ts-ignore: decorator
@external("wt", "log_level")
declare function log_level_(): u32;
// @ts-ignore: decorator
@external("wt", "counter_add")
declare function counter_add_(id: u32, n: i64): void;
// @ts-ignore: decorator
@external("wt", "span_attr")
declare function span_attr_(k: usize, kn: u32, v: usize, vn: u32): void;
// @ts-ignore: decorator
@external("wt", "lookup")
declare function lookup_(table: u32, k: usize, kn: u32, out: usize, cap: u32): i32;

/** Writes to the agent's log: at most 1024 bytes, at a limited rate. */
export function log(level: u32, s: Str): void {
  log_(level, begin_of(s), size(s));
}
/** The lowest level that is kept: below it, save the work. */
export function log_level(): u32 {
  return log_level_();
}
/** Adds n >= 0 to the metric that metric returned as id. */
export function counter_add(id: u32, n: i64): void {
  counter_add_(id, n);
}
/** Sets an attribute of the trace span of this batch: at most 16, of 64 bytes of
 * key and 256 of value. */
export function span_attr(key: Str, value: Str): void {
  span_attr_(begin_of(key), size(key), begin_of(value), size(value));
}

// ---- the arena ----

let used_: u32 = 0; // bytes of the arena in use
let room_: u32 = 0; // bytes of values outside of the data that the host still takes
let full_: bool = false; // a value of this row found no room
let data_: usize = 0; // the data of this batch
let data_len_: u32 = 0;
let texts_: u32 = 0; // bytes of TEXT_ in use

/** The address of n bytes that are valid until the next batch, not cleared and not
 * aligned, or 0 when there is no room. Then the row is given back, so return
 * anything. */
export function arena(n: u32): usize {
  if (n > ARENA_BYTES - used_ || n > room_) {
    full_ = true;
    return 0;
  }
  const p = ARENA_ + used_;
  used_ += n;
  room_ -= n;
  return p;
}

/** Gives back the end of the newest piece of the arena: p has n bytes, of which the
 * first used are kept. */
export function shrink(p: usize, n: u32, used: u32): void {
  if (p + n == ARENA_ + used_) {
    used_ -= n - used;
    room_ += n - used;
  }
}

// A value that is neither in the data nor in the arena counts as made.
function charge_(p: usize, n: u32): void {
  if (p - ARENA_ < ARENA_BYTES) return;
  if (n > room_) full_ = true;
  else room_ -= n;
}

/** Copies a and then b into the arena. */
export function join(a: Str, b: Str): Str {
  const n = size(a), m = size(b), p = arena(n + m);
  if (!p) return str(begin_of(a), begin_of(a));
  memory.copy(p, begin_of(a), n);
  memory.copy(p + n, begin_of(b), m);
  return str(p, p + n + m);
}

/** Copies s into the arena. */
export function copy(s: Str): Str {
  return join(s, str(end_of(s), end_of(s)));
}

/** Finds key in a table of the agent's configuration, by its place there; the value
 * is in the arena. NONE when it is absent. */
export function lookup(table: u32, key: Str): Str {
  let cap = min(min<u32>(256, ARENA_BYTES - used_), room_);
  for (let i = 0; i < 2; i++) {
    const p = arena(cap);
    if (!p) return NONE;
    const n = lookup_(table, begin_of(key), size(key), p, cap);
    const fits = n >= 0 && <u32>n <= cap;
    shrink(p, cap, fits ? <u32>n : 0);
    if (n < 0) return NONE;
    if (fits) return str(p, p + n);
    cap = <u32>n;
  }
  return NONE;
}

/** Makes a Str of a string that is valid as long as the module. For constants and
 * the setup: it is never given back. */
export function text(s: string): Str {
  const n = <u32>String.UTF8.byteLength(s);
  if (n > TEXT_BYTES - texts_) {
    refused_ = true;
    return str(TEXT_, TEXT_);
  }
  const p = TEXT_ + texts_;
  String.UTF8.encodeUnsafe(changetype<usize>(s), s.length, p);
  texts_ += n;
  return str(p, p + n);
}

// ---- finding ----

/** The first c from p up to e, or e. 16 bytes a step. The last step reads the 16
 * bytes before e, which are always memory, so it never reads beyond e. The first step is
 * not part of the loop, because the agent's meter takes its toll where a loop begins,
 * and most fields are short. */
// @ts-ignore: decorator
@inline
export function find(p: usize, e: usize, c: u8): usize {
  const want = i8x16.splat(<i8>c);
  if (e - p >= 16) {
    const m = i8x16.bitmask(i8x16.eq(v128.load(p), want));
    if (m) return p + <usize>ctz(m);
    p += 16;
    while (e - p >= 16) {
      const m = i8x16.bitmask(i8x16.eq(v128.load(p), want));
      if (m) return p + <usize>ctz(m);
      p += 16;
    }
  }
  const m = <u32>i8x16.bitmask(i8x16.eq(v128.load(e - 16), want)) >> (16 - <u32>(e - p));
  return m ? p + <usize>ctz(m) : e;
}

/** The first a or b from p up to e, or e. */
// @ts-ignore: decorator
@inline
export function find2(p: usize, e: usize, a: u8, b: u8): usize {
  const one = i8x16.splat(<i8>a), two = i8x16.splat(<i8>b);
  while (e - p >= 16) {
    const v = v128.load(p);
    const m = i8x16.bitmask(v128.or(i8x16.eq(v, one), i8x16.eq(v, two)));
    if (m) return p + <usize>ctz(m);
    p += 16;
  }
  const v = v128.load(e - 16);
  const m = <u32>i8x16.bitmask(v128.or(i8x16.eq(v, one), i8x16.eq(v, two))) >> (16 - <u32>(e - p));
  return m ? p + <usize>ctz(m) : e;
}

/** True when the byte c is somewhere in s. */
export function has(s: Str, c: u8): bool {
  return find(begin_of(s), end_of(s), c) != end_of(s);
}

let at_: usize = 0, end_: usize = 0;
let outside_: bool = true; // the cursor is not in the data of this batch

/** Sets the cursor to the beginning of s. */
// @ts-ignore: decorator
@inline
export function open(s: Str): void {
  at_ = begin_of(s);
  end_ = end_of(s);
  outside_ = begin_of(s) - data_ > data_len_;
  if (outside_) made_ = true;
}
/** What is not read yet. */
// @ts-ignore: decorator
@inline
export function rest(): Str {
  return str(at_, end_);
}
/** True when nothing is left. */
// @ts-ignore: decorator
@inline
export function done(): bool {
  return at_ == end_;
}
/** Takes the bytes before the first c and steps over the c. NONE, and nothing has
 * changed, when there is no c. */
// @ts-ignore: decorator
@inline
export function until(c: u8): Str {
  const p = at_, e = end_;
  const f = find(p, e, c);
  if (f == e) return NONE;
  at_ = f + 1;
  return str(p, f);
}
/** Steps over one byte, if it is c. */
// @ts-ignore: decorator
@inline
export function lit(c: u8): bool {
  const p = at_;
  if (p == end_ || load<u8>(p) != c) return false;
  at_ = p + 1;
  return true;
}
/** Steps over s, if what is left begins with it. */
export function prefix(s: Str): bool {
  const n = size(s), q = begin_of(s);
  if (<u32>(end_ - at_) < n) return false;
  for (let i: u32 = 0; i < n; i++) if (load<u8>(at_ + i) != load<u8>(q + i)) return false;
  at_ += n;
  return true;
}
/** Takes a quoted text whose opening quote was stepped over: what is before the next
 * quote that has no backslash before it, as it stands (see unescape), and steps over
 * that quote. NONE, and nothing has changed, when there is none. */
// @ts-ignore: decorator
@inline
export function quoted(): Str {
  const p = at_;
  const f = find_quote_(p, end_);
  if (f == end_) return NONE;
  at_ = f + 1;
  return str(p, f);
}
// The first quote that no backslash stands before, or e.
// @ts-ignore: decorator
@inline
function find_quote_(p: usize, e: usize): usize {
  const f = find(p, e, 0x22);
  return f != p && load<u8>(f - 1) == 0x5c ? find_unescaped_(p, e) : f;
}
function find_unescaped_(p: usize, e: usize): usize {
  for (p = find2(p, e, 0x22, 0x5c); p < e && load<u8>(p) == 0x5c; p = find2(p + 2, e, 0x22, 0x5c)) {
    if (e - p < 2) return e;
  }
  return p;
}
/** s without one carriage return at its end. */
// @ts-ignore: decorator
@inline
export function chomp(s: Str): Str {
  const p = begin_of(s), e = end_of(s);
  return e > p && load<u8>(e - 1) == 0x0d ? str(p, e - 1) : s;
}
// @ts-ignore: decorator
@inline
function is_blank_(c: u8): bool {
  return c == 0x20 || c == 0x09;
}
/** s without blanks and tabs at both ends. */
export function trim(s: Str): Str {
  let p = begin_of(s), e = end_of(s);
  while (p < e && is_blank_(load<u8>(p))) p++;
  while (p < e && is_blank_(load<u8>(e - 1))) e--;
  return str(p, e);
}

// ---- rows ----

let out_: usize = 0; // where the next field goes
let head_: usize = 0; // the row being written
let first_: u32 = 0, events_: u32 = 0;
let made_: bool = false; // a value may not be in the data
let verdict_: u32 = 0, flags_: u32 = 0; // the action and the code of the row, 0 between rows
let why_: Str = 0;

// @ts-ignore: decorator
@inline
function within_(out: usize): usize {
  return select<usize>(TABLE_ + OUT_BYTES + 4, out, out > TABLE_ + OUT_BYTES);
}
// @ts-ignore: decorator
@inline
function put_(word: u32, a: u32, b: u32): void {
  const out = out_;
  store<u32>(out, b, 8); // the highest first: then the runtime checks one address for all
  store<u32>(out, a, 4);
  store<u32>(out, word);
  out_ = within_(out + 12);
}
// @ts-ignore: decorator
@inline
function put_range_(word: u32, s: Str): void {
  const p = begin_of(s);
  if (p - data_ > data_len_) made_ = true;
  put_(word, <u32>p, size(s));
}
// Charges the values of a row that are not in the data.
function charge_row_(): void {
  for (let f = head_ + 16; f < out_; f += 12) {
    const kind = load<u32>(f) >> 16, p: usize = load<u32>(f, 4);
    if ((kind == STRING || kind == BYTES || kind == JSON) && p - data_ > data_len_) charge_(p, load<u32>(f, 8));
  }
}
/** Puts a string: UTF-8, or what the line has instead (the agent repairs it). At most
 * 1 MiB. id is what field returned; after put_key it is ignored. */
// @ts-ignore: decorator
@inline
export function put_str(id: u32, s: Str): void {
  put_range_(id, s);
}
/** Puts bytes that are not meant to be text. */
export function put_bytes(id: u32, s: Str): void {
  put_range_(id | BYTES << 16, s);
}
/** Puts a JSON value, which must be valid and at most 64 deep. */
export function put_json(id: u32, s: Str): void {
  put_range_(id | JSON << 16, s);
}
/** Puts a signed integer of 64 bits. */
// @ts-ignore: decorator
@inline
export function put_int(id: u32, n: i64): void {
  put_(id | INT << 16, <u32>n, <u32>(n >> 32));
}
/** Puts a number; NaN and infinities leave the field out. */
export function put_float(id: u32, x: f64): void {
  const n = reinterpret<u64>(x);
  put_(id | FLOAT << 16, <u32>n, <u32>(n >> 32));
}
/** Puts true or false. */
export function put_bool(id: u32, x: bool): void {
  put_(id | BOOL << 16, x ? 1 : 0, 0);
}
/** Puts a field without a value, which is the same as none. */
export function put_null(id: u32): void {
  put_(id | NULL << 16, 0, 0);
}
/** until and put_str in one: puts what is before the first c, steps over that c, and
 * returns how many bytes it put; -1, and nothing has changed, when there is no c. */
// @ts-ignore: decorator
@inline
export function cut(id: u32, c: u8): i32 {
  const p = at_, e = end_;
  const f = find(p, e, c);
  if (f == e) return -1;
  at_ = f + 1;
  put_(id, <u32>p, <u32>(f - p)); // open has seen where the cursor is
  return <i32>(f - p);
}
/** quoted and put_str in one; returns likewise. */
// @ts-ignore: decorator
@inline
export function cut_quoted(id: u32): i32 {
  const p = at_, e = end_;
  const f = find_quote_(p, e);
  if (f == e) return -1;
  at_ = f + 1;
  put_(id, <u32>p, <u32>(f - p));
  return <i32>(f - p);
}
/** rest and put_str in one: puts what is left, and returns its length. */
// @ts-ignore: decorator
@inline
export function cut_rest(id: u32): i32 {
  const p = at_, e = end_;
  at_ = e;
  put_(id, <u32>p, <u32>(e - p));
  return <i32>(e - p);
}
/** until, parse_int and put_int in one: puts the integer before the first c, steps over
 * that c, and sets int_value to it. False, and nothing has changed, when there is no c,
 * or no integer before it. */
// @ts-ignore: decorator
@inline
export function cut_int(id: u32, c: u8): bool {
  const p = at_;
  if (end_ - p > 8) {
    const w = load<u64>(p) ^ 0x3030303030303030; // a digit is its value
    // 10 to 127 comes over 127 by adding 118
    const digits = <usize>ctz(((w + 0x7676767676767676) | w) & 0x8080808080808080) >> 3;
    if (digits && load<u8>(p + digits) == c && <u32>c - 0x30 > 9) {
      // Neighbours are added up, the earlier one times 10, 100 and 10000.
      let n = w << <u64>(64 - 8 * digits);
      n = (n * 10 + (n >> 8)) & 0x00ff00ff00ff00ff;
      n = (n * 100 + (n >> 16)) & 0x0000ffff0000ffff;
      n = (n * 10000 + (n >> 32)) & 0xffffffff;
      at_ = p + digits + 1;
      int_value = n;
      put_int(id, n);
      return true;
    }
  }
  if (!int_until_(c)) return false; // short, long, negative or wrong
  put_int(id, int_value);
  return true;
}
function int_until_(c: u8): bool {
  const p = at_, s = until(c);
  if (!none(s) && parse_int(s)) return true;
  at_ = p;
  return false;
}
/** Names the field that is put next, whose own id is then ignored. 1 to 256 bytes.
 * Needs CAP_DYNAMIC_KEYS. */
export function put_key(s: Str): void {
  put_range_(0xffff, s);
}
/** Sets the record's time, nanoseconds since 1970 UTC. Needs CAP_TIME. */
export function put_time(ns: i64): void {
  put_int(0xf001, ns);
}
/** Sets the record's severity, 1 to 24: SEV_INFO and so on. */
export function put_severity(n: u32): void {
  put_int(0xf002, n);
}
/** Sets the record's message. */
export function put_body(s: Str): void {
  put_range_(0xf003, s);
}
/** Names the log store for the record, which must be one of the pipeline's routes.
 * Needs CAP_ROUTE. */
export function put_route(s: Str): void {
  put_range_(0xf004, s);
}
/** Sets the trace, 16 bytes. */
export function put_trace_id(s: Str): void {
  put_range_(0xf005 | BYTES << 16, s);
}
/** Sets the span, 8 bytes. */
export function put_span_id(s: Str): void {
  put_range_(0xf006 | BYTES << 16, s);
}
/** Keeps the line beside the fields of this row. */
export function keep_raw(): void {
  flags_ |= 1;
}
/** Says that the line is wrong and why, to be returned from parse: a code of your own
 * from 0 to 255, which the agent counts, and a text of at most 256 bytes. */
export function error(code: u32, why: Str): Status {
  verdict_ = code << 16;
  why_ = why;
  return ERROR;
}
/** error for a line that is not of the format. */
export function no_match(code: u32, why: Str): Status {
  verdict_ = code << 16;
  why_ = why;
  return NO_MATCH;
}
/** Removes the line, to be returned from parse. Needs CAP_DROP. The agent counts it
 * as filtered. */
export function drop(): Status {
  verdict_ |= 1 << 8;
  return OK;
}

// ---- batches ----

let in_: usize = 0; // the batch
let table_: usize = 0; // its events
let done_: usize = 0; // behind the last row that was ended
let rows_: u32 = 0, consumed_: u32 = 0;
// The state before the first row of the newest event.
let split_done_: usize = 0, split_first_: u32 = 0, split_rows_: u32 = 0, split_consumed_: u32 = 0;

/** How many events the batch has, at least 1: 0 to count() - 1. */
// @ts-ignore: decorator
@inline
export function count(): u32 {
  return load<u32>(in_, 8);
}
/** Event i, below count(), without its line end. */
// @ts-ignore: decorator
@inline
export function line(i: u32): Str {
  const e = table_ + 24 * <usize>i;
  return <u64>(data_ + load<u32>(e)) | <u64>load<u32>(e, 4) << 32;
}
/** True when all events must be consumed, because nothing follows. */
export function is_final(): bool {
  return (load<u32>(in_, 4) & 1) != 0;
}
/** Tells sources apart: a batch is of one. */
export function stream(): u32 {
  return load<u32>(in_, 48);
}
/** 1 a piece of an over-long line, 2 its end was not seen, 4 not valid UTF-8. */
export function event_flags(i: u32): u32 {
  return load<u32>(table_ + 24 * <usize>i, 8);
}
/** A time that the source knew, ns since 1970 UTC, or 0. */
export function event_time(i: u32): i64 {
  return load<i64>(table_ + 24 * <usize>i, 16);
}
/** The time to use, ns since 1970 UTC. The same for a whole batch. */
export function now(): i64 {
  return load<i64>(in_, 32);
}
/** A JSON object about the source of this batch, NONE when it is the same as in the
 * last batch of its stream. */
export function meta(): Str {
  return <u64>load<u32>(in_, 52) | <u64>load<u32>(in_, 56) << 32;
}

/** Begins a row for the events from first on. A row begins where the one before it
 * ended or, with CAP_SPLIT, where that one began; more than one event needs
 * CAP_JOIN. */
// @ts-ignore: decorator
@inline
export function begin(first: u32, events: u32): void {
  store<u32>(in_, first, 28);
  const at = done_;
  if (first != split_first_) {
    split_first_ = first;
    split_done_ = at;
    split_rows_ = rows_;
    split_consumed_ = consumed_;
  }
  head_ = at;
  out_ = within_(at + 16);
  first_ = first;
  events_ = events;
  made_ = outside_;
  verdict_ = 0;
  flags_ = 0;
  why_ = 0;
}

/** Ends the row. False when it did not fit: then the function returns, and the agent
 * gives what is left again. */
// @ts-ignore: decorator
@inline
export function end(status: Status): bool {
  if (status | (verdict_ & 0xff00)) fold_(status);
  if (out_ > TABLE_ + OUT_BYTES) return overflow_();
  if (made_) charge_row_();
  const fields = <u32>(out_ - head_ - 16) / 12;
  if (full_ || fields > 65535) return overflow_();
  const head = head_;
  store<u32>(head, first_);
  store<u32>(head, events_ | fields << 16, 4);
  store<u32>(head, status | verdict_, 8);
  store<u32>(head, flags_, 12);
  done_ = out_;
  rows_++;
  consumed_ = first_ + events_;
  return true;
}

// Only the reason is left of a row that is not parsed.
function fold_(status: Status): void {
  out_ = within_(head_ + 16);
  made_ = false;
  if (status && why_) put_range_(0xf007, why_);
}

// A row that does not fit: give its events back or, when they have the whole table
// for themselves, say so in a row of their own. Either way this call ends, so that
// nothing more comes of those events.
function overflow_(): bool {
  done_ = split_done_;
  rows_ = split_rows_;
  consumed_ = split_consumed_;
  if (rows_) return false;
  full_ = false;
  used_ = 0;
  const n = size(TOO_LARGE_), max = load<u32>(in_, 24);
  room_ = max < n ? 0 : max - n;
  const at = done_;
  store<u32>(at, first_);
  store<u32>(at, events_ | 1 << 16, 4);
  store<u32>(at, ERROR | CODE_TOO_LARGE << 16, 8);
  store<u32>(at, 0, 12);
  store<u32>(at, 0xf007, 16);
  store<u32>(at, <u32>begin_of(TOO_LARGE_), 20);
  store<u32>(at, n, 24);
  done_ = at + 28;
  rows_ = 1;
  consumed_ = first_ + events_;
  return false;
}

/** Says that nothing can be made of this batch, which then goes on as it is. The text,
 * at most 1024 bytes, is for the log. For batch functions, which return right after
 * it. */
export function give_up(why: Str): void {
  stop_(1, why);
}
/** give_up, and the module is not called again. */
export function fatal(why: Str): void {
  stop_(2, why);
}
function stop_(status: u32, why: Str): void {
  store<u32>(RESULT_, status, 4);
  store<u32>(RESULT_, <u32>begin_of(why), 24);
  store<u32>(RESULT_, size(why), 28);
}

function enter_(batch: usize): void {
  in_ = batch;
  table_ = load<u32>(batch, 12);
  data_ = load<u32>(batch, 16);
  data_len_ = load<u32>(batch, 20);
  room_ = load<u32>(batch, 24);
  used_ = 0;
  full_ = false;
  outside_ = true;
  verdict_ = 0;
  flags_ = 0;
  why_ = 0;
  done_ = TABLE_;
  rows_ = 0;
  consumed_ = 0;
  split_first_ = u32.MAX_VALUE;
  split_done_ = TABLE_;
  store<u32>(RESULT_, 32);
  stop_(0, 0);
}

function leave_(): usize {
  store<u32>(RESULT_, consumed_, 8);
  store<u32>(RESULT_, rows_, 12);
  store<u32>(RESULT_, <u32>TABLE_, 16);
  store<u32>(RESULT_, <u32>(done_ - TABLE_), 20);
  return RESULT_;
}

/** What wt_process does for a parser that takes lines one by one. */
// @ts-ignore: decorator
@inline
export function process(batch: usize, parse: (line: Str) => Status): usize {
  enter_(batch);
  const n = count();
  let head = TABLE_, event = table_;
  for (let i: u32 = 0; i < n; i++) {
    store<u32>(batch, i, 28);
    out_ = within_(head + 16);
    made_ = outside_;
    const status = parse(<u64>(data_ + load<u32>(event)) | <u64>load<u32>(event, 4) << 32);
    const out = out_;
    event += 24;
    if (status | verdict_ | flags_ | <u32>made_ | <u32>full_ | <u32>(out > TABLE_ + OUT_BYTES)) {
      if (!end_one_(head, i, status)) return leave_();
      head = done_;
      continue;
    }
    store<u64>(head, 0, 8);
    store<u32>(head, 1 | (<u32>(out - head - 16) / 12) << 16, 4);
    store<u32>(head, i);
    head = out;
  }
  done_ = head;
  rows_ = n;
  consumed_ = n;
  return leave_();
}
// end for event i of a module that makes one row of each, with all that may be.
function end_one_(head: usize, i: u32, status: Status): bool {
  first_ = i;
  events_ = 1;
  head_ = head;
  split_done_ = head;
  split_rows_ = i;
  split_consumed_ = i;
  rows_ = i;
  consumed_ = i;
  const fits = end(status);
  verdict_ = 0;
  flags_ = 0;
  why_ = 0;
  return fits;
}

/** What wt_process does for a parser that takes whole batches: it goes over the
 * events itself, for i below count(), begin(i, n), puts, if (!end(OK)) return. Events
 * without a row come again, which is how a joiner waits for more; when is_final(),
 * leave none. */
// @ts-ignore: decorator
@inline
export function process_batch(batch: usize, walk: () => void): usize {
  enter_(batch);
  walk();
  return leave_();
}

// ---- setting up ----

let config_: Str = 0;
let schema_len_: u32 = 0, metrics_len_: u32 = 0;
let caps_: u32 = 0, wanted_: u32 = 0, fields_: u32 = 0, metrics_count_: u32 = 0;
let refused_: bool = false;
let message_: Str = 0;
const TOO_LARGE_ = text("row too large");
const TEXTS_FULL_ = text("the texts are too long for this module: raise TEXT_BYTES in wt.ts, and TEXT_ with it");
const SCHEMA_FULL_ = text("the schema is too long: raise SCHEMA_BYTES in wt.ts, and SCHEMA_ with it");

function schema_byte_(c: u32): void {
  if (schema_len_ < SCHEMA_BYTES) store<u8>(SCHEMA_ + schema_len_, <u8>c);
  schema_len_++;
}
function hex_(n: u32): u32 {
  return n < 10 ? 0x30 + n : 0x57 + n;
}
function say_(s: string, quote: bool = false): void {
  const n = <u32>String.UTF8.byteLength(s), p = heap.alloc(n + 1);
  String.UTF8.encodeUnsafe(changetype<usize>(s), s.length, p);
  for (let i: u32 = 0; i < n; i++) {
    const c = <u32>load<u8>(p + i);
    if (quote && c < 32) {
      say_("\\u00");
      schema_byte_(hex_(c >> 4));
      schema_byte_(hex_(c & 15));
      continue;
    }
    if (quote && (c == 0x22 || c == 0x5c)) schema_byte_(0x5c);
    schema_byte_(c);
  }
}
function quote_(s: string): void {
  schema_byte_(0x22);
  say_(s, true);
  schema_byte_(0x22);
}

/** Names the parser and its version. Call it first, once. */
export function name(name: string, version: string): void {
  schema_len_ = 0;
  say_('{"name":');
  quote_(name);
  say_(',"version":');
  quote_(version);
  say_(',"fields":[');
}

/** Adds a field to the schema and returns its id: 0 for the first, then 1, and so on,
 * so that constants in the same order do as well. The name is of 1 to 256 bytes, does
 * not begin with _ and is there once. At most 1024. */
export function field(name: string, kind: u32, doc: string): u32 {
  if (fields_) schema_byte_(0x2c);
  say_('{"name":');
  quote_(name);
  say_(',"type":');
  let type = "string";
  if (kind == INT) type = "int";
  else if (kind == FLOAT) type = "float";
  else if (kind == BOOL) type = "bool";
  else if (kind == BYTES) type = "bytes";
  else if (kind == JSON) type = "json";
  quote_(type);
  say_(',"doc":');
  quote_(doc);
  schema_byte_(0x7d);
  return fields_++;
}

/** Adds a counter and returns its id, for counter_add. At most 64. */
export function metric(name: string): u32 {
  // The names wait in a buffer of their own until the fields are complete.
  const before = schema_len_;
  if (metrics_count_) schema_byte_(0x2c);
  quote_(name);
  const n = schema_len_ - before;
  if (schema_len_ > SCHEMA_BYTES || metrics_len_ + n > 4096) {
    schema_len_ = SCHEMA_BYTES + 1;
    return 0;
  }
  memory.copy(METRICS_ + metrics_len_, SCHEMA_ + before, n);
  metrics_len_ += n;
  schema_len_ = before;
  return metrics_count_++;
}

/** Declares what rows may do: CAP_DROP | CAP_TIME and so on. */
export function caps(caps: u32): void {
  caps_ |= caps;
}
/** Asks for batches of so many bytes. */
export function want(bytes: u32): void {
  wanted_ = bytes;
}
/** Refuses the configuration, and says why to the operator. */
export function refuse(why: Str): void {
  refused_ = true;
  message_ = why;
}
/** The whole configuration, JSON. Valid in the setup only. */
export function config(): Str {
  return config_;
}
/** Gets a text of the configuration by its key, decoded, valid as long as the module.
 * NONE when it is absent or no text. */
export function config_str(key: Str): Str {
  const v = json_get(config_, key);
  if (none(v) || load<u8>(begin_of(v)) != 0x22) return NONE;
  const inner = str(begin_of(v) + 1, end_of(v) - 1);
  if (size(inner) > TEXT_BYTES - texts_) {
    refuse(TEXTS_FULL_);
    return NONE;
  }
  const p = TEXT_ + texts_, n = decode_(inner, p);
  texts_ += n;
  return str(p, p + n);
}
/** Gets a value by its key, and fallback when it is absent or of another kind. */
export function config_int(key: Str, fallback: i64): i64 {
  const v = json_get(config_, key);
  return !none(v) && parse_int(v) ? int_value : fallback;
}
/** config_int for numbers with a fraction. */
export function config_float(key: Str, fallback: f64): f64 {
  const v = json_get(config_, key);
  return !none(v) && parse_float(v) ? float_value : fallback;
}
/** config_int for true and false. */
export function config_bool(key: Str, fallback: bool): bool {
  const v = json_get(config_, key);
  if (size(v) == 4 && load<u32>(begin_of(v)) == 0x65757274) return true; // "true"
  if (size(v) == 5 && load<u32>(begin_of(v)) == 0x736c6166) return false; // "fals"
  return fallback;
}

/** What wt_init does. */
export function init(config: usize, len: u32, setup: () => void): usize {
  if (refused_) message_ = TEXTS_FULL_; // by a constant
  config_ = str(config, config + len);
  setup();
  if (metrics_count_) {
    say_('],"metrics":[');
    for (let i: u32 = 0; i < metrics_len_; i++) schema_byte_(load<u8>(METRICS_ + i));
  }
  say_("]}");
  if (schema_len_ > SCHEMA_BYTES) refuse(SCHEMA_FULL_);
  store<u32>(INFO_, 32);
  store<u32>(INFO_, caps_, 4);
  store<u32>(INFO_, refused_ ? 1 : 0, 8);
  store<u32>(INFO_, <u32>SCHEMA_, 12);
  store<u32>(INFO_, min(schema_len_, SCHEMA_BYTES), 16);
  store<u32>(INFO_, <u32>begin_of(message_), 20);
  store<u32>(INFO_, size(message_), 24);
  store<u32>(INFO_, wanted_, 28);
  return INFO_;
}

/** Export it as it is. */
export function wt_abi_1(): u32 {
  return 0;
}

/** Export it as it is. */
export function wt_alloc(size: u32): usize {
  if (size > 0x7fff0000) return 0;
  const old = memory.grow(<i32>((size + 65535) >> 16));
  return old < 0 ? 0 : <usize>old << 16;
}

// ---- JSON ----

function is_space_(c: u8): bool {
  return c == 0x20 || c == 0x09 || c == 0x0a || c == 0x0d;
}
function blank_(p: usize, e: usize): usize {
  while (p < e && is_space_(load<u8>(p))) p++;
  return p;
}
// The address behind a text whose opening quote is before p, or 0.
function close_(p: usize, e: usize): usize {
  let f = find2(p, e, 0x22, 0x5c);
  while (f < e && load<u8>(f) == 0x5c) {
    if (e - f < 2) return 0;
    f = find_quote_(f + 2, e);
  }
  return f == e ? 0 : f + 1;
}
// The end of the value that begins at p, or 0. It is as strict as finding the end
// needs.
function skip_(p: usize, e: usize): usize {
  let depth: u32 = 0;
  while (p < e) {
    const c = load<u8>(p);
    if (c == 0x22) {
      p = close_(p + 1, e);
      if (!p) return 0;
    } else if (c == 0x7b || c == 0x5b) {
      depth++;
      p++;
      continue;
    } else if (c == 0x7d || c == 0x5d) {
      if (!depth) return 0;
      depth--;
      p++;
    } else if (c == 0x2c || c == 0x3a || is_space_(c)) {
      if (!depth) return 0;
      p++;
      continue;
    } else {
      for (; p < e; p++) {
        const d = load<u8>(p);
        if (d == 0x2c || d == 0x7d || d == 0x5d || is_space_(d)) break;
      }
    }
    if (!depth) return p;
  }
  return 0;
}

/** Finds the value of a key of a JSON object, as it stands there: a text with its
 * quotes. Keys with escapes are not found. It reads the object up to the key, and is no
 * check of the rest. NONE when there is none. The cursor stays. */
export function json_get(object: Str, key: Str): Str {
  const e = end_of(object);
  let p = blank_(begin_of(object), e);
  if (p == e || load<u8>(p) != 0x7b) return NONE;
  while (p < e) {
    p = blank_(p + 1, e);
    if (p == e || load<u8>(p) != 0x22) return NONE;
    const behind = close_(p + 1, e);
    if (!behind) return NONE;
    const name = str(p + 1, behind - 1);
    p = blank_(behind, e);
    if (p == e || load<u8>(p) != 0x3a) return NONE;
    p = blank_(p + 1, e);
    const end = skip_(p, e);
    if (!end) return NONE;
    if (is(name, key)) return str(p, end);
    p = blank_(end, e);
    if (p == e || load<u8>(p) != 0x2c) return NONE;
  }
  return NONE;
}

function hex4_(p: usize, e: usize): i32 {
  let n: i32 = 0;
  if (p + 4 > e) return -1;
  for (let i: usize = 0; i < 4; i++) {
    const c = <i32>load<u8>(p + i), l = c | 32;
    if (c >= 0x30 && c <= 0x39) n = n << 4 | (c - 0x30);
    else if (l >= 0x61 && l <= 0x66) n = n << 4 | (l - 0x57);
    else return -1;
  }
  return n;
}

// Decodes to q, which has room for s; a text never grows.
function decode_(s: Str, q: usize): u32 {
  const to = q, e = end_of(s);
  let p = begin_of(s);
  while (p < e) {
    const b = load<u8>(p);
    if (b != 0x5c || e - p < 2) {
      store<u8>(q++, b);
      p++;
      continue;
    }
    const k = load<u8>(p + 1);
    let c = k == 0x75 ? hex4_(p + 2, e) : -1;
    if (c >= 0) {
      p += 6;
      if (c >= 0xd800 && c < 0xdc00 && e - p >= 6 && load<u8>(p) == 0x5c && load<u8>(p + 1) == 0x75) {
        const low = hex4_(p + 2, e);
        if (low >= 0xdc00 && low < 0xe000) {
          c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
          p += 6;
        }
      }
      if (c >= 0xd800 && c < 0xe000) c = 0xfffd;
      if (c < 0x80) {
        store<u8>(q++, <u8>c);
        continue;
      }
      if (c < 0x800) {
        store<u8>(q++, <u8>(0xc0 | c >> 6));
      } else {
        if (c < 0x10000) {
          store<u8>(q++, <u8>(0xe0 | c >> 12));
        } else {
          store<u8>(q++, <u8>(0xf0 | c >> 18));
          store<u8>(q++, <u8>(0x80 | (c >> 12 & 63)));
        }
        store<u8>(q++, <u8>(0x80 | (c >> 6 & 63)));
      }
      store<u8>(q++, <u8>(0x80 | (c & 63)));
      continue;
    }
    let one: u8 = 0;
    if (k == 0x22 || k == 0x5c || k == 0x2f) one = k;
    else if (k == 0x62) one = 8;
    else if (k == 0x66) one = 12;
    else if (k == 0x6e) one = 10;
    else if (k == 0x72) one = 13;
    else if (k == 0x74) one = 9;
    if (one) {
      store<u8>(q++, one);
    } else {
      store<u8>(q++, 0x5c);
      store<u8>(q++, k);
    }
    p += 2;
  }
  return <u32>(q - to);
}

/** Decodes the escapes of a JSON text, without its quotes, into the arena; a text
 * without a backslash is returned as it is. What is no escape of JSON stays; half a
 * surrogate becomes U+FFFD. */
export function unescape(s: Str): Str {
  if (!has(s, 0x5c)) return s;
  const n = size(s), q = arena(n);
  if (!q) return s;
  const used = decode_(s, q);
  shrink(q, n, used);
  return str(q, q + used);
}

// ---- numbers ----

/** What the newest parse_int, parse_float or time function that was true has read. */
export let int_value: i64 = 0;
export let float_value: f64 = 0;
export let time_value: i64 = 0;

/** Reads digits with at most a minus before them into int_value: all of s, and within
 * 64 bits, or it is false. */
// @ts-ignore: decorator
@inline
export function parse_int(s: Str): bool {
  let p = begin_of(s);
  const e = end_of(s);
  const minus = p < e && load<u8>(p) == 0x2d;
  if (minus) p++;
  if (p == e) return false;
  if (e - p > 18) return parse_long_(p, e, minus);
  let v: i64 = 0;
  do {
    const d = <u32>load<u8>(p) - 0x30;
    if (d > 9) return false;
    v = v * 10 + d;
  } while (++p < e);
  int_value = minus ? -v : v;
  return true;
}
// For what may be more than 64 bits hold.
function parse_long_(p: usize, e: usize, minus: bool): bool {
  let v: u64 = 0;
  for (; p < e; p++) {
    const d = <u32>load<u8>(p) - 0x30;
    if (d > 9 || v > (0x8000000000000000 - <u64>d) / 10) return false;
    v = v * 10 + d;
  }
  if (v > <u64>i64.MAX_VALUE + (minus ? 1 : 0)) return false;
  int_value = minus ? 0 - <i64>v : <i64>v;
  return true;
}

// Large numbers, for the few that a double does not hold exactly on the way: the
// number of words, and then words of 32 bits, lowest first.
const BIG_A_: usize = memory.data(164, 8), BIG_D_: usize = memory.data(164, 8);

// @ts-ignore: decorator
@inline
function word_(x: usize, i: u32): u32 {
  return load<u32>(x + 4 + 4 * <usize>i);
}
// @ts-ignore: decorator
@inline
function set_word_(x: usize, i: u32, w: u32): void {
  store<u32>(x + 4 + 4 * <usize>i, w);
}
function big_trim_(x: usize, n: u32): void {
  while (n && !word_(x, n - 1)) n--;
  store<u32>(x, n);
}
function big_mul5_(x: usize): void {
  const n = load<u32>(x);
  let carry: u64 = 0;
  for (let i: u32 = 0; i < n; i++) {
    carry += <u64>word_(x, i) * 5;
    set_word_(x, i, <u32>carry);
    carry >>= 32;
  }
  set_word_(x, n, <u32>carry);
  big_trim_(x, n + 1);
}
function big_bits_(x: usize): i32 {
  const n = load<u32>(x);
  return n ? <i32>(n * 32 - clz(word_(x, n - 1))) : 0;
}
function big_shl_(x: usize, s: u32): void {
  const words = s / 32, bits = s % 32, n = load<u32>(x);
  for (let i = n + words + 1; i-- > 0;) {
    const hi = i >= words && i - words < n ? word_(x, i - words) : 0;
    const lo = bits && i > words && i - words - 1 < n ? word_(x, i - words - 1) : 0;
    set_word_(x, i, bits ? hi << bits | lo >> (32 - bits) : hi);
  }
  big_trim_(x, n + words + 1);
}
// x -= y, if x >= y
function big_take_(x: usize, y: usize): bool {
  const n = load<u32>(x), m = load<u32>(y);
  if (n < m) return false;
  for (let i = n; i-- > 0;) {
    const a = word_(x, i), b = i < m ? word_(y, i) : 0;
    if (a != b) {
      if (a < b) return false;
      break;
    }
  }
  let borrow: u64 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const d = <u64>word_(x, i) - <u64>(i < m ? word_(y, i) : 0) - borrow;
    set_word_(x, i, <u32>d);
    borrow = d >> 63;
  }
  big_trim_(x, n);
  return true;
}
// m * 10^e10, rounded once.
function scale_(m: u64, e10: i32): f64 {
  const a = BIG_A_, d = BIG_D_;
  set_word_(a, 0, <u32>m);
  set_word_(a, 1, <u32>(m >> 32));
  big_trim_(a, 2);
  set_word_(d, 0, 1);
  store<u32>(d, 1);
  for (let i = 0; i < e10; i++) big_mul5_(a);
  for (let i = 0; i > e10; i--) big_mul5_(d);
  // a / d * 2^e10: make the quotient 64 or 65 bits long.
  const shift = 64 - (big_bits_(a) - big_bits_(d));
  if (shift > 0) big_shl_(a, shift);
  else if (shift < 0) big_shl_(d, -shift);
  big_shl_(d, 64);
  let q: u64 = 0, exp = e10 - shift;
  const top = big_take_(a, d); // bit 64
  for (let i = 0; i < 64; i++) {
    big_shl_(a, 1);
    q = q << 1 | (big_take_(a, d) ? 1 : 0);
  }
  let sticky = load<u32>(a) != 0;
  if (top) {
    sticky = sticky || (q & 1) != 0;
    q = q >> 1 | 0x8000000000000000;
    exp++;
  }
  const lead = <i32>clz(q);
  q <<= lead;
  exp -= lead; // q * 2^exp with the top bit of q set
  let lose = 11, biased = exp + 63 + 1023;
  if (biased <= 0) {
    lose += 1 - biased;
    biased = 0;
  }
  if (biased >= 2047) return Infinity;
  if (lose > 64) return 0;
  let kept: u64 = lose == 64 ? 0 : q >> lose;
  const half: u64 = 1 << (<u64>lose - 1), rest = lose == 64 ? q : q & ((half << 1) - 1);
  if (rest > half || (rest == half && (sticky || (kept & 1)))) kept++;
  // kept has its leading bit at 52 unless it is subnormal; adding lets a carry run
  // into the exponent.
  return reinterpret<f64>(biased ? (<u64>(biased - 1) << 52) + kept : kept);
}
// 10^n for n up to 22, which is exact.
function ten_(n: i32): f64 {
  let x: f64 = 1;
  for (; n > 0; n--) x *= 10;
  return x;
}

/** Reads a decimal number into float_value: all of s, such as -12, .5, 1e-3. It is
 * rounded correctly up to 18 significant digits, and to a neighbour at worst beyond.
 * False for anything else, and for what is too large for a double. */
export function parse_float(s: Str): bool {
  let p = begin_of(s);
  const e = end_of(s);
  const minus = p < e && load<u8>(p) == 0x2d;
  if (p < e && (minus || load<u8>(p) == 0x2b)) p++;
  let m: u64 = 0, exp: i32 = 0, digits: i32 = 0;
  let any = false, point = false, more = false;
  for (; p < e; p++) {
    const c = load<u8>(p);
    if (c == 0x2e && !point) {
      point = true;
      continue;
    }
    const d = <u32>c - 0x30;
    if (d > 9) break;
    any = true;
    if (digits < 18) {
      m = m * 10 + d;
      if (m) digits++;
      if (point) exp--;
    } else {
      if (d) more = true;
      if (!point) exp++;
    }
    if (exp > 1048576 || exp < -1048576) return false;
  }
  if (!any) return false;
  if (p < e && (load<u8>(p) | 32) == 0x65) {
    p++;
    const down = p < e && load<u8>(p) == 0x2d;
    if (p < e && (down || load<u8>(p) == 0x2b)) p++;
    if (p == e) return false;
    let v: i32 = 0;
    for (; p < e; p++) {
      const d = <u32>load<u8>(p) - 0x30;
      if (d > 9) return false;
      if (v < 100000) v = v * 10 + <i32>d;
    }
    exp += down ? -v : v;
  }
  if (p != e) return false;
  if (more) {
    m = m * 10 + 1;
    exp--;
  }
  let r: f64;
  if (m == 0 || exp < -400) r = 0;
  else if (exp > 310) return false;
  else if (m <= 9007199254740992 && exp >= 0 && exp <= 22) r = <f64>m * ten_(exp);
  else if (m <= 9007199254740992 && exp < 0 && exp >= -22) r = <f64>m / ten_(-exp);
  else r = scale_(m, exp);
  if (r > f64.MAX_VALUE) return false;
  float_value = minus ? -r : r;
  return true;
}

// ---- times ----

// n digits, or -1
function digits_(p: usize, n: u32): i32 {
  let v: i32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const d = <u32>load<u8>(p + i) - 0x30;
    if (d > 9) return -1;
    v = v * 10 + <i32>d;
  }
  return v;
}
const MONTHS_: usize = memory.data<u8>([
  0x6a, 0x61, 0x6e, 0x66, 0x65, 0x62, 0x6d, 0x61, 0x72, 0x61, 0x70, 0x72, 0x6d, 0x61, 0x79, 0x6a, 0x75, 0x6e,
  0x6a, 0x75, 0x6c, 0x61, 0x75, 0x67, 0x73, 0x65, 0x70, 0x6f, 0x63, 0x74, 0x6e, 0x6f, 0x76, 0x64, 0x65, 0x63,
]); // janfebmar…
const BEFORE_: usize = memory.data<u16>([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]);

// Jan is 1, or -1
function month_(p: usize): i32 {
  for (let i: usize = 0; i < 12; i++) {
    const m = MONTHS_ + 3 * i;
    if ((load<u8>(p) | 32) == load<u8>(m) && (load<u8>(p, 1) | 32) == load<u8>(m, 1) && (load<u8>(p, 2) | 32) == load<u8>(m, 2)) return <i32>i + 1;
  }
  return -1;
}
function days_in_(y: i32, m: i32): i32 {
  if (m == 2) return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0 ? 29 : 28;
  return m == 4 || m == 6 || m == 9 || m == 11 ? 30 : 31;
}

// The date of seconds_, whose clock is at hms: hh?mm?ss.
let year_: i32 = 0, month_of_year_: i32 = 0, day_: i32 = 0;

// Seconds since 1970, or i64.MIN_VALUE when there is no such time. A leap second is
// the second after it.
function seconds_(hms: usize): i64 {
  const hour = digits_(hms, 2), min = digits_(hms + 3, 2), sec = digits_(hms + 6, 2), y = year_, m = month_of_year_, d = day_;
  if (y < 1678 || y > 2261 || m < 1 || m > 12 || d < 1 || d > days_in_(y, m)) return i64.MIN_VALUE;
  if (hour < 0 || hour > 23 || min < 0 || min > 59 || sec < 0 || sec > 60) return i64.MIN_VALUE;
  const full = y - 1;
  let days = full * 365 + full / 4 - full / 100 + full / 400 - 719162 + load<u16>(BEFORE_ + 2 * <usize>(m - 1)) + d - 1;
  if (m > 2 && days_in_(y, 2) == 29) days++;
  return <i64>days * 86400 + hour * 3600 + min * 60 + sec;
}

let fraction_end_: usize = 0;
// Nanoseconds of the digits from p on, of which there is at least one, or -1.
function fraction_(p: usize, e: usize): i64 {
  let v: i64 = 0, unit: i64 = 100000000;
  const from = p;
  for (; p < e; p++) {
    const d = <u32>load<u8>(p) - 0x30;
    if (d > 9) break;
    v += <i64>d * unit;
    unit /= 10;
  }
  fraction_end_ = p;
  return p == from ? -1 : v;
}
// Seconds east of UTC: Z, +hh:mm, +hhmm or +hh; i32.MIN_VALUE for anything else.
function zone_(p: usize, e: usize): i32 {
  const n = <u32>(e - p), c = load<u8>(p);
  if (n == 1 && (c | 32) == 0x7a) return 0;
  if (n < 3 || (c != 0x2b && c != 0x2d)) return i32.MIN_VALUE;
  const h = digits_(p + 1, 2);
  let m: i32 = 0;
  if (n == 6 && load<u8>(p, 3) == 0x3a) m = digits_(p + 4, 2);
  else if (n == 5) m = digits_(p + 3, 2);
  else if (n != 3) return i32.MIN_VALUE;
  if (h < 0 || h > 23 || m < 0 || m > 59) return i32.MIN_VALUE;
  return (h * 3600 + m * 60) * (c == 0x2d ? -1 : 1);
}

/** Reads 2006-01-02T15:04:05.999999999+07:00, all of s, into time_value. A blank or t
 * may stand for T, a comma for the point, and without a zone it is UTC. Years 1678 to
 * 2261, as in all functions of this kind; time_value is nanoseconds since 1970 UTC. */
export function time_rfc3339(s: Str): bool {
  let p = begin_of(s);
  const e = end_of(s);
  if (e - p < 19 || load<u8>(p, 4) != 0x2d || load<u8>(p, 7) != 0x2d || load<u8>(p, 13) != 0x3a || load<u8>(p, 16) != 0x3a) return false;
  const t = load<u8>(p, 10);
  if ((t | 32) != 0x74 && t != 0x20) return false;
  year_ = digits_(p, 4);
  month_of_year_ = digits_(p + 5, 2);
  day_ = digits_(p + 8, 2);
  const sec = seconds_(p + 11);
  if (sec == i64.MIN_VALUE) return false;
  p += 19;
  let ns: i64 = 0, east: i32 = 0;
  if (p < e && (load<u8>(p) == 0x2e || load<u8>(p) == 0x2c)) {
    ns = fraction_(p + 1, e);
    if (ns < 0) return false;
    p = fraction_end_;
  }
  if (p < e) east = zone_(p, e);
  if (east == i32.MIN_VALUE) return false;
  time_value = (sec - east) * 1000000000 + ns;
  return true;
}

/** Reads 02/Jan/2006:15:04:05 -0700, all of s, into time_value. */
export function time_clf(s: Str): bool {
  const p = begin_of(s);
  if (size(s) != 26 || load<u8>(p, 2) != 0x2f || load<u8>(p, 6) != 0x2f || load<u8>(p, 11) != 0x3a || load<u8>(p, 14) != 0x3a) return false;
  if (load<u8>(p, 17) != 0x3a || load<u8>(p, 20) != 0x20) return false;
  year_ = digits_(p + 7, 4);
  month_of_year_ = month_(p + 3);
  day_ = digits_(p, 2);
  const sec = seconds_(p + 12), east = zone_(p + 21, p + 26);
  if (sec == i64.MIN_VALUE || east == i32.MIN_VALUE) return false;
  time_value = (sec - east) * 1000000000;
  return true;
}

/** Reads a number of units since 1970, with or without a fraction, all of s, into
 * time_value; per_second is 1 for seconds, 1000 for milliseconds, 1000000 or
 * 1000000000. Not negative. */
export function time_epoch(s: Str, per_second: i64): bool {
  const from = begin_of(s), e = end_of(s), unit = 1000000000 / per_second;
  let p = from, v: i64 = 0, ns: i64 = 0;
  for (; p < e; p++) {
    const d = <u32>load<u8>(p) - 0x30;
    if (d > 9) break;
    v = v * 10 + d;
    if (v > i64.MAX_VALUE / 10 - 1) return false;
  }
  if (p == from || v > i64.MAX_VALUE / unit - 1) return false;
  if (p < e && load<u8>(p) == 0x2e) {
    ns = fraction_(p + 1, e);
    if (ns < 0) return false;
    p = fraction_end_;
  }
  if (p != e) return false;
  time_value = v * unit + ns / per_second;
  return true;
}

/** Reads Jan _2 15:04:05, all of s, as UTC, into time_value. It has no year: it is the
 * latest such time that is not more than a day after now. */
export function time_syslog(s: Str, now: i64): bool {
  const p = begin_of(s);
  if (size(s) != 15 || load<u8>(p, 3) != 0x20 || load<u8>(p, 6) != 0x20 || load<u8>(p, 9) != 0x3a || load<u8>(p, 12) != 0x3a) return false;
  month_of_year_ = month_(p);
  day_ = load<u8>(p, 4) == 0x20 ? digits_(p + 5, 1) : digits_(p + 4, 2);
  const year = 1970 + <i32>(now / 31556952000000000); // a mean year: off by one at most
  for (let back = 0; back < 12; back++) {
    year_ = year + 2 - back;
    const sec = seconds_(p + 7);
    if (sec != i64.MIN_VALUE && sec * 1000000000 <= now + 86400000000000) {
      time_value = sec * 1000000000;
      return true;
    }
  }
  return false;
}
