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

function parse(line: Str): Status {
  open(chomp(line));
  const addr = until(BLANK);
  if (empty(addr) || !lit(DASH) || !lit(BLANK)) return NO_MATCH;
  const user = until(BLANK);
  if (empty(user) || !lit(OPEN)) return NO_MATCH;
  const time = until(CLOSE);
  if (empty(time) || !lit(BLANK) || !lit(QUOTE)) return NO_MATCH;
  const request = quoted();
  if (none(request) || !lit(BLANK)) return NO_MATCH;
  const status = until(BLANK);
  if (none(status)) return NO_MATCH;
  const bytes = until(BLANK);
  if (none(bytes) || !lit(QUOTE)) return NO_MATCH;
  const referer = quoted();
  if (none(referer) || !lit(BLANK) || !lit(QUOTE)) return NO_MATCH;
  const agent = quoted();
  if (none(agent) || !done()) return NO_MATCH;

  open(request);
  const method = until(BLANK);
  if (empty(method)) return error(2, REQUEST);
  const uri = until(BLANK);
  const protocol = rest();
  if (empty(uri) || empty(protocol) || has(protocol, BLANK)) return error(2, REQUEST);
  if (!parse_int(status) || int_value < 0 || int_value > 999) return error(3, NUMBER);
  const code = int_value;
  const dash = is_byte(bytes, DASH);
  if (!dash && (!parse_int(bytes) || int_value < 0)) return error(3, NUMBER);

  put_str(ADDR, addr);
  put_str(USER, user);
  put_str(TIME, time);
  put_str(METHOD, method);
  put_str(URI, uri);
  put_str(PROTOCOL, protocol);
  put_int(STATUS, code);
  if (!dash) put_int(BYTES, int_value);
  put_str(REFERER, referer);
  put_str(AGENT, agent);
  return OK;
}

export { wt_abi_1, wt_alloc } from "./wt";
export function wt_init(config: usize, len: u32): usize {
  return init(config, len, setup);
}
export function wt_process(batch: usize, len: u32): usize {
  return process(batch, parse);
}
