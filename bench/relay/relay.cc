// SPDX-License-Identifier: Apache-2.0
#include "bench/relay/relay.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace millrace::bench {
namespace {

// Output that waits for a socket falls out of the caches: the less the better, as long as the socket never runs dry.
constexpr size_t kPauseBytes = 256 * 1024;
constexpr size_t kLineBytesMax = 4096;

}  // namespace

void RelayConnection::OnBytes(const char* data, size_t bytes) {
  if (relay_->paused()) {
    relay_->Hold(this, data, bytes);
    return;
  }
  size_t used = 0;
  if (!Consume(data, bytes, &used)) relay_->Hold(this, data + used, bytes - used);
  relay_->FlushDirty();
}

bool RelayConnection::Consume(const char* data, size_t bytes, size_t* used) {
  size_t at = 0;
  while (!carry_.empty()) {
    // A pause may have left whole commands here: they go first, or carry_ would grow with every pause.
    carry_.erase(0, Parse(carry_.data(), carry_.size()));
    if (carry_.empty() || at == bytes || relay_->paused()) break;
    // A command that was cut is completed here, by as much as the last one had; the rest is read in place.
    const size_t before = carry_.size();
    const size_t need = std::max<size_t>(last_line_.size() + last_payload_, 256);
    const size_t added = std::min(bytes - at, need > before ? need - before : kLineBytesMax);
    carry_.append(data + at, added);
    const size_t parsed = Parse(carry_.data(), carry_.size());
    if (parsed < before) {
      carry_.erase(0, parsed);
      at += added;
    } else {
      carry_.clear();
      at += parsed - before;
    }
    if (relay_->paused()) break;
  }
  if (relay_->paused()) {
    *used = at;
    return at == bytes;
  }
  if (at < bytes) {
    at += Parse(data + at, bytes - at);
    if (relay_->paused()) {
      *used = at;
      return false;
    }
    carry_.append(data + at, bytes - at);
  }
  *used = bytes;
  return true;
}

size_t RelayConnection::Parse(const char* data, size_t bytes) {
  size_t at = 0;
  while (at < bytes) {
    const char first = data[at];
    size_t used = 0;
    if ((first == 'P' && bytes - at > 1 && data[at + 1] == 'U') || first == 'H') {
      used = OnPublish(data + at, bytes - at);
    } else {
      const void* end = std::memchr(data + at, '\n', bytes - at);
      if (end != nullptr) {
        used = static_cast<size_t>(static_cast<const char*>(end) - (data + at)) + 1;
        OnControl({data + at, used});
      }
    }
    at += used;
    if (used == 0 || relay_->paused()) break;
  }
  return at;
}

size_t RelayConnection::OnPublish(const char* data, size_t bytes) {
  if (bytes < last_line_.size() || last_line_.empty() ||
      std::memcmp(data, last_line_.data(), last_line_.size()) != 0) {
    const auto* end = static_cast<const char*>(std::memchr(data, '\n', bytes));
    if (end == nullptr) return 0;
    const std::string_view line(data, static_cast<size_t>(end - data) + 1);
    last_headers_ = line[0] == 'H';
    const size_t subject_at = line.find(' ') + 1;
    last_tail_ = line.find(' ', subject_at);
    size_t payload = 0;
    for (size_t i = line.rfind(' ') + 1; line[i] != '\r'; ++i) {
      payload = payload * 10 + static_cast<size_t>(line[i] - '0');
    }
    last_payload_ = payload + 2;
    last_line_.assign(line);
    Route(line.substr(subject_at, last_tail_ - subject_at));
  } else if (routed_generation_ != relay_->generation()) {
    Route(std::string(last_subject_));
  }
  const size_t total = last_line_.size() + last_payload_;
  if (bytes < total) return 0;
  const std::string_view tail(data + last_tail_, total - last_tail_);
  for (const Target& target : targets_) {
    target.connection->AppendFrame(last_headers_ ? target.hmsg_head : target.msg_head, tail);
  }
  return total;
}

void RelayConnection::Route(std::string_view subject) {
  if (subject == last_subject_ && routed_generation_ == relay_->generation()) return;
  last_subject_ = subject;
  routed_generation_ = relay_->generation();
  size_t count = 0;
  for (const Relay::Subscription& subscription : relay_->subscriptions()) {
    const bool match =
        subscription.wildcard ? subject.starts_with(subscription.filter) : subject == subscription.filter;
    if (!match) continue;
    if (count == targets_.size()) targets_.emplace_back();
    Target& target = targets_[count++];  // reused: the strings keep their memory
    target.connection = subscription.connection;
    target.msg_head.assign("MSG ").append(subject).append(" ").append(subscription.sid);
    target.hmsg_head.assign("H").append(target.msg_head);
  }
  targets_.resize(count);
}

void RelayConnection::AppendFrame(std::string_view head, std::string_view tail) {
  out_.append(head);
  out_.append(tail);
  if (!dirty_) relay_->MarkDirty(this);
  if (out_.size() > kPauseBytes && sending_ && !backlogged_) {
    backlogged_ = true;
    relay_->Pause();
  }
}

void RelayConnection::OnControl(std::string_view line) {
  if (line.starts_with("PING")) {
    Append("PONG\r\n");
    if (!dirty_) relay_->MarkDirty(this);
  } else if (line.starts_with("SUB ")) {
    while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
    const size_t space = line.find(' ', 4);
    Relay::Subscription subscription{this, std::string(line.substr(4, space - 4)), false,
                                     std::string(line.substr(line.rfind(' ') + 1))};
    const size_t wild = subscription.filter.find_first_of("*>");
    subscription.wildcard = wild != std::string::npos;
    if (subscription.wildcard) subscription.filter.resize(wild);
    relay_->Subscribe(std::move(subscription));
  }
}

void RelayConnection::Flush() {
  if (sending_ || left_ || out_.empty()) return;
  flying_.swap(out_);
  out_.clear();
  sending_ = true;
  relay_->ring()->Send(this, fd_, flying_.data(), flying_.size());
}

void RelayConnection::OnSent(int result) {
  sending_ = false;
  if (result < 0) {
    Leave();
    shutdown(fd_, SHUT_RDWR);  // ends the armed recv, whose OnClosed() closes the socket
    return;
  }
  Flush();
  Relieve();
}

void RelayConnection::OnClosed(int error) {
  Leave();
  close(fd_);
}

void RelayConnection::Leave() {
  if (left_) return;
  left_ = true;
  relay_->Forget(this);
  out_.clear();
  Relieve();
}

void RelayConnection::Relieve() {
  if (!backlogged_ || out_.size() > kPauseBytes / 2) return;
  backlogged_ = false;
  relay_->Resume();
}

Relay::Relay(Ring* ring, int listen_fd, uint16_t port) : ring_(ring) {
  info_ = "INFO {\"server_id\":\"RELAY\",\"server_name\":\"relay\",\"version\":\"2.15.2\",\"proto\":1,"
          "\"host\":\"127.0.0.1\",\"port\":" + std::to_string(port) +
          ",\"headers\":true,\"max_payload\":1048576} \r\n";
  ring_->ArmAccept(this, listen_fd);
}

void Relay::OnConnected(int fd) {
  if (fd < 0) return;
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  connections_.push_back(std::make_unique<RelayConnection>(this, fd));
  connections_.back()->Append(info_);
  connections_.back()->Flush();
  ring_->ArmRecv(connections_.back().get(), fd);
}

void Relay::Subscribe(Subscription subscription) {
  subscriptions_.push_back(std::move(subscription));
  ++generation_;
}

void Relay::Forget(RelayConnection* connection) {
  std::erase_if(subscriptions_, [&](const Subscription& s) { return s.connection == connection; });
  std::erase(dirty_, connection);
  connection->set_dirty(false);
  ++generation_;
}

void Relay::MarkDirty(RelayConnection* connection) {
  connection->set_dirty(true);
  dirty_.push_back(connection);
}

void Relay::FlushDirty() {
  for (RelayConnection* connection : dirty_) {
    connection->set_dirty(false);
    connection->Flush();
  }
  dirty_.clear();
  ring_->Submit();  // while what is to be sent is still in the cache
}

void Relay::Hold(RelayConnection* connection, const char* data, size_t bytes) {
  held_.push_back({connection, data, bytes, ring_->HoldBuffer()});
}

void Relay::Resume() {
  --backlogged_count_;
  while (!held_.empty() && !paused()) {
    Held& held = held_.front();
    size_t used = 0;
    if (held.connection->Consume(held.data, held.bytes, &used)) {
      ring_->ReturnBuffer(held.buffer);
      held_.pop_front();
    } else {
      held.data += used;
      held.bytes -= used;
    }
    FlushDirty();
  }
}

}  // namespace millrace::bench
