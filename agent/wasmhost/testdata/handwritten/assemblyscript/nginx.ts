// The combined format of nginx, written by hand against ABI 1: the peer of the same
// parser with the SDK. The rules are in wasm-examples/nginx/README.md.
const ADDR: u32 = 0, USER: u32 = 1, TIME: u32 = 2, METHOD: u32 = 3, URI: u32 = 4, PROTOCOL: u32 = 5;
const INT: u32 = 1 << 16, STATUS: u32 = 6 | INT, BYTES: u32 = 7 | INT, REFERER: u32 = 8, AGENT: u32 = 9, WHY: u32 = 0xf007;

const BLANK: u8 = 0x20, QUOTE: u8 = 0x22, DASH: u8 = 0x2d, OPEN: u8 = 0x5b, BACKSLASH: u8 = 0x5c, CLOSE: u8 = 0x5d;

const TABLE_BYTES: usize = 524288, ROW_BYTES: usize = 16 + 10 * 12;
const TABLE: usize = memory.data(524288, 16);
const RESULT: usize = memory.data(32, 8);
const INFO: usize = memory.data(32, 8);
const SCHEMA: usize = memory.data(1024);

const schema =
  '{"name":"nginx","version":"1.0.0","fields":[' +
  '{"name":"remote_addr","type":"string"},{"name":"remote_user","type":"string"},{"name":"time_local","type":"string"},' +
  '{"name":"method","type":"string"},{"name":"uri","type":"string"},{"name":"protocol","type":"string"},' +
  '{"name":"status","type":"int"},{"name":"body_bytes_sent","type":"int"},' +
  '{"name":"referer","type":"string"},{"name":"user_agent","type":"string"}]}';
const WRONG: usize = memory.data<u8>([0x72, 0x65, 0x71, 0x75, 0x65, 0x73, 0x74, 0x6e, 0x75, 0x6d, 0x62, 0x65, 0x72]); // requestnumber

// The first c from p up to e, or e. There are always 16 bytes of memory before e.
// @ts-ignore: decorator
@inline
function find(p: usize, e: usize, c: u8): usize {
  const want = i8x16.splat(<i8>c);
  for (; e - p >= 16; p += 16) {
    const m = i8x16.bitmask(i8x16.eq(v128.load(p), want));
    if (m) return p + <usize>ctz(m);
  }
  const m = <u32>i8x16.bitmask(i8x16.eq(v128.load(e - 16), want)) >> (16 - <u32>(e - p));
  return m ? p + <usize>ctz(m) : e;
}

// The first quote without a backslash before it, or e.
// @ts-ignore: decorator
@inline
function find_quote(p: usize, e: usize): usize {
  const f = find(p, e, QUOTE);
  return f > p && load<u8>(f - 1) == BACKSLASH ? find_unescaped(p, e) : f;
}
function find_unescaped(p: usize, e: usize): usize {
  for (; p < e && load<u8>(p) != QUOTE; p++) if (load<u8>(p) == BACKSLASH) p++;
  return min(p, e);
}

// @ts-ignore: decorator
@inline
function put(at: usize, id: u32, a: u32, b: u32): usize {
  store<u32>(at, id);
  store<u32>(at, a, 4);
  store<u32>(at, b, 8);
  return at + 12;
}
// @ts-ignore: decorator
@inline
function put_text(at: usize, id: u32, p: usize, e: usize): usize {
  return put(at, id, <u32>p, <u32>(e - p));
}

// All of p up to e, at least 0, or -1.
// @ts-ignore: decorator
@inline
function number(p: usize, e: usize): i64 {
  if (p == e || e - p > 18 || load<u8>(p) == DASH) return long_number(p, e);
  let n: i64 = 0;
  for (; p < e; p++) {
    const d = <u32>load<u8>(p) - 0x30;
    if (d > 9) return -1;
    n = n * 10 + d;
  }
  return n;
}
function long_number(p: usize, e: usize): i64 {
  const minus = p < e && load<u8>(p) == DASH;
  if (minus) p++;
  if (p == e) return -1;
  let n: u64 = 0;
  for (; p < e; p++) {
    const d = <u64>load<u8>(p) - 0x30;
    if (d > 9 || n > (<u64>i64.MAX_VALUE - d) / 10) return -1;
    n = n * 10 + d;
  }
  return minus && n ? -1 : <i64>n;
}

// @ts-ignore: decorator
@inline
function head(row: usize, fields: u32, status: u32): void {
  store<u32>(row, 1 | fields << 16, 4);
  store<u32>(row, status, 8);
  store<u32>(row, 0, 12);
}

function wrong(row: usize, code: u32, p: usize, n: usize): usize {
  head(row, 1, 2 | code << 16);
  return put_text(row + 16, WHY, p, p + n);
}

// Writes the row of a line behind its first word and returns where it ends.
// @ts-ignore: decorator
@inline
function parse(row: usize, p: usize, e: usize): usize {
  let o = row + 16;
  head(row, 0, 1);
  if (e > p && load<u8>(e - 1) == 0x0d) e--;
  let f = find(p, e, BLANK);
  if (f == p || e - f < 3 || load<u8>(f, 1) != DASH || load<u8>(f, 2) != BLANK) return row + 16;
  o = put_text(o, ADDR, p, f);
  p = f + 3;
  f = find(p, e, BLANK);
  if (f == p || e - f < 2 || load<u8>(f, 1) != OPEN) return row + 16;
  o = put_text(o, USER, p, f);
  p = f + 2;
  f = find(p, e, CLOSE);
  if (f == p || e - f < 3 || load<u8>(f, 1) != BLANK || load<u8>(f, 2) != QUOTE) return row + 16;
  o = put_text(o, TIME, p, f);

  p = f + 3;
  const end = find_quote(p, e);
  if (e - end < 2 || load<u8>(end, 1) != BLANK) return row + 16;
  const uri = find(p, end, BLANK), protocol = uri == end ? end : find(uri + 1, end, BLANK);
  const three = uri > p && protocol > uri + 1 && protocol + 1 < end && find(protocol + 1, end, BLANK) == end;
  o = put_text(o, METHOD, p, uri);
  o = put_text(o, URI, uri + 1, protocol);
  o = put_text(o, PROTOCOL, protocol + 1, end);

  p = end + 2;
  f = find(p, e, BLANK);
  if (f == e) return row + 16;
  const status = number(p, f);
  o = put(o, STATUS, <u32>status, 0);
  p = f + 1;
  f = find(p, e, BLANK);
  if (e - f < 2 || load<u8>(f, 1) != QUOTE) return row + 16;
  let sent: i64 = 0;
  if (f - p != 1 || load<u8>(p) != DASH) {
    sent = number(p, f);
    o = put(o, BYTES, <u32>sent, <u32>(sent >> 32));
  }

  p = f + 2;
  f = find_quote(p, e);
  if (e - f < 3 || load<u8>(f, 1) != BLANK || load<u8>(f, 2) != QUOTE) return row + 16;
  o = put_text(o, REFERER, p, f);
  p = f + 3;
  f = find_quote(p, e);
  if (e - f != 1) return row + 16;
  o = put_text(o, AGENT, p, f);
  if (!three) return wrong(row, 2, WRONG, 7);
  if (status < 0 || status > 999 || sent < 0) return wrong(row, 3, WRONG + 7, 6);
  head(row, <u32>(o - row - 16) / 12, 0);
  return o;
}

export function wt_abi_1(): u32 {
  return 0;
}

export function wt_alloc(size: u32): usize {
  const old = memory.grow(<i32>((<u64>size + 65535) >> 16));
  return old < 0 ? 0 : <usize>old << 16;
}

export function wt_init(config: usize, len: u32): usize {
  store<u32>(INFO, 32);
  store<u32>(INFO, <u32>SCHEMA, 12);
  store<u32>(INFO, <u32>String.UTF8.encodeUnsafe(changetype<usize>(schema), schema.length, SCHEMA), 16);
  return INFO;
}

export function wt_process(batch: usize, len: u32): usize {
  const count = load<u32>(batch, 8), data = <usize>load<u32>(batch, 16);
  let event = <usize>load<u32>(batch, 12), row = TABLE, i: u32 = 0;
  for (; i < count && row <= TABLE + TABLE_BYTES - ROW_BYTES; i++) {
    store<u32>(batch, i, 28);
    const p = data + load<u32>(event);
    store<u32>(row, i);
    row = parse(row, p, p + load<u32>(event, 4));
    event += 24;
  }
  store<u32>(RESULT, 32);
  store<u32>(RESULT, i, 8);
  store<u32>(RESULT, i, 12);
  store<u32>(RESULT, <u32>TABLE, 16);
  store<u32>(RESULT, <u32>(row - TABLE), 20);
  return RESULT;
}
