// SPDX-License-Identifier: Apache-2.0
#include "broker/control/http_speaker.h"

#include <utility>

namespace millrace {

HttpSpeaker::HttpSpeaker(HttpHandler& handler, SpeakerHost& host, Receiver& receiver, Outlet& outlet, const Nanos& now,
                         std::string peer)
    : handler_(handler), host_(host), receiver_(receiver), outlet_(outlet), now_(now), label_(std::move(peer)) {}

void HttpSpeaker::Say(std::string_view bytes) {
  receiver_.outbox.Append(bytes);
  outlet_.Touch(&receiver_);
}

Speaker::Progress HttpSpeaker::Consume(std::string_view* input) {
  MR_DCHECK(!waiting_ && !receiver_.closed);
  parser_.Append(std::exchange(*input, {}));
  const Progress progress = Run();
  if (progress == Progress::kPaused) host_.AwaitAnswer();
  return progress;
}

Speaker::Progress HttpSpeaker::Run() {
  MR_CHECK(!running_ && !waiting_);
  for (HttpRequest request;;) {
    switch (parser_.Next(&request)) {
      case HttpParser::Status::kNeedMore:
        if (head_since_ == Nanos::max() && parser_.mid_request()) head_since_ = now_;
        return Progress::kNeedMore;
      case HttpParser::Status::kError:
        Say(HttpErrorBytes(parser_.error_status(), parser_.error_detail()));
        host_.Close(ClosedReason::kParseError);
        return Progress::kClosed;
      case HttpParser::Status::kRequest:
        break;
    }
    head_since_ = Nanos::max();
    running_ = waiting_ = true;
    handler_.OnRequest(receiver_.id, request);
    running_ = false;
    if (receiver_.closed) return Progress::kClosed;
    if (waiting_) return Progress::kPaused;
  }
}

void HttpSpeaker::Respond(std::string_view bytes, bool keep_alive) {
  if (receiver_.closed) return;
  MR_CHECK(waiting_);  // one answer for each request
  waiting_ = false;
  Say(bytes);
  if (!keep_alive) return host_.Close(ClosedReason::kClientClosed);
  // Further requests may have come with the one that was answered.
  if (!running_ && Run() == Progress::kNeedMore) host_.OnAnswered();
}

void HttpSpeaker::CheckHead() {
  if (receiver_.closed || head_since_ == Nanos::max() || now_ - head_since_ < kHeadTimeout) return;
  if (parser_.mid_request()) Say(HttpErrorBytes(400, ""));
  host_.Close(ClosedReason::kClientClosed);
}

void HttpSpeaker::Invariant() const {
  MR_CHECK(!running_);
  MR_CHECK(!waiting_ || head_since_ == Nanos::max());
}

void HttpSpeaker::Close(ClosedReason) {
  MR_CHECK(!receiver_.closed);
  receiver_.closed = true;
}

}  // namespace millrace
