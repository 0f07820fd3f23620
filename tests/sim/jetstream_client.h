// SPDX-License-Identifier: Apache-2.0
// JetStreamClient: one connection that uses JetStream: publishes, consumers, requests, as the seed says. What it asks
//                  for and what it reads it shows to the oracle. One that looks asks for all of a stream instead.
// Owner:  the simulating thread.
// Limits: one fetch at a time; kOpenMax requests without an answer.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/jetstream_oracle.h"
#include "tests/sim/sim_io.h"

namespace millrace::sim {

class JetStreamClient {
 public:
  enum class Role : uint8_t {
    kUser,
    kObserver,  // looks; does nothing of its own
    kDrainer,   // takes and acknowledges whatever consumers still have
  };

  JetStreamClient(SimKernel& kernel, JetStreamOracle& oracle, std::shared_ptr<Socket> socket, Role role);

  bool CanMove() const;
  void Move();
  bool MayOperate() const;
  // Begins one operation.
  void Operate();
  Nanos NextEvent() const;
  // Fails the run when an answer does not come.
  void CheckAnswers() const;

  void End();
  // Begins nothing more; what is read meanwhile is not acknowledged.
  void Finish() { finishing_ = true; }
  // Reads what has reached it, for the last time.
  void ReadRest();
  bool closed() const { return closed_; }
  // The server knows of its end.
  bool gone() const { return socket_->broker_closed; }
  // Nothing of it is under way. A fetch that waits for messages is.
  bool idle() const { return closed_ || (calls_.empty() && out_.empty() && socket_->to_broker.empty()); }

  // kObserver: asks for everything there is, for the oracle. Done when looked().
  void Look();
  bool looked() const { return looks_left_ == 0 && calls_.empty() && waiting_.empty(); }
  // kDrainer: every consumer has come to its end.
  bool drained() const { return draining_.empty(); }
  std::string Describe() const;

 private:
  enum class Kind : uint8_t {
    kMakeStream,
    kMakeConsumer,
    kPublish,
    kGet,
    kRemove,
    kPurge,
    kAck,
    kFetch,
    kLookStream,
    kLookMessage,
    kLookConsumer,
    kDrainInfo,
  };
  struct Call {
    Kind kind;
    size_t object = 0;       // stream or consumer
    uint64_t seq = 0;        // or publish, or version
    bool was_gone = false;   // kGet: when it was written
    Nanos patience_until{0};
    uint64_t tries = 0;
    std::string subject{};  // to try again
    std::string body{};
  };
  struct Arrived {
    std::string_view subject, sid, reply, header, body;
  };

  void Write(std::string_view bytes);
  void Send(std::string_view subject, std::string_view header, std::string_view body, Call call);
  void SendUnanswered(std::string_view subject, std::string_view reply, std::string_view header,
                      std::string_view body);
  void Ask(std::string subject, std::string body, Call call);

  void Publish();
  void PublishOne(size_t stream, bool answered);
  void MakeStream();
  void MakeConsumer();
  void Get();
  void Remove();
  void Purge();
  void SubscribePush();
  void Fetch(size_t consumer, uint64_t batch, Nanos expires);
  void FetchSome();
  void EndFetch();
  bool PickStream(size_t* stream);

  void Read(size_t bytes_max);
  bool ParseOne(std::string_view input, size_t* used);
  void OnArrived(const Arrived& message);
  void OnDelivery(const Arrived& message);
  void Acknowledge(size_t consumer, uint64_t seq, const std::string& ack_subject);
  void OnAnswer(const Call& call, const Arrived& message);
  void OnNobody(uint64_t number, Call call);
  void OnPubAck(const Call& call, const Arrived& message);
  void OnMade(const Call& call, const Arrived& message);
  void OnMessage(const Call& call, const Arrived& message);
  void OnStreamInfo(const Call& call, const Arrived& message);
  void OnConsumerInfo(const Call& call, const Arrived& message);
  void EndStreamLook(size_t stream);
  void Close();

  SimKernel& kernel_;
  Random& random_;
  JetStreamOracle& oracle_;
  std::shared_ptr<Socket> socket_;
  const Role role_;
  const uint64_t number_;
  const std::string inbox_;  // with a dot at its end
  bool closed_ = false;
  bool finishing_ = false;
  Nanos next_operation_{0};
  size_t read_bytes_max_ = 1 << 20;
  std::string out_;
  std::string in_;
  uint64_t next_call_ = 1;
  std::map<uint64_t, Call> calls_;  // without an answer yet; by the last token of their inbox
  std::multimap<Nanos, Call> waiting_;  // to be tried again, when
  // Its fetch: the number in calls_, and how many messages are to come.
  uint64_t fetch_ = 0;
  uint64_t fetch_left_ = 0;
  std::map<std::string, size_t> pushes_;  // sid: consumer
  struct Seen {
    uint64_t consumer_seq = 0;
    uint64_t first_seq = 0;
  };
  std::map<size_t, Seen> seen_;  // by consumer, what came last

  size_t looks_left_ = 0;
  std::map<size_t, JetStreamOracle::StreamLook> looks_;
  std::map<size_t, uint64_t> messages_left_;
  std::set<size_t> draining_;
};

}  // namespace millrace::sim
