// SPDX-License-Identifier: Apache-2.0
#include "proto/encoder.h"

#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr std::string_view kNoRespondersHead = "NATS/1.0 503\r\nNats-Subject: ";
constexpr std::string_view kNoRespondersTail = "\r\n\r\n";

}  // namespace

void AppendErr(std::string* out, std::string_view text) { out->append("-ERR '").append(text).append("'\r\n"); }

void AppendNoResponders(std::string* out, std::string_view reply, std::string_view sid, std::string_view subject) {
  const size_t header_bytes = kNoRespondersHead.size() + subject.size() + kNoRespondersTail.size();
  const size_t old_bytes = out->size();
  out->resize(old_bytes + MsgHeaderBytesMax(reply, sid, {}));
  char* const end = AppendHmsgHeader(out->data() + old_bytes, reply, sid, {}, header_bytes, header_bytes);
  const size_t new_bytes = static_cast<size_t>(end - out->data());
  MR_CHECK_OP(new_bytes, <=, out->size());
  out->resize(new_bytes);
  out->append(kNoRespondersHead).append(subject).append(kNoRespondersTail).append(kCrLf);
}

}  // namespace millrace
