/* A parser that does what a line asks for: most ask for a row, some for harm. */
#include "wt.h"

enum { TEXT, NUMBER };
static bool join;

__attribute__((export_name("spin"))) void spin(void) {
  volatile int n = 0;
  while (n >= 0) n = 1;
}

static int deep(volatile int *n) { return *n == 0 ? 0 : *n + deep(n) + *n; }

/* Calls without a loop: 2 to the power of n of them. */
static __attribute__((noinline)) uint64_t tree(volatile uint64_t *sum, uint32_t n) {
  *sum += 1;
  if (n == 0) return 1;
  return tree(sum, n - 1) + tree(sum, n - 1);
}

static uint8_t *heap(uint32_t pages) {
  size_t old = __builtin_wasm_memory_grow(0, pages);
  return old == SIZE_MAX ? NULL : (uint8_t *)(old * 65536);
}

static void fill(void) {
  uint8_t *p = heap(16);
  if (!p) __builtin_trap();
  for (volatile int i = 0; i >= 0; i = 1) __builtin_memset(p, 1, 1 << 20);
}

static void setup(wt_setup *s) {
  wt_str text;
  wt_name(s, "guest", "1.0.0");
  wt_field(s, "text", WT_STRING, "the line");
  wt_field(s, "number", WT_INT, "the number after #");
  wt_metric(s, "seen");
  wt_caps(s, WT_CAP_DROP | WT_CAP_SPLIT | WT_CAP_ROUTE | WT_CAP_TIME | WT_CAP_DYNAMIC_KEYS);
  join = wt_config_bool(s, WT_TEXT("join"), false);
  if (join) wt_caps(s, WT_CAP_JOIN);
  if (!wt_config_str(s, WT_TEXT("init"), &text)) return;
  if (wt_is(text, WT_TEXT("trap"))) __builtin_trap();
  if (wt_is(text, WT_TEXT("loop"))) spin();
  if (wt_is(text, WT_TEXT("refuse"))) wt_refuse(s, WT_TEXT("the key init\nis not for you"));
  if (wt_is(text, WT_TEXT("caps"))) wt_caps(s, 1 << 20);
}

static void harm(wt_str line) {
  volatile int n = 1;
  volatile uint64_t sum = 0;
  if (wt_prefix(&line, WT_TEXT("!trap"))) __builtin_trap();
  if (wt_prefix(&line, WT_TEXT("!loop"))) spin();
  if (wt_prefix(&line, WT_TEXT("!deep"))) deep(&n);
  if (wt_prefix(&line, WT_TEXT("!tree"))) tree(&sum, 60);
  if (wt_prefix(&line, WT_TEXT("!fill"))) fill();
  if (wt_prefix(&line, WT_TEXT("!grow"))) for (;;) if (!heap(1)) __builtin_trap();
  if (wt_prefix(&line, WT_TEXT("!leak"))) heap(4);
  if (wt_prefix(&line, WT_TEXT("!wild"))) *(volatile int *)0x7ffffff0 = 1;
}

static wt_status parse(wt_batch *b, wt_row *r, wt_str line, uint32_t i) {
  int64_t n;
  wt_str value;
  wt_counter_add(0, 1);
  if (wt_len(line) && *line.p == '!') {
    harm(line);
    if (wt_prefix(&line, WT_TEXT("!drop"))) return wt_drop(r);
    if (wt_prefix(&line, WT_TEXT("!none"))) return WT_NO_MATCH;
    if (wt_prefix(&line, WT_TEXT("!error"))) return wt_error(r, 7, WT_TEXT("as\tasked"));
    if (wt_prefix(&line, WT_TEXT("!route "))) wt_put_route(r, line);
    if (wt_prefix(&line, WT_TEXT("!time "))) if (wt_time_rfc3339(line, &n)) wt_put_time(r, n);
    if (wt_prefix(&line, WT_TEXT("!severity "))) if (wt_parse_int(line, &n)) wt_put_severity(r, (uint32_t)n);
    if (wt_prefix(&line, WT_TEXT("!body "))) wt_put_body(r, line);
    if (wt_prefix(&line, WT_TEXT("!raw"))) wt_keep_raw(r);
    if (wt_prefix(&line, WT_TEXT("!json "))) { wt_put_json(r, TEXT, line); return WT_OK; }
    if (wt_prefix(&line, WT_TEXT("!made "))) line = wt_join(line, WT_TEXT("!"));
    if (wt_prefix(&line, WT_TEXT("!trace"))) wt_put_trace_id(r, WT_TEXT("0123456789abcdef"));
    if (wt_prefix(&line, WT_TEXT("!float"))) wt_put_float(r, NUMBER, 0.5);
    if (wt_prefix(&line, WT_TEXT("!nan"))) wt_put_float(r, NUMBER, __builtin_nan(""));
    if (wt_prefix(&line, WT_TEXT("!bool"))) wt_put_bool(r, NUMBER, true);
    if (wt_prefix(&line, WT_TEXT("!cut "))) { line.e--; }
    if (wt_prefix(&line, WT_TEXT("!now"))) wt_put_int(r, NUMBER, wt_now());
    if (wt_prefix(&line, WT_TEXT("!log "))) wt_log(WT_WARN, line);
    if (wt_prefix(&line, WT_TEXT("!flags"))) wt_put_int(r, NUMBER, wt_event_flags(b, i));
    if (wt_prefix(&line, WT_TEXT("!stream"))) { wt_put_str(r, TEXT, wt_meta()); return WT_OK; }
    if (wt_prefix(&line, WT_TEXT("!attr "))) wt_span_attr(WT_TEXT("asked"), line);
    if (wt_prefix(&line, WT_TEXT("!lookup "))) { if (!wt_lookup(0, line, &line)) return wt_error(r, 9, WT_TEXT("absent")); }
    if (wt_prefix(&line, WT_TEXT("!key "))) {
      while (wt_until(&line, '=', &value)) {
        wt_put_key(r, value);
        const uint8_t *e = wt_find(line.p, line.e, ' ');
        wt_put_str(r, 0, (wt_str){line.p, e});
        line.p = e < line.e ? e + 1 : e;
      }
      return WT_OK;
    }
  }
  if (wt_len(line) && *line.p == '#') {
    line.p++;
    if (wt_parse_int(line, &n)) wt_put_int(r, NUMBER, n);
    return WT_OK;
  }
  wt_put_str(r, TEXT, line);
  return WT_OK;
}

/* A line that begins with a blank belongs to the one before it, when the
 * configuration says so; one of parts with ; between them becomes as many rows. */
static void process(wt_batch *b) {
  for (uint32_t i = 0; i < wt_count(b);) {
    uint32_t n = 1;
    b->in->mark = i;
    wt_str line = wt_line(b, i);
    while (join && i + n < wt_count(b) && *wt_line(b, i + n).p == ' ') {
      line.e = wt_line(b, i + n).e;
      n++;
    }
    if (join && i + n == wt_count(b) && !wt_final(b)) return;
    if (wt_prefix(&line, WT_TEXT("!fatal"))) {
      wt_fatal(WT_TEXT("as asked"));
      return;
    }
    if (wt_prefix(&line, WT_TEXT("!split "))) {
      wt_str part;
      while (line.p < line.e) {
        if (!wt_until(&line, ';', &part)) { part = line; line.p = line.e; }
        wt_row r = wt_begin(b, i, n);
        wt_put_str(&r, TEXT, part);
        if (wt_is(part, WT_TEXT("drop"))) wt_drop(&r);
        if (!wt_end(b, &r, WT_OK)) return;
      }
    } else {
      wt_row r = wt_begin(b, i, n);
      if (!wt_end(b, &r, parse(b, &r, line, i))) return;
    }
    i += n;
  }
}

WT_BATCH_PARSER(setup, process)
