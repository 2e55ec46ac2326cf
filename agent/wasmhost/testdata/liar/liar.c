/* A parser that lies at random: in the result, in rows, in fields, in the
 * progress word; that writes over its input, traps, loops and recurses. In
 * between it parses. */
#include "wt.h"

static uint64_t seed;
static uint32_t rnd(void) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(seed >> 33);
}

static void setup(wt_setup *s) {
  wt_name(s, "liar", "1.0.0");
  wt_field(s, "text", WT_STRING, "the line");
  wt_caps(s, WT_CAP_DROP | WT_CAP_SPLIT | WT_CAP_TIME | WT_CAP_DYNAMIC_KEYS);
  seed = (uint64_t)wt_config_int(s, WT_TEXT("seed"), 1);
  if (wt_config_bool(s, WT_TEXT("join"), false)) wt_caps(s, WT_CAP_JOIN);
}

static int deep(volatile int *n) { return *n == 0 ? 0 : *n + deep(n) + *n; }

static void harm(wt_batch *b) {
  volatile int n = 1;
  switch (rnd() % 40) {
    case 0: __builtin_trap();
    case 1: for (;;) n = 1;
    case 2: deep(&n); break;
    case 3: b->in->mark = rnd(); break;
    case 4: b->in->mark = rnd() % (b->count + 2); __builtin_trap();
    case 5: __builtin_memset((uint8_t *)b->in + 64, (int)rnd(), b->in->length); break;
    case 6: *(volatile int *)(uintptr_t)(0xfffffff0u - rnd() % 99) = 1; break;
    default: break;
  }
}

static void lie(wt_batch *b, void *out) {
  uint32_t *r = out;
  switch (rnd() % 24) {
    case 0: r[rnd() % 8] = rnd(); break;
    case 1: r[2] += rnd() % 5; break;
    case 2: r[3] += rnd() % 5; break;
    case 3: r[5] = rnd() % (r[5] + 9); break;
    case 4: r[4] = 0xffffff00u + rnd() % 256; break;
    case 5: if (b->out > wt__table) wt__table[rnd() % (uint32_t)(b->out - wt__table)] = rnd(); break;
    case 6: if (b->out > wt__table) wt__table[rnd() % (uint32_t)(b->out - wt__table)] ^= 1u << rnd() % 32; break;
    case 7: r[1] = rnd() % 2 ? 1 : 3; break; /* 2 would be the end */
    default: break;
  }
}

WT__INIT(setup)
WT__EXPORT(wt_process) void *wt_process(void *batch, uint32_t len) {
  (void)len;
  wt_batch b = wt__open((wt__head *)batch);
  seed += b.in->seq * 977 + (uint64_t)b.in->now;
  for (uint32_t i = 0; i < b.count; i++) {
    if (rnd() % 200 == 0) harm(&b);
    wt_row r = wt_begin(&b, i, 1);
    wt_put_str(&r, 0, wt_line(&b, i));
    if (rnd() % 64 == 0) wt_put_key(&r, WT_TEXT("k")), wt_put_str(&r, 0, wt_line(&b, i));
    if (!wt_end(&b, &r, rnd() % 50 ? WT_OK : WT_ERROR)) break;
  }
  void *out = wt__close(&b);
  lie(&b, out);
  return rnd() % 100 ? out : (void *)(uintptr_t)rnd();
}
