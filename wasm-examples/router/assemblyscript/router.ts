// Sends lines to the log store for their kind. The rules are in ../README.md.
import {
  CAP_DROP, CAP_ROUTE, CAP_TIME, NO_MATCH, OK, SEV_DEBUG, SEV_ERROR, SEV_FATAL, SEV_INFO, SEV_TRACE, SEV_WARN, STRING, Status, Str,
  begin_of, caps, chomp, config_bool, config_str, drop, empty, end_of, field, find, init, is, json_get, name, none, open, process,
  put_body, put_route, put_severity, put_str, put_time, rest, size, str, text, time_epoch, time_rfc3339, time_value, trim, unescape, until,
} from "./wt";

const LEVEL: u32 = 0;

const TIME_KEY = text("time"), LEVEL_KEY = text("level"), MSG_KEY = text("msg"), MESSAGE_KEY = text("message"), AUDIT_KEY = text("audit"), TRUE = text("true");

let health: Str = 0, errors: Str = 0, audit: Str = 0;

function setting(key: string, fallback: string): Str {
  const v = config_str(text(key));
  return none(v) ? text(fallback) : v;
}

function setup(): void {
  name("router", "1.0.0");
  caps(CAP_DROP | CAP_ROUTE | CAP_TIME);
  field("level", STRING, "the level, as written");
  if (config_bool(text("drop_health"), false)) health = setting("health", "/healthz");
  errors = setting("errors", "errors");
  audit = setting("audit", "audit");
}

// The severity of a level, 0 for anything else. The first four letters and the
// length tell the levels apart, in either case.
function severity_of(level: Str): u32 {
  const n = size(level), p = begin_of(level);
  if (n < 3 || n > 8) return 0;
  const tail = n == 3 ? 0 : <u32>load<u8>(p, 3) | 32;
  const four = (<u32>load<u8>(p) | 32) << 24 | (<u32>load<u8>(p, 1) | 32) << 16 | (<u32>load<u8>(p, 2) | 32) << 8 | tail;
  switch (four) {
    case 0x74726163: return n == 5 ? SEV_TRACE : 0; // trace
    case 0x64656275: return n == 5 ? SEV_DEBUG : 0; // debug
    case 0x696e666f: return n == 4 ? SEV_INFO : 0; // info
    case 0x6e6f7469: return n == 6 ? SEV_INFO + 1 : 0; // notice
    case 0x7761726e: return n == 4 || n == 7 ? SEV_WARN : 0; // warn, warning
    case 0x65727200: return SEV_ERROR; // err
    case 0x6572726f: return n == 5 ? SEV_ERROR : 0; // error
    case 0x63726974: return n == 4 || n == 8 ? SEV_FATAL : 0; // crit, critical
    case 0x66617461: return n == 5 ? SEV_FATAL : 0; // fatal
    case 0x70616e69: return n == 5 ? SEV_FATAL : 0; // panic
  }
  return 0;
}

// True when s has the bytes of what somewhere.
function contains(s: Str, what: Str): bool {
  if (empty(what)) return false;
  const n = size(what), e = end_of(s);
  const first = load<u8>(begin_of(what));
  for (let p = begin_of(s); p + n <= e; p++) {
    p = find(p, e, first);
    if (p + n > e) return false;
    if (is(str(p, p + n), what)) return true;
  }
  return false;
}

// The inside of a JSON text, and other values as they stand.
function plain(v: Str): Str {
  if (empty(v) || load<u8>(begin_of(v)) != 0x22) return v;
  return unescape(str(begin_of(v) + 1, end_of(v) - 1));
}

// What is left of a word of a level without brackets and a colon.
function bare(word: Str): Str {
  let p = begin_of(word), e = end_of(word);
  if (p < e && load<u8>(e - 1) == 0x3a) e--;
  if (p < e && load<u8>(p) == 0x5b && load<u8>(e - 1) == 0x5d) return p + 1 < e ? str(p + 1, e - 1) : str(p, p);
  return str(p, e);
}

// Puts what both formats have.
function finish(level: Str, severity: u32, body: Str, audited: bool): Status {
  if (severity < SEV_ERROR && contains(body, health)) return drop();
  put_str(LEVEL, level);
  put_severity(severity);
  put_body(body);
  if (audited && !empty(audit)) put_route(audit);
  else if (severity >= SEV_ERROR && !empty(errors)) put_route(errors);
  return OK;
}

function parse_json(line: Str): Status {
  const level = plain(json_get(line, LEVEL_KEY));
  const severity = severity_of(level);
  let message = json_get(line, MSG_KEY);
  if (none(message)) message = json_get(line, MESSAGE_KEY);
  if (!severity || none(message)) return NO_MATCH;
  const time = plain(json_get(line, TIME_KEY));
  if (!none(time) && (time_rfc3339(time) || time_epoch(time, 1))) put_time(time_value);
  const marked = json_get(line, AUDIT_KEY);
  return finish(level, severity, plain(message), !none(marked) && is(marked, TRUE));
}

function next_word(): Str {
  const word = until(0x20);
  return none(word) ? rest() : word;
}

function parse(line: Str): Status {
  line = trim(chomp(line));
  if (empty(line)) return NO_MATCH;
  if (load<u8>(begin_of(line)) == 0x7b) return parse_json(line);
  open(line);
  let word = next_word();
  const timed = time_rfc3339(word);
  const time = time_value;
  if (timed) word = next_word();
  const level = bare(word);
  const severity = severity_of(level);
  if (!severity || end_of(word) == end_of(line)) return NO_MATCH;
  if (timed) put_time(time);
  const body = trim(rest());
  return finish(level, severity, body, contains(body, AUDIT_KEY));
}

export { wt_abi_1, wt_alloc } from "./wt";
export function wt_init(config: usize, len: u32): usize {
  return init(config, len, setup);
}
export function wt_process(batch: usize, len: u32): usize {
  return process(batch, parse);
}
