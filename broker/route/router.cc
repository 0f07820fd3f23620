// SPDX-License-Identifier: Apache-2.0
#include "broker/route/router.h"

#include <algorithm>
#include <bit>

#include "broker/route/client_encoder.h"
#include "broker/route/message_codec.h"
#include "proto/encoder.h"

namespace millrace {
namespace {

// By id, not by address: a second pick may bring a message back to its publisher's shard, where it has no origin any
// more.
bool IsUnwantedEcho(const Receiver& receiver, const Message& message) {
  return !receiver.echo && receiver.id == message.origin_id;
}

}  // namespace

Router::Router(MeshPort& mesh, ShardCounters& counters, Interest& interest, const RouterLimits& limits, uint64_t seed)
    : mesh_(mesh), interest_(interest), outlet_(counters, limits), random_(seed) {
  MR_CHECK_OP(mesh.self(), <, mesh.shards());
  for (auto& picks : group_picks_) picks.resize(mesh.shards());
}

void Router::AutoUnsubscribe(Subscription* sub) {
  MR_DCHECK(sub->delivered >= sub->max);
  interest_.Remove(sub);
  sub->receiver->owner->OnAutoUnsubscribed(sub);
}

// ---- one message ---------------------------------------------------------------------------------------------------

inline void Router::SendRecords(const Message& message, const MatchResult& match, const Outcome& outcome) {
  const bool report = message.report_undelivered && !outcome.delivered && match.forwards.empty() &&
                      std::has_single_bit(outcome.sent_to);
  SharedPayload* shared = nullptr;
  for (ShardSet rest = outcome.sent_to; rest != 0; rest &= rest - 1) {
    const auto target = static_cast<uint32_t>(std::countr_zero(rest));
    const bool to_plain = (match.remote_plain >> target & 1) != 0;
    std::vector<std::string_view>& picks = group_picks_[depth_ - 1][target];
    const RemoteDelivery delivery{.to_plain = to_plain, .groups = picks, .report_undelivered = report};
    SendMessage(&mesh_, target, message, delivery, limits().inline_payload_bytes_max, &shared);
    picks.clear();
  }
  MR_DCHECK((outcome.sent_to >> mesh_.self() & 1) == 0);
}

Router::Outcome Router::Publish(const Message& message, const MatchResult& match) {
  MR_DCHECK(shard_checker_.Here());
  MR_DCHECK(run_.empty() || depth_ > 0);
  const Delivering delivering(this, match);
  Outcome outcome;
  // Delivery may unsubscribe, never free: the lists of `match` stay what they are until the turn ends.
  for (Subscription* sub : match.plain) outcome.delivered |= Deliver(sub, message);
  outcome.sent_to = match.remote_plain;
  if (!match.groups.empty()) PickGroups(message, match, &outcome);
  if (outcome.sent_to != 0) SendRecords(message, match, outcome);
  outcome.delivered |= outcome.sent_to != 0;
  if (!match.forwards.empty()) [[unlikely]]
    Forward(message, match, &outcome);
  return outcome;
}

// Behind what the account itself gets of it, and behind its records, so that a shard consumes them in this order.
void Router::Forward(const Message& message, const MatchResult& match, Outcome* outcome) {
  MR_CHECK(forwarder_ != nullptr);
  Message forwarded = message;
  forwarded.report_undelivered &= !outcome->delivered && match.forwards.size() == 1;
  for (const uint32_t import : match.forwards) {
    const Outcome there = forwarder_->Forward(forwarded, import);
    outcome->delivered |= there.delivered;
    outcome->sent_to |= there.sent_to;
  }
}

inline bool Router::DeliverNamed(Subscription* sub, const Message& message) {
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
  if (outlet_.IsShut(*receiver)) [[unlikely]]
    return false;
  ++sub->delivered;
  if (outlet_.Drops(*receiver)) [[unlikely]]
    return false;
  const Encoded encoded = EncodeMessage(*sub, message, receiver);
  outlet_.OnAppended(receiver, encoded.messages, encoded.payload_bytes, message);
  if (receiver->hooks != nullptr) [[unlikely]]
    receiver->hooks->OnDelivered(*sub, message);
  if (sub->max != 0 && sub->delivered >= sub->max) [[unlikely]]
    AutoUnsubscribe(sub);
  return true;
}

bool Router::Deliver(Subscription* sub, const Message& message) {
  if (sub->import != 0) [[unlikely]]
    return DeliverImported(sub, message);
  if (message.trace != nullptr) [[unlikely]]
    return DeliverTraced(sub, message);
  return DeliverNamed(sub, message);
}

bool Router::DeliverImported(Subscription* sub, const Message& message) {
  if (message.by_service) return false;
  MR_CHECK(sub->import <= imports_.size() && imports_[sub->import - 1] != nullptr);
  MR_DCHECK(message.deliver_to.empty() || message.deliver_to != message.subject);
  const CompiledStreamImport& import = *imports_[sub->import - 1];
  Message local = message;
  local.deliver_to = {};
  // A consumer's delivery keeps its own subject where the import changes none; else what it was delivered to counts.
  if (message.deliver_to.empty() || !import.use_pub) {
    const std::string_view matched = message.deliver_to.empty() ? message.subject : message.deliver_to;
    local.subject = LocalSubject(import, matched, &local_subject_);
  }
  if (message.trace == nullptr) return DeliverNamed(sub, local);
  if (sub->receiver == nullptr) return DeliverTraced(sub, local);  // SinkSubscriptions does this
  message.trace->events.push_back({.kind = TraceEvent::Kind::kStreamExport,
                                   .wall_ns = message.trace->wall_ns,
                                   .account = sub->receiver->owner->account(),
                                   .to = std::string(local.subject)});
  if (import.allow_trace) return DeliverTraced(sub, local);
  if (message.trace->only) return true;
  local.trace = nullptr;
  return DeliverNamed(sub, local);
}

bool Router::DeliverTraced(Subscription* sub, const Message& message) {
  MR_DCHECK((sub->receiver == nullptr) != (sub->sink == nullptr));
  if (sub->receiver == nullptr) return !sub->removed && sub->sink->DeliverTraced(*sub, message);
  const Receiver& receiver = *sub->receiver;
  MessageTrace& trace = *message.trace;
  TraceEvent egress;
  egress.wall_ns = trace.wall_ns;
  egress.account = receiver.owner->account();
  egress.sub = sub->subject();
  egress.queue = sub->queue();
  egress.cid = receiver.id.cid;
  egress.name = receiver.owner->client_name();
  if (sub->removed) {
    egress.error = "Not delivered because subscription is closed";
  } else if (IsUnwantedEcho(receiver, message)) {
    egress.error = "Not delivered because of no echo";
  } else if (receiver.hooks != nullptr && !receiver.hooks->MayDeliver(*sub, message)) {
    egress.error = "Not delivered because subscription denies this subject";
  } else if (outlet_.IsShut(receiver)) {
    egress.error = "Not delivered because client is closed";
  }
  bool delivered = egress.error.empty();
  trace.events.push_back(std::move(egress));
  if (delivered && !trace.only) {
    Message plain = message;
    plain.trace = nullptr;
    delivered = DeliverNamed(sub, plain);
  }
  return delivered;
}

bool Router::DeliverToMember(const std::vector<Subscription*>& members, const Message& message) {
  const auto count = static_cast<uint32_t>(members.size());
  if (count == 0) return false;
  const uint32_t first = count == 1 ? 0 : random_.Below(count);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t at = first + i < count ? first + i : first + i - count;
    if (Deliver(members[at], message)) return true;
  }
  return false;
}

void Router::PickGroups(const Message& message, const MatchResult& match, Outcome* outcome) {
  for (const MatchResult::Group& group : match.groups) {
    const auto local = static_cast<uint32_t>(group.members.size());
    const uint32_t pick = group.remote_weight == 0 ? 0 : random_.Below(local + group.remote_weight);
    if (pick < local && DeliverToMember(group.members, message)) {
      outcome->delivered = true;
      continue;
    }
    if (group.remote_weight == 0) continue;
    // Either the pick fell on another shard, or nobody here would take it (echo off, a permission, a slow consumer).
    const uint32_t target = pick < local ? PickRemote(group) : RemoteAt(group, pick - local);
    group_picks_[depth_ - 1][target].push_back(group.name);
    outcome->sent_to |= ShardSet{1} << target;
  }
}

uint32_t Router::PickRemote(const MatchResult::Group& group) {
  return RemoteAt(group, random_.Below(group.remote_weight));
}

uint32_t Router::RemoteAt(const MatchResult::Group& group, uint32_t pick) const {
  MR_DCHECK(pick < group.remote_weight);
  size_t i = 0;
  for (; pick >= group.remotes[i].weight; ++i) pick -= group.remotes[i].weight;
  MR_DCHECK(group.remotes[i].shard != mesh_.self());
  return group.remotes[i].shard;
}

// ---- what sinks get later ------------------------------------------------------------------------------------------

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

// ---- messages in a row ---------------------------------------------------------------------------------------------

bool Router::MayRun(const MatchResult& match) {
  if (match.runs == MatchResult::Runs::kUnknown) {
    std::vector<const Receiver*> receivers;
    for (const Subscription* sub : match.plain) {
      if (sub->receiver != nullptr) receivers.push_back(sub->receiver);
    }
    std::sort(receivers.begin(), receivers.end());
    const bool twice = std::adjacent_find(receivers.begin(), receivers.end()) != receivers.end();
    const bool may = match.groups.empty() && match.forwards.empty() && !twice;
    match.runs = may ? MatchResult::Runs::kYes : MatchResult::Runs::kNo;
  }
  return match.runs == MatchResult::Runs::kYes;
}

bool Router::OpenRun(const Message& common, const MatchResult& match) {
  MR_DCHECK(shard_checker_.Here());
  if (ContinueRun(match, common.subject)) return true;
  FlushRun();
  if (!MayRun(match)) return false;
  StartRun(common, match, match.remote_plain);
  return true;
}

void Router::StartRun(const Message& common, const MatchResult& match, ShardSet remote) {
  const uint64_t receivers = std::max<uint64_t>(match.plain.size(), 1);
  const uint64_t limit = limits().turn_deliveries / receivers;
  run_.Open(common, match, remote,
            static_cast<uint32_t>(std::clamp<uint64_t>(limit, kRunOfManyMin, MessageRun::kMessagesMax)));
}

void Router::CloseRun() {
  if (!run_.empty()) DeliverRun();
  run_.Close();
}

void Router::DeliverRunTo(Subscription* sub) {
  Receiver* receiver = sub->receiver;
  if (receiver == nullptr && !run_.common().sinks_later) {
    if (sub->removed) return;
    sub->delivered += run_.size();
    return sub->sink->DeliverRun(*sub, run_);
  }
  if (receiver == nullptr || receiver->hooks != nullptr || sub->max != 0 || sub->import != 0 ||
      !limits().producers_pause) [[unlikely]] {
    for (uint32_t i = 0; i < run_.size(); ++i) Deliver(sub, run_.At(i));
    return;
  }
  if (sub->removed || outlet_.IsShut(*receiver) || IsUnwantedEcho(*receiver, run_.common())) return;
  sub->delivered += run_.size();
  const Encoded encoded = EncodeRun(*sub, run_, receiver);
  outlet_.OnAppended(receiver, encoded.messages, encoded.payload_bytes, run_.common());
}

void Router::DeliverRun() {
  const MatchResult& match = run_.match();
  MR_DCHECK(!run_.empty() && match.groups.empty());
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
  if (run_.remote() != 0) SendRun(&mesh_, run_, limits().inline_payload_bytes_max);
  run_.Clear();
}

// ---- mail ----------------------------------------------------------------------------------------------------------

// The sender had one match for all; here different subjects may have different ones.
void Router::OnMessageRun(const char* body) {
  MR_DCHECK(shard_checker_.Here() && depth_ == 0);
  RunRecord record(body);
  const MatchResult* match = nullptr;
  bool together = false;
  for (RunRecord::Part part; record.Next(&part);) {
    if (part.new_subject) {
      FlushRun();
      match = interest_.Match(record.common().account, record.common().subject, record.count() > 1).result;
      together = MayRun(*match);
      if (together) StartRun(record.common(), *match, 0);
    }
    if (together) {
      AddToRun(record.common().subject, part.tail, part.payload_bytes, part.header_bytes);
      continue;
    }
    Message message = record.common();
    message.tail = part.tail;
    message.payload = Message::PayloadOf(part.tail, part.payload_bytes);
    message.header_bytes = part.header_bytes;
    const Delivering delivering(this, *match);
    for (Subscription* sub : match->plain) Deliver(sub, message);
  }
  FlushRun();
}

void Router::OnMessage(uint32_t from, const char* body) {
  MR_DCHECK(shard_checker_.Here() && depth_ == 0 && !run_.is_open());
  MR_DCHECK(from != mesh_.self() && from < mesh_.shards());
  MessageRecord record(body);
  Message& message = record.message;
  if (record.shared != nullptr) {
    MR_DCHECK(record.shared->owner == from);
    payloads_home_.push_back(record.shared);
  }
  MessageTrace trace{.id = record.trace_id, .only = record.trace_only, .wall_ns = wall_ns_};
  if (record.traced) message.trace = &trace;

  const MatchResult& match = *interest_.Match(message.account, record.matched()).result;
  const Delivering delivering(this, match);
  bool delivered = false;
  if (record.to_plain) {
    for (Subscription* sub : match.plain) delivered |= Deliver(sub, message);
  }
  for (std::string_view name; record.groups.Next(&name);) delivered |= DeliverToGroup(match, name, record);
  // A second pick reports to the same origin, beyond what it waits for; the last hop of a trace is then not shown.
  const ConnectionId& origin = message.origin_id;
  if (record.traced && record.hops == 0) {
    SendTraceReport(&mesh_, std::make_unique<TraceReport>(origin, record.trace_id, std::move(trace.events)));
  }
  if (delivered || !record.report_undelivered) return;
  if (origin.shard == mesh_.self()) {  // it came back to us as a second pick
    undelivered_here_.push_back(Undelivered{origin, std::string(message.subject), std::string(message.reply)});
  } else {
    SendUndelivered(&mesh_, origin, message);
  }
}

// The member that was meant may have gone. Then picks again among the others: every shard that has lost its last member
// says so before it passes a message on, so the chain meets none twice unless members come and go all the time.
bool Router::DeliverToGroup(const MatchResult& match, std::string_view name, const MessageRecord& record) {
  const auto group = std::find_if(match.groups.begin(), match.groups.end(),
                                  [name](const MatchResult::Group& g) { return g.name == name; });
  if (group == match.groups.end()) return false;
  if (DeliverToMember(group->members, record.message)) return true;
  if (record.hops >= mesh_.shards() || group->remote_weight == 0) return false;
  SharedPayload* copy = nullptr;
  const RemoteDelivery delivery{.groups = {&name, 1},
                                .hops = static_cast<uint8_t>(record.hops + 1),
                                .report_undelivered = record.report_undelivered};
  SendMessage(&mesh_, PickRemote(*group), record.message, delivery, limits().inline_payload_bytes_max, &copy);
  return true;
}

void Router::OnPayloadHome(const char* body) {
  SharedPayload* shared = ReadPayloadHome(body);
  MR_CHECK_OP(shared->owner, ==, mesh_.self());
  SharedPayload::Release(shared);
}

void Router::FinishTurn() {
  MR_DCHECK(shard_checker_.Here());
  // Views of this turn's input, and subscriptions that end with it, must not be left for the next one.
  MR_CHECK(depth_ == 0 && !run_.is_open() && kept_.empty());
  for (SharedPayload* shared : payloads_home_) SendPayloadHome(&mesh_, shared);
  payloads_home_.clear();
  outlet_.FinishTurn(&mesh_);
}

}  // namespace millrace
