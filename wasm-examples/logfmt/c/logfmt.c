/* Lines of key=value pairs. The rules are in ../README.md. */
#include "wt.h"

enum { CODE_QUOTE = 1, CODE_BEHIND_QUOTE = 2, CODE_KEY = 3 };

static wt_str time_key, level_key, message_key; /* empty for none */
static bool numbers;

static wt_str key_of(wt_setup *s, wt_str option, wt_str fallback) {
  wt_str key;
  return wt_config_str(s, option, &key) ? key : fallback;
}

static void setup(wt_setup *s) {
  wt_name(s, "logfmt", "1.0.0");
  wt_caps(s, WT_CAP_DYNAMIC_KEYS | WT_CAP_TIME);
  time_key = key_of(s, WT_TEXT("time"), WT_TEXT("time"));
  level_key = key_of(s, WT_TEXT("level"), WT_TEXT("level"));
  message_key = key_of(s, WT_TEXT("message"), WT_TEXT("msg"));
  numbers = wt_config_bool(s, WT_TEXT("numbers"), false);
}

/* The severity of a level, 0 for none: its first letter decides. */
static uint32_t severity(wt_str level) {
  switch (level.p < level.e ? *level.p | 32 : 0) {
  case 't': return WT_SEV_TRACE;
  case 'd': return WT_SEV_DEBUG;
  case 'i': return WT_SEV_INFO;
  case 'w': return WT_SEV_WARN;
  case 'e': return WT_SEV_ERROR;
  case 'f':
  case 'p': return WT_SEV_FATAL;
  }
  return 0;
}

static void put(wt_row *r, wt_str key, wt_str value, bool was_quoted) {
  int64_t n;
  double x;
  if (wt_is(key, message_key)) {
    wt_put_body(r, value);
    return;
  }
  if (wt_is(key, time_key) && (wt_time_rfc3339(value, &n) || wt_time_epoch(value, 1, &n))) wt_put_time(r, n);
  if (wt_is(key, level_key) && severity(value)) wt_put_severity(r, severity(value));
  wt_put_key(r, key);
  if (!numbers || was_quoted) wt_put_str(r, 0, value);
  else if (wt_parse_int(value, &n)) wt_put_int(r, 0, n);
  else if (wt_parse_float(value, &x)) wt_put_float(r, 0, x);
  else wt_put_str(r, 0, value);
}

static wt_status parse(wt_row *r, wt_str line) {
  bool any = false;
  wt_str c = wt_chomp(line);
  for (;;) {
    while (c.p < c.e && (*c.p == ' ' || *c.p == '\t')) c.p++;
    if (c.p == c.e) return any ? WT_OK : WT_NO_MATCH;
    wt_str key = {c.p, wt_find2(c.p, c.e, '=', ' ')}, value;
    c.p = key.e;
    if (key.p == key.e || wt_find(key.p, key.e, '"') != key.e) return WT_NO_MATCH;
    if (wt_len(key) > 256) return wt_error(r, CODE_KEY, WT_TEXT("key too long"));
    if (!wt_lit(&c, '=')) { /* a word without a value is a flag */
      wt_put_key(r, key);
      wt_put_bool(r, 0, true);
      continue;
    }
    any = true;
    if (wt_lit(&c, '"')) {
      if (!wt_quoted(&c, &value)) return wt_error(r, CODE_QUOTE, WT_TEXT("quote without an end"));
      if (c.p < c.e && *c.p != ' ' && *c.p != '\t') return wt_error(r, CODE_BEHIND_QUOTE, WT_TEXT("no blank behind a quote"));
      put(r, key, wt_unescape(value), true);
      continue;
    }
    value = (wt_str){c.p, wt_find2(c.p, c.e, ' ', '\t')};
    c.p = value.e;
    put(r, key, value, false);
  }
}

WT_PARSER(setup, parse)
