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

// The index of the first c. There are always 16 bytes of memory before the end.
#[inline(always)]
fn find(s: &[u8], c: u8) -> Option<usize> {
    let want = u8x16_splat(c);
    let is = |at: *const u8| unsafe { u8x16_bitmask(u8x16_eq(v128_load(at as *const v128), want)) as u32 };
    let (begin, n) = (s.as_ptr(), s.len());
    let mut i = 0;
    while n - i >= 16 {
        let m = is(unsafe { begin.add(i) });
        if m != 0 {
            return Some(i + m.trailing_zeros() as usize);
        }
        i += 16;
    }
    let m = is((begin as usize + n - 16) as *const u8) >> (16 - (n - i));
    if m != 0 {
        Some(i + m.trailing_zeros() as usize)
    } else {
        None
    }
}

// The index of the first quote without a backslash before it.
#[inline(always)]
fn find_quote(s: &[u8]) -> Option<usize> {
    let i = find(s, b'"')?;
    if i > 0 && s[i - 1] == b'\\' {
        return find_unescaped(s);
    }
    Some(i)
}

#[inline(never)]
fn find_unescaped(s: &[u8]) -> Option<usize> {
    let mut i = 0;
    while i < s.len() && s[i] != b'"' {
        i += if s[i] == b'\\' { 2 } else { 1 };
    }
    if i < s.len() {
        Some(i)
    } else {
        None
    }
}

// What is before index i, behind which text must follow.
#[inline(always)]
fn cut<'a>(s: &mut &'a [u8], i: usize, text: &[u8]) -> Option<&'a [u8]> {
    let (part, rest) = s.split_at(i);
    *s = rest.strip_prefix(text)?;
    Some(part)
}

#[inline(always)]
fn cut_some<'a>(s: &mut &'a [u8], i: usize, text: &[u8]) -> Option<&'a [u8]> {
    cut(s, i, text).filter(|part| !part.is_empty())
}

// Digits with at most a minus before them, at least 0.
#[inline(always)]
fn number(s: &[u8]) -> Option<i64> {
    if s.is_empty() || s.len() > 18 || s[0] == b'-' {
        return long_number(s);
    }
    let mut n = 0;
    for c in s {
        let d = c.wrapping_sub(b'0');
        if d > 9 {
            return None;
        }
        n = n * 10 + d as i64;
    }
    Some(n)
}

#[inline(never)]
fn long_number(s: &[u8]) -> Option<i64> {
    let digits = s.strip_prefix(b"-").unwrap_or(s);
    if digits.is_empty() {
        return None;
    }
    let mut n: i64 = 0;
    for c in digits {
        let d = c.wrapping_sub(b'0');
        if d > 9 {
            return None;
        }
        n = n.checked_mul(10)?.checked_add(d as i64)?;
    }
    if n > 0 && digits.len() < s.len() {
        None
    } else {
        Some(n)
    }
}

// Fields is where the next field goes. A row has room for all ten.
struct Fields(*mut u32);

impl Fields {
    #[inline(always)]
    fn put(&mut self, id: u32, a: u32, b: u32) {
        unsafe {
            *self.0 = id;
            *self.0.add(1) = a;
            *self.0.add(2) = b;
            self.0 = self.0.add(3);
        }
    }
    #[inline(always)]
    fn text(&mut self, id: u32, s: &[u8]) {
        self.put(id, s.as_ptr() as u32, s.len() as u32);
    }
    #[inline(always)]
    fn int(&mut self, id: u32, n: i64) {
        self.put(id, n as u32, (n >> 32) as u32);
    }
}

// Puts the fields of a line; None is for a line of another shape, Err for one with
// something wrong in it.
#[inline(always)]
fn parse(f: &mut Fields, line: &[u8]) -> Option<Result<(), (u32, &'static str)>> {
    let mut c = line.strip_suffix(b"\r").unwrap_or(line);
    let i = find(c, b' ')?;
    f.text(ADDR, cut_some(&mut c, i, b" - ")?);
    let i = find(c, b' ')?;
    f.text(USER, cut_some(&mut c, i, b" [")?);
    let i = find(c, b']')?;
    f.text(TIME, cut_some(&mut c, i, b"] \"")?);

    let i = find_quote(c)?;
    let three = request(f, cut(&mut c, i, b"\" ")?).is_some();

    let i = find(c, b' ')?;
    let status = number(cut(&mut c, i, b" ")?).unwrap_or(-1);
    f.int(STATUS, status);
    let i = find(c, b' ')?;
    let mut sent = 0;
    let bytes = cut(&mut c, i, b" \"")?;
    if bytes != b"-" {
        sent = number(bytes).unwrap_or(-1);
        f.int(BYTES, sent);
    }

    let i = find_quote(c)?;
    f.text(REFERER, cut(&mut c, i, b"\" \"")?);
    let i = find_quote(c)?;
    f.text(AGENT, cut(&mut c, i, b"\"")?);
    if !c.is_empty() {
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
fn request(f: &mut Fields, mut s: &[u8]) -> Option<()> {
    let i = find(s, b' ')?;
    f.text(METHOD, cut_some(&mut s, i, b" ")?);
    let i = find(s, b' ')?;
    f.text(URI, cut_some(&mut s, i, b" ")?);
    f.text(PROTOCOL, s);
    if s.is_empty() || find(s, b' ').is_some() {
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
        let status = match parse(&mut f, core::slice::from_raw_parts(data.add(e.off), e.len)) {
            Some(Ok(())) => 0,
            Some(Err((code, why))) => {
                f = Fields(first);
                f.text(WHY, why.as_bytes());
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
