// Java log lines with the lines of their stack traces. The rules are in ../README.md.
#include "wt.hpp"

enum { TIME, LEVEL, THREAD, LOGGER, MESSAGE, EXCEPTION, STACK };

// Head is what the first line of a record says. Texts are parts of the line.
struct Head {
  wt::Str time, level, thread, logger, message;
  int64_t ns = 0;
  uint32_t severity = 0;
};

// level_of is the severity that a level stands for, 0 for what is none.
static uint32_t level_of(wt::Str s) {
  static const struct { wt::Str name; uint32_t severity; } levels[] = {
    {"INFO", wt::SEV_INFO}, {"ERROR", wt::SEV_ERROR}, {"WARN", wt::SEV_WARN}, {"DEBUG", wt::SEV_DEBUG}, {"TRACE", wt::SEV_TRACE},
    {"FATAL", wt::SEV_FATAL}, {"WARNING", wt::SEV_WARN}, {"SEVERE", wt::SEV_ERROR}, {"CONFIG", wt::SEV_DEBUG}, {"FINE", wt::SEV_DEBUG},
    {"FINER", wt::SEV_TRACE}, {"FINEST", wt::SEV_TRACE},
  };
  for (const auto &l : levels) if (s == l.name) return l.severity;
  return 0;
}

static bool is_digit(uint8_t c) { return (uint32_t)c - '0' < 10; }

// skip_blanks is false when there is none.
static bool skip_blanks(wt::Str &s) {
  const uint8_t *p = s.p;
  while (s.p < s.e && *s.p == ' ') s.p++;
  return s.p > p;
}

// word takes the bytes up to the next blank or the end; it may be empty.
static wt::Str word(wt::Str &s) {
  const uint8_t *p = s.p;
  s.p = wt::find(s.p, s.e, ' ');
  return wt::Str(p, s.p);
}

// head_time reads date and time, which a blank or a T parts.
static bool head_time(wt::Str &s, Head &h) {
  if (s.size() < 19 || !is_digit(s.p[0]) || s.p[4] != '-') return false;
  wt::Str rest = s, day = word(rest);
  if (day.size() == 10) {
    rest.p++;
    word(rest);
  }
  h.time = wt::Str(s.p, rest.p);
  s = rest;
  return wt::time_rfc3339(h.time, h.ns);
}

// head_thread takes a thread in brackets; its name may have brackets in pairs.
static bool head_thread(wt::Str &s, Head &h) {
  uint32_t open = 0;
  for (const uint8_t *p = s.p; p < s.e; p++) {
    if (*p == '[') open++;
    if (*p == ']' && --open == 0) {
      h.thread = wt::Str(s.p + 1, p).trim();
      s.p = p + 1;
      return true;
    }
  }
  return false;
}

// head_process steps over the number of the process and three dashes, if they are
// there.
static void head_process(wt::Str &s) {
  wt::Str rest = s, number = word(rest);
  for (const uint8_t *p = number.p; p < number.e; p++) if (!is_digit(*p)) return;
  if (skip_blanks(rest) && rest.prefix("---") && skip_blanks(rest)) s = rest;
}

// read_head is false for a line that no record begins with.
static bool read_head(wt::Str s, Head &h) {
  s = s.chomp();
  if (!head_time(s, h) || !skip_blanks(s)) return false;
  for (int i = 0; i < 2; i++) { // level and thread, in either order
    if (s.p < s.e && *s.p == '[') {
      if (h.thread.p || !head_thread(s, h)) return false;
    } else {
      h.level = word(s);
      h.severity = level_of(h.level);
      if (!h.severity) return false;
    }
    if (!skip_blanks(s)) return false;
    if (h.level.p) head_process(s);
  }
  if (!h.level.p || !h.thread.p) return false;
  h.logger = word(s);
  if (h.logger.empty()) return false;
  if (h.logger.e[-1] == ':') { // the colon may stand at the logger
    h.logger.e--;
  } else if (!skip_blanks(s) || !(s.lit('-') || s.lit(':'))) {
    return false;
  }
  if (!s.empty() && !s.lit(' ')) return false;
  h.message = s;
  return !h.logger.empty();
}

// is_frame is true for the lines that only stack traces have.
static bool is_frame(wt::Str s) {
  s = s.chomp().trim();
  wt::Str dots = s;
  if (dots.prefix("... ")) return dots.p < dots.e && is_digit(*dots.p);
  return s.prefix("at ") || s.prefix("Caused by: ") || s.prefix("Suppressed: ") || s.prefix("[CIRCULAR REFERENCE:");
}

// exception_of is the class that a line names, empty for none: words of letters,
// digits, _ and $ with points between them, alone or with a colon behind.
static wt::Str exception_of(wt::Str s) {
  s = s.chomp();
  if (s.prefix("Exception in thread \"")) {
    wt::Str name;
    if (!s.until('"', name) || !s.lit(' ')) return wt::Str();
  } else {
    s.prefix("Caused by: "); // where the beginning was cut off
  }
  const uint8_t *p = s.p;
  bool points = false, inside = false;
  for (; p < s.e && *p != ':'; p++) {
    uint8_t letter = *p | 32;
    if (*p == '.' && inside) {
      points = true;
      inside = false;
    } else if ((letter >= 'a' && letter <= 'z') || *p == '_' || *p == '$' || *p >= 128 || (inside && is_digit(*p))) {
      inside = true;
    } else {
      return wt::Str();
    }
  }
  bool alone = p == s.e || p + 1 == s.e || p[1] == ' ';
  return points && inside && alone ? wt::Str(s.p, p) : wt::Str();
}

static bool ends_with(wt::Str s, wt::Str end) {
  return s.size() >= end.size() && wt::Str(s.e - end.size(), s.e) == end;
}

// begins_trace is true for a line that is the first of a trace without a head.
static bool begins_trace(wt::Str s) {
  wt::Str name = exception_of(s);
  return ends_with(name, "Exception") || ends_with(name, "Error") || ends_with(name, "Throwable");
}

static bool is_blank(wt::Str s) { return s.chomp().trim().empty(); }

// text is the lines [from, to) with line feeds between them, without blank lines
// at its ends. Lines that lie together are taken as they lie, others are copied.
static wt::Str text(const wt::Batch &b, uint32_t from, uint32_t to) {
  while (from < to && is_blank(b.line(from))) from++;
  while (from < to && is_blank(b.line(to - 1))) to--;
  if (from == to) return wt::Str();
  wt::Str first = b.line(from).chomp(), last = first;
  uint32_t size = first.size();
  bool together = true;
  for (uint32_t i = from + 1; i < to; i++) {
    wt::Str s = b.line(i);
    together = together && last.e + 1 == s.p && *last.e == '\n';
    last = s.chomp();
    size += last.size() + 1;
  }
  if (together) return wt::Str(first.p, last.e);
  uint8_t *copied = wt::arena(size), *q = copied;
  if (!copied) return wt::Str();
  for (uint32_t i = from; i < to; i++) {
    wt::Str s = b.line(i).chomp();
    if (i > from) *q++ = '\n';
    __builtin_memcpy(q, s.p, s.size());
    q += s.size();
  }
  return wt::Str(copied, q);
}

// Extent is where a record ends, and why there.
struct Extent {
  uint32_t end;
  bool next;  // something else follows
  bool limit; // it may not be longer
};

struct JavaTrace {
  uint32_t lines_max, bytes_max;
  uint32_t traces, cut;

  explicit JavaTrace(wt::Setup &s) {
    s.name("javatrace", "1.0.0");
    s.caps(wt::CAP_JOIN | wt::CAP_TIME);
    s.field("time", wt::STRING, "time of the record, as written");
    s.field("level", wt::STRING, "level, as written");
    s.field("thread", wt::STRING, "name of the thread");
    s.field("logger", wt::STRING, "name of the logger");
    s.field("message", wt::STRING, "what follows on the first line");
    s.field("exception", wt::STRING, "class of the first exception");
    s.field("stack", wt::STRING, "the lines after the first");
    traces = s.metric("traces");
    cut = s.metric("cut");
    int64_t lines = s.config_int("lines", 1000), bytes = s.config_int("bytes", 64 << 10);
    if (lines < 1 || lines > 65535) s.refuse("lines must be from 1 to 65535");
    if (bytes < 1 || bytes > 256 << 10) s.refuse("bytes must be from 1 to 262144");
    lines_max = (uint32_t)lines;
    bytes_max = (uint32_t)bytes;
  }

  // process joins what is whole. The last record of a batch is whole when the batch
  // is final or the record has reached a limit; until then its lines are left.
  void process(wt::Batch &b) {
    for (uint32_t i = 0; i < b.count();) {
      wt::Row row = b.begin(i, 1);
      wt::Str line = b.line(i);
      Head h;
      bool headed = read_head(line, h);
      if (!headed && !is_frame(line) && !begins_trace(line)) {
        if (!b.end(row, wt::NO_MATCH)) return;
        i++;
        continue;
      }
      Extent x = extent(b, i, headed);
      if (!x.next && !x.limit && !b.final()) return;
      row = b.begin(i, x.end - i);
      if (headed) put_head(row, h);
      bool traced = put_stack(row, b, headed ? i + 1 : i, x.end);
      if (!b.end(row, wt::OK)) return;
      if (traced) wt::counter_add(traces, 1);
      if (x.limit) wt::counter_add(cut, 1);
      i = x.end;
    }
  }

  // extent looks for the end of the record that begins at i. With a head it goes on
  // to the next head, without one as far as the lines are those of a trace.
  Extent extent(const wt::Batch &b, uint32_t i, bool headed) const {
    uint32_t end = i + 1, size = b.line(i).size();
    for (; end < b.count() && end - i < lines_max; end++) {
      wt::Str s = b.line(end);
      Head other;
      if (headed ? read_head(s, other) : !is_frame(s) && !is_blank(s)) return {end, true, false};
      if (s.size() + 1 > bytes_max - size || size > bytes_max) return {end, false, true};
      size += s.size() + 1;
    }
    return {end, false, end - i == lines_max};
  }

  static void put_head(wt::Row &row, const Head &h) {
    row.put_time(h.ns);
    row.put_severity(h.severity);
    row.put_str(TIME, h.time);
    row.put_str(LEVEL, h.level);
    row.put_str(THREAD, h.thread);
    row.put_str(LOGGER, h.logger);
    row.put_str(MESSAGE, h.message);
  }

  // put_stack is true when the lines have a frame.
  static bool put_stack(wt::Row &row, const wt::Batch &b, uint32_t from, uint32_t to) {
    bool frames = false;
    wt::Str name;
    for (uint32_t i = from; i < to; i++) {
      if (name.empty()) name = exception_of(b.line(i));
      frames = frames || is_frame(b.line(i));
    }
    if (!name.empty()) row.put_str(EXCEPTION, name);
    wt::Str stack = text(b, from, to);
    if (!stack.empty()) row.put_str(STACK, stack);
    return frames;
  }
};

WT_BATCH_PARSER(JavaTrace)
