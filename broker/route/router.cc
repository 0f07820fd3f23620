// SPDX-License-Identifier: Apache-2.0
#include "broker/route/router.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "proto/encoder.h"

namespace millrace {
namespace {

template <class T>
T Load(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

// Group names that one record holds; a record may take half a ring at most (server.cc, RingBytes).
constexpr size_t kRecordGroupBytes = 16 * 1024;

// Of the text that all messages of a run begin with: what is copied at least, and beyond what it is not prepared.
constexpr size_t kRunLineCopy = 32;
constexpr size_t kRunRecordBytes = 16 * 1024;  // in one record for another shard, when it holds more than one message
constexpr size_t kRunLineMax = 288;

// By id, not by address: a second pick may bring a message back to its publisher's shard, where it has no origin any
// more.
bool IsUnwantedEcho(const Receiver& receiver, const Message& message) {
  return !receiver.echo && receiver.id == message.origin_id;
}

// {u32 length, bytes}
char* AppendCounted(char* at, std::string_view text) {
  const auto length = static_cast<uint32_t>(text.size());
  std::memcpy(at, &length, sizeof length);
  return AppendBytes(at + sizeof length, text);
}

char* AppendZeros(char* at, unsigned count) {
  std::memset(at, '0', count);
  return at + count;
}

// MSG or HMSG with the sizes as the publisher wrote them. A message whose header block is stripped has a size of its
// own.
char* AppendHeaderVerbatim(char* at, const Message& message, std::string_view sid, bool with_headers) {
  at = AppendBytes(at, with_headers ? "HMSG " : "MSG ");
  at = AppendBytes(at, message.subject);
  *at++ = ' ';
  at = AppendBytes(at, sid);
  *at++ = ' ';
  if (!message.reply.empty()) {
    at = AppendBytes(at, message.reply);
    *at++ = ' ';
  }
  if (with_headers) {
    at = AppendDecimal(AppendZeros(at, message.header_zeros), message.header_bytes);
    *at++ = ' ';
  }
  const bool stripped = message.header_bytes > 0 && !with_headers;
  at = AppendZeros(at, stripped ? 0 : message.size_zeros);
  at = AppendDecimal(at, message.payload.size() - (stripped ? message.header_bytes : 0));
  return AppendBytes(at, kCrLf);
}

}  // namespace

Router::Router(MeshPort& mesh, ShardCounters& counters, Interest& interest, const RouterLimits& limits, uint64_t seed)
    : mesh_(mesh),
      counters_(counters),
      interest_(interest),
      limits_(limits),
      random_(seed * 2 + 1) {
  MR_CHECK_OP(limits.high_water_bytes, <=, limits.pending_bytes_max);
  MR_CHECK_OP(mesh.self(), <, mesh.shards());
  for (auto& picks : group_picks_) picks.resize(mesh.shards());
}

// xorshift64*: a queue pick needs speed and evenness, not secrecy.
uint32_t Router::Random(uint32_t below) {
  MR_DCHECK(below > 0);
  random_ ^= random_ >> 12;
  random_ ^= random_ << 25;
  random_ ^= random_ >> 27;
  const auto high = static_cast<uint32_t>((random_ * 0x2545F4914F6CDD1Dull) >> 32);
  return static_cast<uint32_t>((uint64_t{high} * below) >> 32);
}

void Router::AutoUnsubscribe(Subscription* sub) {
  MR_DCHECK(sub->delivered >= sub->max);
  interest_.Remove(sub);
  sub->receiver->owner->OnAutoUnsubscribed(sub);
}

void Router::OverHighWater(Receiver* receiver, const Message& message) {
  MR_DCHECK(receiver->dirty);  // it will be flushed, or closed, at the end of the turn
  if (receiver->outbox.pending_bytes() > limits_.pending_bytes_max) {
    if (!receiver->slow) {
      receiver->slow = true;
      slow_.push_back(receiver);
    }
    return;
  }
  if (!limits_.producers_pause) return;
  if (message.origin == receiver) return;  // it could only wait for itself
  // Who cannot catch up while its producers pause is not worth another pause, until it is about to be closed.
  const uint64_t pending = receiver->outbox.pending_bytes();
  if (receiver->hopeless > 0 && pending < limits_.pending_bytes_max / 4 * 3) return;
  if (receiver->hopeless > Receiver::kPausesInVain) return;
  receiver->pending_at_pause = pending;
  Stall(message, receiver->id);
  ++receiver->stalls;
}

void Router::Stall(const Message& message, const ConnectionId& by) {
  if (message.origin != nullptr) {
    message.origin->stall_requested = true;
    message.origin->stalled_by = by;
  } else if (message.origin_id.cid != 0 &&
             std::find(stalls_.begin(), stalls_.end(), message.origin_id) == stalls_.end()) {
    stalls_.push_back(message.origin_id);
  }
}

void Router::Encode(Subscription* sub, Receiver* receiver, const Message& message) {
  MR_DCHECK(!receiver->closed && sub->receiver == receiver);
  MR_DCHECK(message.header_bytes <= message.payload.size());
  MR_DCHECK(message.tail.empty() || message.tail.size() >= message.payload.size() + kCrLf.size());
  Outbox& out = receiver->outbox;
  std::string_view payload = message.payload;
  const bool with_headers = message.header_bytes > 0 && receiver->headers;
  if (message.header_bytes > 0 && !with_headers) payload.remove_prefix(message.header_bytes);
  const bool as_written = !message.tail.empty() && with_headers == (message.header_bytes > 0);
  const size_t header_max = MsgHeaderBytesMax(message.subject, sub->sid(), message.reply);
  const size_t total = header_max + payload.size() + kCrLf.size();
  const bool contiguous = total <= out.contiguous_bytes_max();
  char* at = out.Reserve(contiguous ? total : header_max);
  if (as_written && contiguous) [[likely]] {
    at = AppendBytes(at, with_headers ? std::string_view("HMSG ") : std::string_view("MSG "));
    at = AppendBytes(at, message.subject);
    *at++ = ' ';
    at = AppendBytes(at, sub->sid());
    *at++ = ' ';
    out.Commit(AppendBytes(at, message.tail));
    return CountSent(receiver, payload.size());
  }
  if (message.size_zeros + message.header_zeros == 0) [[likely]] {
    at = with_headers
             ? AppendHmsgHeader(at, message.subject, sub->sid(), message.reply, message.header_bytes, payload.size())
             : AppendMsgHeader(at, message.subject, sub->sid(), message.reply, payload.size());
  } else {
    at = AppendHeaderVerbatim(at, message, sub->sid(), with_headers);
  }
  if (contiguous) {
    at = AppendBytes(at, payload);
    std::memcpy(at, kCrLf.data(), 2);
    out.Commit(at + 2);
  } else {
    out.Commit(at);
    out.Append(payload);
    out.Append(kCrLf);
  }
  CountSent(receiver, payload.size());
}

void Router::CountSent(Receiver* receiver, size_t payload_bytes) {
  ++receiver->out_messages;
  receiver->out_bytes += payload_bytes;
  counters_.out_messages.Add(1);
  counters_.out_bytes.Add(payload_bytes);
  Touch(receiver);
}

bool Router::DeliverTraced(Subscription* sub, const Message& message) {
  const Receiver* receiver = sub->receiver;
  MessageTrace& trace = *message.trace;
  MR_DCHECK((sub->receiver == nullptr) != (sub->sink == nullptr));
  TraceEgress egress;
  egress.wall_ns = trace.wall_ns;
  egress.sub = sub->subject();
  egress.queue = sub->queue();
  if (receiver != nullptr) {
    egress.cid = receiver->id.cid;
    egress.name = receiver->owner->client_name();
    if (sub->removed) {
      egress.error = "Not delivered because subscription is closed";
    } else if (IsUnwantedEcho(*receiver, message)) {
      egress.error = "Not delivered because of no echo";
    } else if (receiver->hooks != nullptr && !receiver->hooks->MayDeliver(*sub, message)) {
      egress.error = "Not delivered because subscription denies this subject";
    } else if (receiver->closed || receiver->slow) {
      egress.error = "Not delivered because client is closed";
    }
  }
  bool delivered = egress.error.empty();
  if (delivered && !trace.only) {
    Message plain = message;
    plain.trace = nullptr;
    delivered = Deliver(sub, plain);
  }
  trace.egress.push_back(std::move(egress));
  return delivered;
}

bool Router::Deliver(Subscription* sub, const Message& message) {
  if (message.trace != nullptr) [[unlikely]]
    return DeliverTraced(sub, message);
  MR_DCHECK((sub->receiver == nullptr) != (sub->sink == nullptr));
  MR_DCHECK(sub->removed == (sub->node == nullptr));
  if (sub->removed) return false;
  Receiver* receiver = sub->receiver;
  if (receiver == nullptr) {
    ++sub->delivered;
    if (message.sinks_later) [[unlikely]]
      return Keep(sub, message);
    return sub->sink->Deliver(*sub, message);
  }
  if (IsUnwantedEcho(*receiver, message)) return false;
  if (receiver->hooks != nullptr && !receiver->hooks->MayDeliver(*sub, message)) [[unlikely]]
    return false;
  if (receiver->closed || receiver->slow) [[unlikely]]
    return false;
  ++sub->delivered;
  if (!limits_.producers_pause && receiver->outbox.pending_bytes() > limits_.pending_bytes_max / 4 * 3) [[unlikely]] {
    return false;
  }
  Encode(sub, receiver, message);
  if (receiver->outbox.pending_bytes() > limits_.high_water_bytes) [[unlikely]]
    OverHighWater(receiver, message);
  if (receiver->hooks != nullptr) [[unlikely]]
    receiver->hooks->OnDelivered(*sub, message);
  if (sub->max != 0 && sub->delivered >= sub->max) [[unlikely]]
    AutoUnsubscribe(sub);
  return true;
}

bool Router::Keep(Subscription* sub, const Message& message) {
  Kept kept{sub, message, nullptr};
  std::string_view* const views[] = {&kept.message.subject, &kept.message.deliver_to, &kept.message.reply,
                                     &kept.message.payload};
  size_t bytes = 0;
  for (const std::string_view* view : views) bytes += view->size();
  kept.text = std::make_unique_for_overwrite<char[]>(bytes);
  char* at = kept.text.get();
  for (std::string_view* view : views) {
    char* const from = at;
    at = AppendBytes(at, *view);
    *view = {from, view->size()};
  }
  MR_DCHECK(at == kept.text.get() + bytes);
  kept.message.tail = {};
  kept.message.sinks_later = false;
  kept_.push_back(std::move(kept));
  return true;
}

bool Router::DeliverKept() {
  if (kept_.empty()) return false;
  // What a sink publishes in its turn joins the end.
  for (size_t i = 0; i < kept_.size(); ++i) {
    const Kept kept = std::move(kept_[i]);
    MR_DCHECK(kept.subscription->sink != nullptr && !kept.message.sinks_later);
    if (!kept.subscription->removed) kept.subscription->sink->Deliver(*kept.subscription, kept.message);
  }
  kept_.clear();
  return true;
}

bool Router::DeliverToMember(const std::vector<Subscription*>& members, const Message& message) {
  const auto count = static_cast<uint32_t>(members.size());
  if (count == 0) return false;
  const uint32_t first = count == 1 ? 0 : Random(count);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t at = first + i < count ? first + i : first + i - count;
    if (Deliver(members[at], message)) return true;
  }
  return false;
}

void Router::PickGroups(const Message& message, const MatchResult& match, Outcome* outcome) {
  for (const MatchResult::Group& group : match.groups) {
    const auto local = static_cast<uint32_t>(group.members.size());
    uint32_t pick = group.remote_weight == 0 ? 0 : Random(local + group.remote_weight);
    if (pick < local && DeliverToMember(group.members, message)) {
      outcome->delivered = true;
      continue;
    }
    if (group.remote_weight == 0) continue;
    // Either the pick fell on another shard, or nobody here would take it (echo off, a permission, a slow consumer).
    pick = pick < local ? Random(group.remote_weight) : pick - local;
    MR_DCHECK(pick < group.remote_weight);
    for (const RemoteMembers& remote : group.remotes) {
      if (pick < remote.weight) {
        MR_DCHECK(remote.shard != mesh_.self());
        group_picks_[depth_ - 1][remote.shard].push_back(group.name);
        outcome->sent_to |= ShardSet{1} << remote.shard;
        break;
      }
      pick -= remote.weight;
    }
  }
}

bool Router::MayRun(const MatchResult& match) {
  if (match.runs == MatchResult::Runs::kUnknown) {
    std::vector<const Receiver*> receivers;
    for (const Subscription* sub : match.plain) {
      if (sub->receiver != nullptr) receivers.push_back(sub->receiver);
    }
    std::sort(receivers.begin(), receivers.end());
    const bool twice = std::adjacent_find(receivers.begin(), receivers.end()) != receivers.end();
    match.runs = match.groups.empty() && !twice ? MatchResult::Runs::kYes : MatchResult::Runs::kNo;
  }
  return match.runs == MatchResult::Runs::kYes;
}

bool Router::OpenRun(const Message& common, const MatchResult& match) {
  MR_DCHECK(shard_checker_.Here());
  MR_DCHECK(common.reply.empty() && common.trace == nullptr && common.deliver_to.empty());
  if (ContinueRun(match, common.subject)) return true;
  FlushRun();
  MR_DCHECK(run_match_ == nullptr && run_count_ == 0);
  if (!MayRun(match)) return false;
  run_ = common;
  run_match_ = &match;
  ++match.pins;
  run_remote_ = match.remote_plain;
  run_mixed_ = false;
  const uint64_t receivers = std::max<uint64_t>(match.plain.size(), 1);
  run_limit_ = static_cast<uint32_t>(std::clamp<uint64_t>(limits_.turn_deliveries / receivers, kRunOfManyMin, kRunMax));
  return true;
}

Message Router::RunMessageAt(uint32_t index) const {
  MR_DCHECK(index < run_count_);
  const RunMessage& kept = run_messages_[index];
  Message message = run_;
  message.subject = kept.subject;
  message.tail = kept.tail;
  message.payload = kept.tail.substr(kept.tail.size() - kCrLf.size() - kept.payload_bytes, kept.payload_bytes);
  message.header_bytes = kept.header_bytes;
  return message;
}

// What stands in front of the tails where subjects differ.
class Router::MixedLine {
 public:
  explicit MixedLine(std::string_view sid) : sid_(sid), behind_bytes_(sid.size() + 2) {
    if (behind_bytes_ > sizeof behind_) return;
    behind_[0] = ' ';
    *AppendBytes(behind_ + 1, sid) = ' ';
  }

  // There is room for the line and the tail, and for kRunLineCopy bytes.
  char* Append(char* at, const RunMessage& message) const {
    if (message.header_bytes > 0) *at++ = 'H';
    at = AppendBytes(at, "MSG ");
    const std::string_view subject = message.subject;
    // Short ones are copied as if they had 32 and 16 bytes: behind them come, here and there, those of a long tail.
    const bool before_tail = subject.data() + subject.size() + 1 == message.tail.data();
    if (before_tail && subject.size() <= kRunLineCopy && behind_bytes_ <= sizeof behind_ &&
        message.tail.size() >= kRunLineCopy) [[likely]] {
      std::memcpy(at, subject.data(), kRunLineCopy);
      std::memcpy(at + subject.size(), behind_, sizeof behind_);
      return at + subject.size() + behind_bytes_;
    }
    at = AppendBytes(at, subject);
    *at = ' ';
    at = AppendBytes(at + 1, sid_);
    *at = ' ';
    return at + 1;
  }

 private:
  std::string_view sid_;
  size_t behind_bytes_;
  char behind_[16] = {};  // the sid between blanks
};

// The messages in a row for one receiver: what stands in front of the tails is the same for all.
void Router::EncodeRun(Subscription* sub, Receiver* receiver) {
  Outbox& out = receiver->outbox;
  const std::string_view sid = sub->sid();
  char line[kRunLineMax];
  const size_t line_bytes = run_.subject.size() + sid.size() + sizeof("HMSG   ") - 1;
  const bool short_line = line_bytes <= sizeof line;
  if (short_line) {
    char* at = AppendBytes(AppendBytes(line, "HMSG "), run_.subject);
    *at = ' ';
    *AppendBytes(at + 1, sid) = ' ';
  }
  MixedLine mixed_line(sid);
  uint64_t messages = 0;
  uint64_t bytes = 0;
  char* at = out.Reserve(0);
  for (uint32_t i = 0; i < run_count_; ++i) {
    const RunMessage& message = run_messages_[i];
    // Short lines are copied as if they had 32 bytes.
    const size_t room = std::max(line_bytes + message.subject.size() - run_.subject.size(), kRunLineCopy) +
                        message.tail.size();
    const bool as_written = message.header_bytes == 0 || receiver->headers;
    if (!short_line || !as_written || room > out.contiguous_bytes_max()) [[unlikely]] {
      out.Commit(at);
      Encode(sub, receiver, RunMessageAt(i));
      at = out.Reserve(0);
      continue;
    }
    if (static_cast<size_t>(out.limit() - at) < room) [[unlikely]] {
      out.Commit(at);
      at = out.Reserve(room);
    }
    ++messages;
    bytes += message.payload_bytes;
    if (run_mixed_) {
      at = AppendBytes(mixed_line.Append(at, message), message.tail);
      continue;
    }
    const size_t skip = message.header_bytes > 0 ? 0 : 1;  // the H
    if (line_bytes <= kRunLineCopy) [[likely]] {
      std::memcpy(at, line + skip, kRunLineCopy);
    } else {
      std::memcpy(at, line + skip, line_bytes - skip);
    }
    at = AppendBytes(at + line_bytes - skip, message.tail);
  }
  out.Commit(at);
  receiver->out_messages += messages;
  receiver->out_bytes += bytes;
  counters_.out_messages.Add(messages);
  counters_.out_bytes.Add(bytes);
  Touch(receiver);
}

void Router::DeliverRunTo(Subscription* sub) {
  Receiver* receiver = sub->receiver;
  if (receiver == nullptr || receiver->hooks != nullptr || sub->max != 0 || !limits_.producers_pause) [[unlikely]] {
    for (uint32_t i = 0; i < run_count_; ++i) Deliver(sub, RunMessageAt(i));
    return;
  }
  if (sub->removed || receiver->closed || receiver->slow || IsUnwantedEcho(*receiver, run_)) return;
  sub->delivered += run_count_;
  EncodeRun(sub, receiver);
  if (receiver->outbox.pending_bytes() > limits_.high_water_bytes) [[unlikely]]
    OverHighWater(receiver, run_);
}

void Router::CloseRun() {
  if (run_count_ > 0) DeliverRun();
  MR_CHECK_OP(run_match_->pins, >, 0u);
  --run_match_->pins;
  run_match_ = nullptr;
}

void Router::DeliverRun() {
  const MatchResult& match = *run_match_;
  MR_DCHECK(run_count_ > 0 && run_count_ <= run_limit_);
  MR_DCHECK(match.groups.empty());
  const Delivering delivering(this, match);
  // Of many receivers the next ones are rarely in the cache.
  constexpr size_t kAhead = 4;
  const size_t count = match.plain.size();
  for (size_t i = 0; i < count; ++i) {
    if (i + 2 * kAhead < count) __builtin_prefetch(match.plain[i + 2 * kAhead]);
    if (i + kAhead < count && match.plain[i + kAhead]->receiver != nullptr) {
      const char* receiver = reinterpret_cast<const char*>(match.plain[i + kAhead]->receiver);
      __builtin_prefetch(receiver);
      __builtin_prefetch(receiver + 64);
    }
    DeliverRunTo(match.plain[i]);
  }
  if (run_remote_ != 0) SendRun();
  run_count_ = 0;
}

size_t Router::RunPartBytes(uint32_t index, uint32_t begin) const {
  const RunMessage& message = run_messages_[index];
  const bool same = index > begin && (!run_mixed_ || message.subject == run_messages_[index - 1].subject);
  return sizeof(MessageRunPart) + message.tail.size() + (same ? 0 : message.subject.size());
}

// Small messages share records, a large one goes by reference. Their order stays.
void Router::SendRun() {
  const size_t room = std::min(kRunRecordBytes, mesh_.body_bytes_max() - sizeof(MessageRunMail) - kMailAlignment);
  for (uint32_t begin = 0; begin < run_count_;) {
    uint32_t end = begin;
    size_t bytes = 0;
    for (; end < run_count_ && run_messages_[end].payload_bytes <= limits_.inline_payload_bytes_max; ++end) {
      const size_t more = RunPartBytes(end, begin);
      if (end > begin && bytes + more > room) break;
      bytes += more;
    }
    Frame* frame = nullptr;
    for (ShardSet rest = run_remote_; rest != 0; rest &= rest - 1) {
      const auto target = static_cast<uint32_t>(std::countr_zero(rest));
      MR_DCHECK(target < mesh_.shards() && target != mesh_.self());
      if (end > begin) {
        SendRunRecord(target, begin, end, bytes);
      } else {
        SendTo(target, RunMessageAt(begin), true, {}, 0, false, &frame);
      }
    }
    begin = std::max(end, begin + 1);
  }
}

void Router::SendRunRecord(uint32_t target, uint32_t begin, uint32_t end, size_t bytes) {
  const MessageRunMail mail{run_.origin_id, run_.account, end - begin, 0};
  char* at = mesh_.Append(target, MailKind::kMessageRun, sizeof mail + bytes);
  std::memcpy(at, &mail, sizeof mail);
  at += sizeof mail;
  char* text = at + (end - begin) * sizeof(MessageRunPart);
  for (uint32_t i = begin; i < end; ++i) {
    const RunMessage& message = run_messages_[i];
    const size_t tail_bytes = message.tail.size();
    const size_t subject_bytes = RunPartBytes(i, begin) - sizeof(MessageRunPart) - tail_bytes;
    const MessageRunPart part{static_cast<uint32_t>(subject_bytes), static_cast<uint32_t>(tail_bytes),
                              message.payload_bytes, message.header_bytes};
    std::memcpy(at, &part, sizeof part);
    at += sizeof part;
    text = AppendBytes(AppendBytes(text, message.subject.substr(0, subject_bytes)), message.tail);
  }
  MR_DCHECK(text == at - (end - begin) * sizeof(MessageRunPart) + bytes);
}

// The sender had one match for all; here different subjects may have different ones.
void Router::OnMessageRun(const char* body) {
  MR_DCHECK(shard_checker_.Here() && depth_ == 0);
  const auto mail = Load<MessageRunMail>(body);
  const char* part_at = body + sizeof mail;
  const char* text = part_at + mail.count * sizeof(MessageRunPart);
  Message common;
  common.account = mail.account;
  common.origin_id = mail.origin;
  const MatchResult* match = nullptr;
  bool together = false;
  for (uint32_t i = 0; i < mail.count; ++i, part_at += sizeof(MessageRunPart)) {
    const auto part = Load<MessageRunPart>(part_at);
    if (part.subject_bytes > 0) {
      FlushRun();
      common.subject = {text, part.subject_bytes};
      text += part.subject_bytes;
      match = interest_.Match(common.account, common.subject, mail.count > 1).result;
      together = OpenRun(common, *match);
      run_remote_ = 0;
    }
    MR_DCHECK(match != nullptr);  // the first part has a subject
    const std::string_view tail{text, part.tail_bytes};
    text += part.tail_bytes;
    if (together) {
      AddToRun(common.subject, tail, part.payload_bytes, part.header_bytes);
      continue;
    }
    Message message = common;
    message.tail = tail;
    message.payload = tail.substr(tail.size() - kCrLf.size() - part.payload_bytes, part.payload_bytes);
    message.header_bytes = part.header_bytes;
    const Delivering delivering(this, *match);
    for (Subscription* sub : match->plain) Deliver(sub, message);
  }
  FlushRun();
}

Router::Outcome Router::Publish(const Message& message, const MatchResult& match) {
  MR_DCHECK(shard_checker_.Here());
  MR_DCHECK(run_count_ == 0 || depth_ > 0);
  const Delivering delivering(this, match);
  Outcome outcome;
  // Delivery may unsubscribe, never free: the lists of `match` stay what they are until the turn ends.
  for (Subscription* sub : match.plain) outcome.delivered |= Deliver(sub, message);
  outcome.sent_to = match.remote_plain;
  if (!match.groups.empty()) PickGroups(message, match, &outcome);
  if (outcome.sent_to == 0) return outcome;

  const bool report = message.report_undelivered && !outcome.delivered && std::has_single_bit(outcome.sent_to);
  Frame* frame = nullptr;
  for (ShardSet rest = outcome.sent_to; rest != 0; rest &= rest - 1) {
    const auto target = static_cast<uint32_t>(std::countr_zero(rest));
    const bool to_plain = (match.remote_plain >> target & 1) != 0;
    std::vector<std::string_view>& picks = group_picks_[depth_ - 1][target];
    SendTo(target, message, to_plain, picks, 0, report, &frame);
    picks.clear();
  }
  MR_DCHECK((outcome.sent_to >> mesh_.self() & 1) == 0);
  outcome.delivered = true;
  return outcome;
}

void Router::SendTo(uint32_t target, const Message& message, bool to_plain, std::span<const std::string_view> groups,
                    uint8_t hops, bool report, Frame** frame) {
  MR_DCHECK(to_plain || !groups.empty());  // a record for nobody
  do {
    size_t count = 0;
    for (size_t bytes = 0; count < groups.size() && bytes < kRecordGroupBytes; ++count) {
      bytes += sizeof(uint32_t) + groups[count].size();
    }
    const bool all = count == groups.size();
    SendRecord(target, message, to_plain, groups.first(count), hops, report && all, frame);
    groups = groups.subspan(count);
    to_plain = report = false;
  } while (!groups.empty());
}

void Router::SendRecord(uint32_t target, const Message& message, bool to_plain,
                        std::span<const std::string_view> groups, uint8_t hops, bool report, Frame** frame) {
  const bool framed = message.payload.size() > limits_.inline_payload_bytes_max;
  if (framed) {
    if (*frame == nullptr) *frame = Frame::Create(mesh_.self(), message.payload);
    ++(*frame)->references;
  }
  size_t group_bytes = 0;
  for (std::string_view group : groups) group_bytes += sizeof(uint32_t) + group.size();
  MessageMail mail{};
  mail.origin = message.origin_id;
  mail.account = message.account;
  mail.header_bytes = message.header_bytes;
  mail.payload_bytes = static_cast<uint32_t>(message.payload.size());
  mail.subject_bytes = static_cast<uint32_t>(message.subject.size());
  mail.reply_bytes = static_cast<uint32_t>(message.reply.size());
  mail.group_count = static_cast<uint16_t>(groups.size());
  mail.flags =
      static_cast<uint8_t>((to_plain ? kToPlain : 0) | (framed ? kFramed : 0) | (report ? kReportUndelivered : 0));
  const bool elsewhere = !message.deliver_to.empty() && message.deliver_to != message.subject;
  if (elsewhere) mail.flags = static_cast<uint8_t>(mail.flags | kDeliverTo);
  if (message.trace != nullptr) {
    mail.flags = static_cast<uint8_t>(mail.flags | kTraced | (message.trace->only ? kTraceOnly : 0));
    mail.trace_id = message.trace->id;
  }
  mail.hops = hops;
  mail.header_zeros = message.header_zeros;
  mail.size_zeros = message.size_zeros;
  const size_t payload_room = framed ? sizeof(Frame*) : message.payload.size();
  const size_t elsewhere_room = elsewhere ? sizeof(uint32_t) + message.deliver_to.size() : 0;
  const size_t bytes =
      sizeof mail + payload_room + message.subject.size() + message.reply.size() + group_bytes + elsewhere_room;
  char* at = mesh_.Append(target, MailKind::kMessage, bytes);
  [[maybe_unused]] const char* const end = at + bytes;
  std::memcpy(at, &mail, sizeof mail);
  at += sizeof mail;
  if (elsewhere) at = AppendCounted(at, message.deliver_to);
  if (framed) {
    std::memcpy(at, frame, sizeof(Frame*));
    at += sizeof(Frame*);
  }
  at = AppendBytes(at, message.subject);
  at = AppendBytes(at, message.reply);
  if (!framed) at = AppendBytes(at, message.payload);
  for (std::string_view group : groups) at = AppendCounted(at, group);
  MR_DCHECK(at == end);
}

void Router::OnMessage(uint32_t from, const char* body) {
  MR_DCHECK(shard_checker_.Here() && depth_ == 0 && run_match_ == nullptr);
  MR_DCHECK(from != mesh_.self() && from < mesh_.shards());
  const auto mail = Load<MessageMail>(body);
  MR_DCHECK(mail.header_bytes <= mail.payload_bytes);
  const char* at = body + sizeof mail;
  std::string_view deliver_to;
  if ((mail.flags & kDeliverTo) != 0) {
    deliver_to = {at + sizeof(uint32_t), Load<uint32_t>(at)};
    at += sizeof(uint32_t) + deliver_to.size();
  }
  Frame* frame = nullptr;
  if ((mail.flags & kFramed) != 0) {
    frame = Load<Frame*>(at);
    at += sizeof frame;
  }
  Message message;
  message.account = mail.account;
  message.subject = {at, mail.subject_bytes};
  message.deliver_to = deliver_to;
  at += mail.subject_bytes;
  message.reply = {at, mail.reply_bytes};
  at += mail.reply_bytes;
  if (frame != nullptr) {
    message.payload = frame->view();
    MR_DCHECK(frame->owner == from && frame->bytes == mail.payload_bytes);
    frames_home_.push_back(ForeignFrame{frame->owner, frame});
  } else {
    message.payload = {at, mail.payload_bytes};
    at += mail.payload_bytes;
  }
  message.header_bytes = mail.header_bytes;
  message.header_zeros = mail.header_zeros;
  message.size_zeros = mail.size_zeros;
  message.origin_id = mail.origin;

  MessageTrace trace;
  if ((mail.flags & kTraced) != 0) {
    trace = MessageTrace{mail.trace_id, (mail.flags & kTraceOnly) != 0, wall_ns_, {}};
    message.trace = &trace;
  }

  const std::string_view matched = deliver_to.empty() ? message.subject : deliver_to;
  const MatchResult& match = *interest_.Match(message.account, matched).result;
  const Delivering delivering(this, match);
  bool delivered = false;
  if ((mail.flags & kToPlain) != 0) {
    for (Subscription* sub : match.plain) delivered |= Deliver(sub, message);
  }
  for (uint16_t i = 0; i < mail.group_count; ++i) {
    const auto length = Load<uint32_t>(at);
    const std::string_view name{at + sizeof length, length};
    at += sizeof length + length;
    const auto group = std::find_if(match.groups.begin(), match.groups.end(),
                                    [name](const MatchResult::Group& g) { return g.name == name; });
    if (group != match.groups.end() && DeliverToMember(group->members, message)) {
      delivered = true;
      continue;
    }
    // The member that was meant has gone. Pick again among the others: every shard that has lost its last member says
    // so before it passes a message on, so the chain meets none twice unless members come and go all the time.
    if (mail.hops >= mesh_.shards() || group == match.groups.end() || group->remote_weight == 0) continue;
    uint32_t pick = Random(group->remote_weight);
    for (const RemoteMembers& remote : group->remotes) {
      if (pick < remote.weight) {
        Frame* copy = nullptr;
        SendTo(remote.shard, message, false, {&name, 1}, static_cast<uint8_t>(mail.hops + 1),
               (mail.flags & kReportUndelivered) != 0, &copy);
        delivered = true;
        break;
      }
      pick -= remote.weight;
    }
  }
  // A second pick reports to the same origin, beyond what it waits for; the last hop of a trace is then not shown.
  if (message.trace != nullptr && mail.hops == 0) {
    auto* report = new TraceReport{mail.origin, mail.trace_id, std::move(trace.egress)};
    std::memcpy(mesh_.Append(mail.origin.shard, MailKind::kTraceReport, sizeof report), &report, sizeof report);
  }
  if (!delivered && (mail.flags & kReportUndelivered) != 0) {
    if (mail.origin.shard == mesh_.self()) {  // it came back to us as a second pick
      undelivered_here_.push_back(Undelivered{mail.origin, std::string(message.subject), std::string(message.reply)});
      return;
    }
    UndeliveredMail report{mail.origin, mail.account, mail.subject_bytes, mail.reply_bytes};
    char* to = mesh_.Append(mail.origin.shard, MailKind::kUndelivered,
                            sizeof report + message.subject.size() + message.reply.size());
    std::memcpy(to, &report, sizeof report);
    to = AppendBytes(to + sizeof report, message.subject);
    AppendBytes(to, message.reply);
  }
}

void Router::OnFrameRelease(const char* body) {
  auto* frame = Load<Frame*>(body);
  MR_CHECK_OP(frame->owner, ==, mesh_.self());
  Frame::Release(frame);
}

void Router::FinishTurn() {
  MR_DCHECK(shard_checker_.Here());
  // Views of this turn's input, and subscriptions that end with it, must not be left for the next one.
  MR_CHECK(depth_ == 0 && run_match_ == nullptr && kept_.empty());
  for (const ForeignFrame& foreign : frames_home_) {
    char* to = mesh_.Append(foreign.owner, MailKind::kFrameRelease, sizeof foreign.frame);
    std::memcpy(to, &foreign.frame, sizeof foreign.frame);
  }
  frames_home_.clear();
  for (const ConnectionId& origin : stalls_) {
    if (origin.shard == mesh_.self()) continue;
    const StallMail mail{origin};
    std::memcpy(mesh_.Append(origin.shard, MailKind::kStall, sizeof mail), &mail, sizeof mail);
  }
  stalls_.clear();
}

}  // namespace millrace
