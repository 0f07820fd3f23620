// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/flooder.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_format.h"

namespace millrace::sim {
namespace {

constexpr size_t kOutBytes = 4096;

}  // namespace

Flooder::Flooder(SimKernel& kernel, std::shared_ptr<Socket> socket, uint32_t index)
    : kernel_(kernel),
      random_(kernel.random),
      socket_(std::move(socket)),
      index_(index),
      reads_(!random_.Chance(15)),
      subscriptions_max_(random_.Pick({0u, 50u, 1500u, 4000u})) {
  out_ = "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nSUB r.>  r\r\n";
}

bool Flooder::CanMove() const {
  if (closed_) return false;
  const bool ended = socket_->broker_closed || socket_->broker_shutdown || socket_->reset;
  return ended || socket_->to_broker.size() < socket_->to_broker_max || (reads_ && !socket_->to_client.empty());
}

void Flooder::Move() {
  if (reads_ && !socket_->to_client.empty()) {
    in_ += socket_->to_client.view();
    socket_->to_client.Clear();
    Parse();
  }
  if (socket_->broker_closed || socket_->broker_shutdown || socket_->reset) {
    closed_ = true;
    return;
  }
  if (out_.size() < kOutBytes) Refill();
  if (socket_->to_broker.size() >= socket_->to_broker_max) return;
  const size_t n = std::min(out_.size(), socket_->to_broker_max - socket_->to_broker.size());
  socket_->to_broker.Push(std::string_view(out_).substr(0, n));
  out_.erase(0, n);
  kernel_.last_move = kernel_.now;
}

void Flooder::Publish(std::string_view subject, std::string_view body) {
  out_ += absl::StrFormat("PUB %s r.%d %d\r\n%s\r\n", subject, index_, body.size(), body);
}

void Flooder::Request(const std::string& api, std::string_view body) { Publish("$JS.API." + api, body); }

void Flooder::Refill() {
  const uint64_t dice = random_.Below(100);
  const std::string keep = absl::StrFormat("KEEP%d", random_.Below(3));
  const std::string drop = absl::StrFormat("DROP%d", random_.Below(20));
  if (dice < 40 && subscriptions_ < subscriptions_max_) {
    for (uint64_t n = random_.Between(20, 300); n > 0; --n, ++subscriptions_)
      out_ += absl::StrFormat("SUB f.%d.with-a-long-token.%d %d\r\n", index_, subscriptions_, subscriptions_);
  } else if (dice < 45) {
    for (uint64_t n = random_.Below(100); n > 0 && unsubscribed_ < subscriptions_; --n)
      out_ += absl::StrFormat("UNSUB %d\r\n", unsubscribed_++);
  } else if (dice < 60) {
    const std::string payload(random_.Below(3000), 'p');
    for (uint64_t n = random_.Below(20); n > 0; --n)
      Publish(absl::StrFormat("f.%d.with-a-long-token.%d", random_.Below(4), random_.Below(4000)), payload);
  } else if (dice < 65) {
    Request("STREAM.CREATE." + keep,
            absl::StrFormat("{\"name\":\"%s\",\"subjects\":[\"%s.>\"],\"storage\":\"file\"}", keep, keep));
  } else if (dice < 70) {
    Request("STREAM.CREATE." + drop,
            absl::StrFormat("{\"name\":\"%s\",\"subjects\":[\"%s.>\"],\"storage\":\"%s\"}", drop, drop,
                            random_.Chance(30) ? "memory" : "file"));
  } else if (dice < 72) {
    Request((random_.Chance(50) ? "STREAM.PURGE." : "STREAM.DELETE.") + drop, "");
  } else if (dice < 76) {
    const std::string name = absl::StrFormat("c%d", random_.Below(5));
    Request(absl::StrFormat("CONSUMER.CREATE.%s.%s", keep, name),
            absl::StrFormat("{\"stream_name\":\"%s\",\"config\":{\"name\":\"%s\",\"durable_name\":\"%s\","
                            "\"ack_policy\":\"explicit\"}}", keep, name, name));
  } else if (dice < 80) {
    Request(absl::StrFormat("CONSUMER.MSG.NEXT.%s.c%d", keep, random_.Below(5)),
            random_.Chance(50) ? "{\"batch\":50,\"expires\":60000000000}" : "10");
  } else if (dice < 84) {
    Request(random_.Chance(50) ? std::string("STREAM.NAMES") : "STREAM.INFO." + keep, "");
  } else if (dice < 86) {
    out_ += "PING\r\n";
  } else {
    const std::string payload(random_.Below(500), 's');
    for (uint64_t n = random_.Below(30); n > 0; --n) Publish((random_.Chance(80) ? keep : drop) + ".x", payload);
  }
}

// Whole messages only; of those the confirmations of what was stored.
void Flooder::Parse() {
  size_t at = 0;
  for (size_t end; (end = in_.find("\r\n", at)) != std::string::npos;) {
    const std::string_view line = std::string_view(in_).substr(at, end - at);
    size_t next = end + 2;
    if (line.starts_with("MSG ") || line.starts_with("HMSG ")) {
      const size_t bytes = std::strtoull(line.data() + line.rfind(' ') + 1, nullptr, 10);
      if (in_.size() < next + bytes + 2) break;
      const std::string_view body = std::string_view(in_).substr(next, bytes);
      constexpr std::string_view kHead = "{\"stream\":\"";
      const size_t seq = body.find("\",\"seq\":");
      if (body.starts_with(kHead) && seq != std::string_view::npos) {
        uint64_t& last = confirmed_[std::string(body.substr(kHead.size(), seq - kHead.size()))];
        last = std::max<uint64_t>(last, std::strtoull(body.data() + seq + 8, nullptr, 10));
      }
      next += bytes + 2;
    }
    at = next;
  }
  in_.erase(0, at);
}

}  // namespace millrace::sim
