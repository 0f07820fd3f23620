// SPDX-License-Identifier: Apache-2.0
// HTTP: the server side of HTTP/1.1 as far as a monitoring port needs it, bytes in, bytes out.
// Owner:  HttpParser: control thread, one per connection. The functions: caller (pure).
// Input:  any split of the stream; requests may be pipelined. Bodies are skipped.
// Limits: kHttpHeadBytesMax for request line and headers, kHttpBodyBytesMax for a skipped body.
// Errors: HttpParser::Status::kError with the status to answer; the connection closes after it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace {

inline constexpr size_t kHttpHeadBytesMax = 8 * 1024;
inline constexpr int64_t kHttpBodyBytesMax = 256 * 1024;

struct HttpRequest {
  std::string method;  // as sent: "GET", "HEAD", ...
  std::string target;  // as sent: "/connz?subs=1"
  bool http10 = false;
  bool keep_alive = true;  // the connection may serve another request

  bool head() const { return method == "HEAD"; }
};

class HttpParser {
 public:
  enum class Status : uint8_t { kNeedMore, kRequest, kError };

  // Takes bytes as received. Call Next until it gives kNeedMore before appending more: that bounds
  // memory.
  void Append(std::string_view bytes);
  Status Next(HttpRequest* request);

  // Valid after kError.
  int error_status() const { return error_status_; }               // 400, 431, 505
  std::string_view error_detail() const { return error_detail_; }  // for the reason phrase
  // True while part of a request is held: the peer gives a client 5 s to finish it, then closes.
  bool mid_request() const { return !buffer_.empty() || body_left_ > 0; }

 private:
  Status Fail(int http_status, std::string_view detail = {});
  Status ParseHead(std::string_view head, HttpRequest* request);

  std::string buffer_;
  int64_t body_left_ = 0;
  bool closing_ = false;  // no further request is read
  int error_status_ = 0;
  std::string_view error_detail_;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  bool cors = true;      // Access-Control-Allow-Origin: *
  bool nosniff = false;  // X-Content-Type-Options: nosniff
  std::string location;  // redirects only
  std::string body;
};

// The bytes on the wire: status line, headers, body (left out for HEAD, its length kept).
std::string SerializeHttp(const HttpResponse& response, bool head, bool keep_alive, bool http10,
                          int64_t now_s);
// What to send after HttpParser::Status::kError, closing afterwards.
std::string HttpErrorBytes(int http_status, std::string_view detail = {});

// Path and query of a request target, escapes decoded as the peer does: "+" and %XX in values; a
// pair with a bad escape or a semicolon is skipped. A bad escape in the path makes valid false
// (400).
class HttpTarget {
 public:
  explicit HttpTarget(std::string_view target);

  bool valid() const { return valid_; }
  const std::string& path() const { return path_; }
  std::string_view raw_query() const { return raw_query_; }
  // The first value under this name, empty when absent.
  std::string_view Param(std::string_view name) const;

 private:
  bool valid_ = true;
  std::string path_, raw_query_;
  std::vector<std::pair<std::string, std::string>> params_;
};

}  // namespace millrace
