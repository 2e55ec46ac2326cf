/* The combined format of nginx. The rules are in ../README.md. */
#include "wt.h"

enum { ADDR, USER, TIME, METHOD, URI, PROTOCOL, STATUS, BYTES, REFERER, AGENT };

static void setup(wt_setup *s) {
  wt_name(s, "nginx", "1.0.0");
  wt_field(s, "remote_addr", WT_STRING, "address of the client");
  wt_field(s, "remote_user", WT_STRING, "user of the basic authentication, - for none");
  wt_field(s, "time_local", WT_STRING, "time at which the request ended, as written");
  wt_field(s, "method", WT_STRING, "method of the request");
  wt_field(s, "uri", WT_STRING, "target of the request, as written");
  wt_field(s, "protocol", WT_STRING, "protocol of the request");
  wt_field(s, "status", WT_INT, "status of the response");
  wt_field(s, "body_bytes_sent", WT_INT, "bytes of the response without its head");
  wt_field(s, "referer", WT_STRING, "header Referer, as written, - for none");
  wt_field(s, "user_agent", WT_STRING, "header User-Agent, as written, - for none");
}

/* Fields are put as they are found: those of a line that turns out to be wrong are
 * forgotten. What is wrong inside of the line is told when its shape is known to be
 * right. */
static wt_status parse(wt_row *r, wt_str c) {
  wt_str request;
  int64_t status, sent = 0;
  c = wt_chomp(c);
  if (wt_cut(r, ADDR, &c, ' ') < 1 || !wt_lit(&c, '-') || !wt_lit(&c, ' ')) return WT_NO_MATCH;
  if (wt_cut(r, USER, &c, ' ') < 1 || !wt_lit(&c, '[')) return WT_NO_MATCH;
  if (wt_cut(r, TIME, &c, ']') < 1 || !wt_lit(&c, ' ') || !wt_lit(&c, '"')) return WT_NO_MATCH;

  if (!wt_quoted(&c, &request) || !wt_lit(&c, ' ')) return WT_NO_MATCH;
  bool three = wt_cut(r, METHOD, &request, ' ') > 0 && wt_cut(r, URI, &request, ' ') > 0 && wt_len(request) > 0;
  three = three && wt_find(request.p, request.e, ' ') == request.e;
  wt_put_str(r, PROTOCOL, request);

  if (!wt_cut_int(r, STATUS, &c, ' ', &status)) {
    if (wt_cut(r, STATUS, &c, ' ') < 0) return WT_NO_MATCH;
    status = -1;
  }
  if (!wt_prefix(&c, WT_TEXT("- ")) && !wt_cut_int(r, BYTES, &c, ' ', &sent)) {
    if (wt_cut(r, BYTES, &c, ' ') < 0) return WT_NO_MATCH;
    sent = -1;
  }
  if (!wt_lit(&c, '"')) return WT_NO_MATCH;

  if (wt_cut_quoted(r, REFERER, &c) < 0 || !wt_lit(&c, ' ') || !wt_lit(&c, '"')) return WT_NO_MATCH;
  if (wt_cut_quoted(r, AGENT, &c) < 0 || wt_len(c) > 0) return WT_NO_MATCH;
  if (!three) return wt_error(r, 2, WT_TEXT("request"));
  if (status < 0 || status > 999 || sent < 0) return wt_error(r, 3, WT_TEXT("number"));
  return WT_OK;
}

WT_PARSER(setup, parse)
