// SPDX-License-Identifier: Apache-2.0
#include "broker/service/latency_tracker.h"

#include <algorithm>

#include "proto/base/base62.h"
#include "proto/base/check.h"
#include "proto/subject.h"

namespace millrace {

LatencyTracker::LatencyTracker(Router& router, const Nanos& now, uint64_t seed)
    : router_(router), now_(now), random_(seed) {
  router_.interest().set_on_lost([this](AccountId account, std::string_view filter) {
    const auto first = replies_.lower_bound({account, std::string()});
    if (first != replies_.end() && first->first.first == account) lost_.emplace_back(account, filter);
  });
}

LatencyTracker::~LatencyTracker() { router_.interest().set_on_lost(nullptr); }

LatencyClient LatencyTracker::Describe(const Receiver* connection, bool detailed) {
  if (connection == nullptr || connection->owner == nullptr) return {};
  return {.json = connection->owner->RequestorJson({.identity = detailed, .server = detailed}),
          .rtt = connection->owner->rtt()};
}

std::optional<TriggerHeaders> LatencyTracker::Sample(const CompiledServiceImport& import, const Message& request) {
  MR_CHECK(import.terms.latency.has_value());
  std::optional<TriggerHeaders> headers =
      SampleRequest(*import.terms.latency, request.payload.substr(0, request.header_bytes), random_.Below(100));
  if (!headers || !request.reply.empty()) return headers;
  LatencyMetric metric{.status = LatencyStatus::kBadRequest,
                       .requestor = Describe(request.origin, import.share),
                       .headers = *std::move(headers),
                       .asked_ns = router_.wall_ns()};
  Tell(import.exporter, import.terms.latency->subject, std::move(metric));
  return std::nullopt;
}

void LatencyTracker::Begin(uint64_t number, const CompiledServiceImport& import, const Message& request,
                           TriggerHeaders headers, Nanos deadline) {
  Measured sample{.importer = request.account,
                  .exporter = import.exporter,
                  .results = import.terms.latency->subject,
                  .reply = std::string(request.reply),
                  .asked = now_,
                  .deadline = deadline,
                  .metric = {.requestor = Describe(request.origin, import.share),
                             .headers = std::move(headers),
                             .asked_ns = router_.wall_ns()}};
  deadlines_.emplace(deadline, number);
  replies_.emplace(std::pair(sample.importer, sample.reply), number);
  const bool is_new = samples_.emplace(number, std::move(sample)).second;
  MR_CHECK(is_new);
}

LatencyTracker::Measured LatencyTracker::Take(uint64_t number) {
  const auto at = samples_.find(number);
  MR_CHECK(at != samples_.end());
  Measured sample = std::move(at->second);
  samples_.erase(at);
  const size_t erased = deadlines_.erase({sample.deadline, number});
  MR_CHECK_OP(erased, ==, 1u);
  auto [first, last] = replies_.equal_range({sample.importer, sample.reply});
  first = std::find_if(first, last, [number](const auto& entry) { return entry.second == number; });
  MR_CHECK(first != last);
  replies_.erase(first);
  return sample;
}

void LatencyTracker::OnReply(uint64_t number, const Message& reply) {
  if (!samples_.contains(number)) return;
  Measured sample = Take(number);
  sample.answered = now_;
  const ConnectionId& origin = reply.origin_id;
  const bool elsewhere = reply.origin == nullptr && origin.cid != 0 && origin.part() == PartId::kNone &&
                         origin.shard != router_.mesh().self();
  if (elsewhere && ask_) {
    const uint64_t question = ++questions_;
    asking_.emplace(question, std::move(sample));
    return ask_(origin, question);
  }
  sample.metric.responder = Describe(reply.origin, true);
  Finish(std::move(sample), LatencyStatus::kOk);
}

void LatencyTracker::OnClient(uint64_t question, LatencyClient client) {
  const auto at = asking_.find(question);
  MR_CHECK(at != asking_.end());
  Measured sample = std::move(at->second);
  asking_.erase(at);
  sample.metric.responder = std::move(client);
  Finish(std::move(sample), LatencyStatus::kOk);
}

void LatencyTracker::End(uint64_t number, LatencyStatus status) {
  if (samples_.contains(number)) Finish(Take(number), status);
}

void LatencyTracker::Finish(Measured&& sample, LatencyStatus status) {
  LatencyMetric& metric = sample.metric;
  metric.status = status;
  if (status == LatencyStatus::kOk) {
    metric.answered = sample.answered - sample.asked;
    metric.system = now_ - sample.answered;
  }
  Tell(sample.exporter, sample.results, std::move(metric));
}

void LatencyTracker::Tell(AccountId account, std::string_view subject, LatencyMetric&& metric) {
  metric.id = NewId();
  metric.now_ns = router_.wall_ns();
  metrics_.push_back({account, std::string(subject), LatencyMetricJson(metric)});
}

void LatencyTracker::RunTurn() {
  MR_DCHECK(router_.depth() == 0);
  while (!deadlines_.empty() && deadlines_.begin()->first < now_) {
    Finish(Take(deadlines_.begin()->second), LatencyStatus::kTimeout);
  }
  if (!lost_.empty()) EndUnwanted();
  // What a metric sets off (it may be a request as well) has its own in the next turn.
  for (const Metric& metric : std::exchange(metrics_, {})) {
    Message message;
    message.account = metric.account;
    message.subject = metric.subject;
    message.payload = metric.json;
    const Router::Outcome outcome =
        router_.Publish(message, *router_.interest().Match(message.account, message.subject).result);
    router_.NoteSentOn(outcome.sent_to);
  }
}

void LatencyTracker::EndUnwanted() {
  std::sort(lost_.begin(), lost_.end());
  lost_.erase(std::unique(lost_.begin(), lost_.end()), lost_.end());
  std::vector<uint64_t> unwanted;
  for (const auto& [account, filter] : lost_) {
    // Replies that begin with what stands before the first wildcard are side by side.
    const std::string start = filter.substr(0, filter.find_first_of("*>"));
    for (auto at = replies_.lower_bound({account, start});
         at != replies_.end() && at->first.first == account && at->first.second.starts_with(start); ++at) {
      const std::string& reply = at->first.second;
      if (SubjectMatches(reply, filter) && !router_.interest().HasInterest(account, reply)) {
        unwanted.push_back(at->second);
      }
    }
  }
  lost_.clear();
  for (const uint64_t number : unwanted) End(number, LatencyStatus::kUnwanted);
}

std::string LatencyTracker::NewId() {
  return RandomBase62(kNuidDigits, [this] { return random_.Next(); });
}

void LatencyTracker::Invariant() const {
  MR_CHECK_OP(samples_.size(), ==, deadlines_.size());
  MR_CHECK_OP(samples_.size(), ==, replies_.size());
}

}  // namespace millrace
