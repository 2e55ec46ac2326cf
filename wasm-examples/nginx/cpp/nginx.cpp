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

  // Fields are put as they are found: those of a line that turns out to be wrong
  // are forgotten. What is wrong inside of the line is told when its shape is known
  // to be right.
  wt::Status parse(wt::Row &row, wt::Str line) {
    wt::Str c = line.chomp(), request;
    int64_t status, sent = 0;
    if (row.cut(ADDR, c, ' ') < 1 || !c.lit('-') || !c.lit(' ')) return wt::NO_MATCH;
    if (row.cut(USER, c, ' ') < 1 || !c.lit('[')) return wt::NO_MATCH;
    if (row.cut(TIME, c, ']') < 1 || !c.lit(' ') || !c.lit('"')) return wt::NO_MATCH;

    if (!c.quoted(request) || !c.lit(' ')) return wt::NO_MATCH;
    bool three = row.cut(METHOD, request, ' ') > 0 && row.cut(URI, request, ' ') > 0 && !request.empty();
    three = three && !request.has(' ');
    row.put_str(PROTOCOL, request);

    if (!row.cut_int(STATUS, c, ' ', status)) {
      if (row.cut(STATUS, c, ' ') < 0) return wt::NO_MATCH;
      status = -1;
    }
    if (!c.prefix("- ") && !row.cut_int(BYTES, c, ' ', sent)) {
      if (row.cut(BYTES, c, ' ') < 0) return wt::NO_MATCH;
      sent = -1;
    }
    if (!c.lit('"')) return wt::NO_MATCH;

    if (row.cut_quoted(REFERER, c) < 0 || !c.lit(' ') || !c.lit('"')) return wt::NO_MATCH;
    if (row.cut_quoted(AGENT, c) < 0 || !c.empty()) return wt::NO_MATCH;
    if (!three) return row.error(2, "request");
    if (status < 0 || status > 999 || sent < 0) return row.error(3, "number");
    return wt::OK;
  }
};

WT_PARSER(Nginx)
