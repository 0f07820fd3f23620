// SPDX-License-Identifier: Apache-2.0
#include "broker/session/session.h"

#include <algorithm>
#include <bit>
#include <iterator>

#include "absl/strings/str_format.h"
#include "broker/account/nkey.h"
#include "broker/json/writer.h"
#include "proto/encoder.h"
#include "proto/errors.h"
#include "proto/quoted.h"
#include "proto/subject.h"

namespace millrace {
namespace {

constexpr ConnectionType kConnection = kConnectionStandard;  // how clients of these sessions come
constexpr size_t kNonceBytes = 11;  // 15 characters in INFO, as in the peer
constexpr uint64_t kMessagesPerLook = 128;  // of repeated publishes, before asking whether the turn is spent
constexpr std::string_view kSystemQueue = "_sys_";

// The peer asks for something behind these prefixes, but not behind those of raft and service replies.
bool IsBehind(std::string_view subject, std::string_view prefix) {
  return subject.size() > prefix.size() && subject.starts_with(prefix);
}
bool IsGatewaySubject(std::string_view subject) { return IsBehind(subject, "_GR_.") || IsBehind(subject, "$GR."); }
bool IsRaftSubject(std::string_view subject) { return subject.starts_with("$NRG."); }
bool IsReservedReply(std::string_view reply) {
  return reply.starts_with("_R_.") || IsBehind(reply, "$JS.ACK.") || IsGatewaySubject(reply);
}

std::string Concat(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (std::string_view part : parts) out += part;
  return out;
}

constexpr size_t kPubVerbBytes = 4;  // "PUB "

bool SameText(std::string_view a, std::string_view b) { return a.size() == b.size() && SameBytes(a.data(), b); }

// What a match that was decided by the first tokens did not look at.
std::string_view TextBehind(std::string_view subject, size_t decisive_bytes) {
  return subject.substr(decisive_bytes > 0 ? decisive_bytes + 1 : 0);
}

// Of "PUB subject ".
std::string_view RepeatedSubject(std::string_view beginning) {
  return beginning.substr(kPubVerbBytes, beginning.size() - kPubVerbBytes - 1);
}

}  // namespace

Session::Session(SessionShared& shared, SpeakerHost& host, Receiver& receiver, std::string client_ip,
                 uint16_t client_port)
    : shared_(shared),
      host_(host),
      receiver_(receiver),
      started_(shared.now),
      started_wall_ns_(shared.wall_ns),
      client_ip_(std::move(client_ip)),
      client_port_(client_port),
      principal_(shared.config->accounts.global().id) {
  MR_CHECK(shared.config != nullptr);
  MR_CHECK(receiver.owner == nullptr && receiver.id.cid != 0);
  if (shared.config->authenticator.required()) state_ = State::kConnecting;
  parser_.set_limits(Limits());
  last_activity_ns_ = shared.wall_ns;
  last_in_ = shared.now;
  receiver_.owner = this;
  UpdateLabel();
  UpdateHooks();
  AdoptView();
}

Session::~Session() {
  MR_CHECK(state_ == State::kClosed && subs_.empty() && (shadows_ == nullptr || shadows_->empty()));
}

ParserLimits Session::Limits() const {
  ParserLimits limits;
  limits.control_line_bytes_max = static_cast<uint32_t>(options().max_control_line);
  limits.payload_bytes_max = options().max_payload;
  const int64_t payload = account_limits().payload;
  if (payload >= 0) limits.payload_bytes_max = std::min<int64_t>(limits.payload_bytes_max, payload);
  limits.headers = receiver_.headers;
  limits.connect_first = state_ == State::kConnecting && !shared_.config->authenticator.MayBeginSilently(kConnection);
  return limits;
}

void Session::UpdateLabel() {
  const std::string_view brackets = client_ip_.find(':') == std::string::npos ? "" : "[";
  label_ = absl::StrFormat("%s%s%s:%d - cid:%d", std::string(brackets), client_ip_, brackets.empty() ? "" : "]",
                           client_port_, receiver_.id.cid);
  if (!connect_received_) return;
  std::string about;
  const auto add = [&about](std::string_view part) {
    if (part.empty()) return;
    if (!about.empty()) about += ':';
    about += part;
  };
  if (!connect_.version.empty()) add("v" + connect_.version);
  add(connect_.lang);
  add(connect_.name);
  if (!about.empty()) label_ += " - " + Quoted(about);
  const std::string user = !connect_.credentials().nkey.empty()         ? "nkey:" + connect_.credentials().nkey
                           : !connect_.credentials().user.empty()       ? "user:" + connect_.credentials().user
                           : connect_.credentials().token_said ? "token"
                                                          : "";
  if (!user.empty()) label_ += " - " + Quoted(Concat({account_name(), "/", user}));
}

void Session::UpdateHooks() {
  const bool wanted = delivery_filter_ || principal_.tracks_replies() || shared_.log.trace();
  receiver_.hooks = wanted ? this : nullptr;
}

// ---- replies -------------------------------------------------------------------------------------------------------

void Session::Reply(std::string_view text) {
  MR_DCHECK(!receiver_.closed);
  receiver_.outbox.Append(text);
  shared_.router.outlet().Touch(&receiver_);
}

void Session::ReplyError(std::string_view text) {
  if (shared_.log.trace()) shared_.log.Trace(absl::StrFormat("%s - ->> [-ERR %s]", label_, std::string(text)));
  std::string line;
  AppendErr(&line, text);
  Reply(line);
}

void Session::ReplyOk() {
  if (shared_.log.trace()) shared_.log.Trace(label_ + " - ->> [OK]");
  Reply(kOkLine);
}

void Session::Fail(std::string_view text, ClosedReason reason) {
  MR_CHECK(state_ != State::kClosed);
  if (!text.empty()) ReplyError(text);
  shared_.router.outlet().Touch(&receiver_);
  state_ = State::kClosed;
  host_.Close(reason);
}

void Session::Refuse() {
  shared_.log.ErrorLimited(label_, error_text::kTooManyConnections);
  std::string line;
  AppendErr(&line, error_text::kTooManyConnections);
  receiver_.outbox.Append(line);
  shared_.router.outlet().Touch(&receiver_);
  state_ = State::kClosed;
  host_.Close(ClosedReason::kMaxConnectionsExceeded);
}

void Session::Start() {
  if (shared_.config->authenticator.nonce_required()) {
    char raw[kNonceBytes];
    shared_.entropy(raw, sizeof raw);
    nonce_ = EncodeNonce({raw, sizeof raw});
  }
  SendInfo();
  shared_.log.Debug(label_ + " - Client connection created");
}

void Session::SendInfo(bool lame_duck) {
  const LoadedConfig& config = *shared_.config;
  ClientInfo client;
  client.client_id = receiver_.id.cid;
  client.client_ip = client_ip_;
  client.auth_required =
      config.authenticator.required() && (connect_received_ || !config.authenticator.offers_no_auth());
  if (!connect_received_) client.nonce = nonce_;
  if (!lame_duck) return Reply(InfoLine(config.info, client));
  ServerInfo info = config.info;
  info.lame_duck = true;
  Reply(InfoLine(info, client));
}

// ---- input ---------------------------------------------------------------------------------------------------------

Session::Progress Session::Consume(std::string_view* input) {
  MR_DCHECK(shard_checker_.Here());
  MR_DCHECK(state_ == State::kConnecting || state_ == State::kReady);  // others take no input
  last_activity_ns_ = shared_.wall_ns;
  const uint64_t messages_before = in_messages_;
  const uint64_t bytes_before = in_bytes_;
  if (publishing_ != nullptr) publishing_->previous_subject = {};
  Progress progress = Progress::kNeedMore;
  Command command;
  while (!input->empty()) {
    if (publishing_ != nullptr && !publishing_->repeated.empty()) {
      ConsumeRepeated(input);
      if (input->empty()) break;
      if (shared_.router.outlet().TurnSpent()) [[unlikely]] {
        progress = Progress::kYield;
        break;
      }
    }
    const Parser::Status status = parser_.Next(*input, &command);
    if (status == Parser::Status::kNeedMore) break;
    if (status == Parser::Status::kError) {
      shared_.router.FlushRun();
      OnProtocolError(*input);
      progress = Progress::kClosed;
      break;
    }
    MR_DCHECK(parser_.consumed() > 0 && parser_.consumed() <= input->size());
    input->remove_prefix(parser_.consumed());
    if ((command.verb == Verb::kPub || command.verb == Verb::kHpub) && state_ == State::kReady) [[likely]] {
      OnPub(command);
    } else {
      shared_.router.FlushRun();
      OnCommand(command);
    }
    if (state_ != State::kReady && state_ != State::kConnecting) [[unlikely]] {
      progress = state_ == State::kClosed ? Progress::kClosed : Progress::kPaused;
      break;
    }
    if (shared_.router.outlet().TurnSpent()) [[unlikely]] {
      progress = Progress::kYield;
      break;
    }
  }
  shared_.router.FlushRun();  // it holds views of the input
  MR_DCHECK((progress == Progress::kClosed) == (state_ == State::kClosed));
  if (in_messages_ != messages_before) {
    shared_.counters.in_messages.Add(in_messages_ - messages_before);
    shared_.counters.in_bytes.Add(in_bytes_ - bytes_before);
    last_in_ = shared_.now;
  }
  return progress;
}

// PUB after PUB to the subject of the last one, as long as they look the same and nothing has changed since.
void Session::ConsumeRepeated(std::string_view* input) {
  Interest& interest = shared_.router.interest();
  Router& router = shared_.router;
  if (publishing_->match == nullptr || publishing_->epoch != interest.epoch() || shared_.log.trace() ||
      !router.OpenRun(RunCommon(RepeatedSubject(publishing_->repeated)), *publishing_->match)) {
    publishing_->repeated.clear();
    return;
  }
  Parser::RepeatedSize size;
  uint64_t messages = 0;
  uint64_t bytes = 0;
  std::string_view rest = *input;
  const size_t beginning = publishing_->repeated.size();
  MR_DCHECK(beginning > kPubVerbBytes + 1);
  MR_DCHECK(RepeatedSubject(publishing_->repeated) == publishing_->subject ||
            MatchesLikeLast(RepeatedSubject(publishing_->repeated)));
  while (const size_t taken = parser_.NextRepeated(rest, publishing_->repeated, &size)) {
    router.AddToRun(RepeatedSubject(rest.substr(0, beginning)), rest.substr(beginning, taken - beginning),
                    size.payload_bytes, 0);
    rest.remove_prefix(taken);
    ++messages;
    bytes += size.payload_bytes;
    if (publishing_->epoch != interest.epoch()) [[unlikely]]  // a delivery was somebody's last
      break;
    if (messages % kMessagesPerLook == 0 && router.outlet().TurnSpent()) [[unlikely]]
      break;
  }
  *input = rest;
  in_messages_ += messages;
  in_bytes_ += bytes;
  if (messages > 0) touched_ |= publishing_->match->remote_plain;
}

Message Session::RunCommon(std::string_view subject) {
  // All members are named, or gcc clears the whole first, with a slow instruction.
  return Message{.account = principal_.account(),
                 .subject = subject,
                 .deliver_to = {},
                 .reply = {},
                 .payload = {},
                 .tail = {},
                 .header_bytes = 0,
                 .header_zeros = 0,
                 .size_zeros = 0,
                 .origin = &receiver_,
                 .origin_id = receiver_.id,
                 .trace = nullptr,
                 .report_undelivered = false,
                 .by_service = false,
                 .sinks_later = false};
}

void Session::OnCommand(const Command& command) {
  if (shared_.log.trace() && command.verb != Verb::kPub && command.verb != Verb::kHpub) TraceIn(command);
  if (state_ == State::kConnecting && command.verb != Verb::kConnect) {
    // The parser lets this through only when there is a no_auth_user to become.
    host_.OnConnected();
    const Verdict verdict = Judge();
    if (verdict.kind != Verdict::Kind::kAllow) return Deny();
    if (!Accept(PrincipalOf(verdict.user))) return;
  }
  switch (command.verb) {
    case Verb::kPub:
    case Verb::kHpub:
      return OnPub(command);
    case Verb::kConnect:
      return OnConnect(command.args);
    case Verb::kSub:
      return OnSub(command);
    case Verb::kUnsub:
      return OnUnsub(command);
    case Verb::kPing:
      return OnPing();
    case Verb::kPong:
      return OnPong();
    case Verb::kInfo:
      if (!IsJsonObject(command.args)) Fail({}, ClosedReason::kProtocolViolation);
      return;
    case Verb::kOk:
      return;
    case Verb::kErr:
      shared_.log.Error(Concat({label_, " - Client Error ", command.args}));
      return Fail({}, ClosedReason::kParseError);
  }
}

void Session::OnProtocolError(std::string_view input) {
  const ProtocolError error = parser_.error();
  ClosedReason reason = ClosedReason::kProtocolViolation;
  switch (error) {
    case ProtocolError::kPayloadTooLarge:
      reason = ClosedReason::kMaxPayloadExceeded;
      break;
    case ProtocolError::kControlLineTooLong:
      reason = ClosedReason::kMaxControlLineExceeded;
      break;
    case ProtocolError::kAuthorizationViolation:
      return RefuseUser();
    default:
      break;
  }
  shared_.log.ErrorLimited(
      absl::StrFormat("%s - %s", label_, ErrorText(error).empty() ? "protocol error" : std::string(ErrorText(error))));
  const bool in_connect = input.starts_with('C') || input.starts_with('c');  // where secrets are
  if (shared_.log.debug() && !in_connect) {
    shared_.log.Debug(label_ + " - at: " + Quoted(input.substr(parser_.consumed(), 32)));
  }
  Fail(ErrorText(error), reason);
}

// ---- CONNECT -------------------------------------------------------------------------------------------------------

void Session::OnConnect(std::string_view json) {
  StopRepeating();
  rtt_ = std::max(shared_.now - started_, Nanos{1});
  host_.OnConnected();
  admission_.BeginConnect(&connect_.own_credentials, keys());
  if (!ParseConnect(json, &connect_)) {
    shared_.log.Error(label_ + " - CONNECT is not valid JSON");
    return Fail({}, ClosedReason::kProtocolViolation);
  }
  if (connect_received_) RemoveAllSubscriptions();
  connect_received_ = true;
  receiver_.echo = connect_.echo;
  receiver_.headers = connect_.headers && !options().no_header_support;
  OnJudged(Judge());
}

Verdict Session::Judge() {
  Verdict verdict = admission_.Judge(shared_.config->authenticator,
                                     {.type = kConnection,
                                      .listener = ListenerKind::kClient,
                                      .nonce = nonce_,
                                      .client_ip = client_ip_,
                                      .now_ns = shared_.wall_ns},
                                     &connect_.own_credentials, keys());
  if (!verdict.why.empty()) shared_.log.Debug(Concat({label_, " - ", verdict.why}));
  return verdict;
}

// After its CONNECT.
void Session::OnJudged(const Verdict& verdict) {
  switch (verdict.kind) {
    case Verdict::Kind::kDeny:
      return Deny();
    case Verdict::Kind::kAllow:
      if (Accept(PrincipalOf(verdict.user))) FinishConnect();
      return;
    case Verdict::Kind::kAsk:
      if (state_ != State::kChecking) host_.AwaitAnswer();
      state_ = State::kChecking;
      return Ask(verdict);
  }
}

void Session::Ask(const Verdict& verdict) {
  if (!admission_.BeginQuestion(verdict.hash, keys())) return;
  host_.Ask({.source = client_ip_, .hash = std::string(verdict.hash), .secret = verdict.secret});
}

void Session::OnAnswer(Finding finding) {
  MR_CHECK(state_ != State::kClosed);
  admission_.OnAnswer(finding == Finding::kYes);
  if (finding == Finding::kNoTime) return FailLate();
  if (state_ != State::kChecking) return Rejudge();
  const Verdict verdict = Judge();
  OnJudged(verdict);
  MR_CHECK(state_ != State::kChecking || admission_.asking());
}

std::string_view Session::user_said() const {
  const Credentials& said = connect_.credentials();
  if (!said.nkey.empty()) return said.nkey;
  if (!said.user.empty()) return said.user;
  return said.token_said ? "[REDACTED]" : "";
}

Principal Session::PrincipalOf(const KnownUser* user) {
  std::string name(user_said());
  if (user == nullptr) return Principal(shared_.config->accounts.global().id, std::move(name));
  PermissionSets::Ref permissions;
  if (user->permissions) permissions = shared_.permission_sets.Get(*user->permissions, user->fingerprint);
  return Principal(user->account, std::move(name), std::move(permissions));
}

bool Session::Accept(Principal principal) {
  MR_CHECK(state_ != State::kClosed);
  // What is subscribed to belongs to an account; a CONNECT takes it away, and users do not change theirs.
  MR_CHECK(subs_.empty() || principal.account() == principal_.account());
  principal_ = std::move(principal);
  delivery_filter_ = false;
  if (!TakePlaceIn(principal_.account())) {
    shared_.log.ErrorLimited(Concat({label_, " - ", error_text::kTooManyAccountConnections}));
    Fail(error_text::kTooManyAccountConnections, ClosedReason::kMaxAccountConnectionsExceeded);
    return false;
  }
  StopRepeating();
  if (state_ != State::kBarrier) state_ = State::kReady;
  UpdateHooks();
  AdoptView();
  parser_.set_limits(Limits());
  shared_.server_events->OnConnect(Facts());
  return true;
}

// It leaves the place that it had. Where it has one already it keeps it, unless a reload has left fewer than there are.
bool Session::TakePlaceIn(AccountId account) {
  SharedCounts* const counts = shared_.account_connections;
  if (counts == nullptr) return true;
  const int64_t most = shared_.config->accounts[account].limits.connections;
  if (counted_in_ == account) {
    const int64_t connections = counts->Get(account);
    shared_.server_events->OnConnections(account, connections - 1);
    if (counts->GiveBackAbove(account, most)) {
      counted_in_ = kNoAccount;
      return false;
    }
    shared_.server_events->OnConnections(account, connections);
    return true;
  }
  if (!counts->TryTake(account, most)) return false;
  LeavePlace();
  counted_in_ = account;
  shared_.server_events->OnConnections(account, counts->Get(account));
  return true;
}

void Session::LeavePlace() {
  if (counted_in_ == kNoAccount) return;
  shared_.account_connections->GiveBack(counted_in_);
  shared_.server_events->OnConnections(counted_in_, shared_.account_connections->Get(counted_in_));
  counted_in_ = kNoAccount;
}

void Session::FinishConnect() {
  // Naming an account was an experiment of old; the peer refuses it.
  if (connect_.new_account || !connect_.credentials().account.empty()) return RefuseUser();
  UpdateLabel();
  if (connect_.protocol < 0 || connect_.protocol > 1) {
    return Fail(error_text::kInvalidClientProtocol, ClosedReason::kBadClientProtocolVersion);
  }
  if (connect_.no_responders && !receiver_.headers) {
    return Fail(error_text::kNoRespondersNeedsHeaders, ClosedReason::kNoRespondersRequiresHeaders);
  }
  if (connect_.verbose) ReplyOk();
}

std::string Session::UserForLog() const {
  const Credentials& said = connect_.credentials();
  if (!said.nkey.empty()) return "Nkey " + Quoted(said.nkey);
  if (!said.user.empty()) return "User " + Quoted(said.user);
  return said.token_said ? "Token \"[REDACTED]\"" : "";
}

void Session::RefuseUser() {
  const std::string user = UserForLog();
  shared_.log.Error(Concat({label_, " - authentication error", user.empty() ? "" : " - ", user}));
  Fail(error_text::kAuthorizationViolation, ClosedReason::kAuthenticationViolation);
  shared_.server_events->OnAuthError(Facts(), ClosedReasonText(ClosedReason::kAuthenticationViolation));
}

void Session::Deny() {
  shared_.server_events->OnRefused(Facts(), ClosedReasonText(ClosedReason::kAuthenticationViolation));
  RefuseUser();
}

ClientFacts Session::Facts() const {
  return {.account = principal_.account(),
          .about = {.start_ns = started_wall_ns_,
                    .host = client_ip_,
                    .id = receiver_.id.cid,
                    .account = account_name(),
                    .user = user_said(),
                    .name = connect_.name,
                    .lang = connect_.lang,
                    .version = connect_.version,
                    .rtt_ns = RoundRtt(rtt_.count())},
          .in_messages = in_messages_,
          .in_bytes = in_bytes_,
          .out_messages = receiver_.out_messages,
          .out_bytes = receiver_.out_bytes};
}

void Session::OnAuthTimeout() {
  if (state_ == State::kConnecting) FailLate();
}

void Session::FailLate() {
  shared_.log.Debug(Concat({label_, " - ", error_text::kAuthenticationTimeout}));
  Fail(error_text::kAuthenticationTimeout, ClosedReason::kAuthenticationTimeout);
}

// ---- PUB -----------------------------------------------------------------------------------------------------------

// Whether the last match looked at nothing in which this subject differs: with a filter `orders.*` and no other below
// `orders`, all of orders.1, orders.2, ... go the same way (SubjectTrie::Walk).
inline bool Session::MatchesLikeLast(std::string_view subject) const {
  const size_t decisive = publishing_->decisive_bytes;
  if (decisive >= publishing_->subject.size() || decisive >= subject.size() ||
      !SameBytes(subject.data(), std::string_view(publishing_->subject.data(), decisive)))
    return false;
  if (decisive > 0 && subject[decisive] != kTokenSeparator) return false;
  const size_t tokens = CountNamedTokens(TextBehind(subject, decisive));
  return tokens > 0 && tokens == publishing_->tokens_behind;
}

inline const MatchResult& Session::MatchSubject(std::string_view subject) {
  if (publishing_ == nullptr) return FindMatch(subject, false);
  const bool repeated = SameText(subject, publishing_->subject) || MatchesLikeLast(subject);
  if (repeated && publishing_->match != nullptr && publishing_->epoch == shared_.router.interest().epoch()) [[likely]]
    return *publishing_->match;
  return FindMatch(subject, repeated);
}

[[gnu::noinline]] const MatchResult& Session::FindMatch(std::string_view subject, bool repeated) {
  if (publishing_ == nullptr) publishing_ = std::make_unique<Publishing>();
  shared_.router.FlushRun();  // it holds a match, which the next one may displace
  publishing_->repeated.clear();
  Interest& interest = shared_.router.interest();
  const Interest::Matched matched = interest.Match(principal_.account(), subject, repeated);
  publishing_->match = matched.lasting ? matched.result : nullptr;
  publishing_->epoch = interest.epoch();
  publishing_->subject.assign(subject);
  const uint32_t decisive = matched.decisive_bytes;
  publishing_->decisive_bytes = decisive;
  publishing_->tokens_behind = decisive < subject.size() ? CountNamedTokens(TextBehind(subject, decisive)) : 0;
  return *matched.result;
}

bool Session::PublishPermitted(const Command& command, std::string_view subject) {
  const bool special = subject.starts_with('_') || subject.starts_with('$');
  const bool subject_ok = !(special && IsGatewaySubject(subject)) &&
                          principal_.MayPublish(subject, shared_.now) &&
                          !(special && IsRaftSubject(subject) &&
                            !shared_.config->accounts.is_system(principal_.account()));
  if (!subject_ok) {
    RefusePublish(command, Concat({error_text::kPublishViolation, Quoted(subject)}),
                  Concat({"Subject ", Quoted(subject)}));
    return false;
  }
  if (!command.reply.empty() && IsReservedReply(command.reply)) {
    RefusePublish(command, Concat({error_text::kReplyViolation, Quoted(command.reply)}),
                  Concat({"Reply ", Quoted(command.reply)}));
    return false;
  }
  return true;
}

void Session::RefusePublish(const Command& command, std::string_view error, std::string_view about) {
  PendingTrace trace;
  const Tracing tracing = command.verb == Verb::kHpub ? BeginTrace(command, &trace) : Tracing::kNo;
  if (tracing == Tracing::kDrop) return;
  ReplyError(error);
  shared_.log.ErrorLimited(Concat({label_, " - Publish Violation - ", about}));
  if (tracing != Tracing::kYes) return;
  trace.error = error;
  FinishTrace(trace);
}

void Session::OnPub(const Command& command) {
  if (shared_.log.trace()) [[unlikely]]
    TraceIn(command);
  MR_DCHECK(!command.subject.empty() && command.header_bytes <= command.payload.size());
  ++in_messages_;
  in_bytes_ += command.payload.size();
  if (connect_.pedantic && !IsValidLiteral(command.subject)) [[unlikely]] {
    shared_.router.FlushRun();
    ReplyError(error_text::kInvalidPublishSubject);
  }
  std::string_view subject = command.subject;
  const bool is_dropped = maps_subjects_ && !MapSubject(&subject);
  // Permissions are those of what the mapping has made of it, as at the peer.
  const std::string_view asked = is_dropped ? command.subject : subject;
  const char first = asked.front();
  if (!principal_.unrestricted() || first == '_' || first == '$' || !command.reply.empty()) {
    shared_.router.FlushRun();  // a refusal comes behind what went before
    if (!PublishPermitted(command, asked)) return;
  }
  if (connect_.verbose) [[unlikely]] {
    shared_.router.FlushRun();
    ReplyOk();
  }

  if (is_dropped) [[unlikely]]
    return;
  const uint32_t header_bytes = command.verb == Verb::kHpub ? command.header_bytes : 0;
  if (header_bytes > 0 && TracePublish(command, subject)) [[unlikely]]
    return;
  const MatchResult& match = MatchSubject(subject);
  if (publishing_->match != nullptr && !command.tail.empty() && command.reply.empty() &&
      (shared_.router.ContinueRun(match, subject) || shared_.router.OpenRun(RunCommon(subject), match))) {
    shared_.router.AddToRun(subject, command.tail, command.payload.size(), header_bytes);
    touched_ |= match.remote_plain;
    if (!SameText(subject, publishing_->previous_subject)) {
      publishing_->previous_subject = subject;
      publishing_->repeated.clear();
    } else if (command.verb == Verb::kPub && MayRepeat(first)) {
      publishing_->repeated.assign(command.args.data() - kPubVerbBytes, command.tail.data());
    }
    return;
  }
  shared_.router.FlushRun();
  const Message message = MessageOf(command, subject);
  const Router::Outcome outcome = shared_.router.Publish(message, match);
  touched_ |= outcome.sent_to;
  if (!outcome.delivered && message.report_undelivered) SendNoResponders(subject, command.reply);
}

bool Session::MapSubject(std::string_view* subject) {
  if (publishing_ == nullptr) publishing_ = std::make_unique<Publishing>();
  if (publishing_->mapped_from != *subject || publishing_->mapped_from.empty()) {
    std::optional<Mappings::Mapped> mapped = view().mappings.Map(*subject, shared_.router.Random());
    if (!mapped) return true;
    shared_.router.FlushRun();  // it holds views of what is overwritten here
    publishing_->mapped_from.assign(mapped->is_pure ? *subject : std::string_view());
    publishing_->mapped_to = std::move(mapped->subject);
    publishing_->previous_subject = {};
  }
  *subject = publishing_->mapped_to;
  return !subject->empty();
}

Message Session::MessageOf(const Command& command, std::string_view subject) {
  Message message = RunCommon(subject);
  message.reply = command.reply;
  message.payload = command.payload;
  message.tail = command.tail;
  message.header_bytes = command.verb == Verb::kHpub ? command.header_bytes : 0;
  message.header_zeros = command.header_zeros;
  message.size_zeros = command.size_zeros;
  message.report_undelivered = connect_.no_responders && !command.reply.empty();
  return message;
}

Session::Tracing Session::BeginTrace(const Command& command, PendingTrace* trace) {
  std::optional<TraceRequest> request =
      ReadTraceRequest(command.payload.substr(0, command.header_bytes), traces_by_parent_);
  if (!request.has_value()) return Tracing::kNo;
  shared_.router.FlushRun();
  const Tracing otherwise = request->only ? Tracing::kDrop : Tracing::kNo;
  if (request->disabled) return request->only ? Tracing::kDrop : Tracing::kDisable;
  if (request->dest.empty()) {
    const AccountTrace& of_account = shared_.config->accounts[principal_.account()].trace;
    const uint64_t draw = shared_.router.Random() % 100;  // the peer's `<=`:
    if (of_account.sampling < 100 && draw > static_cast<uint64_t>(of_account.sampling)) return Tracing::kDisable;
    request->dest = of_account.dest;
  }
  const std::string& dest = request->dest;
  if (!IsValidLiteral(dest)) {
    shared_.log.Error(
        Concat({label_, " - Destination ", Quoted(dest), " is not valid, won't be able to trace events"}));
    return otherwise;
  }
  const bool is_system = shared_.config->accounts.is_system(principal_.account());
  if (IsGatewaySubject(dest) || (IsRaftSubject(dest) && !is_system) || !principal_.MayPublish(dest, shared_.now)) {
    ReplyError(Concat({error_text::kPublishViolation, Quoted(dest)}));
    shared_.log.ErrorLimited(Concat({label_, " - Publish Violation - Subject ", Quoted(dest)}));
    return Tracing::kDrop;
  }
  trace->request = *std::move(request);
  trace->ingress_ns = shared_.wall_ns;
  trace->subject = command.subject;
  trace->message_bytes = command.payload.size();
  return Tracing::kYes;
}

bool Session::TracePublish(const Command& command, std::string_view subject) {
  const std::string_view headers = command.payload.substr(0, command.header_bytes);
  if (!traces_by_parent_ && !MayAskForTrace(headers)) [[likely]]
    return false;
  PendingTrace pending;
  const Tracing tracing = BeginTrace(command, &pending);
  if (tracing == Tracing::kNo) return false;
  if (tracing == Tracing::kDrop) return true;
  Message message = MessageOf(command, subject);
  std::string untraced;
  MessageTrace trace{.id = next_trace_++, .only = pending.request.only, .wall_ns = shared_.wall_ns};
  if (tracing == Tracing::kDisable) {
    untraced = WithTraceDest(message.payload, kTraceDisabled, &message.header_bytes);
    message.payload = untraced;
    message.tail = {};
    message.header_zeros = message.size_zeros = 0;
  } else {
    message.trace = &trace;
    const bool is_mapped = subject.data() != command.subject.data();
    if (is_mapped) {
      trace.events.push_back({.kind = TraceEvent::Kind::kSubjectMapping,
                              .wall_ns = shared_.wall_ns,
                              .to = std::string(subject)});
    }
  }
  const Router::Outcome outcome = shared_.router.Publish(message, MatchSubject(subject));
  touched_ |= outcome.sent_to;
  if (!outcome.delivered && message.report_undelivered) SendNoResponders(subject, command.reply);
  if (message.trace == nullptr) return true;
  pending.events = std::move(trace.events);
  pending.reports_missing = trace.reports_missing;
  if (pending.reports_missing == 0) {
    FinishTrace(pending);
  } else {
    const bool is_new = traces_.emplace(trace.id, std::move(pending)).second;
    MR_CHECK(is_new);  // no report comes before the publish has returned
  }
  return true;
}

void Session::OnTraceReport(TraceReport&& report) {
  const auto it = traces_.find(report.id);
  if (it == traces_.end()) return;
  PendingTrace& trace = it->second;
  MR_CHECK_OP(trace.reports_missing, >, 0u);
  std::move(report.events.begin(), report.events.end(), std::back_inserter(trace.events));
  if (--trace.reports_missing > 0) return;
  const PendingTrace whole = std::move(trace);
  traces_.erase(it);
  FinishTrace(whole);
}

void Session::FinishTrace(const PendingTrace& trace) {
  MR_CHECK_OP(trace.reports_missing, ==, 0u);
  const TraceOrigin origin{receiver_.id.cid, connect_.name, principal_.account()};
  const std::string event =
      TraceEventJson(shared_.system->NextServer(), shared_.config->accounts, origin, trace);
  Message message;
  message.account = principal_.account();
  message.subject = trace.request.dest;
  message.payload = event;
  const MatchResult& match = *shared_.router.interest().Match(message.account, message.subject).result;
  touched_ |= shared_.router.Publish(message, match).sent_to;
}

void Session::SendNoResponders(std::string_view subject, std::string_view reply) {
  // Only a requester that listens for the reply itself is told.
  for (const Subscription* sub : shared_.router.interest().Match(principal_.account(), reply).result->plain) {
    if (sub->receiver != &receiver_ || sub->removed) continue;
    std::string text;
    AppendNoResponders(&text, reply, sub->sid(), subject);
    receiver_.outbox.Append(text);
    shared_.router.outlet().Touch(&receiver_);
    return;
  }
}

std::string Session::RequestorJson(const RequestorDetail& detail) const {
  ClientObject about = Facts().about;
  about.rtt_ns = rtt_.count();
  if (!detail.identity) {
    about = {.account = about.account, .rtt_ns = about.rtt_ns, .with_kind = false};
  }
  if (detail.by_way_of != kNoAccount) about.service = shared_.config->accounts[detail.by_way_of].name;
  if (detail.server) about.server = shared_.config->info.server_name;
  JsonWriter json(JsonLayout::kCompact);
  about.Write(&json);
  return std::move(json).Take();
}

std::string Session::UserInfoJson() const {
  if (state_ != State::kReady && state_ != State::kBarrier) return {};
  JsonWriter json(JsonLayout::kCompact);
  json.BeginObject();
  json.Put("user", principal_.user());
  json.Put("account", account_name());
  json.Opt("account_name", account_name());
  json.OptRaw("permissions", principal_.PermissionsJson());
  json.EndObject();
  return std::move(json).Take();
}

bool Session::AnnounceLameDuck() {
  const bool is_there = (state_ == State::kReady || state_ == State::kBarrier) && first_pong_sent_;
  if (!is_there || connect_.protocol < 1) return false;
  SendInfo(true);
  return true;
}

void Session::OnUndelivered(std::string_view subject, std::string_view reply) {
  if (state_ != State::kClosed && connect_.no_responders) SendNoResponders(subject, reply);
}

// ---- SUB, UNSUB ----------------------------------------------------------------------------------------------------

void Session::OnSub(const Command& command) {
  const std::string_view queue = command.queue;
  if (!principal_.MaySubscribe(command.subject, queue) || queue == kSystemQueue) {
    const std::string about = queue.empty() ? std::string() : Concat({error_text::kUsingQueue, Quoted(queue)});
    ReplyError(Concat({error_text::kSubscribeViolation, Quoted(command.subject), about}));
    shared_.log.ErrorLimited(
        Concat({label_, " - Subscription Violation - Subject ", Quoted(command.subject),
                queue.empty() ? "" : ", Queue: ", queue.empty() ? "" : Quoted(queue), ", SID ", command.sid}));
    return;
  }
  if (options().max_sub_tokens > 0 && CountTokens(command.subject) > static_cast<size_t>(options().max_sub_tokens)) {
    ReplyError(Concat({error_text::kSubscribeViolation, Quoted(command.subject), error_text::kTooManyTokens}));
    shared_.log.ErrorLimited(Concat({label_, " - Subscription Violation Too Many Tokens - Subject ",
                                     Quoted(command.subject), ", SID ", command.sid}));
    return;
  }
  if (HasAllItsSubscriptions()) {
    ReplyError(error_text::kTooManySubscriptions);
    shared_.log.ErrorLimited(Concat({label_, " - ", error_text::kTooManySubscriptions}));
    return;
  }
  if (subs_.contains(command.sid)) {  // a second SUB with the same sid changes nothing
    if (connect_.verbose) ReplyOk();
    return;
  }
  if (!IsWellFormedFilter(command.subject)) return ReplyError(error_text::kInvalidSubject);
  if (!delivery_filter_ && principal_.NeedsDeliveryFilter(command.subject, queue)) {
    delivery_filter_ = true;
    UpdateHooks();
  }
  Subscription* sub =
      Subscription::Create(principal_.account(), &receiver_, nullptr, command.subject, queue, command.sid);
  const bool inserted = subs_.insert(sub).second;
  MR_CHECK(inserted);
  shared_.router.interest().Insert(sub);
  if (!view().stream_imports.empty()) [[unlikely]]
    AddShadows(*sub);
  touched_ = ~ShardSet{0};
  if (connect_.verbose) ReplyOk();
}

bool Session::HasAllItsSubscriptions() const {
  const auto reaches = [this](int64_t most) { return subs_.size() >= static_cast<size_t>(most); };
  const int64_t of_account = account_limits().subscriptions;
  return (options().max_subscriptions > 0 && reaches(options().max_subscriptions)) ||
         (of_account >= 0 && reaches(of_account));
}

void Session::AddShadows(const Subscription& sub) {
  MR_DCHECK(streams_version_ == view().streams_version);
  if (shadows_ == nullptr) shadows_ = std::make_unique<Shadows>(shared_.router.interest());
  shadows_->Add(sub, view());
}

// The account, or what it imports and maps, is another one.
void Session::AdoptView() {
  const AccountView& now = view();
  maps_subjects_ = !now.mappings.empty();
  traces_by_parent_ = !shared_.config->accounts[principal_.account()].trace.dest.empty();
  if (publishing_ != nullptr) publishing_->mapped_from.clear();
  if (std::exchange(streams_version_, now.streams_version) == now.streams_version) return;
  if (subs_.empty()) return;
  if (shadows_ == nullptr) shadows_ = std::make_unique<Shadows>(shared_.router.interest());
  for (const Subscription* sub : subs_) shadows_->Replace(*sub, now);
  touched_ = ~ShardSet{0};
}

void Session::OnUnsub(const Command& command) {
  const auto it = subs_.find(command.sid);
  if (connect_.verbose) ReplyOk();
  if (it == subs_.end()) return;
  Subscription* sub = *it;
  if (command.max > 0 && static_cast<uint64_t>(command.max) > sub->delivered) {
    sub->max = static_cast<uint64_t>(command.max);
    return;
  }
  Unsubscribe(sub);
}

void Session::Unsubscribe(Subscription* sub) {
  if (shared_.log.trace()) shared_.log.Trace(Concat({label_, " - <-> [DELSUB ", sub->sid(), "]"}));
  const size_t erased = subs_.erase(sub);
  MR_CHECK_OP(erased, ==, 1u);
  if (shadows_ != nullptr) shadows_->Remove(*sub);
  if (!sub->removed) shared_.router.interest().Remove(sub);
  touched_ = ~ShardSet{0};
}

void Session::OnAutoUnsubscribed(Subscription* sub) {
  MR_DCHECK(shard_checker_.Here() && sub->removed);
  const size_t erased = subs_.erase(sub);
  MR_CHECK_OP(erased, ==, 1u);
  if (shadows_ != nullptr) shadows_->Remove(*sub);
  touched_ = ~ShardSet{0};
}

void Session::RemoveAllSubscriptions() {
  if (shadows_ != nullptr) shadows_->RemoveAll();
  for (Subscription* sub : subs_) {
    if (!sub->removed) shared_.router.interest().Remove(sub);
  }
  subs_.clear();
  touched_ = ~ShardSet{0};
}

void Session::Close(ClosedReason reason) {
  MR_DCHECK(shard_checker_.Here());
  MR_CHECK(!receiver_.closed);
  state_ = State::kClosed;
  receiver_.closed = true;
  RemoveAllSubscriptions();
  LeavePlace();
  barrier_.clear();
  shared_.server_events->OnDisconnect(Facts(), ClosedReasonText(reason));
}

void Session::Invariant() const {
  MR_CHECK(receiver_.closed == (state_ == State::kClosed));
  MR_CHECK(receiver_.owner == this && (receiver_.hooks == nullptr || receiver_.hooks == this));
  MR_CHECK((state_ == State::kBarrier) == !barrier_.empty());
  MR_CHECK(state_ != State::kClosed || subs_.empty());
  MR_CHECK(subs_.size() > 0 || shadows_ == nullptr || shadows_->empty());
  MR_CHECK(!delivery_filter_ || !principal_.unrestricted());
  MR_CHECK(state_ != State::kChecking || admission_.asking());
  MR_CHECK(publishing_ == nullptr || publishing_->repeated.empty() || publishing_->match != nullptr);
  for (const auto& [shard, position] : barrier_) {
    MR_CHECK(shard < shared_.router.mesh().shards() && shard != shared_.router.mesh().self());
    MR_CHECK_OP(position, <=, shared_.router.mesh().position(shard));
  }
  for (const Subscription* sub : subs_) {
    MR_CHECK(sub->receiver == &receiver_ && sub->sink == nullptr);
    MR_CHECK(!sub->removed && sub->node != nullptr);
    MR_CHECK_OP(sub->account, ==, principal_.account());
  }
  for (const auto& [id, trace] : traces_) MR_CHECK_OP(trace.reports_missing, >, 0u);
}

// ---- PING, PONG ----------------------------------------------------------------------------------------------------

void Session::OnPing() {
  MR_DCHECK(state_ == State::kReady && barrier_.empty());
  last_in_ = shared_.now;
  MeshPort& mesh = shared_.router.mesh();
  for (ShardSet rest = touched_ | shared_.router.sent_on(); rest != 0; rest &= rest - 1) {
    const auto shard = static_cast<uint32_t>(std::countr_zero(rest));
    if (shard >= mesh.shards()) break;
    if (shard == mesh.self()) continue;
    const uint64_t position = mesh.position(shard);
    if (!mesh.Consumed(shard, position)) barrier_.emplace_back(shard, position);
  }
  touched_ = 0;
  if (barrier_.empty()) return SendPong();
  MR_DCHECK(barrier_.size() < mesh.shards());  // each of the others once
  state_ = State::kBarrier;
  host_.AwaitBarrier();
}

void Session::SendPong() {
  MR_CHECK(barrier_.empty());
  if (shared_.log.trace()) shared_.log.Trace(label_ + " - ->> [PONG]");
  Reply(kPongLine);
  if (!connect_received_ || first_pong_sent_) return;
  first_pong_sent_ = true;
  if (connect_.protocol < 1) return;
  ClientInfo client;
  client.client_id = receiver_.id.cid;
  client.client_ip = client_ip_;
  client.auth_required = shared_.config->authenticator.required();
  client.connect_info = true;
  client.remote_account = account_name();
  client.account_is_system = shared_.config->accounts.is_system(principal_.account());
  client.max_payload = account_limits().payload;
  Reply(InfoLine(shared_.config->info, client));
}

bool Session::CheckBarrier() {
  MR_DCHECK(shard_checker_.Here());
  if (state_ != State::kBarrier) return true;
  MR_CHECK(!barrier_.empty());
  MeshPort& mesh = shared_.router.mesh();
  std::erase_if(barrier_, [&mesh](const auto& wait) { return mesh.Consumed(wait.first, wait.second); });
  if (!barrier_.empty()) return false;
  state_ = State::kReady;
  SendPong();
  return true;
}

void Session::RequestBarrierWake() {
  for (const auto& [shard, position] : barrier_) shared_.router.mesh().WakeAt(shard, position);
}

void Session::OnPong() {
  pings_out_ = 0;
  if (ping_sent_ != kLongAgo) rtt_ = std::max(shared_.now - ping_sent_, Nanos{1});
}

void Session::OnKeepAliveTimer() {
  constexpr Nanos kRttInterval = std::chrono::hours(1);
  const bool need_rtt = rtt_ == Nanos{0} || shared_.now - ping_sent_ > kRttInterval;
  if (shared_.now - last_in_ < options().ping_interval && !need_rtt) return;
  if (pings_out_ + 1 > options().ping_max) {
    shared_.log.Debug(label_ + " - Stale Client Connection - Closing");
    shared_.counters.stale_connections.Add(1);
    return Fail(error_text::kStaleConnection, ClosedReason::kStaleConnection);
  }
  ++pings_out_;
  MR_CHECK(pings_out_ > 0 && pings_out_ <= options().ping_max);
  ping_sent_ = shared_.now;
  if (shared_.log.trace()) shared_.log.Trace(label_ + " - ->> [PING]");
  receiver_.outbox.Append(kPingLine);
  shared_.router.outlet().Touch(&receiver_);
}

// ---- delivery hooks ------------------------------------------------------------------------------------------------

bool Session::MayDeliver(const Subscription& sub, const Message& message) {
  MR_DCHECK(sub.receiver == &receiver_);
  return !delivery_filter_ || !principal_.DeniesDelivery(message.subject, sub.queue());
}

void Session::OnDelivered(const Subscription& sub, const Message& message) {
  MR_DCHECK(sub.receiver == &receiver_ && !receiver_.closed);
  if (principal_.tracks_replies()) principal_.OnDelivered(message.reply, shared_.now);
  if (shared_.log.trace()) {
    shared_.log.Trace(absl::StrFormat("%s - ->> [MSG %s %s%s%s %d]", label_, std::string(message.subject),
                                      std::string(sub.sid()), message.reply.empty() ? "" : " ",
                                      std::string(message.reply), message.payload.size()));
    TracePayload("->>", message.payload, message.header_bytes);
  }
}

// ---- tracing -------------------------------------------------------------------------------------------------------

namespace {

constexpr std::string_view kVerbNames[] = {"CONNECT", "INFO", "PUB",  "HPUB", "SUB",
                                           "UNSUB",   "PING", "PONG", "+OK",  "-ERR"};

}  // namespace

void Session::TraceIn(const Command& command) {
  const std::string_view verb = kVerbNames[static_cast<size_t>(command.verb)];
  const std::string args = command.verb == Verb::kConnect ? ConnectForLog(command.args) : std::string(command.args);
  shared_.log.Trace(Concat({label_, " - <<- [", verb, args.empty() ? "" : " ", args, "]"}));
  if (command.verb != Verb::kPub && command.verb != Verb::kHpub) return;
  TracePayload("<<-", command.payload, command.verb == Verb::kHpub ? command.header_bytes : 0);
}

void Session::TracePayload(std::string_view arrow, std::string_view payload, size_t header_bytes) {
  std::string_view shown = options().trace_headers ? payload.substr(0, header_bytes) : payload;
  if (shown.empty()) return;
  const auto max = static_cast<size_t>(options().max_traced_msg_len);
  const bool cut = max > 0 && shown.size() > max;
  std::string text = Quoted(cut ? shown.substr(0, max) : shown);
  if (cut) text.insert(text.size() - 1, "...");
  shared_.log.Trace(Concat({label_, " - ", arrow, " MSG_PAYLOAD: [", text, "]"}));
}

// ---- reload --------------------------------------------------------------------------------------------------------

const std::string& Session::account_name() const { return shared_.config->accounts[principal_.account()].name; }

void Session::AddTotals(AccountTally* tally, bool open) const {
  AccountTotals& totals = (*tally)[principal_.account()];
  totals.in_messages += in_messages_;
  totals.in_bytes += in_bytes_;
  totals.out_messages += receiver_.out_messages;
  totals.out_bytes += receiver_.out_bytes;
  if (!open) return;
  ++totals.connections;
}

void Session::Describe(ConnInfo* info, bool with_subs) const {
  info->ip = client_ip_;
  info->port = client_port_;
  info->last_activity_ns = last_activity_ns_;
  info->rtt_ns = rtt_.count();
  info->in_msgs = static_cast<int64_t>(in_messages_);
  info->in_bytes = static_cast<int64_t>(in_bytes_);
  info->num_subs = static_cast<uint32_t>(subs_.size());
  info->name = connect_.name;
  info->lang = connect_.lang;
  info->version = connect_.version;
  info->user = user_said();
  info->account = account_name();
  if (!with_subs) return;
  for (const Subscription* sub : subs_) {
    SubInfo& entry = info->subs.emplace_back();
    entry.subject = sub->subject();
    entry.queue = sub->queue();
    entry.sid = sub->sid();
    entry.msgs = static_cast<int64_t>(sub->delivered);
    entry.max = static_cast<int64_t>(sub->max);
    entry.cid = info->cid;
  }
}

void Session::OnConfigChanged(bool recheck_user, bool announce) {
  AdoptConfig(recheck_user);
  if (announce && state_ != State::kClosed && connect_received_ && connect_.protocol >= 1) SendInfo();
}

// Users, permissions and limits are looked at again (G-62). May close.
void Session::AdoptConfig(bool recheck_user) {
  StopRepeating();
  // Whoever waits for an answer is judged by what holds when it comes.
  if (state_ == State::kClosed || state_ == State::kChecking) return;
  UpdateHooks();
  AdoptView();
  if (recheck_user) Rejudge();
  if (state_ != State::kClosed) parser_.set_limits(Limits());
}

// By what it has said of itself, if only that it says nothing.
void Session::Rejudge() {
  const Verdict verdict = Judge();
  if (HasMoved(verdict)) {
    state_ = State::kClosed;
    return host_.Close(ClosedReason::kClientClosed);
  }
  if (verdict.kind == Verdict::Kind::kDeny) return Deny();
  if (state_ == State::kConnecting) return;  // its CONNECT is still to come
  if (verdict.kind == Verdict::Kind::kAsk) return Ask(verdict);
  if (!Accept(PrincipalOf(verdict.user))) return;
  // Whoever has as many as it may, not only more, and whether some are taken away or not, as at the peer.
  const bool has_too_many = verdict.user != nullptr && HasAllItsSubscriptions();
  DropForbidden();
  if (!has_too_many) return;
  shared_.log.ErrorLimited(Concat({label_, " - ", error_text::kTooManySubscriptions}));
  Fail(error_text::kTooManySubscriptions, ClosedReason::kMaxSubscriptionsExceeded);
}

// Its user is gone, or in another account: it is to connect anew, and is told nothing. (The peer does that to all who
// name the one user of a server without a list, even where nothing has changed. Ours stay.)
bool Session::HasMoved(const Verdict& verdict) const {
  const AccountId account = verdict.user != nullptr ? verdict.user->account : shared_.config->accounts.global().id;
  if (verdict.kind != Verdict::Kind::kDeny && account != principal_.account()) return true;
  const Credentials& said = connect_.credentials();
  if (said.nkey.empty() && said.user.empty()) return false;
  const Authenticator& authenticator = shared_.config->authenticator;
  if (const KnownUser* user = authenticator.FindNamed(said)) return user->account != principal_.account();
  return verdict.kind == Verdict::Kind::kDeny || !authenticator.required();
}

void Session::DropForbidden() {
  std::vector<Subscription*> lost;
  for (Subscription* sub : subs_) {
    if (!principal_.MaySubscribe(sub->subject(), sub->queue())) {
      lost.push_back(sub);
    } else if (principal_.NeedsDeliveryFilter(sub->subject(), sub->queue())) {
      delivery_filter_ = true;
    }
  }
  UpdateHooks();
  for (Subscription* sub : lost) {
    ReplyError(Concat({error_text::kSubscribeViolation, Quoted(sub->subject()), " (sid ", Quoted(sub->sid()), ")"}));
    Unsubscribe(sub);
  }
}

}  // namespace millrace
