// The combined format of nginx. The rules are in ../README.md.
#![no_std]
use wt::{Kind, Row, Setup, Status, Text};

const ADDR: u32 = 0;
const USER: u32 = 1;
const TIME: u32 = 2;
const METHOD: u32 = 3;
const URI: u32 = 4;
const PROTOCOL: u32 = 5;
const STATUS: u32 = 6;
const BYTES: u32 = 7;
const REFERER: u32 = 8;
const AGENT: u32 = 9;

struct Nginx;

impl wt::Parser for Nginx {
    fn new(s: &mut Setup) -> Self {
        s.name("nginx", "1.0.0");
        s.field("remote_addr", Kind::Str, "address of the client");
        s.field("remote_user", Kind::Str, "user of the basic authentication, - for none");
        s.field("time_local", Kind::Str, "time at which the request ended, as written");
        s.field("method", Kind::Str, "method of the request");
        s.field("uri", Kind::Str, "target of the request, as written");
        s.field("protocol", Kind::Str, "protocol of the request");
        s.field("status", Kind::Int, "status of the response");
        s.field("body_bytes_sent", Kind::Int, "bytes of the response without its head");
        s.field("referer", Kind::Str, "header Referer, as written, - for none");
        s.field("user_agent", Kind::Str, "header User-Agent, as written, - for none");
        Nginx
    }

    fn parse<'a>(&mut self, row: &mut Row<'a>, line: &'a [u8]) -> Status {
        match read(row, line) {
            Some(status) => status,
            None => Status::NoMatch,
        }
    }
}

// need is Some when the condition holds.
#[inline(always)]
fn need(condition: bool) -> Option<()> {
    if condition {
        Some(())
    } else {
        None
    }
}

// read puts fields as it finds them: those of a line that turns out to be wrong are
// forgotten. What is wrong inside of the line is told when its shape is known to be
// right. None is for a line of another shape.
#[inline(always)]
fn read<'a>(row: &mut Row<'a>, line: &'a [u8]) -> Option<Status> {
    let mut c = line.chomp();
    need(row.cut(ADDR, &mut c, b' ')? > 0 && c.lit(b'-') && c.lit(b' '))?;
    need(row.cut(USER, &mut c, b' ')? > 0 && c.lit(b'['))?;
    need(row.cut(TIME, &mut c, b']')? > 0 && c.lit(b' ') && c.lit(b'"'))?;

    let three = put_request(row, c.quoted()?).is_some();
    need(c.lit(b' '))?;
    let status = put_number(row, STATUS, &mut c)?;
    let sent = if c.prefix(b"- ") { 0 } else { put_number(row, BYTES, &mut c)? };
    need(c.lit(b'"'))?;

    row.cut_quoted(REFERER, &mut c)?;
    need(c.lit(b' ') && c.lit(b'"'))?;
    row.cut_quoted(AGENT, &mut c)?;
    need(c.is_empty())?;
    if !three {
        return Some(row.error(2, "request"));
    }
    if !(0..=999).contains(&status) || sent < 0 {
        return Some(row.error(3, "number"));
    }
    Some(Status::Ok)
}

// put_number puts what is before the next blank, and returns -1 if it is no number.
#[inline(always)]
fn put_number<'a>(row: &mut Row<'a>, id: u32, c: &mut &'a [u8]) -> Option<i64> {
    match row.cut_int(id, c, b' ') {
        Some(n) => Some(n),
        None => c.until(b' ').map(|_| -1),
    }
}

// put_request takes the request apart, which must have three parts.
#[inline(always)]
fn put_request<'a>(row: &mut Row<'a>, mut request: &'a [u8]) -> Option<()> {
    need(row.cut(METHOD, &mut request, b' ')? > 0 && row.cut(URI, &mut request, b' ')? > 0)?;
    row.put_str(PROTOCOL, request);
    need(!request.is_empty() && !request.has(b' '))
}

wt::parser!(Nginx);
