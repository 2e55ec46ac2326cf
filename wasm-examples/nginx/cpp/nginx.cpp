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
    wt::Str c = line.chomp(), s, request;
    int64_t n = 0;
    if (!c.until(' ', s) || s.empty() || !c.lit('-') || !c.lit(' ')) return wt::NO_MATCH;
    row.put_str(ADDR, s);
    if (!c.until(' ', s) || s.empty() || !c.lit('[')) return wt::NO_MATCH;
    row.put_str(USER, s);
    if (!c.until(']', s) || s.empty() || !c.lit(' ') || !c.lit('"')) return wt::NO_MATCH;
    row.put_str(TIME, s);

    if (!c.quoted(request) || !c.lit(' ')) return wt::NO_MATCH;
    bool three = request.until(' ', s) && !s.empty();
    row.put_str(METHOD, s);
    three = three && request.until(' ', s) && !s.empty();
    row.put_str(URI, s);
    three = three && !request.empty() && !request.has(' ');
    row.put_str(PROTOCOL, request);

    if (!c.until(' ', s)) return wt::NO_MATCH;
    bool numbers = wt::parse_int(s, n) && n >= 0 && n <= 999;
    row.put_int(STATUS, n);
    if (!c.until(' ', s) || !c.lit('"')) return wt::NO_MATCH;
    if (s != "-") {
      numbers = wt::parse_int(s, n) && n >= 0 && numbers;
      row.put_int(BYTES, n);
    }

    if (!c.quoted(s) || !c.lit(' ') || !c.lit('"')) return wt::NO_MATCH;
    row.put_str(REFERER, s);
    if (!c.quoted(s) || !c.empty()) return wt::NO_MATCH;
    row.put_str(AGENT, s);
    if (!three) return row.error(2, "request");
    if (!numbers) return row.error(3, "number");
    return wt::OK;
  }
};

WT_PARSER(Nginx)
