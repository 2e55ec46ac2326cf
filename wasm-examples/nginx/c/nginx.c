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

static wt_status parse(wt_row *r, wt_str c) {
  wt_str addr, user, time, request, status, bytes, referer, agent, method, uri;
  c = wt_chomp(c);
  if (!wt_until(&c, ' ', &addr) || addr.p == addr.e || !wt_lit(&c, '-') || !wt_lit(&c, ' ')) return WT_NO_MATCH;
  if (!wt_until(&c, ' ', &user) || user.p == user.e || !wt_lit(&c, '[')) return WT_NO_MATCH;
  if (!wt_until(&c, ']', &time) || time.p == time.e || !wt_lit(&c, ' ') || !wt_lit(&c, '"')) return WT_NO_MATCH;
  if (!wt_quoted(&c, &request) || !wt_lit(&c, ' ')) return WT_NO_MATCH;
  if (!wt_until(&c, ' ', &status) || !wt_until(&c, ' ', &bytes)) return WT_NO_MATCH;
  if (!wt_lit(&c, '"') || !wt_quoted(&c, &referer) || !wt_lit(&c, ' ') || !wt_lit(&c, '"')) return WT_NO_MATCH;
  if (!wt_quoted(&c, &agent) || c.p != c.e) return WT_NO_MATCH;

  bool three = wt_until(&request, ' ', &method) && wt_until(&request, ' ', &uri);
  if (!three || method.p == method.e || uri.p == uri.e || request.p == request.e || wt_find(request.p, request.e, ' ') != request.e)
    return wt_error(r, 2, WT_TEXT("request"));
  int64_t code, sent = 0;
  bool none = wt_is(bytes, WT_TEXT("-"));
  if (!wt_parse_int(status, &code) || code < 0 || code > 999 || (!none && (!wt_parse_int(bytes, &sent) || sent < 0)))
    return wt_error(r, 3, WT_TEXT("number"));

  wt_put_str(r, ADDR, addr);
  wt_put_str(r, USER, user);
  wt_put_str(r, TIME, time);
  wt_put_str(r, METHOD, method);
  wt_put_str(r, URI, uri);
  wt_put_str(r, PROTOCOL, request);
  wt_put_int(r, STATUS, code);
  if (!none) wt_put_int(r, BYTES, sent);
  wt_put_str(r, REFERER, referer);
  wt_put_str(r, AGENT, agent);
  return WT_OK;
}

WT_PARSER(setup, parse)
