// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/api_server/direct_get.h"

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/message_headers.h"
#include "proto/headers.h"

namespace millrace {
namespace {

constexpr size_t kMultiLastMax = 1024;
constexpr uint64_t kAnswerUnits = 20;  // of a pace
constexpr std::string_view kNotFound = "NATS/1.0 404 Message Not Found\r\n\r\n";

// Gathers the answers of one request, so that nothing has left when a message turns out to be on the disk still.
class DirectAnswers {
 public:
  DirectAnswers(Stream& stream, bool with_headers) : stream_(stream), with_headers_(with_headers) {}

  // `pending`: of a batch, how many are left; nullptr for a single message.
  void Add(const StoredMessage& message, const uint64_t* pending) {
    std::string block;
    if (with_headers_) {
      block = message.header();
      AddHeader(&block, kStreamHeader, stream_.name());
      AddHeader(&block, kSubjectHeader, message.subject);
      AddHeader(&block, kSequenceHeader, std::to_string(message.seq));
      AddHeader(&block, kTimeStampHeader, FormatGoTime(message.time_ns));
      if (pending != nullptr) {
        AddHeader(&block, kNumPendingHeader, std::to_string(*pending));
        AddHeader(&block, kLastSequenceHeader, std::to_string(last_seq_));
      }
    }
    const auto header_bytes = static_cast<uint32_t>(block.size());
    block += message.body();
    answers_.push_back({std::move(block), header_bytes});
    last_seq_ = message.seq;
    bytes_ += message.subject.size() + message.payload.size();
  }
  void End(std::string_view status) { answers_.push_back({std::string(status), static_cast<uint32_t>(status.size())}); }

  void Send(Replies& replies, AccountId account, std::string_view reply) const {
    for (const Answer& answer : answers_) {
      replies.SendNow(account, reply, answer.text, answer.header_bytes);
      Tick(pace(), 1 + answer.text.size() / 512);
    }
  }
  Pace* pace() const { return stream_.pace(); }
  uint64_t last_seq() const { return last_seq_; }
  uint64_t bytes() const { return bytes_; }

 private:
  struct Answer {
    std::string text;
    uint32_t header_bytes;
  };
  Stream& stream_;
  const bool with_headers_;
  std::vector<Answer> answers_;
  uint64_t last_seq_ = 0;
  uint64_t bytes_ = 0;
};

uint64_t BytesMax(const MessageGetRequest& request, uint64_t server_max) {
  return request.max_bytes > 0 ? static_cast<uint64_t>(request.max_bytes) : server_max;
}

// The last message of each of many subjects.
LoadStatus GetMultiLast(StreamLog& log, const MessageGetRequest& request, uint64_t bytes_max, DirectAnswers* answers) {
  const StreamLogState& state = log.state();
  uint64_t up_to = request.up_to_seq;
  if (request.up_to_time_ns) {
    up_to = log.FirstAtOrAfter(*request.up_to_time_ns);
    if (up_to <= state.first_seq) {
      answers->End("NATS/1.0 404 No Results\r\n\r\n");
      return LoadStatus::kFound;
    }
    --up_to;
  }
  if (up_to == 0) up_to = state.last_seq;
  std::vector<uint64_t> seqs = log.LastPerSubject(request.multi_last, up_to, kMultiLastMax);
  if (seqs.size() > kMultiLastMax) {
    answers->End("NATS/1.0 413 Too Many Results\r\n\r\n");
    return LoadStatus::kFound;
  }
  if (seqs.empty()) {
    answers->End("NATS/1.0 404 No Results\r\n\r\n");
    return LoadStatus::kFound;
  }
  std::erase_if(seqs, [&request](uint64_t seq) { return seq < request.seq; });
  uint64_t pending = seqs.size();
  int64_t sent = 0;
  StoredMessage message;
  for (const uint64_t seq : seqs) {
    const LoadStatus status = log.Load(seq, &message);
    if (status == LoadStatus::kPending) return status;
    if (status != LoadStatus::kFound) {
      answers->End(kNotFound);
      return LoadStatus::kFound;
    }
    --pending;
    answers->Add(message, &pending);
    if (answers->bytes() >= bytes_max) break;
    if (request.batch > 0 && ++sent >= request.batch) break;
    Tick(answers->pace(), kAnswerUnits);
  }
  answers->End(absl::StrFormat("NATS/1.0 204 EOB\r\nNats-Num-Pending: %d\r\nNats-Last-Sequence: %d\r\n"
                               "Nats-UpTo-Sequence: %d\r\n\r\n",
                               pending, answers->last_seq(), up_to));
  return LoadStatus::kFound;
}

LoadStatus GetMessages(StreamLog& log, const MessageGetRequest& request, uint64_t bytes_max, DirectAnswers* answers) {
  uint64_t seq = request.start_time_ns ? log.FirstAtOrAfter(*request.start_time_ns) : request.seq;
  const bool batch = request.batch > 0;
  const Filters filters = request.next_by_subj.empty() ? Filters{} : Filters{request.next_by_subj};
  uint64_t pending = batch ? log.Count(filters, seq, false) : 0;
  StoredMessage message;
  for (int64_t i = 0; i < (batch ? request.batch : 1); ++i) {
    uint64_t at = seq;
    if (!request.last_by_subj.empty()) {
      at = log.Previous({request.last_by_subj}, log.state().last_seq);
    } else if (batch || !filters.empty()) {
      at = log.Next(filters, seq);
    }
    const LoadStatus status = at == 0 ? LoadStatus::kAbsent : log.Load(at, &message);
    if (status == LoadStatus::kPending) return status;
    if (status != LoadStatus::kFound) {
      if (request.batch > 1 && i > 0) break;
      answers->End(kNotFound);
      return LoadStatus::kFound;
    }
    // The peer counts down while it writes headers, and so not without them.
    if (pending > 0 && !request.no_hdr) --pending;
    answers->Add(message, batch ? &pending : nullptr);
    seq = at + 1;
    if (answers->bytes() >= bytes_max) break;
    Tick(answers->pace(), kAnswerUnits);
  }
  if (!batch) return LoadStatus::kFound;
  answers->End(absl::StrFormat("NATS/1.0 204 EOB\r\nNats-Num-Pending: %d\r\nNats-Last-Sequence: %d\r\n\r\n", pending,
                               answers->last_seq()));
  return LoadStatus::kFound;
}

}  // namespace

LoadStatus DirectGet(StreamHost& host, Stream& stream, const MessageGetRequest& request, std::string_view reply) {
  // Who asks for the last of several subjects gets headers in any case, as from the peer.
  DirectAnswers answers(stream, !request.no_hdr || !request.multi_last.empty());
  const uint64_t bytes_max = BytesMax(request, host.options().max_pending);
  const LoadStatus status = request.multi_last.empty() ? GetMessages(stream.log(), request, bytes_max, &answers)
                                                       : GetMultiLast(stream.log(), request, bytes_max, &answers);
  if (status != LoadStatus::kPending) answers.Send(host.replies(), stream.account(), reply);
  return status;
}

}  // namespace millrace
