// Masks e-mail addresses and card numbers, and names clients. The rules are in
// ../README.md.
#![no_std]
use wt::{Kind, Row, Setup, Status, Text};

const CLIENT_IP: u32 = 0;
const CLIENT_NAME: u32 = 1;
const MASKED: u32 = 2;

const CLIENTS: u32 = 0; // the first table of the configuration

const EMAIL_MASK: &[u8] = b"[email]";
const CARD_MASK: &[u8] = b"[card]";

struct Pii {
    emails: bool,
    cards: bool,
    emails_masked: u32,
    cards_masked: u32,
}

fn is_word(c: u8) -> bool {
    c.is_ascii_alphanumeric()
}

// What may stand before the @ of an address.
fn is_local(c: u8) -> bool {
    is_word(c) || matches!(c, b'.' | b'_' | b'%' | b'+' | b'-')
}

// The end of an address whose @ is at i, if a domain follows.
fn email_end(s: &[u8], i: usize) -> Option<usize> {
    let mut end = i + 1;
    while end < s.len() && (is_word(s[end]) || s[end] == b'.' || s[end] == b'-') {
        end += 1;
    }
    while end > i + 1 && !is_word(s[end - 1]) {
        end -= 1;
    }
    let mut dot = end;
    while dot > i + 1 && s[dot - 1] != b'.' {
        dot -= 1;
    }
    let last = &s[dot..end];
    if dot > i + 2 && last.len() >= 2 && last.iter().all(u8::is_ascii_alphabetic) {
        Some(end)
    } else {
        None
    }
}

// The end of a card number that begins at i: 13 to 19 digits, with at most one
// blank or dash between two, and a check digit that is right.
fn card_end(s: &[u8], i: usize) -> Option<usize> {
    let mut digits = [0u8; 19];
    let mut n = 0;
    let mut k = i;
    let mut end = i;
    while k < s.len() {
        if s[k].is_ascii_digit() {
            if n == digits.len() {
                return None;
            }
            digits[n] = s[k] - b'0';
            n += 1;
            k += 1;
            end = k;
        } else if (s[k] == b' ' || s[k] == b'-') && k + 1 < s.len() && s[k + 1].is_ascii_digit() {
            k += 1;
        } else {
            break;
        }
    }
    if n < 13 || (end < s.len() && is_word(s[end])) {
        return None;
    }
    let mut sum = 0;
    for (back, &d) in digits[..n].iter().rev().enumerate() {
        let d = d as u32;
        sum += match back % 2 {
            0 => d,
            _ if d > 4 => 2 * d - 9,
            _ => 2 * d,
        };
    }
    if sum % 10 == 0 {
        Some(end)
    } else {
        None
    }
}

// The end of an IPv4 address that begins at i.
fn ip_end(s: &[u8], i: usize) -> Option<usize> {
    let mut k = i;
    for part in 0..4 {
        if part > 0 {
            if k == s.len() || s[k] != b'.' {
                return None;
            }
            k += 1;
        }
        let from = k;
        let mut n = 0;
        while k < s.len() && s[k].is_ascii_digit() && k - from < 3 {
            n = n * 10 + (s[k] - b'0') as u32;
            k += 1;
        }
        if k == from || n > 255 {
            return None;
        }
    }
    let more = k < s.len() && (is_word(s[k]) || (s[k] == b'.' && k + 1 < s.len() && s[k + 1].is_ascii_digit()));
    if more {
        None
    } else {
        Some(k)
    }
}

// The body under construction: what is copied of the line, with masks in between.
struct Body<'a> {
    line: &'a [u8],
    copied: usize,
    out: Option<&'a mut [u8]>,
    used: usize,
}

impl<'a> Body<'a> {
    fn append(&mut self, s: &[u8]) {
        if let Some(out) = &mut self.out {
            out[self.used..self.used + s.len()].copy_from_slice(s);
            self.used += s.len();
        }
    }

    fn mask(&mut self, row: &Row<'a>, from: usize, to: usize, mask: &[u8]) {
        if self.out.is_none() {
            // An address has 6 bytes at least and its mask 7; a card number shrinks.
            self.out = row.arena(self.line.len() + self.line.len() / 6);
        }
        let line = self.line;
        self.append(&line[self.copied..from]);
        self.append(mask);
        self.copied = to;
    }

    fn finish(mut self, row: &Row<'a>) -> &'a [u8] {
        let line = self.line;
        self.append(&line[self.copied..]);
        match self.out {
            Some(out) => row.shrink(out, self.used),
            None => line,
        }
    }
}

impl wt::Parser for Pii {
    fn new(s: &mut Setup) -> Self {
        s.name("pii", "1.0.0");
        s.field("client_ip", Kind::Str, "the first IPv4 address of the line");
        s.field("client_name", Kind::Str, "its name in the table of clients");
        s.field("masked", Kind::Int, "how many things were masked, if any");
        Pii {
            emails: s.config_bool(b"emails", true),
            cards: s.config_bool(b"cards", true),
            emails_masked: s.metric("emails_masked"),
            cards_masked: s.metric("cards_masked"),
        }
    }

    fn parse<'a>(&mut self, row: &mut Row<'a>, line: &'a [u8]) -> Status {
        let s = line.chomp();
        let mut body = Body { line: s, copied: 0, out: None, used: 0 };
        let (mut emails, mut cards) = (0, 0);
        let mut ip: Option<&'a [u8]> = None;
        let mut i = 0;
        while i < s.len() {
            if !is_local(s[i]) {
                i += 1;
                continue;
            }
            let mut run = i;
            while run < s.len() && is_local(s[run]) {
                run += 1;
            }
            if run < s.len() && s[run] == b'@' {
                if let Some(end) = email_end(s, run) {
                    if self.emails {
                        body.mask(row, i, end, EMAIL_MASK);
                        emails += 1;
                    }
                    i = end;
                    continue;
                }
            }
            while i < run {
                if !s[i].is_ascii_digit() || (i > 0 && is_word(s[i - 1])) {
                    i += 1;
                    continue;
                }
                if let (true, Some(end)) = (self.cards, card_end(s, i)) {
                    body.mask(row, i, end, CARD_MASK);
                    cards += 1;
                    i = end;
                    continue;
                }
                if ip.is_none() && (i == 0 || s[i - 1] != b'.') {
                    ip = ip_end(s, i).map(|end| &s[i..end]);
                }
                i += 1;
            }
        }
        let content = body.finish(row); // before anything else needs the arena
        if let Some(ip) = ip {
            row.put_str(CLIENT_IP, ip);
            if let Some(name) = row.lookup(CLIENTS, ip) {
                row.put_str(CLIENT_NAME, name);
            }
        }
        if emails + cards > 0 {
            row.put_int(MASKED, emails + cards);
        }
        if emails > 0 {
            wt::counter_add(self.emails_masked, emails);
        }
        if cards > 0 {
            wt::counter_add(self.cards_masked, cards);
        }
        row.put_body(content);
        Status::Ok
    }
}

wt::parser!(Pii);
