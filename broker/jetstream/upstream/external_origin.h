// SPDX-License-Identifier: Apache-2.0
// ExternalOrigin: a stream that is read through an API under another prefix (`external`): one of another account, which
//                 is imported, or of another domain. It asks for a consumer as a client would, or begins anew with the
//                 one that the configuration names, and takes what that delivers.
// Owner:  shard; part of an OriginReader.  Source: spec J-33, ADR-59; the peer reads all its origins so.
// States: kIdle → Begin → kAsking → (answer) kReading → (gap, silence, error) kResting → kAsking …
// Bounds: what came and was not taken is bounded by the consumer's flow control: its questions are answered when all
//         that came before them has been taken.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "broker/io/timer_wheel.h"
#include "broker/jetstream/api/api_error.h"
#include "broker/jetstream/api/consumer_config.h"
#include "broker/jetstream/api/stream_config.h"
#include "broker/jetstream/stream/stream_host.h"
#include "broker/jetstream/stream/upstream.h"
#include "broker/route/subscription.h"
#include "proto/base/nanos.h"
#include "store/stream_log.h"

namespace millrace {

// A copy: views into a log end with the next change of any log of the shard.
struct OriginMessage {
  uint64_t seq = 0;
  int64_t time_ns = 0;
  std::string subject;
  std::string header;
  std::string body;
};

class ExternalOrigin final : public Sink {
 public:
  enum class State : uint8_t { kIdle, kAsking, kReading, kResting };
  enum class For : uint8_t { kMirror, kSource };

  // `reader` is told when there is something to read; `account` is its own.
  ExternalOrigin(StreamHost& host, Upstream& reader, AccountId account, const StreamSource& source, Filters filters,
                 For reads_for);
  ~ExternalOrigin() override;
  ExternalOrigin(const ExternalOrigin&) = delete;
  ExternalOrigin& operator=(const ExternalOrigin&) = delete;

  // From this sequence on; with a time, and nothing asked for yet: from the first message that is not older.
  // `identity`: of the stream that this holds for; another one is read from where the configuration says. Empty: not
  // known.
  void Begin(uint64_t seq, std::optional<int64_t> time_ns, std::string_view identity);
  bool begun() const { return state_ != State::kIdle; }
  bool connected() const { return state_ == State::kReading; }
  const std::optional<ApiError>& error() const { return error_; }
  const std::string& identity() const { return identity_; }
  // How many are left there, as far as it has said.
  uint64_t lag() const { return lag_ + items_.size(); }
  Nanos heard_at() const { return heard_at_; }

  // The message that came first. False: there is none.
  bool Read(OriginMessage* message) const;
  // It is taken.
  void Pop();

  bool Deliver(const Subscription& subscription, const Message& message) override;

 private:
  struct Item {
    OriginMessage message;
    uint64_t consumer_seq = 0;
    std::string flow_question;  // not empty: in the place of a message; answered when it is its turn
  };

  void Ask();
  ConsumerConfig Wanted() const;
  std::string RequestSubject(const ConsumerConfig& config) const;
  void BeginWithAnother();
  void Listen();
  void StopListening();
  void OnAnswer(std::string_view header, std::string_view json);
  void OnStatus(const Message& message);
  void OnMessage(const Message& message);
  void AnswerFlow();
  void Rest(Nanos time);
  void OnTimer();
  Nanos Now() const { return host_.port().Now(); }

  StreamHost& host_;
  Upstream& reader_;
  const AccountId account_;
  const StreamSource source_;
  const Filters filters_;
  const For reads_for_;
  std::string identity_;  // of the origin, as far as it has said so
  State state_ = State::kIdle;
  uint64_t next_ = 1;                     // what is taken next is this or above
  std::optional<int64_t> start_time_ns_;  // until the first one is
  uint64_t consumer_seq_ = 0;              // of what came last
  uint64_t taken_consumer_seq_ = 0;        // of what was taken last
  uint64_t lag_ = 0;
  std::deque<Item> items_;
  std::optional<ApiError> error_;
  Nanos heard_at_{};
  std::string deliver_subject_;
  std::string answer_subject_;
  Subscription* deliveries_ = nullptr;
  Subscription* answers_ = nullptr;
  TimerNode timer_;
};

}  // namespace millrace
