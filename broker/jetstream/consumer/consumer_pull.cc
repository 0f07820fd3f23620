// SPDX-License-Identifier: Apache-2.0
// Pull requests: which are accepted, whose turn it is, how they end (ADR-13, 37, 42; spec J-42, J-43, J-56, 5h).
#include <algorithm>

#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/api/parse.h"
#include "broker/jetstream/api/versioning.h"
#include "broker/jetstream/consumer/consumer.h"
#include "broker/jetstream/consumer/consumer_advise.h"
#include "proto/base/check.h"
#include "proto/headers.h"

namespace millrace {
namespace {

constexpr Nanos kFullCheckInterval = std::chrono::seconds(1);
constexpr size_t kRememberedBytesMax = 256;

// As Go prints a time.Duration: "1.5s", "2m0s", "250ms".
std::string GoDuration(int64_t ns) {
  if (ns < kNsPerSecond) {
    const bool micro = ns < kNsPerMs;
    const int64_t unit = ns < 1000 ? 1 : micro ? 1000 : kNsPerMs;
    std::string text = std::to_string(ns / unit);
    if (int64_t rest = ns % unit; rest != 0) {
      std::string digits = std::to_string(unit + rest).substr(1);
      text += "." + digits.substr(0, digits.find_last_not_of('0') + 1);
    }
    return text + (ns == 0 ? "s" : unit == 1 ? "ns" : micro ? "\u00b5s" : "ms");
  }
  const int64_t seconds = ns / kNsPerSecond;
  std::string text;
  if (seconds >= 3600) text += std::to_string(seconds / 3600) + "h";
  if (seconds >= 60) text += std::to_string(seconds / 60 % 60) + "m";
  text += std::to_string(seconds % 60);
  if (const int64_t rest = ns % kNsPerSecond; rest != 0) {
    const std::string digits = std::to_string(kNsPerSecond + rest).substr(1);
    text += "." + digits.substr(0, digits.find_last_not_of('0') + 1);
  }
  return text + "s";
}

bool IsJson(std::string_view body) {
  const size_t first = body.find_first_not_of(" \t\n\v\f\r");
  return first != std::string_view::npos && body[first] == '{';
}

}  // namespace

void Consumer::RefuseRequest(std::string_view reply, int code, std::string_view text) {
  std::string header = "NATS/1.0 " + std::to_string(code) + " ";
  header.append(text).append("\r\n\r\n");
  SendStatus(reply, header);
}

void Consumer::TellRequest(const PullRequest& request, std::string_view status) {
  std::string header = "NATS/1.0 ";
  header.append(status).append("\r\n");
  header.append(kPendingMessagesHeader).append(": ").append(std::to_string(request.remaining)).append("\r\n");
  header.append(kPendingBytesHeader).append(": ").append(std::to_string(request.bytes_left)).append("\r\n\r\n");
  SendStatus(request.reply, header);
}

void Consumer::OnNextRequest(std::string_view reply, std::string_view header, std::string_view body) {
  if (reply.empty() || stopped_) return;
  if (is_push()) return RefuseRequest(reply, 409, "Consumer is push based");
  if (!header.empty() && RefusesRequiredLevel(FindHeader(header, kRequiredApiLevelHeader).value_or(""))) {
    return RefuseRequest(reply, 412, "Required Api Level");
  }
  std::string error;
  const ConsumerNextRequest* read = ReadRequest(body, &error);
  if (read == nullptr) return RefuseRequest(reply, 400, "Bad Request - " + error);
  const ConsumerNextRequest& next = *read;
  const bool is_json = IsJson(body);
  if (!CheckRequest(next, is_json, reply)) return;
  const Nanos now = port_.Now();
  const auto max_waiting = static_cast<size_t>(std::max<int64_t>(config_.max_waiting, 0));
  if (waiting_.size() >= max_waiting && now - last_waiting_check_ > kFullCheckInterval) ProcessWaiting(false);
  if (next.no_wait && !CheckNoWait(next, reply)) return;
  if (waiting_.size() >= max_waiting) {
    // A client with heartbeats finds out by itself, and an answer would make it ask again at once.
    if (next.idle_heartbeat_ns == 0) RefuseRequest(reply, 409, "Exceeded MaxWaiting");
    return;
  }
  MR_DCHECK(began_);
  PullRequest* request = waiting_.Acquire();
  MR_DCHECK(request->delivered == 0 && request->expires_at == Nanos::max());
  request->reply = reply;
  request->remaining = next.batch;
  request->bytes_left = next.max_bytes;
  request->no_wait = next.no_wait;
  request->received = last_request_ = now;
  if (next.expires_ns != 0) request->expires_at = After(now, Nanos(next.expires_ns));
  if (next.idle_heartbeat_ns > 0) {
    request->heartbeat = Nanos(next.idle_heartbeat_ns);
    request->heartbeat_at = After(now, request->heartbeat);
    waiting_deadline_ = std::min(waiting_deadline_, request->heartbeat_at);
  }
  waiting_deadline_ = std::min(waiting_deadline_, request->expires_at);
  if (is_json) {
    request->has_group = true;
    request->group = next.priority_group.group;
    request->pin_id = next.priority_group.id;
    request->min_pending = next.priority_group.min_pending;
    request->min_ack_pending = next.priority_group.min_ack_pending;
    request->priority = static_cast<int32_t>(next.priority_group.priority);
  }
  if (config_.priority_policy == PriorityPolicy::kPrioritized) {
    waiting_.AddByPriority(request);
  } else {
    waiting_.Add(request);
  }
  WakeAt(waiting_deadline_);
  Ready();
}

// The parsed request, valid until the next one; nullptr: *error says why.
const ConsumerNextRequest* Consumer::ReadRequest(std::string_view body, std::string* error) {
  if (last_asked_ == nullptr) {
    last_asked_ = std::make_unique<LastRequest>();
  } else if (!body.empty() && body == last_asked_->body) {
    return &last_asked_->next;
  }
  last_asked_->body.clear();
  last_asked_->next = ConsumerNextRequest{};
  *error = ParseNextRequest(body, &last_asked_->next);
  if (!error->empty()) return nullptr;
  if (body.size() <= kRememberedBytesMax) last_asked_->body = body;
  return &last_asked_->next;
}

bool Consumer::CheckRequest(const ConsumerNextRequest& next, bool is_json, std::string_view reply) {
  const auto refuse = [&](int code, std::string_view text) {
    RefuseRequest(reply, code, text);
    return false;
  };
  if (config_.max_batch > 0 && next.batch > config_.max_batch) {
    return refuse(409, "Exceeded MaxRequestBatch of " + std::to_string(config_.max_batch));
  }
  if (config_.max_expires_ns > 0 && next.expires_ns > config_.max_expires_ns) {
    return refuse(409, "Exceeded MaxRequestExpires of " + GoDuration(config_.max_expires_ns));
  }
  if (config_.max_bytes > 0 && next.max_bytes > config_.max_bytes) {
    return refuse(409, "Exceeded MaxRequestMaxBytes of " + std::to_string(config_.max_bytes));
  }
  if (!is_json) return true;
  const PriorityGroupRequest& group = next.priority_group;
  const PriorityPolicy policy = config_.priority_policy;
  if ((group.min_pending != 0 || group.min_ack_pending != 0) && policy != PriorityPolicy::kOverflow) {
    return refuse(400, "Bad Request - Not a Overflow Priority consumer");
  }
  if (!group.id.empty() && policy != PriorityPolicy::kPinnedClient) {
    return refuse(400, "Bad Request - Not a Pinned Client Priority consumer");
  }
  if (group.priority < 0 || group.priority > 9) return refuse(400, "Bad Request - Priority must be between 0 and 9");
  if (policy == PriorityPolicy::kNone) return true;
  if (group.group.empty()) return refuse(400, "Bad Request - Priority Group missing");
  if (std::find(config_.priority_groups.begin(), config_.priority_groups.end(), group.group) ==
      config_.priority_groups.end()) {
    return refuse(400, "Bad Request - Invalid Priority Group");
  }
  if (pin_ != nullptr && !pin_->id.empty()) {
    if (group.id == pin_->id) {
      SetPinTimer(group.group);
    } else if (!group.id.empty()) {
      return refuse(423, "Nats-Pin-Id mismatch");
    }
  }
  return true;
}

// A request that will not wait is only taken when there may be something for it.
bool Consumer::CheckNoWait(const ConsumerNextRequest& next, std::string_view reply) {
  const uint64_t available = num_pending() + state_.pending().queued();
  if (available == 0 && next.expires_ns == 0) {
    last_request_ = port_.Now();
    RefuseRequest(reply, 404, "No Messages");
    return false;
  }
  if (available > 0) {
    const int64_t wanted = ProcessWaiting(false);
    if (wanted > 0 && available < static_cast<uint64_t>(wanted)) {
      last_request_ = port_.Now();
      RefuseRequest(reply, 408, "Requests Pending");
      return false;
    }
  }
  return true;
}

// The request that gets message_, first in the queue; nullptr: nobody. Ends those that cannot get it.
PullRequest* Consumer::NextRequest(size_t bytes) {
  const bool need_pin = pin_ != nullptr && pin_->id.empty();
  size_t passed = 0;
  while (PullRequest* request = waiting_.first()) {
    if (now_ >= request->expires_at) {
      TellRequest(*request, "408 Request Timeout");
      last_request_ = std::max(last_request_, request->expires_at);
      waiting_.RemoveFirst();
      continue;
    }
    bool assigned = false;
    Turn turn = pin_ == nullptr ? Turn::kTakes : CheckPin(request, need_pin, &assigned);
    if (turn == Turn::kRemoved) continue;
    if (turn == Turn::kTakes && config_.priority_policy == PriorityPolicy::kOverflow && IsBelowOverflow(*request)) {
      turn = Turn::kPasses;
    }
    if (turn == Turn::kPasses) {
      waiting_.Rotate(false);
      if (++passed >= waiting_.size()) return nullptr;
      continue;
    }
    if (request->bytes_left > 0) {
      if (static_cast<int64_t>(bytes) > request->bytes_left) {
        TellRequest(*request, "409 Message Size Exceeds MaxBytes");
        if (assigned) Unassign();
        waiting_.RemoveFirst();
        continue;
      }
      request->bytes_left -= static_cast<int64_t>(bytes);
      MR_DCHECK(request->bytes_left >= 0);
      if (request->bytes_left == 0) request->remaining = 1;  // this one, and no more
    }
    return request;
  }
  return nullptr;
}

Consumer::Turn Consumer::CheckPin(PullRequest* request, bool need_pin, bool* assigned) {
  MR_DCHECK(pin_ != nullptr && request == waiting_.first());
  if (need_pin && request->pin_id.empty()) {
    AssignPin(request);
    *assigned = true;
    return Turn::kTakes;
  }
  if (!need_pin) {
    if (pin_->id.empty() || request->pin_id == pin_->id) return Turn::kTakes;
    if (request->pin_id.empty()) return Turn::kPasses;
  }
  TellRequest(*request, "423 Nats-Wrong-Pin-Id");
  waiting_.RemoveFirst();
  return Turn::kRemoved;
}

// It asked for messages only while so many are pending, or so many acks.
bool Consumer::IsBelowOverflow(const PullRequest& request) const {
  if (request.min_pending <= 0 && request.min_ack_pending <= 0) return false;
  const int64_t pending = num_pending_ + (deliveries_ == 1 ? 0 : 1);
  return !(request.min_pending > 0 && request.min_pending <= pending) &&
         !(request.min_ack_pending > 0 &&
           request.min_ack_pending <= static_cast<int64_t>(state_.pending().size()));
}

// The first request was sent a message.
void Consumer::OnTaken(PullRequest* request) {
  MR_DCHECK(request == waiting_.first());
  ++request->delivered;
  --request->remaining;
  if (request->remaining > 0) {
    if (request->heartbeat != Nanos{}) request->heartbeat_at = After(now_, request->heartbeat);
    waiting_.Rotate(config_.priority_policy == PriorityPolicy::kPrioritized);
    return;
  }
  if (request->bytes_left > 0) TellRequest(*request, "409 Batch Completed");
  waiting_.RemoveFirst();
}

// Ends requests that have expired, or whose client is gone; sends heartbeats. At the end of the stream it ends those
// that will not wait. Returns how many messages the rest still wants.
int64_t Consumer::ProcessWaiting(bool end_of_stream) {
  const Nanos now = port_.Now();
  last_waiting_check_ = now;
  int64_t wanted = 0;
  waiting_.RemoveIf([&](PullRequest* request) {
    if (now >= request->expires_at) {
      TellRequest(*request, "408 Request Timeout");
      last_request_ = std::max(last_request_, request->expires_at);
      return true;
    }
    if (end_of_stream && request->no_wait && (request->expires_at == Nanos::max() || request->delivered > 0)) {
      RefuseRequest(request->reply, 404, "No Messages");
      last_request_ = now;
      return true;
    }
    if (!port_.HasInterest(account_, request->reply)) return true;
    wanted += request->remaining;
    if (request->heartbeat != Nanos{} && now >= request->heartbeat_at) {
      SendHeartbeat(request->reply);
      request->heartbeat_at = After(now, request->heartbeat);
    }
    return false;
  });
  waiting_deadline_ = waiting_.NextDeadline();
  WakeAt(waiting_deadline_);
  MR_DCHECK(stopped_ || timer_at_ <= waiting_deadline_);
  return wanted;
}

void Consumer::SetPinTimer(std::string_view group) {
  MR_DCHECK(pin_ != nullptr && !pin_->id.empty());
  pin_->group = group;
  pin_->expires_at = port_.Now() + Nanos(config_.priority_timeout_ns);
  WakeAt(pin_->expires_at);
}

void Consumer::AssignPin(PullRequest* request) {
  if (!request->has_group || request->group.empty()) return;
  pin_->id = host_.NewId();
  pin_->since_ns = port_.WallNs();
  request->pin_id = pin_->id;
  SetPinTimer(request->group);
  GroupPinnedAdvisory advisory;
  advisory.group = request->group;
  advisory.pinned_id = pin_->id;
  Advise(host_, name(), std::move(advisory));
}

void Consumer::Unassign() {
  MR_DCHECK(pin_ != nullptr);
  pin_->id.clear();
  pin_->since_ns = kGoZeroTimeNs;
}

void Consumer::ReleasePin(std::string_view group, std::string_view reason) {
  GroupUnpinnedAdvisory advisory;
  advisory.group = group;
  advisory.reason = reason;
  if (pin_ != nullptr) Unassign();
  Advise(host_, name(), std::move(advisory));
}

bool Consumer::Unpin(std::string_view group) {
  const std::vector<std::string>& groups = config_.priority_groups;
  if (std::find(groups.begin(), groups.end(), group) == groups.end()) return false;
  ReleasePin(group, "admin");
  Ready();
  return true;
}

}  // namespace millrace
