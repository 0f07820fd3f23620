// SPDX-License-Identifier: Apache-2.0
#include "broker/service/service_imports.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "broker/account/system_imports.h"
#include "proto/base/base62.h"
#include "proto/base/check.h"
#include "proto/headers.h"

namespace millrace {
namespace {

constexpr std::string_view kReplyPrefix = "_R_.";
constexpr std::string_view kAckPrefix = "$JS.ACK.";
constexpr std::string_view kRequestInfo = "Nats-Request-Info";
constexpr size_t kTokenDigits = 6;
constexpr size_t kNumberDigits = 8;
constexpr uint32_t kShardsMax = 64;
constexpr size_t kOverduePerRequest = 8;

constexpr uint64_t Power(size_t digits) {
  uint64_t power = 1;
  for (size_t i = 0; i < digits; ++i) power *= kBase62Digits.size();
  return power;
}

void AppendDigits(uint64_t number, size_t digits, std::string* text) {
  for (size_t i = 0; i < digits; ++i) {
    *text += kBase62Digits[number % kBase62Digits.size()];
    number /= kBase62Digits.size();
  }
}

std::optional<uint64_t> ReadDigits(std::string_view text) {
  uint64_t number = 0;
  for (size_t i = text.size(); i > 0; --i) {
    const size_t digit = kBase62Digits.find(text[i - 1]);
    if (digit == std::string_view::npos) return std::nullopt;
    number = number * kBase62Digits.size() + digit;
  }
  return number;
}

// The subjects of acknowledgements are passed on as they are.
bool WantsReply(const Message& message) { return !message.reply.empty() && !message.reply.starts_with(kAckPrefix); }

}  // namespace

ServiceImports::ServiceImports(Router& router, const Nanos& now, uint32_t shard, uint64_t secret)
    : router_(router),
      now_(now),
      random_(secret),
      prefix_(kReplyPrefix),
      latency_(router, now, random_.Next()) {
  MR_CHECK_OP(shard, <, kShardsMax);
  // No two shards have the same token.
  AppendDigits(random_.Next() % (Power(kTokenDigits) / kShardsMax) * kShardsMax + shard, kTokenDigits, &prefix_);
  prefix_ += '.';
  router_.set_forwarder(this);
}

ServiceImports::~ServiceImports() {
  for (const auto& [account, subscription] : listening_) router_.interest().Remove(subscription);
  router_.set_forwarder(nullptr);
}

void ServiceImports::Adopt(const AccountViews& views) {
  MR_DCHECK(shard_checker_.Here() && chain_.empty());
  if (views_ == nullptr) {
    std::vector<Interest::CommonForward> common;
    for (const SystemImport& import : kSystemImports) {
      common.push_back({std::string(import.local), import.of_system ? kNoAccount : views.system()});
    }
    router_.interest().set_common_forwards(std::move(common));
  }
  views_ = &views;
  bool changed = false;
  versions_.resize(std::max(versions_.size(), size_t{views.end()}));
  for (AccountId id = 0; id < versions_.size(); ++id) {
    changed |= std::exchange(versions_[id], views[id].services_version) != views[id].services_version;
  }
  router_.interest().SetServiceImports(views.service_indexes(), changed);
}

// ---- requests ------------------------------------------------------------------------------------------------------

bool ServiceImports::InChain(const CompiledServiceImport& import) const {
  return std::any_of(chain_.begin(), chain_.end(), [&import](const Step& step) {
    return step.account == import.exporter && step.export_index == import.export_index;
  });
}

Router::Outcome ServiceImports::Forward(const Message& message, uint32_t index) {
  MR_DCHECK(shard_checker_.Here());
  const AccountView& importer = (*views_)[message.account];
  if (index < Interest::kCommonForwards) {
    MR_CHECK_OP(index, <, importer.service_imports.size());
    return ForwardBy(importer.service_imports[index], message);
  }
  const std::optional<CompiledServiceImport> import =
      SystemImportFor(message.account, index - Interest::kCommonForwards);
  return import ? ForwardBy(*import, message) : Router::Outcome{};
}

std::optional<CompiledServiceImport> ServiceImports::SystemImportFor(AccountId importer, uint32_t number) const {
  MR_CHECK_OP(number, <, std::size(kSystemImports));
  const SystemImport& system = kSystemImports[number];
  for (const CompiledServiceImport& own : (*views_)[importer].service_imports) {
    if (views_->is_system(own.exporter) && own.local_filter == system.local) return std::nullopt;
  }
  CompiledServiceImport import;
  import.exporter = views_->system();
  import.export_index = UINT32_MAX - number;  // no list is as long
  import.local_filter = system.local;
  import.exporter_filter = system.SubjectFor(views_->name_of(importer));
  import.share = system.share;
  if (system.streamed) import.terms.response = ServiceResponse::kStreamed;
  return import;
}

Router::Outcome ServiceImports::ForwardBy(const CompiledServiceImport& import, const Message& message) {
  if (chain_.size() == kChainMax || InChain(import)) return {};

  MR_DCHECK(message.deliver_to != message.subject);
  const bool elsewhere = !message.deliver_to.empty();
  const std::string_view matched = elsewhere ? message.deliver_to : message.subject;
  std::string room;
  std::string_view subject = ExporterSubject(import, matched, &room);
  const std::optional<Mappings::Mapped> mapped = (*views_)[import.exporter].mappings.Map(subject, random_.Next());
  if (mapped) {
    if (mapped->subject.empty()) return {};
    subject = mapped->subject;
  }
  std::string payload(message.payload.substr(0, message.header_bytes));
  AddRequestor(message, import, &payload);
  Message there = message;
  there.account = import.exporter;
  (elsewhere ? there.deliver_to : there.subject) = subject;
  there.header_bytes = static_cast<uint32_t>(payload.size());
  there.header_zeros = there.size_zeros = 0;
  payload += message.payload.substr(message.header_bytes);
  there.payload = payload;
  there.tail = {};
  there.by_service = true;
  std::string traced;
  const bool only_traced = message.trace != nullptr && message.trace->only;
  if (message.trace != nullptr && !TraceStep(matched, subject, import.terms.allow_trace, &there, &traced)) {
    return {};
  }
  std::optional<TriggerHeaders> measured;
  if (import.terms.latency && !only_traced) [[unlikely]]
    measured = latency_.Sample(import, message);
  const Step step{import.exporter, import.export_index, import.share};
  std::string reply;
  uint64_t number = 0;
  if (WantsReply(message)) {
    GiveUpOverdue();
    reply = Expect({.importer = message.account,
                    .exporter = import.exporter,
                    .through = step,
                    .response = import.terms.response,
                    .measured = measured.has_value(),
                    .threshold = import.terms.threshold,
                    .deadline = now_ + import.terms.threshold,
                    .subject = std::string(matched),
                    .reply = std::string(message.reply)},
                   &number);
    there.reply = reply;
    if (measured) latency_.Begin(number, import, message, *std::move(measured), now_ + import.terms.threshold);
  }
  chain_.push_back(step);
  const Router::Outcome outcome = router_.Publish(there, *router_.interest().Match(there.account, subject).result);
  chain_.pop_back();
  if ((!outcome.delivered || only_traced) && !reply.empty()) Forget(number, LatencyStatus::kUnavailable);
  return outcome;
}

bool ServiceImports::TraceStep(std::string_view from, std::string_view to, bool allow_trace, Message* there,
                               std::string* room) {
  MessageTrace& trace = *there->trace;
  trace.events.push_back({.kind = TraceEvent::Kind::kServiceImport,
                          .wall_ns = trace.wall_ns,
                          .account = there->account,
                          .from = std::string(from),
                          .to = std::string(to)});
  if (!allow_trace) {
    there->trace = nullptr;
    if (trace.only) return false;
  }
  // Nobody there learns where the importer's events go.
  const std::string dest =
      allow_trace ? ReplySubject(random_.Next() % Power(kNumberDigits)) : std::string(kTraceDisabled);
  *room = WithTraceDest(there->payload, dest, &there->header_bytes);
  there->payload = *room;
  return true;
}

// Who has sent it, into its headers: of a requestor that is a client, for it alone is known.
void ServiceImports::AddRequestor(const Message& message, const CompiledServiceImport& import,
                                  std::string* header_block) const {
  if (message.origin == nullptr || message.origin->owner == nullptr) return;
  const bool is_first = chain_.empty();
  RequestorDetail detail;
  detail.identity = is_first ? import.share : chain_.front().share;
  detail.server = detail.identity || import.share || views_->is_system(import.exporter) ||
                  std::any_of(chain_.begin(), chain_.end(), [](const Step& step) { return step.share; });
  detail.by_way_of = is_first ? kNoAccount : message.account;
  RemoveHeader(header_block, kRequestInfo);
  AddHeader(header_block, kRequestInfo, message.origin->owner->RequestorJson(detail));
}

std::string ServiceImports::Expect(Pending pending, uint64_t* number) {
  Listen(pending.exporter);
  MakeRoom(pending.importer);
  do {
    *number = random_.Next() % Power(kNumberDigits);
  } while (pending_.contains(*number));
  by_age_[pending.threshold].push_back({*number, pending.deadline});
  ++pending_of_[pending.importer];
  pending_.emplace(*number, std::move(pending));
  return ReplySubject(*number);
}

std::string ServiceImports::ReplySubject(uint64_t number) const {
  std::string reply = prefix_;
  AppendDigits(number, kNumberDigits, &reply);
  return reply;
}

void ServiceImports::Listen(AccountId exporter) {
  Subscription*& subscription = listening_[exporter];
  if (subscription != nullptr) return;
  subscription = Subscription::Create(exporter, nullptr, this, prefix_ + ">", {}, {});
  router_.interest().Insert(subscription);
}

// ---- replies -------------------------------------------------------------------------------------------------------

// A reply counts as delivered, whatever becomes of it: who answers late, or twice, hears no 503 (as at the peer).
bool ServiceImports::OnReply(const Message& message) {
  MR_DCHECK(shard_checker_.Here());
  // A consumer's delivery keeps the subject of its message.
  MR_DCHECK(message.deliver_to != message.subject);
  const bool elsewhere = !message.deliver_to.empty();
  const std::string_view matched = elsewhere ? message.deliver_to : message.subject;
  const auto at = Find(matched);
  if (at == pending_.end() || at->second.exporter != message.account) return true;
  const uint64_t number = at->first;
  if (at->second.deadline < now_) {
    Forget(number, LatencyStatus::kTimeout);
    return true;
  }
  // A copy: what is published from here may ask for more, and so move what is pending.
  const Pending pending = at->second;
  Message home = message;
  home.account = pending.importer;
  (elsewhere ? home.deliver_to : home.subject) = pending.reply;
  home.tail = {};
  home.by_service = true;
  home.report_undelivered = false;
  if (pending.measured) [[unlikely]]
    latency_.OnReply(number, message);
  std::string untraced;
  if (home.trace != nullptr && !TraceStep(matched, pending.reply, false, &home, &untraced)) {
    Forget(number, LatencyStatus::kUnwanted);
    return true;
  }
  std::string back;
  uint64_t back_number = 0;
  if (WantsReply(message)) {
    back = Expect({.importer = message.account,
                   .exporter = pending.importer,
                   .through = pending.through,
                   .response = pending.response,
                   .threshold = pending.threshold,
                   .deadline = now_ + pending.threshold,
                   .subject = std::string(matched),
                   .reply = std::string(message.reply)},
                  &back_number);
    home.reply = back;
  }
  // A reply is no request to what its request came through: an import of everything would take it back.
  chain_.push_back(pending.through);
  const Router::Outcome outcome =
      router_.Publish(home, *router_.interest().Match(home.account, pending.reply).result);
  chain_.pop_back();
  router_.NoteSentOn(outcome.sent_to);
  if (!outcome.delivered && !back.empty()) Forget(back_number, LatencyStatus::kUnavailable);
  const bool is_last = pending.response == ServiceResponse::kSingleton || message.payload.empty();
  if (!outcome.delivered || is_last) {
    Forget(number, LatencyStatus::kUnwanted);
  } else if (const auto still = pending_.find(number); still != pending_.end()) {
    still->second.deadline = now_ + pending.threshold;
  }
  return true;
}

void ServiceImports::GiveBack(std::string* subject, std::string* reply) {
  // Through every import of a chain.
  while (reply->starts_with(prefix_)) {
    const auto at = Find(*reply);
    if (at == pending_.end()) return;
    *subject = at->second.subject;
    *reply = at->second.reply;
    Forget(at->first, LatencyStatus::kUnavailable);
  }
}

// ---- what is pending -----------------------------------------------------------------------------------------------

ServiceImports::PendingMap::iterator ServiceImports::Find(std::string_view reply) {
  MR_CHECK(reply.starts_with(prefix_));
  const std::optional<uint64_t> number = ReadDigits(reply.substr(prefix_.size()));
  return number ? pending_.find(*number) : pending_.end();
}

void ServiceImports::Forget(uint64_t number, LatencyStatus why) {
  const auto at = pending_.find(number);
  if (at == pending_.end()) return;
  if (at->second.measured) [[unlikely]]
    latency_.End(number, why);
  const auto of = pending_of_.find(at->second.importer);
  MR_CHECK(of != pending_of_.end() && of->second > 0);
  if (--of->second == 0) pending_of_.erase(of);
  pending_.erase(at);
}

void ServiceImports::GiveUpOverdue() {
  for (auto& [threshold, queue] : by_age_) {
    for (size_t looked_at = 0; looked_at < kOverduePerRequest && !queue.empty(); ++looked_at) {
      const Deadline oldest = queue.front();
      const auto at = pending_.find(oldest.number);
      const bool goes_on = at != pending_.end() && at->second.deadline > oldest.deadline;
      if (at != pending_.end() && !goes_on && oldest.deadline >= now_) break;
      queue.pop_front();
      if (at == pending_.end()) continue;
      if (goes_on) {
        queue.push_back({oldest.number, at->second.deadline});
      } else {
        Forget(oldest.number, LatencyStatus::kTimeout);
        ++given_up_;
      }
    }
  }
}

void ServiceImports::MakeRoom(AccountId importer) {
  const auto of = pending_of_.find(importer);
  if (of == pending_of_.end() || of->second < kPendingMax) return;
  for (auto& [threshold, queue] : by_age_) {
    for (auto oldest = queue.begin(); oldest != queue.end(); ++oldest) {
      const auto at = pending_.find(oldest->number);
      if (at == pending_.end() || at->second.importer != importer) continue;
      Forget(oldest->number, LatencyStatus::kTimeout);
      queue.erase(oldest);
      ++given_up_;
      return;
    }
  }
}

void ServiceImports::Invariant() const {
  MR_CHECK(chain_.empty());
  latency_.Invariant();
  absl::flat_hash_map<AccountId, uint32_t> count;
  for (const auto& [number, pending] : pending_) {
    ++count[pending.importer];
    MR_CHECK(listening_.contains(pending.exporter) && !pending.reply.empty());
  }
  MR_CHECK(count == pending_of_);
  size_t known = 0;
  for (const auto& [threshold, queue] : by_age_) known += queue.size();
  MR_CHECK_OP(known, >=, pending_.size());
}

}  // namespace millrace
