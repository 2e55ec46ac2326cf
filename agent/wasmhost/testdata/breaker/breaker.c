/* A parser that breaks the rule that its configuration names under "break", and
 * keeps the others. What a configuration cannot change is chosen by macros. */
#include "wt.h"

enum { TEXT, NUMBER };
static wt_str broken;
static uint8_t made[16];

#ifdef BREAK_IMPORTS
__attribute__((import_module("env"), import_name("now"))) int now(void);
#endif

#define BREAKS(rule) wt_is(broken, WT_TEXT(rule))

static void setup(wt_setup *s) {
  wt_config_str(s, WT_TEXT("break"), &broken);
  wt_name(s, "breaker", BREAKS("schema") ? "" : "1.0.0");
  wt_field(s, "text", WT_STRING, "the line");
  wt_field(s, "number", WT_INT, "what should not be there");
  if (BREAKS("start")) __builtin_trap();
  if (BREAKS("capabilities")) wt_caps(s, WT_CAP_DROP);
#ifdef BREAK_CONFIG
  if (*s->config.p == '[') __builtin_trap();
#endif
#ifdef BREAK_IMPORTS
  now();
#endif
}

static void harm(wt_batch *b, wt_row *r, wt_str line) {
  if (BREAKS("whole") && b->in->seq == 0 && b->count == 24) wt_put_int(r, 9, 1);
  if (BREAKS("lines") && b->count == 1) wt_put_int(r, NUMBER, 1);
  if (BREAKS("splits") && b->count == 3) wt_put_int(r, NUMBER, 1);
  if (BREAKS("instance") && b->in->seq == 0 && b->count == 1) wt_put_int(r, NUMBER, 1);
  if (BREAKS("retry") && b->in->flags & 2) wt_put_int(r, NUMBER, 1);
  if (BREAKS("flags") && b->in->flags > 7) wt_put_int(r, NUMBER, 1);
  if (BREAKS("progress")) b->in->mark = UINT32_MAX;
  if (BREAKS("room")) wt__room = 1 << 30, wt_put_str(r, TEXT, (wt_str){made, made + sizeof made});
  if (BREAKS("many") && b->count > 5000) wt_put_int(r, NUMBER, 1);
  if (BREAKS("empty") && b->count == 3 && wt_len(line) == 0) __builtin_trap();
  if (BREAKS("long") && wt_len(line) >= 1 << 20) __builtin_trap();
  if (BREAKS("bytes") && wt_len(line) && line.p[wt_len(line) - 1] == 0xff) __builtin_trap();
}

#ifdef BREAK_EXPORTS
__attribute__((used)) static void process(wt_batch *b);
#endif
static void process(wt_batch *b) {
  uint32_t n = wt_count(b);
  if (BREAKS("final") && wt_final(b) && n > 1) n--;
  if (BREAKS("memory") && b->in->seq % 100 == 0) __builtin_wasm_memory_grow(0, 1);
  for (uint32_t i = 0; i < n; i++) {
    wt_row r = wt_begin(b, i, 1);
    wt_str line = wt_line(b, i);
    if (!BREAKS("room")) wt_put_str(&r, TEXT, line);
    harm(b, &r, line);
    if (!wt_end(b, &r, WT_OK)) return;
  }
}

#ifdef BREAK_EXPORTS
WT__INIT(setup)
#else
WT_BATCH_PARSER(setup, process)
#endif
