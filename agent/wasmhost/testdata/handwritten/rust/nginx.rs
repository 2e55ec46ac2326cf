// The combined format of nginx, written by hand against ABI 1: the peer of the same
// parser with the SDK. The rules are in wasm-examples/nginx/README.md.
#![no_std]
use core::arch::wasm32::{memory_grow, u8x16_bitmask, u8x16_eq, u8x16_splat, v128, v128_load};
use core::ptr::{addr_of, addr_of_mut};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

#[repr(C)]
struct Event {
    off: usize,
    len: usize,
    flags: u32,
    unused: u32,
    time: i64,
}

#[repr(C)]
pub struct Batch {
    size: u32,
    flags: u32,
    count: u32,
    events: *const Event,
    data: *const u8,
    length: u32,
    max_out: u32,
    mark: u32,
}

#[repr(C)]
pub struct Answer {
    size: u32,
    status: u32,
    consumed: u32,
    rows: u32,
    table: *const u32,
    length: u32,
    msg: u32,
    msg_len: u32,
}

#[repr(C)]
pub struct Info {
    size: u32,
    caps: u32,
    status: u32,
    schema: *const u8,
    schema_len: usize,
    msg: u32,
    msg_len: u32,
    wanted: u32,
}

const SCHEMA: &str = concat!(
    r#"{"name":"nginx","version":"1.0.0","fields":["#,
    r#"{"name":"remote_addr","type":"string"},{"name":"remote_user","type":"string"},{"name":"time_local","type":"string"},"#,
    r#"{"name":"method","type":"string"},{"name":"uri","type":"string"},{"name":"protocol","type":"string"},"#,
    r#"{"name":"status","type":"int"},{"name":"body_bytes_sent","type":"int"},"#,
    r#"{"name":"referer","type":"string"},{"name":"user_agent","type":"string"}]}"#
);

const ADDR: u32 = 0;
const USER: u32 = 1;
const TIME: u32 = 2;
const METHOD: u32 = 3;
const URI: u32 = 4;
const PROTOCOL: u32 = 5;
const STATUS: u32 = 6 | INT;
const BYTES: u32 = 7 | INT;
const REFERER: u32 = 8;
const AGENT: u32 = 9;
const WHY: u32 = 0xF007;
const INT: u32 = 1 << 16;

const TABLE_WORDS: usize = 128 << 10;
const ROW_WORDS: usize = 4 + 10 * 3;

static mut TABLE: [u32; TABLE_WORDS] = [0; TABLE_WORDS];
static mut ANSWER: Answer = Answer { size: 32, status: 0, consumed: 0, rows: 0, table: core::ptr::null(), length: 0, msg: 0, msg_len: 0 };
static mut INFO: Info = Info { size: 32, caps: 0, status: 0, schema: core::ptr::null(), schema_len: 0, msg: 0, msg_len: 0, wanted: 0 };

// Cursor is what is left of a line: the bytes from p up to e.
#[derive(Clone, Copy)]
struct Cursor {
    p: *const u8,
    e: *const u8,
}

#[inline(always)]
fn distance(p: *const u8, e: *const u8) -> usize {
    e as usize - p as usize
}

impl Cursor {
    // The first c, or the end. There are always 16 bytes of memory before the end.
    #[inline(always)]
    unsafe fn find(self, c: u8) -> *const u8 {
        let want = u8x16_splat(c);
        let is = |at: *const u8| u8x16_bitmask(u8x16_eq(v128_load(at as *const v128), want)) as u32;
        let mut p = self.p;
        while distance(p, self.e) >= 16 {
            let m = is(p);
            if m != 0 {
                return p.add(m.trailing_zeros() as usize);
            }
            p = p.add(16);
        }
        let m = is(self.e.wrapping_sub(16)) >> (16 - distance(p, self.e));
        if m != 0 {
            p.add(m.trailing_zeros() as usize)
        } else {
            self.e
        }
    }

    // The first quote without a backslash before it, or the end.
    #[inline(always)]
    unsafe fn find_quote(self) -> *const u8 {
        let f = self.find(b'"');
        if f > self.p && *f.sub(1) == b'\\' {
            return self.find_unescaped();
        }
        f
    }

    #[inline(never)]
    unsafe fn find_unescaped(self) -> *const u8 {
        let mut f = self.p;
        while f < self.e && *f != b'"' {
            f = f.add(if *f == b'\\' { 2 } else { 1 });
        }
        f.min(self.e)
    }

    // What is before f, behind which text must follow.
    #[inline(always)]
    unsafe fn cut(&mut self, f: *const u8, text: &[u8]) -> Option<Cursor> {
        if distance(f, self.e) < text.len() {
            return None;
        }
        for i in 0..text.len() {
            if *f.add(i) != text[i] {
                return None;
            }
        }
        let part = Cursor { p: self.p, e: f };
        self.p = f.add(text.len());
        Some(part)
    }

    #[inline(always)]
    unsafe fn cut_some(&mut self, f: *const u8, text: &[u8]) -> Option<Cursor> {
        if f == self.p {
            return None;
        }
        self.cut(f, text)
    }

    // Digits with at most a minus before them, at least 0, or -1.
    #[inline(always)]
    unsafe fn number(self) -> i64 {
        let mut p = self.p;
        if p == self.e || distance(p, self.e) > 18 || *p == b'-' {
            return self.long_number();
        }
        let mut n = 0;
        while p < self.e {
            let d = (*p).wrapping_sub(b'0');
            if d > 9 {
                return -1;
            }
            n = n * 10 + d as i64;
            p = p.add(1);
        }
        n
    }

    #[inline(never)]
    unsafe fn long_number(self) -> i64 {
        let text = core::slice::from_raw_parts(self.p, distance(self.p, self.e));
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let mut n: i64 = 0;
        for c in digits {
            let d = c.wrapping_sub(b'0');
            match n.checked_mul(10).and_then(|n| n.checked_add(d as i64)) {
                Some(more) if d <= 9 => n = more,
                _ => return -1,
            }
        }
        if digits.is_empty() || n > 0 && digits.len() < text.len() {
            -1
        } else {
            n
        }
    }
}

// Fields is where the next field goes. A row has room for all ten.
struct Fields(*mut u32);

impl Fields {
    #[inline(always)]
    unsafe fn put(&mut self, id: u32, a: u32, b: u32) {
        *self.0 = id;
        *self.0.add(1) = a;
        *self.0.add(2) = b;
        self.0 = self.0.add(3);
    }
    #[inline(always)]
    unsafe fn text(&mut self, id: u32, s: Cursor) {
        self.put(id, s.p as u32, distance(s.p, s.e) as u32);
    }
    #[inline(always)]
    unsafe fn int(&mut self, id: u32, n: i64) {
        self.put(id, n as u32, (n >> 32) as u32);
    }
}

// Puts the fields of a line; None is for a line of another shape, Err for one with
// something wrong in it.
#[inline(always)]
unsafe fn parse(f: &mut Fields, mut c: Cursor) -> Option<Result<(), (u32, &'static str)>> {
    if c.p < c.e && *c.e.sub(1) == b'\r' {
        c.e = c.e.sub(1);
    }
    f.text(ADDR, c.cut_some(c.find(b' '), b" - ")?);
    f.text(USER, c.cut_some(c.find(b' '), b" [")?);
    f.text(TIME, c.cut_some(c.find(b']'), b"] \"")?);
    let three = request(f, c.cut(c.find_quote(), b"\" ")?).is_some();

    let status = c.cut(c.find(b' '), b" ")?.number();
    f.int(STATUS, status);
    let bytes = c.cut(c.find(b' '), b" \"")?;
    let mut sent = 0;
    if distance(bytes.p, bytes.e) != 1 || *bytes.p != b'-' {
        sent = bytes.number();
        f.int(BYTES, sent);
    }

    f.text(REFERER, c.cut(c.find_quote(), b"\" \"")?);
    f.text(AGENT, c.cut(c.find_quote(), b"\"")?);
    if c.p != c.e {
        return None;
    }
    Some(if !three {
        Err((2, "request"))
    } else if !(0..=999).contains(&status) || sent < 0 {
        Err((3, "number"))
    } else {
        Ok(())
    })
}

#[inline(always)]
unsafe fn request(f: &mut Fields, mut s: Cursor) -> Option<()> {
    f.text(METHOD, s.cut_some(s.find(b' '), b" ")?);
    f.text(URI, s.cut_some(s.find(b' '), b" ")?);
    f.text(PROTOCOL, s);
    if s.p == s.e || s.find(b' ') != s.e {
        return None;
    }
    Some(())
}

#[no_mangle]
pub extern "C" fn wt_abi_1() -> u32 {
    0
}

#[no_mangle]
pub extern "C" fn wt_alloc(size: usize) -> usize {
    match memory_grow::<0>(size / 65536 + 1) {
        usize::MAX => 0,
        pages => pages * 65536,
    }
}

#[no_mangle]
pub unsafe extern "C" fn wt_init(_: *const u8, _: usize) -> *const Info {
    INFO.schema = SCHEMA.as_ptr();
    INFO.schema_len = SCHEMA.len();
    addr_of!(INFO)
}

#[no_mangle]
pub unsafe extern "C" fn wt_process(batch: *mut Batch, _: usize) -> *const Answer {
    let (count, events, data) = ((*batch).count, (*batch).events, (*batch).data);
    let table = addr_of_mut!(TABLE) as *mut u32;
    let last = table.add(TABLE_WORDS - ROW_WORDS);
    let (mut row, mut i) = (table, 0);
    while i < count && row <= last {
        addr_of_mut!((*batch).mark).write_volatile(i);
        let e = &*events.add(i as usize);
        let first = row.add(4);
        let mut f = Fields(first);
        let p = data.add(e.off);
        let status = match parse(&mut f, Cursor { p, e: p.add(e.len) }) {
            Some(Ok(())) => 0,
            Some(Err((code, why))) => {
                f = Fields(first);
                f.put(WHY, why.as_ptr() as u32, why.len() as u32);
                2 | code << 16
            }
            None => {
                f = Fields(first);
                1
            }
        };
        let fields = (f.0 as usize - first as usize) as u32 / 12;
        *row = i;
        *row.add(1) = 1 | fields << 16;
        *row.add(2) = status;
        *row.add(3) = 0;
        row = f.0;
        i += 1;
    }
    ANSWER.consumed = i;
    ANSWER.rows = i;
    ANSWER.table = table;
    ANSWER.length = (row as usize - table as usize) as u32;
    addr_of!(ANSWER)
}
