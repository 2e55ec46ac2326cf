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

// some is Some(s) unless s is empty.
#[inline(always)]
fn some(s: &[u8]) -> Option<&[u8]> {
    if s.is_empty() {
        None
    } else {
        Some(s)
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
    row.put_str(ADDR, some(c.until(b' ')?)?);
    need(c.lit(b'-') && c.lit(b' '))?;
    row.put_str(USER, some(c.until(b' ')?)?);
    need(c.lit(b'['))?;
    row.put_str(TIME, some(c.until(b']')?)?);
    need(c.lit(b' ') && c.lit(b'"'))?;

    let three = put_request(row, c.quoted()?).is_some();
    need(c.lit(b' '))?;
    let status = wt::parse_int(c.until(b' ')?).unwrap_or(-1);
    row.put_int(STATUS, status);
    let bytes = c.until(b' ')?;
    need(c.lit(b'"'))?;
    let mut sent = 0;
    if bytes != b"-" {
        sent = wt::parse_int(bytes).unwrap_or(-1);
        row.put_int(BYTES, sent);
    }

    row.put_str(REFERER, c.quoted()?);
    need(c.lit(b' ') && c.lit(b'"'))?;
    row.put_str(AGENT, c.quoted()?);
    need(c.is_empty())?;
    if !three {
        return Some(row.error(2, "request"));
    }
    if !(0..=999).contains(&status) || sent < 0 {
        return Some(row.error(3, "number"));
    }
    Some(Status::Ok)
}

// put_request takes the request apart, which must have three parts.
#[inline(always)]
fn put_request<'a>(row: &mut Row<'a>, mut request: &'a [u8]) -> Option<()> {
    row.put_str(METHOD, some(request.until(b' ')?)?);
    row.put_str(URI, some(request.until(b' ')?)?);
    row.put_str(PROTOCOL, some(request)?);
    need(!request.has(b' '))
}

wt::parser!(Nginx);
