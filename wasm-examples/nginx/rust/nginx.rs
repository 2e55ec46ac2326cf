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
        match split(line) {
            Some(parts) => put(row, parts),
            None => Status::NoMatch,
        }
    }
}

struct Parts<'a> {
    addr: &'a [u8],
    user: &'a [u8],
    time: &'a [u8],
    request: &'a [u8],
    status: &'a [u8],
    bytes: &'a [u8],
    referer: &'a [u8],
    agent: &'a [u8],
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

#[inline(always)]
fn split(line: &[u8]) -> Option<Parts> {
    let mut c = line.chomp();
    let addr = some(c.until(b' ')?)?;
    need(c.lit(b'-') && c.lit(b' '))?;
    let user = some(c.until(b' ')?)?;
    need(c.lit(b'['))?;
    let time = some(c.until(b']')?)?;
    need(c.lit(b' ') && c.lit(b'"'))?;
    let request = c.quoted()?;
    need(c.lit(b' '))?;
    let status = c.until(b' ')?;
    let bytes = c.until(b' ')?;
    need(c.lit(b'"'))?;
    let referer = c.quoted()?;
    need(c.lit(b' ') && c.lit(b'"'))?;
    let agent = c.quoted()?;
    need(c.is_empty())?;
    Some(Parts { addr, user, time, request, status, bytes, referer, agent })
}

// three takes the request apart.
#[inline(always)]
fn three(mut request: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let method = some(request.until(b' ')?)?;
    let uri = some(request.until(b' ')?)?;
    need(!request.is_empty() && !request.has(b' '))?;
    Some((method, uri, request))
}

#[inline(always)]
fn put<'a>(row: &mut Row<'a>, p: Parts<'a>) -> Status {
    let (method, uri, protocol) = match three(p.request) {
        Some(parts) => parts,
        None => return row.error(2, "request"),
    };
    let none = p.bytes == b"-";
    let sent = if none { Some(0) } else { wt::parse_int(p.bytes) };
    let (status, sent) = match (wt::parse_int(p.status), sent) {
        (Some(status), Some(sent)) if (0..=999).contains(&status) && sent >= 0 => (status, sent),
        _ => return row.error(3, "number"),
    };
    row.put_str(ADDR, p.addr);
    row.put_str(USER, p.user);
    row.put_str(TIME, p.time);
    row.put_str(METHOD, method);
    row.put_str(URI, uri);
    row.put_str(PROTOCOL, protocol);
    row.put_int(STATUS, status);
    if !none {
        row.put_int(BYTES, sent);
    }
    row.put_str(REFERER, p.referer);
    row.put_str(AGENT, p.agent);
    Status::Ok
}

wt::parser!(Nginx);
