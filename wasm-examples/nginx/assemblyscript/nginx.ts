// The combined format of nginx. The rules are in ../README.md.
import {
  INT, NO_MATCH, OK, STRING, Status, Str,
  chomp, cut, cut_int, cut_quoted, cut_rest, done, error, field, has, init, int_value, lit, name, none, open, prefix, process, quoted, rest, text, until,
} from "./wt";

const ADDR: u32 = 0, USER: u32 = 1, TIME: u32 = 2, METHOD: u32 = 3, URI: u32 = 4;
const PROTOCOL: u32 = 5, STATUS: u32 = 6, BYTES: u32 = 7, REFERER: u32 = 8, AGENT: u32 = 9;

const BLANK: u8 = 0x20, QUOTE: u8 = 0x22, DASH: u8 = 0x2d, OPEN: u8 = 0x5b, CLOSE: u8 = 0x5d;

const REQUEST = text("request");
const NUMBER = text("number");
const NOTHING = text("- ");

function setup(): void {
  name("nginx", "1.0.0");
  field("remote_addr", STRING, "address of the client");
  field("remote_user", STRING, "user of the basic authentication, - for none");
  field("time_local", STRING, "time at which the request ended, as written");
  field("method", STRING, "method of the request");
  field("uri", STRING, "target of the request, as written");
  field("protocol", STRING, "protocol of the request");
  field("status", INT, "status of the response");
  field("body_bytes_sent", INT, "bytes of the response without its head");
  field("referer", STRING, "header Referer, as written, - for none");
  field("user_agent", STRING, "header User-Agent, as written, - for none");
}

// Puts the parts of the request, of which there must be three.
// @ts-ignore: decorator
@inline
function put_request(request: Str): bool {
  const behind = rest();
  open(request);
  let three = cut(METHOD, BLANK) > 0 && cut(URI, BLANK) > 0;
  three = three && !has(rest(), BLANK) && cut_rest(PROTOCOL) > 0;
  open(behind);
  return three;
}

// Fields are put as they are found: those of a line that turns out to be wrong are
// forgotten. What is wrong inside of the line is told when its shape is known to be
// right.
function parse(line: Str): Status {
  open(chomp(line));
  if (cut(ADDR, BLANK) < 1 || !lit(DASH) || !lit(BLANK)) return NO_MATCH;
  if (cut(USER, BLANK) < 1 || !lit(OPEN)) return NO_MATCH;
  if (cut(TIME, CLOSE) < 1 || !lit(BLANK) || !lit(QUOTE)) return NO_MATCH;

  const request = quoted();
  if (none(request) || !lit(BLANK)) return NO_MATCH;
  const three = put_request(request);
  let status: i64 = -1, sent: i64 = 0;
  if (cut_int(STATUS, BLANK)) status = int_value;
  else if (none(until(BLANK))) return NO_MATCH;
  if (!prefix(NOTHING)) {
    if (cut_int(BYTES, BLANK)) sent = int_value;
    else if (none(until(BLANK))) return NO_MATCH;
    else sent = -1;
  }
  if (!lit(QUOTE)) return NO_MATCH;

  if (cut_quoted(REFERER) < 0 || !lit(BLANK) || !lit(QUOTE)) return NO_MATCH;
  if (cut_quoted(AGENT) < 0 || !done()) return NO_MATCH;
  if (!three) return error(2, REQUEST);
  if (status < 0 || status > 999 || sent < 0) return error(3, NUMBER);
  return OK;
}

export { wt_abi_1, wt_alloc } from "./wt";
export function wt_init(config: usize, len: u32): usize {
  return init(config, len, setup);
}
export function wt_process(batch: usize, len: u32): usize {
  return process(batch, parse);
}
