// The combined format of nginx. The rules are in ../README.md.
import {
  INT, NO_MATCH, OK, STRING, Status, Str,
  chomp, done, empty, error, field, has, init, int_value, is_byte, lit, name, none, open, parse_int, process, put_int, put_str, quoted, rest, text, until,
} from "./wt";

const ADDR: u32 = 0, USER: u32 = 1, TIME: u32 = 2, METHOD: u32 = 3, URI: u32 = 4;
const PROTOCOL: u32 = 5, STATUS: u32 = 6, BYTES: u32 = 7, REFERER: u32 = 8, AGENT: u32 = 9;

const BLANK: u8 = 0x20, QUOTE: u8 = 0x22, DASH: u8 = 0x2d, OPEN: u8 = 0x5b, CLOSE: u8 = 0x5d;

const REQUEST = text("request");
const NUMBER = text("number");

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

// Takes the request apart, which must have three parts.
function put_request(request: Str): bool {
  const behind = rest();
  open(request);
  const method = until(BLANK), uri = until(BLANK), protocol = rest();
  open(behind);
  if (empty(method) || empty(uri) || empty(protocol) || has(protocol, BLANK)) return false;
  put_str(METHOD, method);
  put_str(URI, uri);
  put_str(PROTOCOL, protocol);
  return true;
}

// Fields are put as they are found: those of a line that turns out to be wrong are
// forgotten. What is wrong inside of the line is told when its shape is known to be
// right.
function parse(line: Str): Status {
  open(chomp(line));
  let s = until(BLANK);
  if (empty(s) || !lit(DASH) || !lit(BLANK)) return NO_MATCH;
  put_str(ADDR, s);
  s = until(BLANK);
  if (empty(s) || !lit(OPEN)) return NO_MATCH;
  put_str(USER, s);
  s = until(CLOSE);
  if (empty(s) || !lit(BLANK) || !lit(QUOTE)) return NO_MATCH;
  put_str(TIME, s);

  s = quoted();
  if (none(s) || !lit(BLANK)) return NO_MATCH;
  const three = put_request(s);
  s = until(BLANK);
  if (none(s)) return NO_MATCH;
  let numbers = parse_int(s) && int_value >= 0 && int_value <= 999;
  put_int(STATUS, int_value);
  s = until(BLANK);
  if (none(s) || !lit(QUOTE)) return NO_MATCH;
  if (!is_byte(s, DASH)) {
    numbers = parse_int(s) && int_value >= 0 && numbers;
    put_int(BYTES, int_value);
  }

  s = quoted();
  if (none(s) || !lit(BLANK) || !lit(QUOTE)) return NO_MATCH;
  put_str(REFERER, s);
  s = quoted();
  if (none(s) || !done()) return NO_MATCH;
  put_str(AGENT, s);
  if (!three) return error(2, REQUEST);
  if (!numbers) return error(3, NUMBER);
  return OK;
}

export { wt_abi_1, wt_alloc } from "./wt";
export function wt_init(config: usize, len: u32): usize {
  return init(config, len, setup);
}
export function wt_process(batch: usize, len: u32): usize {
  return process(batch, parse);
}
