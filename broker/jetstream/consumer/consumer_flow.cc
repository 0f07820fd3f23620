// SPDX-License-Identifier: Apache-2.0
// Statuses that a consumer sends: heartbeats and flow control (ADR-9, spec 5h).
#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/consumer/consumer.h"
#include "proto/base/base62.h"
#include "proto/base/check.h"
#include "proto/headers.h"

namespace millrace {

void Consumer::SendStatus(std::string_view subject, std::string_view header, std::string_view reply) {
  if (!publishing_) {
    host_.SendLater(subject, header);
    return;
  }
  Outgoing out;
  out.account = account_;
  out.deliver_to = subject;
  out.reply = reply;
  out.payload = header;
  out.header_bytes = static_cast<uint32_t>(header.size());
  port_.Publish(out);
}

void Consumer::SendHeartbeat(std::string_view subject) {
  std::string header = "NATS/1.0 100 Idle Heartbeat\r\n";
  header.append(kLastConsumerHeader).append(": ").append(std::to_string(state_.delivered_consumer())).append("\r\n");
  header.append(kLastStreamHeader).append(": ").append(std::to_string(next_seq_ - 1)).append("\r\n");
  if (flow_ != nullptr && !flow_->id.empty()) {
    header.append(kConsumerStalledHeader).append(": ").append(flow_->id).append("\r\n");
  }
  header.append("\r\n");
  SendStatus(subject, header);
}

// Asks for an answer when half of the window is on its way; the answer gives back what was sent until the question,
// and a window's worth more when that was sent behind it.
void Consumer::CountFlow(int64_t bytes) {
  FlowWindow& flow = *flow_;
  MR_DCHECK(bytes > 0 && flow.outstanding >= 0);
  flow.outstanding += bytes;
  if (flow.id.empty()) {
    if (flow.outstanding > flow.size / 2 ||
        (config_.ack_policy == AckPolicy::kFlowControl && AtMaxAckPending())) {
      SendFlowControl();
    }
  } else if (flow.outstanding - flow.asked_for >= flow.size) {
    flow.asked_for += bytes;
  }
  MR_DCHECK(flow.asked_for <= flow.outstanding);
}

void Consumer::SendFlowControl() {
  MR_DCHECK(publishing_ && flow_ != nullptr && flow_->id.empty());
  std::string id = "$JS.FC.";
  id.append(host_.stream_name()).append(".").append(name()).append(".");
  uint64_t random = port_.Random();
  for (int i = 0; i < 4; ++i) {
    id.push_back(kBase62Digits[random % kBase62Digits.size()]);
    random /= kBase62Digits.size();
  }
  flow_->asked_for = flow_->outstanding;
  flow_->id = std::move(id);
  SendStatus(config_.deliver_subject, "NATS/1.0 100 FlowControl Request\r\n\r\n", flow_->id);
}

void Consumer::OnFlowControlReply(std::string_view subject, std::string_view header) {
  if (flow_ == nullptr || flow_->id.empty() || subject != flow_->id) return;
  FlowWindow& flow = *flow_;
  MR_DCHECK(flow.asked_for >= 0 && flow.asked_for <= flow.outstanding);
  flow.size = std::min(flow.size * 2, flow.limit);
  flow.outstanding -= flow.asked_for;
  flow.asked_for = 0;
  flow.id.clear();
  Ready();
  if (config_.ack_policy != AckPolicy::kFlowControl) return;
  const int64_t stream_seq = ParseHeaderNumber(FindHeader(header, kLastStreamHeader).value_or(""));
  const int64_t consumer_seq = ParseHeaderNumber(FindHeader(header, kLastConsumerHeader).value_or(""));
  // The consumer sequence may be 0: an answer from before the first delivery.
  if (stream_seq <= 0) return;
  Acknowledge(static_cast<uint64_t>(stream_seq), static_cast<uint64_t>(std::max<int64_t>(consumer_seq, 0)), 1, false,
              Gone::kNo);
}

}  // namespace millrace
