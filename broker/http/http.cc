// SPDX-License-Identifier: Apache-2.0
#include "broker/http/http.h"

#include <algorithm>
#include <charconv>
#include <ctime>

#include "absl/strings/str_format.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

bool IsTokenByte(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
  return std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenByte);
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

// Is `token` among the comma-separated values?
bool Lists(std::string_view values, std::string_view token) {
  while (!values.empty()) {
    const size_t comma = values.find(',');
    if (EqualsIgnoringCase(Trim(values.substr(0, comma)), token)) return true;
    values.remove_prefix(comma == std::string_view::npos ? values.size() : comma + 1);
  }
  return false;
}

// Cuts the next line off `text`, without its \n or \r\n.
std::string_view CutLine(std::string_view* text) {
  const size_t end = text->find('\n');
  std::string_view line = text->substr(0, end);
  text->remove_prefix(end == std::string_view::npos ? text->size() : end + 1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

// Where the empty line behind the headers ends; npos when it has not come yet.
size_t FindHeadEnd(std::string_view bytes) {
  for (size_t at = bytes.find('\n'); at != std::string_view::npos; at = bytes.find('\n', at + 1)) {
    const std::string_view rest = bytes.substr(at + 1);
    if (rest.starts_with('\n')) return at + 2;
    if (rest.starts_with("\r\n")) return at + 3;
  }
  return std::string_view::npos;
}

std::string_view Reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 307:
      return "Temporary Redirect";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

enum class PlusSign : uint8_t { kKeep, kBlank };

// False on a bad escape.
bool Unescape(std::string_view text, PlusSign plus, std::string* out) {
  out->clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return false;
      out->push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else {
      out->push_back(text[i] == '+' && plus == PlusSign::kBlank ? ' ' : text[i]);
    }
  }
  return true;
}

}  // namespace

void HttpParser::Append(std::string_view bytes) {
  if (closing_) return;
  const size_t skipped = std::min(bytes.size(), static_cast<size_t>(body_left_));
  body_left_ -= static_cast<int64_t>(skipped);
  buffer_.append(bytes.substr(skipped));
}

HttpParser::Status HttpParser::Fail(int http_status, std::string_view detail) {
  error_status_ = http_status;
  error_detail_ = detail;
  closing_ = true;
  buffer_.clear();
  return Status::kError;
}

HttpParser::Status HttpParser::Next(HttpRequest* request) {
  if (error_status_ != 0) return Status::kError;
  if (closing_ || buffer_.empty()) return Status::kNeedMore;
  const std::string_view window = std::string_view(buffer_).substr(0, kHttpHeadBytesMax);
  // A first line that is empty or long past any head is refused without waiting for the rest.
  const size_t end = FindHeadEnd(window);
  if (end == std::string_view::npos) {
    std::string_view lines = window;
    if (window.find('\n') != std::string_view::npos && CutLine(&lines).empty()) return Fail(400);
    return buffer_.size() >= kHttpHeadBytesMax ? Fail(431) : Status::kNeedMore;
  }
  *request = HttpRequest();
  const Status status = ParseHead(window.substr(0, end), request);
  if (status != Status::kRequest) return status;
  buffer_.erase(0, end);
  const size_t skipped = std::min(buffer_.size(), static_cast<size_t>(body_left_));
  body_left_ -= static_cast<int64_t>(skipped);
  buffer_.erase(0, skipped);
  MR_DCHECK(body_left_ == 0 || buffer_.empty());
  if (!request->keep_alive) {
    closing_ = true;
    body_left_ = 0;
    buffer_.clear();
  }
  return status;
}

HttpParser::Status HttpParser::ParseHead(std::string_view head, HttpRequest* request) {
  const std::string_view line = CutLine(&head);
  const size_t first = line.find(' '), last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return Fail(400);
  const std::string_view method = line.substr(0, first), version = line.substr(last + 1);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  if (!IsToken(method) || target.empty() || target.find(' ') != std::string_view::npos)
    return Fail(400);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (version.size() != 8 || !version.starts_with("HTTP/") || version[6] != '.' ||
      !is_digit(version[5]) || !is_digit(version[7]))
    return Fail(400);
  if (version[5] != '1') return Fail(505, "unsupported protocol version");
  request->method = method;
  request->target = target;
  request->http10 = version == "HTTP/1.0";
  request->keep_alive = !request->http10;

  int hosts = 0;
  std::string_view content_length;
  bool chunked = false;
  for (std::string_view field = CutLine(&head); !field.empty(); field = CutLine(&head)) {
    const size_t colon = field.find(':');
    if (colon == std::string_view::npos || !IsToken(field.substr(0, colon))) return Fail(400);
    const std::string_view name = field.substr(0, colon), value = Trim(field.substr(colon + 1));
    if (EqualsIgnoringCase(name, "host")) {
      ++hosts;
      if (value.find_first_of(" \t\"<>\\^`{|}") != std::string_view::npos)
        return Fail(400, "malformed Host header");
    } else if (EqualsIgnoringCase(name, "connection")) {
      if (Lists(value, "close")) request->keep_alive = false;
      if (request->http10 && Lists(value, "keep-alive")) request->keep_alive = true;
    } else if (EqualsIgnoringCase(name, "content-length")) {
      if (!content_length.empty() && content_length != value) return Fail(400);
      content_length = value;
    } else if (EqualsIgnoringCase(name, "transfer-encoding")) {
      chunked = true;
    } else if (EqualsIgnoringCase(name, "expect")) {
      request->keep_alive = false;  // its body, never invited, may or may not follow
    }
  }
  if (hosts == 0 && !request->http10) return Fail(400, "missing required Host header");
  if (hosts > 1) return Fail(400, "too many Host headers");
  // A body has no meaning here. A short one is skipped; behind any other the connection closes.
  if (chunked) request->keep_alive = false;
  if (!content_length.empty()) {
    int64_t bytes = 0;
    const char* digits_end = content_length.data() + content_length.size();
    const auto end = std::from_chars(content_length.data(), digits_end, bytes);
    if (end.ec == std::errc::invalid_argument || bytes < 0 || end.ptr != digits_end) {
      return Fail(400);
    }
    if (end.ec != std::errc() || bytes > kHttpBodyBytesMax) {
      request->keep_alive = false;
    } else {
      body_left_ = bytes;
    }
  }
  return Status::kRequest;
}

std::string SerializeHttp(const HttpResponse& response, bool head, bool keep_alive, bool http10,
                          int64_t now_s) {
  const time_t when = now_s;
  tm parts = {};
  gmtime_r(&when, &parts);
  char date[40];
  std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts);  // the C locale: never set

  std::string out = absl::StrFormat("HTTP/1.%d %d %s\r\n", http10 ? 0 : 1, response.status,
                                    Reason(response.status));
  if (response.cors) out += "Access-Control-Allow-Origin: *\r\n";
  if (!response.content_type.empty())
    out += absl::StrFormat("Content-Type: %s\r\n", response.content_type);
  if (response.nosniff) out += "X-Content-Type-Options: nosniff\r\n";
  if (!response.location.empty()) out += absl::StrFormat("Location: %s\r\n", response.location);
  out += absl::StrFormat("Date: %s\r\nContent-Length: %d\r\n", date, response.body.size());
  if (!keep_alive && !http10) out += "Connection: close\r\n";
  if (keep_alive && http10) out += "Connection: keep-alive\r\n";
  out += "\r\n";
  if (!head) out += response.body;
  return out;
}

std::string HttpErrorBytes(int http_status, std::string_view detail) {
  std::string line = absl::StrFormat("%d %s", http_status, Reason(http_status));
  if (!detail.empty()) line += absl::StrFormat(": %s", detail);
  return absl::StrFormat(
      "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n%s", line,
      line);
}

HttpTarget::HttpTarget(std::string_view target) {
  // The absolute form: http://host/path.
  if (const size_t scheme = target.find("://");
      scheme != std::string_view::npos && target.find('/') == scheme + 1) {
    const size_t slash = target.find('/', scheme + 3);
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  const size_t mark = target.find('?');
  const std::string_view path = target.substr(0, mark);
  if (mark != std::string_view::npos) raw_query_ = target.substr(mark + 1);
  valid_ = (path.starts_with('/') || path == "*") && Unescape(path, PlusSign::kKeep, &path_);
  for (std::string_view rest = raw_query_; !rest.empty();) {
    const size_t amp = rest.find('&');
    const std::string_view pair = rest.substr(0, amp);
    rest.remove_prefix(amp == std::string_view::npos ? rest.size() : amp + 1);
    if (pair.empty() || pair.find(';') != std::string_view::npos) continue;
    const size_t equals = pair.find('=');
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
    std::pair<std::string, std::string> param;
    if (Unescape(pair.substr(0, equals), PlusSign::kBlank, &param.first) &&
        Unescape(value, PlusSign::kBlank, &param.second))
      params_.push_back(std::move(param));
  }
}

std::string_view HttpTarget::Param(std::string_view name) const {
  for (const auto& [key, value] : params_)
    if (key == name) return value;
  return {};
}

}  // namespace millrace
