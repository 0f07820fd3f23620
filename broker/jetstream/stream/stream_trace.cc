// SPDX-License-Identifier: Apache-2.0
// What a stream says of a message that is traced (C-42): the same checks as when it is stored, and nothing of it stored
// when that is all that is asked for.
#include "absl/strings/str_format.h"
#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/stream/stream.h"
#include "broker/route/trace.h"

namespace millrace {
namespace {

// Some of the peer's errors have a text of their own here, others that of the API.
std::string TraceText(const ApiError& error) {
  if (error == MakeError(ApiErrorId::kStreamMessageExceedsMaximum)) return "maximum payload exceeded";
  if (error == MakeError(ApiErrorId::kStreamNotMatch)) return "expected stream does not match";
  if (error == MakeError(ApiErrorId::kMessageTTLDisabled)) return "message TTL disabled";
  if (error == MakeErrorText(ApiErrorId::kStreamStoreFailedF, error.description)) return error.description;
  return absl::StrFormat("%s (%d)", error.description, error.err_code);
}

}  // namespace

bool Stream::DeliverTraced(const Subscription& subscription, const Message& message) {
  OnUsed();
  TraceEvent event{.kind = TraceEvent::Kind::kJetStream, .wall_ns = message.trace->wall_ns, .name = config_.name};
  // What has to wait is not looked at ahead of its turn.
  if (!held_ && !log_->NeedsPrepare()) {
    Inbound in;
    in.subject = message.subject;
    in.header = message.payload.substr(0, message.header_bytes);
    in.body = message.payload.substr(message.header_bytes);
    Checked checked;
    checked.headers = ReadPublishHeaders(in.header);
    std::string transformed;
    if (Transform(in.subject, &transformed)) in.subject = transformed;
    const bool is_alone = checked.headers.batch_id.empty();
    std::optional<ApiError> error;
    if (is_alone) error = Check(&in, &checked);
    if (is_alone && !error && checked.duplicate_of == 0) error = CheckDiscardNew(in);
    if (error) {
      event.error = TraceText(*error);
    } else if (checked.duplicate_of != 0) {
      event.error = "msgid is duplicate";
    } else {
      event.to = in.subject;
      event.no_interest = config_.retention == Retention::kInterest &&
                          NobodyNeeds(log_->state().last_seq + 1, in.subject, nullptr);
    }
  }
  message.trace->events.push_back(std::move(event));
  if (message.trace->only) return true;
  // Its consumers' deliveries are not traced.
  Message stored = message;
  const std::string payload = WithTraceDest(message.payload, kTraceDisabled, &stored.header_bytes);
  stored.payload = payload;
  stored.tail = {};
  stored.trace = nullptr;
  return Deliver(subscription, stored);
}

}  // namespace millrace
