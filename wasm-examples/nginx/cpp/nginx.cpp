// The combined format of nginx. The rules are in ../README.md.
#include "wt.hpp"

enum { ADDR, USER, TIME, METHOD, URI, PROTOCOL, STATUS, BYTES, REFERER, AGENT };

struct Nginx {
  explicit Nginx(wt::Setup &s) {
    s.name("nginx", "1.0.0");
    s.field("remote_addr", wt::STRING, "address of the client");
    s.field("remote_user", wt::STRING, "user of the basic authentication, - for none");
    s.field("time_local", wt::STRING, "time at which the request ended, as written");
    s.field("method", wt::STRING, "method of the request");
    s.field("uri", wt::STRING, "target of the request, as written");
    s.field("protocol", wt::STRING, "protocol of the request");
    s.field("status", wt::INT, "status of the response");
    s.field("body_bytes_sent", wt::INT, "bytes of the response without its head");
    s.field("referer", wt::STRING, "header Referer, as written, - for none");
    s.field("user_agent", wt::STRING, "header User-Agent, as written, - for none");
  }

  wt::Status parse(wt::Row &row, wt::Str line) {
    wt::Str c = line.chomp(), addr, user, time, request, status, bytes, referer, agent, method, uri;
    if (!c.until(' ', addr) || addr.empty() || !c.lit('-') || !c.lit(' ')) return wt::NO_MATCH;
    if (!c.until(' ', user) || user.empty() || !c.lit('[')) return wt::NO_MATCH;
    if (!c.until(']', time) || time.empty() || !c.lit(' ') || !c.lit('"')) return wt::NO_MATCH;
    if (!c.quoted(request) || !c.lit(' ')) return wt::NO_MATCH;
    if (!c.until(' ', status) || !c.until(' ', bytes)) return wt::NO_MATCH;
    if (!c.lit('"') || !c.quoted(referer) || !c.lit(' ') || !c.lit('"')) return wt::NO_MATCH;
    if (!c.quoted(agent) || !c.empty()) return wt::NO_MATCH;

    bool three = request.until(' ', method) && request.until(' ', uri);
    if (!three || method.empty() || uri.empty() || request.empty() || request.has(' ')) return row.error(2, "request");
    int64_t code, sent = 0;
    bool none = bytes == "-";
    if (!wt::parse_int(status, code) || code < 0 || code > 999 || (!none && (!wt::parse_int(bytes, sent) || sent < 0)))
      return row.error(3, "number");

    row.put_str(ADDR, addr);
    row.put_str(USER, user);
    row.put_str(TIME, time);
    row.put_str(METHOD, method);
    row.put_str(URI, uri);
    row.put_str(PROTOCOL, request);
    row.put_int(STATUS, code);
    if (!none) row.put_int(BYTES, sent);
    row.put_str(REFERER, referer);
    row.put_str(AGENT, agent);
    return wt::OK;
  }
};

WT_PARSER(Nginx)
