// wt.rs - parsers for the wasmtail agent in Rust, ABI 1.
//
// SPDX-License-Identifier: MIT
//
// Permission is granted, free of charge, to use, copy, change and pass on this
// file, with or without changes, as part of any program. It comes without
// warranty of any kind.

//! Parsers for the wasmtail agent in Rust, ABI 1: one file, `no_std`, no crates,
//! Rust 1.63 and newer. Copy it beside your parser and compile it as the crate
//! `wt`:
//!
//! ```text
//! F="--edition=2021 --target=wasm32-unknown-unknown -Copt-level=3 -Cpanic=abort -Ctarget-feature=+simd128"
//! rustc $F --crate-type=rlib --crate-name=wt wt.rs
//! rustc $F --crate-type=cdylib -Clto --extern wt=libwt.rlib -o parser.wasm parser.rs
//! ```
//!
//! A parser is a type and one line:
//!
//! ```ignore
//! #![no_std]
//! use wt::{Kind, Row, Setup, Status, Text};
//!
//! const LEVEL: u32 = 0;
//! const CODE: u32 = 1;
//!
//! struct Simple;
//!
//! impl wt::Parser for Simple {
//!     fn new(s: &mut Setup) -> Self {
//!         s.name("simple", "1.0.0");
//!         s.field("level", Kind::Str, "the level, as written");
//!         s.field("code", Kind::Int, "the number after it");
//!         Simple
//!     }
//!     fn parse<'a>(&mut self, row: &mut Row<'a>, mut line: &'a [u8]) -> Status {
//!         let level = match line.until(b' ') { Some(s) => s, None => return Status::NoMatch };
//!         let code = match wt::parse_int(line) { Some(n) => n, None => return row.error(1, "code") };
//!         row.put_str(LEVEL, level);
//!         row.put_int(CODE, code);
//!         Status::Ok
//!     }
//! }
//! wt::parser!(Simple);
//! ```
//!
//! What the crate does: it exports what the agent calls, walks over the events of
//! a batch, writes the progress word before each, builds the schema, and writes
//! rows straight into the table that the agent reads. When the table or the arena
//! is full it hands the rest of the batch back, and gets it again.
//!
//! Memory: values live as long as the batch, which is the lifetime `'a` of a row.
//! Putting a part of the line copies nothing. Values that are not in the line go
//! into the arena (`Row::arena`, `unescape`, `join`, `copy`, `lookup`), which is
//! emptied before each batch, or are constants.
//!
//! Nothing here allocates for a line. A panic ends the module; the agent then
//! goes on with a new one and keeps the line as it is. Built with `--cfg wt_std`,
//! the crate leaves the panic handler to `std`.
#![no_std]

use core::marker::PhantomData;
use core::ptr::{addr_of, addr_of_mut};

#[cfg(target_feature = "simd128")]
use core::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_splat, v128, v128_load, v128_or};

#[cfg(not(wt_std))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

// ---- sizes ----

/// Bytes of the table of rows: 16 a row and 12 a field. A row must fit into it.
pub const OUT_BYTES: usize = 512 << 10;
/// Bytes of the arena, for values made in a batch.
pub const ARENA_BYTES: usize = 512 << 10;
/// Bytes of the schema, at most 65536.
pub const SCHEMA_BYTES: usize = 16 << 10;
/// Bytes of the texts of the configuration that are kept.
pub const CONFIG_BYTES: usize = 8 << 10;

// ---- values ----

/// What a parser says of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    /// Parsed: the fields count.
    Ok = 0,
    /// Not of this format; fields put so far are forgotten.
    NoMatch = 1,
    /// Of this format, and wrong; likewise.
    Error = 2,
}

/// Kinds of a field's value, for `Setup::field`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    Str = 0,
    Int = 1,
    Float = 2,
    Bool = 3,
    Null = 4,
    Bytes = 5,
    Json = 6,
}

/// What a parser may need leave for, for `Setup::caps`: a row for several events,
/// and events left for later.
pub const CAP_JOIN: u32 = 1;
/// Leave for `Row::drop`.
pub const CAP_DROP: u32 = 2;
/// Leave for several rows for one event.
pub const CAP_SPLIT: u32 = 4;
/// Leave for `Row::put_route`.
pub const CAP_ROUTE: u32 = 8;
/// Leave for `Row::put_time`.
pub const CAP_TIME: u32 = 16;
/// Leave for `Row::put_key`.
pub const CAP_DYNAMIC_KEYS: u32 = 32;

/// Levels of `log`.
pub const DEBUG: u32 = 0;
pub const INFO: u32 = 1;
pub const WARN: u32 = 2;
pub const FAIL: u32 = 3;

/// Severities of `Row::put_severity`, as OpenTelemetry numbers them.
pub const SEV_TRACE: u32 = 1;
pub const SEV_DEBUG: u32 = 5;
pub const SEV_INFO: u32 = 9;
pub const SEV_WARN: u32 = 13;
pub const SEV_ERROR: u32 = 17;
pub const SEV_FATAL: u32 = 21;

/// The code of a row that does not fit into the table or the arena even when it is
/// the only one.
pub const CODE_TOO_LARGE: u32 = 255;

// ---- imports; a module has only those that it calls ----

mod host {
    #[link(wasm_import_module = "wt")]
    extern "C" {
        pub fn log(level: u32, p: *const u8, n: usize);
        pub fn log_level() -> u32;
        pub fn counter_add(id: u32, n: i64);
        pub fn span_attr(k: *const u8, kn: usize, v: *const u8, vn: usize);
        pub fn lookup(table: u32, k: *const u8, kn: usize, out: *mut u8, cap: usize) -> i32;
    }
}

/// Writes to the agent's log: at most 1024 bytes, at a limited rate.
#[inline]
pub fn log(level: u32, text: &str) {
    unsafe { host::log(level, text.as_ptr(), text.len()) }
}

/// The lowest level that is kept: below it, save the work.
#[inline]
pub fn log_level() -> u32 {
    unsafe { host::log_level() }
}

/// Adds n ≥ 0 to the metric that `Setup::metric` returned as id.
#[inline]
pub fn counter_add(id: u32, n: i64) {
    unsafe { host::counter_add(id, n) }
}

/// Sets an attribute of the trace span of this batch: at most 16, of 64 bytes of
/// key and 256 of value.
#[inline]
pub fn span_attr(key: &str, value: &[u8]) {
    unsafe { host::span_attr(key.as_ptr(), key.len(), value.as_ptr(), value.len()) }
}

// ---- finding ----

// The mask of the bytes of 16 that are a, or b.
#[cfg(target_feature = "simd128")]
#[inline(always)]
unsafe fn mask(at: usize, a: v128, b: Option<v128>) -> u32 {
    let v = v128_load(at as *const v128);
    let m = match b {
        Some(b) => v128_or(u8x16_eq(v, a), u8x16_eq(v, b)),
        None => u8x16_eq(v, a),
    };
    u8x16_bitmask(m) as u32
}

// The last step reads the 16 bytes before the end, which are always memory, so it
// never reads beyond it. The first is not part of the loop, because the agent's meter
// takes its toll where a loop begins, and most fields are short.
#[cfg(target_feature = "simd128")]
#[inline(always)]
fn scan(s: &[u8], a: u8, b: Option<u8>) -> usize {
    let a = u8x16_splat(a);
    let b = match b {
        Some(b) => Some(u8x16_splat(b)),
        None => None,
    };
    let begin = s.as_ptr() as usize;
    let end = begin + s.len();
    let mut p = begin;
    unsafe {
        if end - p >= 16 {
            let m = mask(p, a, b);
            if m != 0 {
                return m.trailing_zeros() as usize;
            }
            p += 16;
            while end - p >= 16 {
                let m = mask(p, a, b);
                if m != 0 {
                    return p - begin + m.trailing_zeros() as usize;
                }
                p += 16;
            }
        }
        let m = mask(end - 16, a, b) >> (16 - (end - p) as u32);
        if m != 0 {
            p - begin + m.trailing_zeros() as usize
        } else {
            s.len()
        }
    }
}

#[cfg(not(target_feature = "simd128"))]
#[inline(always)]
fn scan(s: &[u8], a: u8, b: Option<u8>) -> usize {
    s.iter().position(|&x| x == a || Some(x) == b).unwrap_or(s.len())
}

/// The index of the first c, or the length. 16 bytes a step with `simd128`.
#[inline(always)]
pub fn find(s: &[u8], c: u8) -> usize {
    scan(s, c, None)
}

/// The index of the first a or b, or the length.
#[inline(always)]
pub fn find2(s: &[u8], a: u8, b: u8) -> usize {
    scan(s, a, Some(b))
}

// The index of the first quote that no backslash stands before, or the length.
#[inline(never)]
fn quote(s: &[u8]) -> usize {
    let mut i = find2(s, b'"', b'\\');
    while i < s.len() && s[i] == b'\\' {
        if s.len() - i < 2 {
            return s.len();
        }
        i += 2 + find2(cut(s, i + 2, s.len()), b'"', b'\\');
    }
    i
}

// How many digits 8 bytes begin with, least significant first.
#[inline(always)]
fn digits_of(w: u64) -> u32 {
    let w = w ^ 0x3030303030303030; // a digit is its value, and 10 to 127 comes over 127 by adding 118
    ((w.wrapping_add(0x7676767676767676) | w) & 0x8080808080808080).trailing_zeros() >> 3
}

// The number of the first of 8 digits, 1 to 8. Neighbours are added up, the earlier
// one times 10, 100 and 10000.
#[inline(always)]
fn number_of(w: u64, digits: u32) -> i64 {
    let w = (w ^ 0x3030303030303030) << (64 - 8 * digits);
    let w = (w.wrapping_mul(10).wrapping_add(w >> 8)) & 0x00ff00ff00ff00ff;
    let w = (w.wrapping_mul(100).wrapping_add(w >> 16)) & 0x0000ffff0000ffff;
    (w.wrapping_mul(10000).wrapping_add(w >> 32) & 0xffffffff) as i64
}

// The integer before the first c, and what is behind that.
#[inline(never)]
fn int_until(mut s: &[u8], c: u8) -> Option<(i64, &[u8])> {
    let part = s.until(c)?;
    Some((parse_int(part)?, s))
}

// s[from..to] with from ≤ to ≤ len, which the callers know.
#[inline(always)]
fn cut(s: &[u8], from: usize, to: usize) -> &[u8] {
    debug_assert!(from <= to && to <= s.len());
    unsafe { s.get_unchecked(from..to) }
}

/// What can be taken from the front of a line.
pub trait Text<'a> {
    /// Takes the bytes before the first c and steps over the c. None, and nothing
    /// has changed, when there is no c.
    fn until(&mut self, c: u8) -> Option<&'a [u8]>;
    /// Steps over one byte, if it is c.
    fn lit(&mut self, c: u8) -> bool;
    /// Steps over text, if this begins with it.
    fn prefix(&mut self, text: &[u8]) -> bool;
    /// Takes a quoted text whose opening quote was stepped over: what is before
    /// the next quote that has no backslash before it, as it stands (see
    /// `Row::unescape`), and steps over that quote. None, and nothing has changed,
    /// when there is none.
    fn quoted(&mut self) -> Option<&'a [u8]>;
    /// This without one carriage return at its end.
    fn chomp(self) -> &'a [u8];
    /// This without blanks and tabs at both ends.
    fn trim(self) -> &'a [u8];
    /// True when the byte c is somewhere in it.
    fn has(self, c: u8) -> bool;
}

impl<'a> Text<'a> for &'a [u8] {
    #[inline(always)]
    fn until(&mut self, c: u8) -> Option<&'a [u8]> {
        let s: &'a [u8] = self;
        let i = find(s, c);
        if i == s.len() {
            return None;
        }
        *self = cut(s, i + 1, s.len());
        Some(cut(s, 0, i))
    }

    #[inline(always)]
    fn lit(&mut self, c: u8) -> bool {
        let s: &'a [u8] = self;
        if s.is_empty() || s[0] != c {
            return false;
        }
        *self = cut(s, 1, s.len());
        true
    }

    #[inline(always)]
    fn prefix(&mut self, text: &[u8]) -> bool {
        let s: &'a [u8] = self;
        if s.len() < text.len() {
            return false;
        }
        for i in 0..text.len() {
            if s[i] != text[i] {
                return false;
            }
        }
        *self = cut(s, text.len(), s.len());
        true
    }

    #[inline(always)]
    fn quoted(&mut self) -> Option<&'a [u8]> {
        let s: &'a [u8] = self;
        let mut i = find(s, b'"');
        if i == s.len() {
            return None;
        }
        if i != 0 && unsafe { *s.get_unchecked(i - 1) } == b'\\' {
            i = quote(s); // else it ends there
            if i == s.len() {
                return None;
            }
        }
        *self = cut(s, i + 1, s.len());
        Some(cut(s, 0, i))
    }

    #[inline(always)]
    fn chomp(self) -> &'a [u8] {
        if !self.is_empty() && self[self.len() - 1] == b'\r' {
            cut(self, 0, self.len() - 1)
        } else {
            self
        }
    }

    #[inline]
    fn trim(self) -> &'a [u8] {
        let blank = |c: u8| c == b' ' || c == b'\t';
        let mut s = self;
        while !s.is_empty() && blank(s[0]) {
            s = cut(s, 1, s.len());
        }
        while !s.is_empty() && blank(s[s.len() - 1]) {
            s = cut(s, 0, s.len() - 1);
        }
        s
    }

    #[inline(always)]
    fn has(self, c: u8) -> bool {
        find(self, c) != self.len()
    }
}

// ---- the state of a batch ----

// The table, and room for a field that does not fit: a row that reaches beyond the end
// stays there, which is seen when it ends. So putting a field needs no branch.
#[repr(C, align(16))]
struct Table([u32; OUT_BYTES / 4 + 4]);

static mut TABLE: Table = Table([0; OUT_BYTES / 4 + 4]);

#[inline(always)]
fn table_end() -> *mut u32 {
    unsafe { (addr_of_mut!(TABLE) as *mut u32).add(OUT_BYTES / 4) }
}

#[inline(always)]
fn within(out: *mut u32) -> *mut u32 {
    if out > table_end() {
        unsafe { table_end().add(1) }
    } else {
        out
    }
}
static mut ARENA: [u8; ARENA_BYTES] = [0; ARENA_BYTES];
static mut USED: usize = 0; // bytes of the arena in use
static mut ROOM: usize = 0; // bytes of values outside of the data that the host still takes
static mut FULL: bool = false; // a value of this row found no room
static mut DATA: usize = 0; // the data of this batch
static mut DATA_LEN: usize = 0;
static mut IN: *mut Head = core::ptr::null_mut();

#[inline(always)]
fn arena_alloc(n: usize) -> *mut u8 {
    unsafe {
        if n > ARENA_BYTES - USED || n > ROOM {
            FULL = true;
            return core::ptr::null_mut();
        }
        let p = (addr_of_mut!(ARENA) as *mut u8).add(USED);
        USED += n;
        ROOM -= n;
        p
    }
}

// Gives back the end of the newest piece of the arena.
#[inline(always)]
fn arena_shrink(p: *mut u8, n: usize, used: usize) {
    unsafe {
        if p.add(n) == (addr_of_mut!(ARENA) as *mut u8).add(USED) {
            USED -= n - used;
            ROOM += n - used;
        }
    }
}

// A value that is neither in the data nor in the arena counts as made.
#[inline(never)]
fn charge(p: usize, n: usize) {
    unsafe {
        if p.wrapping_sub(addr_of!(ARENA) as usize) < ARENA_BYTES {
            return;
        }
        if n > ROOM {
            FULL = true;
        } else {
            ROOM -= n;
        }
    }
}

// Charges the values of a row that are not in the data.
#[inline(never)]
unsafe fn charge_row(mut f: *const u32, out: *const u32) {
    const BYTES: u32 = Kind::Bytes as u32;
    const JSON: u32 = Kind::Json as u32;
    while f < out {
        let (kind, p, n) = (*f >> 16, *f.add(1) as usize, *f.add(2) as usize);
        if (kind == 0 || kind == BYTES || kind == JSON) && p.wrapping_sub(DATA) > DATA_LEN {
            charge(p, n);
        }
        f = f.add(3);
    }
}

// ---- rows ----

/// The row being written. Its fields are put in order, and none twice. `'a` is how
/// long its values must live: as long as the batch.
pub struct Row<'a> {
    out: *mut u32,
    head: *mut u32,
    first: u32,
    events: u32,
    data: usize, // DATA and DATA_LEN, at hand
    data_len: usize,
    made: bool, // a value is not in the data
    code: u32,
    action: u32,
    flags: u32,
    why: *const u8,
    why_len: usize,
    values: PhantomData<&'a [u8]>,
}

impl<'a> Row<'a> {
    #[inline(always)]
    fn put(&mut self, word: u32, a: u32, b: u32) {
        let out = self.out;
        unsafe {
            *out.add(2) = b; // the highest first: then the runtime checks one address for all
            *out.add(1) = a;
            *out = word;
            self.out = within(out.add(3));
        }
    }

    #[inline(always)]
    fn put_range(&mut self, word: u32, s: *const u8, n: usize) {
        let p = s as usize;
        self.made |= p.wrapping_sub(self.data) > self.data_len;
        self.put(word, p as u32, n as u32);
    }

    /// Puts a string: UTF-8, or what the line has instead (the agent repairs it).
    /// At most 1 MiB. id is what `Setup::field` returned; after `put_key` it is
    /// ignored.
    #[inline(always)]
    pub fn put_str(&mut self, id: u32, s: &'a [u8]) {
        self.put_range(id, s.as_ptr(), s.len());
    }

    /// Puts bytes that are not meant to be text.
    #[inline(always)]
    pub fn put_bytes(&mut self, id: u32, s: &'a [u8]) {
        self.put_range(id | (Kind::Bytes as u32) << 16, s.as_ptr(), s.len());
    }

    /// Puts a JSON value, which must be valid and at most 64 deep.
    #[inline(always)]
    pub fn put_json(&mut self, id: u32, s: &'a [u8]) {
        self.put_range(id | (Kind::Json as u32) << 16, s.as_ptr(), s.len());
    }

    /// Puts a signed integer of 64 bits.
    #[inline(always)]
    pub fn put_int(&mut self, id: u32, n: i64) {
        self.put(id | (Kind::Int as u32) << 16, n as u32, (n as u64 >> 32) as u32);
    }

    /// Puts a number; NaN and infinities leave the field out.
    #[inline(always)]
    pub fn put_float(&mut self, id: u32, x: f64) {
        let n = x.to_bits();
        self.put(id | (Kind::Float as u32) << 16, n as u32, (n >> 32) as u32);
    }

    /// Puts true or false.
    #[inline(always)]
    pub fn put_bool(&mut self, id: u32, x: bool) {
        self.put(id | (Kind::Bool as u32) << 16, x as u32, 0);
    }

    /// Puts a field without a value, which is the same as none.
    #[inline(always)]
    pub fn put_null(&mut self, id: u32) {
        self.put(id | (Kind::Null as u32) << 16, 0, 0);
    }

    /// `until` and `put_str` in one: puts what is before the first c in s, steps over
    /// that c, and returns how many bytes it put. None, and nothing has changed, when
    /// there is no c.
    #[inline(always)]
    pub fn cut(&mut self, id: u32, s: &mut &'a [u8], c: u8) -> Option<usize> {
        let part = s.until(c)?;
        self.put_str(id, part);
        Some(part.len())
    }

    /// `quoted` and `put_str` in one; returns likewise.
    #[inline(always)]
    pub fn cut_quoted(&mut self, id: u32, s: &mut &'a [u8]) -> Option<usize> {
        let part = s.quoted()?;
        self.put_str(id, part);
        Some(part.len())
    }

    /// `until`, `parse_int` and `put_int` in one: puts the integer before the first c,
    /// steps over that c, and returns it. None, and nothing has changed, when there is
    /// no c, or no integer before it.
    #[inline(always)]
    pub fn cut_int(&mut self, id: u32, s: &mut &'a [u8], c: u8) -> Option<i64> {
        let all: &'a [u8] = s;
        if all.len() > 8 {
            let w = unsafe { (all.as_ptr() as *const u64).read_unaligned() };
            let digits = digits_of(w);
            if digits > 0 && unsafe { *all.get_unchecked(digits as usize) } == c && !c.is_ascii_digit() {
                let n = number_of(w, digits);
                *s = cut(all, digits as usize + 1, all.len());
                self.put_int(id, n);
                return Some(n);
            }
        }
        let (n, rest) = int_until(all, c)?; // short, long, negative or wrong
        *s = rest;
        self.put_int(id, n);
        Some(n)
    }

    /// Names the field that is put next, whose own id is then ignored. 1 to 256
    /// bytes. Needs `CAP_DYNAMIC_KEYS`.
    #[inline(always)]
    pub fn put_key(&mut self, name: &'a [u8]) {
        self.put_str(0xFFFF, name);
    }

    /// Sets the record's time, nanoseconds since 1970 UTC. Needs `CAP_TIME`.
    #[inline(always)]
    pub fn put_time(&mut self, ns: i64) {
        self.put_int(0xF001, ns);
    }

    /// Sets the record's severity, 1 to 24: `SEV_INFO` and so on.
    #[inline(always)]
    pub fn put_severity(&mut self, n: u32) {
        self.put_int(0xF002, n as i64);
    }

    /// Sets the record's message.
    #[inline(always)]
    pub fn put_body(&mut self, s: &'a [u8]) {
        self.put_str(0xF003, s);
    }

    /// Names the log store for the record, which must be one of the pipeline's
    /// routes. Needs `CAP_ROUTE`.
    #[inline(always)]
    pub fn put_route(&mut self, store: &'a [u8]) {
        self.put_str(0xF004, store);
    }

    /// Sets the trace, 16 bytes.
    #[inline(always)]
    pub fn put_trace_id(&mut self, id: &'a [u8]) {
        self.put_bytes(0xF005, id);
    }

    /// Sets the span, 8 bytes.
    #[inline(always)]
    pub fn put_span_id(&mut self, id: &'a [u8]) {
        self.put_bytes(0xF006, id);
    }

    /// Keeps the line beside the fields of this row.
    #[inline(always)]
    pub fn keep_raw(&mut self) {
        self.flags |= 1;
    }

    /// Says that the line is wrong and why, to be returned from `parse`: a code of
    /// your own from 0 to 255, which the agent counts, and a text of at most 256
    /// bytes.
    #[inline(always)]
    pub fn error(&mut self, code: u32, why: &'a str) -> Status {
        self.code = code;
        self.why = why.as_ptr();
        self.why_len = why.len();
        Status::Error
    }

    /// `error` for a line that is not of the format.
    #[inline(always)]
    pub fn no_match(&mut self, code: u32, why: &'a str) -> Status {
        self.error(code, why);
        Status::NoMatch
    }

    /// Removes the line, to be returned from `parse`. Needs `CAP_DROP`. The agent
    /// counts it as filtered.
    #[inline(always)]
    pub fn drop(&mut self) -> Status {
        self.action = 1;
        Status::Ok
    }

    // ---- values made in the arena ----

    /// n bytes of the arena, with anything in them. None when there is no room:
    /// then the row is given back, so return anything.
    #[inline(always)]
    pub fn arena(&self, n: usize) -> Option<&'a mut [u8]> {
        let p = arena_alloc(n);
        if p.is_null() {
            return None;
        }
        Some(unsafe { core::slice::from_raw_parts_mut(p, n) })
    }

    /// Keeps the first used bytes of the newest piece of the arena, and gives back
    /// the rest.
    #[inline(always)]
    pub fn shrink(&self, piece: &'a mut [u8], used: usize) -> &'a [u8] {
        let piece_len = piece.len();
        let kept = if used < piece_len { used } else { piece_len };
        arena_shrink(piece.as_mut_ptr(), piece_len, kept);
        cut(piece, 0, kept)
    }

    /// Copies a and then b into the arena.
    #[inline(always)]
    pub fn join(&self, a: &[u8], b: &[u8]) -> &'a [u8] {
        match self.arena(a.len() + b.len()) {
            Some(q) => {
                q[..a.len()].copy_from_slice(a);
                q[a.len()..].copy_from_slice(b);
                q
            }
            None => b"",
        }
    }

    /// Copies s into the arena.
    #[inline(always)]
    pub fn copy(&self, s: &[u8]) -> &'a [u8] {
        self.join(s, b"")
    }

    /// Finds key in a table of the agent's configuration, by its place there; the
    /// value is in the arena. None when it is absent.
    #[inline(always)]
    pub fn lookup(&self, table: u32, key: &[u8]) -> Option<&'a [u8]> {
        lookup(table, key)
    }

    /// Decodes the escapes of a JSON text, without its quotes, into the arena; a
    /// text without a backslash is returned as it is. What is no escape of JSON
    /// stays; half a surrogate becomes U+FFFD.
    #[inline(always)]
    pub fn unescape(&self, s: &'a [u8]) -> &'a [u8] {
        if !s.has(b'\\') {
            return s;
        }
        match self.arena(s.len()) {
            Some(q) => {
                let used = decode(s, q);
                self.shrink(q, used)
            }
            None => s,
        }
    }
}

#[inline(never)]
fn lookup(table: u32, key: &[u8]) -> Option<&'static [u8]> {
    let mut cap = unsafe { 256.min(ARENA_BYTES - USED).min(ROOM) };
    for _ in 0..2 {
        let p = arena_alloc(cap);
        if p.is_null() {
            return None;
        }
        let n = unsafe { host::lookup(table, key.as_ptr(), key.len(), p, cap) };
        let fits = n >= 0 && n as usize <= cap;
        arena_shrink(p, cap, if fits { n as usize } else { 0 });
        if n < 0 {
            return None;
        }
        if fits {
            return Some(unsafe { core::slice::from_raw_parts(p, n as usize) });
        }
        cap = n as usize;
    }
    None
}

// ---- batches ----

#[repr(C)]
struct Event {
    off: u32,
    len: u32,
    flags: u32,
    unused: u32,
    time: i64,
}

#[repr(C)]
struct Head {
    size: u32,
    flags: u32,
    count: u32,
    events: *const Event,
    data: *const u8,
    length: u32,
    max_out: u32,
    mark: u32,
    now: i64,
    seq: u64,
    stream: u32,
    meta: *const u8,
    meta_len: u32,
    unused: u32,
}

#[repr(C)]
struct Answer {
    size: u32,
    status: u32,
    consumed: u32,
    rows: u32,
    table: *const u32,
    length: u32,
    msg: *const u8,
    msg_len: usize,
}

static mut ANSWER: Answer = Answer { size: 32, status: 0, consumed: 0, rows: 0, table: core::ptr::null(), length: 0, msg: core::ptr::null(), msg_len: 0 };

/// The time to use, ns since 1970 UTC. The same for a whole batch.
#[inline(always)]
pub fn now() -> i64 {
    unsafe { (*IN).now }
}

/// The batch being parsed.
pub struct Batch<'a> {
    input: *mut Head,
    events: *const Event,
    count: u32,
    out: *mut u32, // behind the last row that was ended
    rows: u32,
    consumed: u32,
    split_out: *mut u32, // the state before the first row of the newest event
    split_first: u32,
    split_rows: u32,
    split_consumed: u32,
    data: usize,
    data_len: usize,
    values: PhantomData<&'a [u8]>,
}

impl<'a> Batch<'a> {
    /// How many events the batch has, at least 1: 0 to count - 1.
    #[inline(always)]
    pub fn count(&self) -> u32 {
        self.count
    }

    #[inline(always)]
    fn event(&self, i: u32) -> &Event {
        debug_assert!(i < self.count);
        unsafe { &*self.events.add(i as usize) }
    }

    /// Event i, below count, without its line end.
    #[inline(always)]
    pub fn line(&self, i: u32) -> &'a [u8] {
        let e = self.event(i);
        unsafe { core::slice::from_raw_parts((self.data + e.off as usize) as *const u8, e.len as usize) }
    }

    /// True when all events must be consumed, because nothing follows.
    #[inline(always)]
    pub fn is_final(&self) -> bool {
        unsafe { (*self.input).flags & 1 != 0 }
    }

    /// Tells sources apart: a batch is of one.
    #[inline(always)]
    pub fn stream(&self) -> u32 {
        unsafe { (*self.input).stream }
    }

    /// A JSON object about the source of this batch, empty when it is the same as
    /// in the last batch of its stream.
    #[inline(always)]
    pub fn meta(&self) -> &'a [u8] {
        unsafe {
            let head = &*self.input;
            if head.meta.is_null() {
                return b"";
            }
            core::slice::from_raw_parts(head.meta, head.meta_len as usize)
        }
    }

    /// 1 a piece of an over-long line, 2 its end was not seen, 4 not valid UTF-8.
    #[inline(always)]
    pub fn event_flags(&self, i: u32) -> u32 {
        self.event(i).flags
    }

    /// A time that the source knew, ns since 1970 UTC, or 0.
    #[inline(always)]
    pub fn event_time(&self, i: u32) -> i64 {
        self.event(i).time
    }

    /// Begins a row for the events from first on. A row begins where the one before
    /// it ended or, with `CAP_SPLIT`, where that one began; more than one event
    /// needs `CAP_JOIN`.
    #[inline(always)]
    pub fn begin(&mut self, first: u32, events: u32) -> Row<'a> {
        unsafe { addr_of_mut!((*self.input).mark).write_volatile(first) };
        if first != self.split_first {
            self.split_first = first;
            self.split_out = self.out;
            self.split_rows = self.rows;
            self.split_consumed = self.consumed;
        }
        self.row(first, events)
    }

    // begin for event i of a module that makes one row of each.
    #[inline(always)]
    fn begin_one(&mut self, i: u32) -> Row<'a> {
        unsafe { addr_of_mut!((*self.input).mark).write_volatile(i) };
        self.split_out = self.out;
        self.split_rows = self.rows;
        self.split_consumed = self.consumed;
        self.row(i, 1)
    }

    #[inline(always)]
    fn row(&self, first: u32, events: u32) -> Row<'a> {
        Row {
            out: within(unsafe { self.out.add(4) }),
            head: self.out,
            first,
            events,
            data: self.data,
            data_len: self.data_len,
            made: false,
            code: 0,
            action: 0,
            flags: 0,
            why: core::ptr::null(),
            why_len: 0,
            values: PhantomData,
        }
    }

    /// Ends the row. False when it did not fit: then the function returns, and the
    /// agent gives what is left again.
    #[inline(always)]
    pub fn end(&mut self, mut r: Row<'a>, status: Status) -> bool {
        if status != Status::Ok || r.action != 0 {
            r.out = within(unsafe { r.head.add(4) });
            r.made = false;
            if status != Status::Ok && !r.why.is_null() {
                let (p, n) = (r.why, r.why_len);
                r.put_range(0xF007, p, n);
            }
        }
        let fields = ((r.out as usize).wrapping_sub(r.head as usize).wrapping_sub(16) / 12) as u32;
        if r.out > table_end() || (OUT_BYTES / 12 > 65535 && fields > 65535) {
            return self.overflow(r.first, r.events);
        }
        if r.made {
            unsafe { charge_row(r.head.add(4), r.out) };
        }
        if unsafe { FULL } {
            return self.overflow(r.first, r.events);
        }
        unsafe {
            *r.head = r.first;
            *r.head.add(1) = r.events | fields << 16;
            *r.head.add(2) = status as u32 | r.action << 8 | r.code << 16;
            *r.head.add(3) = r.flags;
        }
        self.out = r.out;
        self.rows += 1;
        self.consumed = r.first + r.events;
        true
    }

    // A row that does not fit: give its events back or, when they have the whole
    // table for themselves, say so in a row of their own. Either way this call ends,
    // so that nothing more comes of those events.
    #[inline(never)]
    fn overflow(&mut self, first: u32, events: u32) -> bool {
        let text = "row too large";
        self.out = self.split_out;
        self.rows = self.split_rows;
        self.consumed = self.split_consumed;
        if self.rows != 0 {
            return false;
        }
        unsafe {
            FULL = false;
            USED = 0;
            ROOM = ((*self.input).max_out as usize).saturating_sub(text.len());
            let o = self.out;
            *o = first;
            *o.add(1) = events | 1 << 16;
            *o.add(2) = Status::Error as u32 | CODE_TOO_LARGE << 16;
            *o.add(3) = 0;
            *o.add(4) = 0xF007;
            *o.add(5) = text.as_ptr() as u32;
            *o.add(6) = text.len() as u32;
            self.out = o.add(7);
        }
        self.rows = 1;
        self.consumed = first + events;
        false
    }

    /// Says that nothing can be made of this batch, which then goes on as it is.
    /// The text, at most 1024 bytes, is for the log. For `process`, which returns
    /// right after it.
    pub fn give_up(&mut self, why: &'a str) {
        self.stop(1, why);
    }

    /// `give_up`, and the module is not called again.
    pub fn fatal(&mut self, why: &'a str) {
        self.stop(2, why);
    }

    fn stop(&mut self, status: u32, why: &'a str) {
        unsafe {
            ANSWER.status = status;
            ANSWER.msg = why.as_ptr();
            ANSWER.msg_len = why.len();
        }
    }

    #[inline(always)]
    unsafe fn open(input: *mut Head) -> Batch<'a> {
        IN = input;
        DATA = (*input).data as usize;
        DATA_LEN = (*input).length as usize;
        USED = 0;
        ROOM = (*input).max_out as usize;
        FULL = false;
        ANSWER.status = 0;
        ANSWER.msg_len = 0;
        let table = addr_of_mut!(TABLE) as *mut u32;
        Batch {
            input,
            events: (*input).events,
            count: (*input).count,
            out: table,
            rows: 0,
            consumed: 0,
            split_out: table,
            split_first: u32::MAX,
            split_rows: 0,
            split_consumed: 0,
            data: DATA,
            data_len: DATA_LEN,
            values: PhantomData,
        }
    }

    #[inline(always)]
    unsafe fn close(self) -> usize {
        let table = addr_of!(TABLE) as *const u32;
        ANSWER.consumed = self.consumed;
        ANSWER.rows = self.rows;
        ANSWER.table = table;
        ANSWER.length = (self.out as usize - table as usize) as u32;
        addr_of!(ANSWER) as usize
    }
}

// ---- setting up ----

#[repr(C)]
struct Info {
    size: u32,
    caps: u32,
    status: u32,
    schema: *const u8,
    schema_len: usize,
    msg: *const u8,
    msg_len: usize,
    wanted: u32,
}

static mut ABOUT: Info = Info { size: 32, caps: 0, status: 0, schema: core::ptr::null(), schema_len: 0, msg: core::ptr::null(), msg_len: 0, wanted: 0 };
static mut SCHEMA: [u8; SCHEMA_BYTES] = [0; SCHEMA_BYTES];
static mut METRICS: [u8; 4096] = [0; 4096];
static mut KEPT: [u8; CONFIG_BYTES] = [0; CONFIG_BYTES];

// Writer appends to a buffer and remembers that something did not fit.
struct Writer {
    buf: *mut u8,
    len: usize,
    cap: usize,
    lost: bool,
}

impl Writer {
    fn byte(&mut self, c: u8) {
        if self.len == self.cap {
            self.lost = true;
            return;
        }
        unsafe { *self.buf.add(self.len) = c };
        self.len += 1;
    }

    fn raw(&mut self, s: &[u8]) {
        for &c in s {
            self.byte(c);
        }
    }

    #[inline(never)]
    fn quote(&mut self, s: &str) {
        self.byte(b'"');
        for &c in s.as_bytes() {
            if c < 32 {
                self.raw(b"\\u00");
                self.byte(b"0123456789abcdef"[(c >> 4) as usize]);
                self.byte(b"0123456789abcdef"[(c & 15) as usize]);
                continue;
            }
            if c == b'"' || c == b'\\' {
                self.byte(b'\\');
            }
            self.byte(c);
        }
        self.byte(b'"');
    }
}

/// Gathers what the module tells the agent when it is started.
pub struct Setup<'c> {
    config: &'c [u8],
    schema: Writer,
    counters: Writer,
    caps: u32,
    wanted: u32,
    fields: u32,
    metrics: u32,
    kept: usize,
    refused: Option<&'static str>,
}

impl<'c> Setup<'c> {
    /// Names the parser and its version. Call it first, once.
    pub fn name(&mut self, name: &str, version: &str) {
        self.schema.len = 0;
        self.schema.raw(b"{\"name\":");
        self.schema.quote(name);
        self.schema.raw(b",\"version\":");
        self.schema.quote(version);
        self.schema.raw(b",\"fields\":[");
    }

    /// Adds a field to the schema and returns its id: 0 for the first, then 1, and
    /// so on, so that constants in the same order do as well. The name is of 1 to
    /// 256 bytes, does not begin with _ and is there once. At most 1024.
    #[inline(never)]
    pub fn field(&mut self, name: &str, kind: Kind, doc: &str) -> u32 {
        if self.fields > 0 {
            self.schema.byte(b',');
        }
        self.schema.raw(b"{\"name\":");
        self.schema.quote(name);
        self.schema.raw(b",\"type\":");
        self.schema.quote(match kind {
            Kind::Str | Kind::Null => "string",
            Kind::Int => "int",
            Kind::Float => "float",
            Kind::Bool => "bool",
            Kind::Bytes => "bytes",
            Kind::Json => "json",
        });
        self.schema.raw(b",\"doc\":");
        self.schema.quote(doc);
        self.schema.byte(b'}');
        self.fields += 1;
        self.fields - 1
    }

    /// Adds a counter and returns its id, for `counter_add`. At most 64.
    pub fn metric(&mut self, name: &str) -> u32 {
        if self.metrics > 0 {
            self.counters.byte(b',');
        }
        self.counters.quote(name);
        self.metrics += 1;
        self.metrics - 1
    }

    /// Declares what rows may do: `CAP_DROP | CAP_TIME` and so on.
    pub fn caps(&mut self, caps: u32) {
        self.caps |= caps;
    }

    /// Asks for batches of so many bytes.
    pub fn want(&mut self, bytes: u32) {
        self.wanted = bytes;
    }

    /// Refuses the configuration, and says why to the operator.
    pub fn refuse(&mut self, why: &'static str) {
        self.refused = Some(why);
    }

    /// The whole configuration, JSON.
    pub fn config(&self) -> &'c [u8] {
        self.config
    }

    /// Gets a text of the configuration by its key, decoded, valid as long as the
    /// module. None when it is absent or no text.
    pub fn config_str(&mut self, key: &[u8]) -> Option<&'static [u8]> {
        let v = json_get(self.config, key)?;
        if v[0] != b'"' {
            return None;
        }
        let v = cut(v, 1, v.len() - 1);
        if v.len() > CONFIG_BYTES - self.kept {
            self.refuse("the texts of the configuration are too long for this module");
            return None;
        }
        let q = unsafe { core::slice::from_raw_parts_mut((addr_of_mut!(KEPT) as *mut u8).add(self.kept), v.len()) };
        let n = decode(v, q);
        self.kept += n;
        Some(cut(q, 0, n))
    }

    /// Gets a value by its key, and fallback when it is absent or of another kind.
    pub fn config_int(&self, key: &[u8], fallback: i64) -> i64 {
        json_get(self.config, key).and_then(parse_int).unwrap_or(fallback)
    }

    /// `config_int` for numbers with a fraction.
    pub fn config_float(&self, key: &[u8], fallback: f64) -> f64 {
        json_get(self.config, key).and_then(parse_float).unwrap_or(fallback)
    }

    /// `config_int` for true and false.
    pub fn config_bool(&self, key: &[u8], fallback: bool) -> bool {
        match json_get(self.config, key) {
            Some(b"true") => true,
            Some(b"false") => false,
            _ => fallback,
        }
    }

    fn close(mut self) -> usize {
        unsafe {
            if self.metrics > 0 {
                self.schema.raw(b"],\"metrics\":[");
                self.schema.raw(core::slice::from_raw_parts(self.counters.buf, self.counters.len));
            }
            self.schema.raw(b"]}");
            if self.schema.lost || self.counters.lost {
                self.refuse("the schema is too long: raise SCHEMA_BYTES in wt.rs");
            }
            let why = self.refused.unwrap_or("");
            ABOUT = Info {
                size: 32,
                caps: self.caps,
                status: self.refused.is_some() as u32,
                schema: self.schema.buf,
                schema_len: self.schema.len,
                msg: why.as_ptr(),
                msg_len: why.len(),
                wanted: self.wanted,
            };
            addr_of!(ABOUT) as usize
        }
    }
}

// ---- JSON ----

fn blank(s: &[u8], mut i: usize) -> usize {
    while i < s.len() && (s[i] == b' ' || s[i] == b'\t' || s[i] == b'\n' || s[i] == b'\r') {
        i += 1;
    }
    i
}

// The end of the value that begins at i. It is as strict as finding the end needs.
#[inline(never)]
fn skip(s: &[u8], mut i: usize) -> Option<usize> {
    let mut depth = 0;
    while i < s.len() {
        match s[i] {
            b'"' => {
                let mut rest = cut(s, i + 1, s.len());
                rest.quoted()?;
                i = s.len() - rest.len();
            }
            b'{' | b'[' => {
                depth += 1;
                i += 1;
                continue;
            }
            b'}' | b']' => {
                if depth == 0 {
                    return None;
                }
                depth -= 1;
                i += 1;
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => {
                if depth == 0 {
                    return None;
                }
                i += 1;
                continue;
            }
            _ => {
                while i < s.len() && !matches!(s[i], b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r') {
                    i += 1;
                }
            }
        }
        if depth == 0 {
            return Some(i);
        }
    }
    None
}

/// Finds the value of a key of a JSON object, as it stands there: a text with its
/// quotes. Keys with escapes are not found. It reads the object up to the key, and
/// is no check of the rest.
#[inline(never)]
pub fn json_get<'a>(object: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut i = blank(object, 0);
    if i == object.len() || object[i] != b'{' {
        return None;
    }
    loop {
        i = blank(object, i + 1);
        if i == object.len() || object[i] != b'"' {
            return None;
        }
        let mut rest = cut(object, i + 1, object.len());
        let name = rest.quoted()?;
        i = blank(object, object.len() - rest.len());
        if i == object.len() || object[i] != b':' {
            return None;
        }
        i = blank(object, i + 1);
        let end = skip(object, i)?;
        if name == key {
            return Some(cut(object, i, end));
        }
        i = blank(object, end);
        if i == object.len() || object[i] != b',' {
            return None;
        }
    }
}

fn hex4(s: &[u8]) -> Option<u32> {
    if s.len() < 4 {
        return None;
    }
    let mut n = 0;
    for i in 0..4 {
        let c = s[i];
        n = n << 4
            | match c {
                b'0'..=b'9' => c - b'0',
                b'a'..=b'f' => c - b'a' + 10,
                b'A'..=b'F' => c - b'A' + 10,
                _ => return None,
            } as u32;
    }
    Some(n)
}

// Decodes into q, which has room for s; a text never grows.
#[inline(never)]
fn decode(s: &[u8], q: &mut [u8]) -> usize {
    let mut n = 0;
    let mut i = 0;
    let mut put = |c: u8| {
        if n < q.len() {
            q[n] = c;
        }
        n += 1;
    };
    while i < s.len() {
        if s[i] != b'\\' || s.len() - i < 2 {
            put(s[i]);
            i += 1;
            continue;
        }
        let code = if s[i + 1] == b'u' { hex4(&s[i + 2..]) } else { None };
        if let Some(mut c) = code {
            i += 6;
            if (0xD800..0xDC00).contains(&c) && s.len() - i >= 6 && s[i] == b'\\' && s[i + 1] == b'u' {
                if let Some(low) = hex4(&s[i + 2..]) {
                    if (0xDC00..0xE000).contains(&low) {
                        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
                        i += 6;
                    }
                }
            }
            let mut four = [0; 4];
            for &b in char::from_u32(c).unwrap_or('\u{FFFD}').encode_utf8(&mut four).as_bytes() {
                put(b);
            }
            continue;
        }
        match s[i + 1] {
            b'"' | b'\\' | b'/' => put(s[i + 1]),
            b'b' => put(8),
            b'f' => put(12),
            b'n' => put(10),
            b'r' => put(13),
            b't' => put(9),
            c => {
                put(b'\\');
                put(c);
            }
        }
        i += 2;
    }
    n
}

// ---- numbers ----

// For what may be more than 64 bits hold.
#[inline(never)]
fn parse_long(digits: &[u8], minus: bool) -> Option<i64> {
    let mut v: u64 = 0;
    for &c in digits {
        let d = c.wrapping_sub(b'0') as u64;
        if d > 9 || v > ((1 << 63) - d) / 10 {
            return None;
        }
        v = v * 10 + d;
    }
    if v > i64::MAX as u64 + minus as u64 {
        return None;
    }
    Some(if minus { v.wrapping_neg() } else { v } as i64)
}

/// Reads digits with at most a minus before them: all of s, and within 64 bits, or
/// it is None.
#[inline(always)]
pub fn parse_int(s: &[u8]) -> Option<i64> {
    let minus = !s.is_empty() && s[0] == b'-';
    let digits = if minus { cut(s, 1, s.len()) } else { s };
    if digits.is_empty() {
        return None;
    }
    if digits.len() > 18 {
        return parse_long(digits, minus);
    }
    let mut v: i64 = 0;
    for &c in digits {
        let d = c.wrapping_sub(b'0');
        if d > 9 {
            return None;
        }
        v = v * 10 + d as i64;
    }
    Some(if minus { -v } else { v })
}

/// Reads a decimal number: all of s, such as -12, .5, 1e-3. None for anything
/// else, and for what is too large for a double.
#[inline(never)]
pub fn parse_float(s: &[u8]) -> Option<f64> {
    for &c in s {
        if !matches!(c, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E') {
            return None;
        }
    }
    let x: f64 = unsafe { core::str::from_utf8_unchecked(s) }.parse().ok()?;
    if x.is_finite() {
        Some(x)
    } else {
        None
    }
}

// ---- times ----

#[inline(always)]
fn digits(s: &[u8]) -> Option<i64> {
    let mut v = 0;
    for &c in s {
        let d = c.wrapping_sub(b'0');
        if d > 9 {
            return None;
        }
        v = v * 10 + d as i64;
    }
    Some(v)
}

fn month(s: &[u8]) -> Option<i64> {
    let names = b"janfebmaraprmayjunjulaugsepoctnovdec";
    for i in 0..12 {
        if (0..3).all(|k| s[k] | 32 == names[3 * i + k]) {
            return Some(i as i64 + 1);
        }
    }
    None
}

fn days_in(y: i64, m: i64) -> i64 {
    match m {
        2 if (y % 4 == 0 && y % 100 != 0) || y % 400 == 0 => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

struct Clock {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    min: i64,
    sec: i64,
}

// Seconds since 1970, or None when there is no such time. A leap second is the
// second after it.
#[inline(never)]
fn seconds(c: &Clock) -> Option<i64> {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    if !(1678..=2261).contains(&c.year) || !(1..=12).contains(&c.month) || c.day < 1 || c.day > days_in(c.year, c.month) {
        return None;
    }
    if c.hour > 23 || c.min > 59 || c.sec > 60 {
        return None;
    }
    let full = c.year - 1;
    let leap = (c.month > 2 && days_in(c.year, 2) == 29) as i64;
    let days = full * 365 + full / 4 - full / 100 + full / 400 - 719162 + BEFORE[c.month as usize - 1] + leap + c.day - 1;
    Some(days * 86400 + c.hour * 3600 + c.min * 60 + c.sec)
}

// Nanoseconds of the digits at the front, of which there is at least one, and what
// follows them.
fn fraction(s: &[u8]) -> Option<(i64, &[u8])> {
    let (mut v, mut unit, mut i) = (0, 100_000_000, 0);
    while i < s.len() && s[i].is_ascii_digit() {
        v += (s[i] - b'0') as i64 * unit;
        unit /= 10;
        i += 1;
    }
    if i == 0 {
        return None;
    }
    Some((v, cut(s, i, s.len())))
}

// Seconds east of UTC: Z, +hh:mm, +hhmm or +hh.
fn zone(s: &[u8]) -> Option<i64> {
    if s.len() == 1 && s[0] | 32 == b'z' {
        return Some(0);
    }
    if s.len() < 3 || (s[0] != b'+' && s[0] != b'-') {
        return None;
    }
    let h = digits(&s[1..3])?;
    let m = match s.len() {
        6 if s[3] == b':' => digits(&s[4..6])?,
        5 => digits(&s[3..5])?,
        3 => 0,
        _ => return None,
    };
    if h > 23 || m > 59 {
        return None;
    }
    Some((h * 3600 + m * 60) * if s[0] == b'-' { -1 } else { 1 })
}

/// Reads 2006-01-02T15:04:05.999999999+07:00, all of s. A blank or t may stand for
/// T, a comma for the point, and without a zone it is UTC. Years 1678 to 2261, as
/// in all functions of this kind; the result is nanoseconds since 1970 UTC.
#[inline(never)]
pub fn time_rfc3339(s: &[u8]) -> Option<i64> {
    if s.len() < 19 || s[4] != b'-' || s[7] != b'-' || (s[10] | 32 != b't' && s[10] != b' ') || s[13] != b':' || s[16] != b':' {
        return None;
    }
    let sec = seconds(&Clock {
        year: digits(&s[0..4])?,
        month: digits(&s[5..7])?,
        day: digits(&s[8..10])?,
        hour: digits(&s[11..13])?,
        min: digits(&s[14..16])?,
        sec: digits(&s[17..19])?,
    })?;
    let mut rest = cut(s, 19, s.len());
    let mut ns = 0;
    if !rest.is_empty() && (rest[0] == b'.' || rest[0] == b',') {
        let (v, after) = fraction(cut(rest, 1, rest.len()))?;
        ns = v;
        rest = after;
    }
    let east = if rest.is_empty() { 0 } else { zone(rest)? };
    Some((sec - east) * 1_000_000_000 + ns)
}

/// Reads 02/Jan/2006:15:04:05 -0700, all of s.
#[inline(never)]
pub fn time_clf(s: &[u8]) -> Option<i64> {
    if s.len() != 26 || s[2] != b'/' || s[6] != b'/' || s[11] != b':' || s[14] != b':' || s[17] != b':' || s[20] != b' ' {
        return None;
    }
    let sec = seconds(&Clock {
        year: digits(&s[7..11])?,
        month: month(&s[3..6])?,
        day: digits(&s[0..2])?,
        hour: digits(&s[12..14])?,
        min: digits(&s[15..17])?,
        sec: digits(&s[18..20])?,
    })?;
    Some((sec - zone(&s[21..26])?) * 1_000_000_000)
}

/// Reads a number of units since 1970, with or without a fraction, all of s;
/// per_second is 1 for seconds, 1000 for milliseconds, 1000000 or 1000000000. Not
/// negative.
#[inline(never)]
pub fn time_epoch(s: &[u8], per_second: i64) -> Option<i64> {
    let unit = 1_000_000_000 / per_second;
    let (mut v, mut i, mut ns): (i64, usize, i64) = (0, 0, 0);
    while i < s.len() && s[i].is_ascii_digit() {
        v = v * 10 + (s[i] - b'0') as i64;
        if v > i64::MAX / 10 - 1 {
            return None;
        }
        i += 1;
    }
    if i == 0 || v > i64::MAX / unit - 1 {
        return None;
    }
    let mut rest = cut(s, i, s.len());
    if !rest.is_empty() && rest[0] == b'.' {
        let (frac, after) = fraction(cut(rest, 1, rest.len()))?;
        ns = frac / per_second;
        rest = after;
    }
    if !rest.is_empty() {
        return None;
    }
    Some(v * unit + ns)
}

/// Reads Jan _2 15:04:05, all of s, as UTC. It has no year: it is the latest such
/// time that is not more than a day after now.
#[inline(never)]
pub fn time_syslog(s: &[u8], now: i64) -> Option<i64> {
    if s.len() != 15 || s[3] != b' ' || s[6] != b' ' || s[9] != b':' || s[12] != b':' {
        return None;
    }
    let mut c = Clock {
        year: 0,
        month: month(&s[0..3])?,
        day: digits(if s[4] == b' ' { &s[5..6] } else { &s[4..6] })?,
        hour: digits(&s[7..9])?,
        min: digits(&s[10..12])?,
        sec: digits(&s[13..15])?,
    };
    let year = 1970 + now / 31_556_952_000_000_000; // a mean year: off by one at most
    for back in 0..12 {
        c.year = year + 2 - back;
        if let Some(sec) = seconds(&c) {
            if sec * 1_000_000_000 <= now + 86_400_000_000_000 {
                return Some(sec * 1_000_000_000);
            }
        }
    }
    None
}

// ---- exports ----

/// A parser that takes lines one by one: see `parser!`.
pub trait Parser: Sized {
    /// Called once, with the configuration.
    fn new(s: &mut Setup) -> Self;
    /// Called for each event.
    fn parse<'a>(&mut self, row: &mut Row<'a>, line: &'a [u8]) -> Status;
}

/// A parser that takes whole batches: see `batch_parser!`.
pub trait BatchParser: Sized {
    /// Called once, with the configuration.
    fn new(s: &mut Setup) -> Self;
    /// Called for each batch. It goes over the events itself: for i below
    /// `count`, `begin` a row, puts, and return when `end` is false. Events without
    /// a row come again, which is how a joiner waits for more; when `is_final`,
    /// leave none.
    fn process<'a>(&mut self, batch: &mut Batch<'a>);
}

#[doc(hidden)]
pub fn alloc(size: usize) -> usize {
    if size > 0x7fff_0000 {
        return 0;
    }
    let old = core::arch::wasm32::memory_grow(0, (size + 65535) / 65536);
    if old == usize::MAX {
        0
    } else {
        old * 65536
    }
}

#[doc(hidden)]
pub unsafe fn init<T>(config: *const u8, len: usize, new: impl FnOnce(&mut Setup) -> T) -> (T, usize) {
    let mut s = Setup {
        config: core::slice::from_raw_parts(config, len),
        schema: Writer { buf: addr_of_mut!(SCHEMA) as *mut u8, len: 0, cap: SCHEMA_BYTES, lost: false },
        counters: Writer { buf: addr_of_mut!(METRICS) as *mut u8, len: 0, cap: 4096, lost: false },
        caps: 0,
        wanted: 0,
        fields: 0,
        metrics: 0,
        kept: 0,
        refused: None,
    };
    let parser = new(&mut s);
    (parser, s.close())
}

#[doc(hidden)]
#[inline(always)]
pub unsafe fn run<T: Parser>(parser: &mut T, batch: usize) -> usize {
    let mut b = Batch::open(batch as *mut Head);
    let mut i = 0;
    while i < b.count {
        let line = b.line(i);
        let mut row = b.begin_one(i);
        let status = parser.parse(&mut row, line);
        if !b.end(row, status) {
            break;
        }
        i += 1;
    }
    b.close()
}

#[doc(hidden)]
#[inline(always)]
pub unsafe fn run_batch<T: BatchParser>(parser: &mut T, batch: usize) -> usize {
    let mut b = Batch::open(batch as *mut Head);
    parser.process(&mut b);
    b.close()
}

#[doc(hidden)]
#[macro_export]
macro_rules! exports {
    ($parser:ty, $kind:path, $run:path) => {
        static mut WT_PARSER: core::mem::MaybeUninit<$parser> = core::mem::MaybeUninit::uninit();

        #[no_mangle]
        pub extern "C" fn wt_abi_1() -> u32 {
            0
        }
        #[no_mangle]
        pub extern "C" fn wt_alloc(size: usize) -> usize {
            $crate::alloc(size)
        }
        #[no_mangle]
        pub unsafe extern "C" fn wt_init(config: *const u8, len: usize) -> usize {
            let (parser, info) = $crate::init(config, len, <$parser as $kind>::new);
            (core::ptr::addr_of_mut!(WT_PARSER) as *mut $parser).write(parser);
            info
        }
        #[no_mangle]
        pub unsafe extern "C" fn wt_process(batch: usize, _len: usize) -> usize {
            $run(&mut *(core::ptr::addr_of_mut!(WT_PARSER) as *mut $parser), batch)
        }
    };
}

/// Makes a module of a `Parser`.
#[macro_export]
macro_rules! parser {
    ($parser:ty) => {
        $crate::exports!($parser, $crate::Parser, $crate::run);
    };
}

/// Makes a module of a `BatchParser`.
#[macro_export]
macro_rules! batch_parser {
    ($parser:ty) => {
        $crate::exports!($parser, $crate::BatchParser, $crate::run_batch);
    };
}
