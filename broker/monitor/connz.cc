// SPDX-License-Identifier: Apache-2.0
// /connz: options, selection, order and JSON.
#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/account/account_id.h"
#include "broker/json/go_format.h"
#include "broker/monitor/pages.h"
#include "broker/monitor/parameters.h"
#include "proto/base/check.h"
#include "proto/base/status.h"
#include "proto/subject.h"

namespace millrace {
namespace {

struct SortName {
  std::string_view name;
  ConnzSort sort;
};
constexpr SortName kSortNames[] = {
    {"cid", ConnzSort::kCid},          {"start", ConnzSort::kStart},
    {"subs", ConnzSort::kSubs},        {"pending", ConnzSort::kPending},
    {"msgs_to", ConnzSort::kMsgsTo},   {"msgs_from", ConnzSort::kMsgsFrom},
    {"bytes_to", ConnzSort::kBytesTo}, {"bytes_from", ConnzSort::kBytesFrom},
    {"last", ConnzSort::kLast},        {"idle", ConnzSort::kIdle},
    {"uptime", ConnzSort::kUptime},    {"stop", ConnzSort::kStop},
    {"reason", ConnzSort::kReason},    {"rtt", ConnzSort::kRtt},
};

absl::StatusOr<ConnzState> DecodeState(std::string_view value) {
  std::string lower(value);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  if (lower.empty() || lower == "open") return ConnzState::kOpen;
  if (lower == "closed") return ConnzState::kClosed;
  if (lower == "any" || lower == "all") return ConnzState::kAll;
  return absl::InvalidArgumentError(absl::StrFormat("Error decoding state for %s", value));
}

int64_t EndOf(const ConnInfo& info, int64_t now_ns) {
  return info.stop_ns != 0 ? info.stop_ns : now_ns;
}

// What a connection is ordered by. Only cid, start and uptime go upwards; the rest shows the
// greatest first. reason, which is text, is handled apart.
int64_t SortKey(const ConnInfo& info, ConnzSort sort, int64_t now_ns) {
  switch (sort) {
    case ConnzSort::kCid:
    case ConnzSort::kStart:
    case ConnzSort::kReason:
      return static_cast<int64_t>(info.cid);
    case ConnzSort::kUptime:
      return EndOf(info, now_ns) - info.start_ns;
    case ConnzSort::kSubs:
      return -static_cast<int64_t>(info.num_subs);
    case ConnzSort::kPending:
      return -info.pending_bytes;
    case ConnzSort::kMsgsTo:
      return -info.out_msgs;
    case ConnzSort::kMsgsFrom:
      return -info.in_msgs;
    case ConnzSort::kBytesTo:
      return -info.out_bytes;
    case ConnzSort::kBytesFrom:
      return -info.in_bytes;
    case ConnzSort::kLast:
      return -info.last_activity_ns;
    case ConnzSort::kIdle:
      return info.last_activity_ns;
    case ConnzSort::kStop:
      return -info.stop_ns;
    case ConnzSort::kRtt:
      return -info.rtt_ns;
  }
  return 0;
}

bool Matches(const ConnInfo& info, const ConnzOptions& options) {
  return MatchesConnz(options, info.cid, info.user, info.account, info.mqtt_client);
}

bool HasInterest(const ConnInfo& info, std::string_view filter) {
  return std::any_of(info.subs.begin(), info.subs.end(),
                     [&](const SubInfo& sub) { return SubjectsCollide(filter, sub.subject); });
}

struct Ranked {
  int64_t key = 0;
  const ConnInfo* info = nullptr;
};

// The connections of the page, in order.
std::vector<Ranked> Select(const ConnzInput& input, const ConnzOptions& options) {
  std::vector<Ranked> picked;
  const auto add = [&](const ConnInfo& info) {
    picked.push_back({SortKey(info, options.sort, input.now_ns), &info});
  };
  if (options.wants_open())
    for (const ConnInfo& info : input.open)
      if (Matches(info, options)) add(info);
  // One connection was asked for and is open: the closed ones do not matter, whatever the subject.
  const bool found = options.cid != 0 && !picked.empty();
  if (!options.filter_subject.empty())
    std::erase_if(picked, [&](const Ranked& each) {
      return !HasInterest(*each.info, options.filter_subject);
    });
  if (options.wants_closed() && !found)
    for (const ConnInfo& info : input.closed)
      if (Matches(info, options)) add(info);

  const size_t first = std::min(static_cast<size_t>(options.offset), picked.size());
  const size_t last = first + std::min(static_cast<size_t>(options.limit), picked.size() - first);
  const bool by_reason = options.sort == ConnzSort::kReason;
  // Ties go by cid, so that pages neither repeat nor skip. Only what the page needs is sorted.
  std::partial_sort(picked.begin(), picked.begin() + static_cast<ptrdiff_t>(last), picked.end(),
                    [&](const Ranked& a, const Ranked& b) {
                      if (by_reason && a.info->reason != b.info->reason)
                        return a.info->reason < b.info->reason;
                      return a.key != b.key ? a.key < b.key : a.info->cid < b.info->cid;
                    });
  picked.resize(last);
  picked.erase(picked.begin(), picked.begin() + static_cast<ptrdiff_t>(first));
  return picked;
}

void RenderSubsOf(const ConnInfo& info, const ConnzOptions& options, JsonWriter* out) {
  if (info.subs.empty()) return;
  if (options.subs_detail) {
    out->Key("subscriptions_list_detail");
    out->BeginArray();
    for (const SubInfo& sub : info.subs) {
      SubInfo shown = sub;
      // The peer names the account with subscriptions of closed connections only.
      shown.account = info.stop_ns != 0 ? info.account : "";
      shown.account_tag = info.name_tag.empty() ? shown.account : info.name_tag;
      if (info.stop_ns == 0) shown.account_tag.clear();
      RenderSubInfo(shown, out);
    }
    out->EndArray();
  } else if (options.subs) {
    out->Key("subscriptions_list");
    out->BeginArray();
    for (const SubInfo& sub : info.subs) out->String(sub.subject);
    out->EndArray();
  }
}

}  // namespace

int64_t RoundRtt(int64_t rtt_ns) {
  return rtt_ns > 1'000 && rtt_ns < 1'000'000 ? rtt_ns / 1'000 * 1'000 : rtt_ns;
}

absl::StatusOr<ConnzSort> ParseConnzSort(std::string_view name) {
  if (name.empty()) return ConnzSort::kCid;
  for (const SortName& each : kSortNames)
    if (each.name == name) return each.sort;
  return absl::InvalidArgumentError(absl::StrFormat("invalid sorting option: %s", name));
}

absl::Status CompleteConnzOptions(ConnzOptions* options) {
  options->offset = std::max<int64_t>(options->offset, 0);
  if (options->limit <= 0) options->limit = kConnzLimitDefault;
  if (options->state != ConnzState::kClosed) {
    if (options->sort == ConnzSort::kStop)
      return absl::InvalidArgumentError("sort by stop only valid on closed connections");
    if (options->sort == ConnzSort::kReason)
      return absl::InvalidArgumentError("sort by reason only valid on closed connections");
  }
  if (options->cid > 0) options->limit = 1;
  if (options->filter_subject == ">") options->filter_subject.clear();
  if (!options->filter_subject.empty() && options->account.empty())
    return absl::InvalidArgumentError("filter by subject only valid with account filtering");
  return absl::OkStatus();
}

absl::StatusOr<ConnzOptions> ParseConnzParams(const HttpTarget& target) {
  ConnzOptions options;
  MR_ASSIGN_OR_RETURN(options.auth, DecodeBool("auth", target.Param("auth")));
  std::string subs(target.Param("subs"));
  for (char& c : subs)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  options.subs_detail = subs == "detail";
  if (!options.subs_detail) {
    MR_ASSIGN_OR_RETURN(options.subs, DecodeBool("subs", target.Param("subs")));
  }
  MR_ASSIGN_OR_RETURN(options.offset, DecodeInt("offset", target.Param("offset")));
  MR_ASSIGN_OR_RETURN(options.limit, DecodeInt("limit", target.Param("limit")));
  MR_ASSIGN_OR_RETURN(options.cid, DecodeUint64("cid", target.Param("cid")));
  MR_ASSIGN_OR_RETURN(options.state, DecodeState(target.Param("state")));
  options.user = target.Param("user");
  options.account = target.Param("acc");
  options.mqtt_client = target.Param("mqtt_client");
  // The peer looks at the name of the order last.
  MR_ASSIGN_OR_RETURN(options.sort, ParseConnzSort(target.Param("sort")));
  MR_RETURN_IF_ERROR(CompleteConnzOptions(&options));
  return options;
}

bool MatchesConnz(const ConnzOptions& options, uint64_t cid, std::string_view user,
                  std::string_view account, std::string_view mqtt_client) {
  return (options.cid == 0 || options.cid == cid) &&
         (options.account.empty() || options.account == account) &&
         (options.user.empty() || options.user == user) &&
         (options.mqtt_client.empty() || options.mqtt_client == mqtt_client);
}

void RenderConnInfo(const ConnInfo& info, const ConnzOptions& options, int64_t now_ns,
                    JsonWriter* out) {
  const int64_t end_ns = EndOf(info, now_ns);
  const bool foreign = !info.account.empty() && info.account != kGlobalAccountName;
  out->BeginObject();
  out->PutUint("cid", info.cid);
  out->Opt("kind", info.kind);
  out->Opt("type", info.type);
  out->Put("ip", info.ip);
  out->PutInt("port", info.port);
  out->Key("start"), out->LocalTime(info.start_ns);
  out->Key("last_activity"), out->LocalTime(info.last_activity_ns);
  if (info.stop_ns != 0) out->Key("stop"), out->LocalTime(info.stop_ns);
  out->Opt("reason", info.reason);
  out->Put("rtt", FormatDuration(RoundRtt(info.rtt_ns)));
  out->Put("uptime", FormatUptime(end_ns - info.start_ns));
  out->Put("idle", FormatUptime(end_ns - info.last_activity_ns));
  out->PutInt("pending_bytes", info.pending_bytes);
  out->PutInt("in_msgs", info.in_msgs);
  out->PutInt("out_msgs", info.out_msgs);
  out->PutInt("in_bytes", info.in_bytes);
  out->PutInt("out_bytes", info.out_bytes);
  out->OptInt("stalls", info.stalls);
  out->PutUint("subscriptions", info.num_subs);
  out->Opt("name", info.name);
  out->Opt("lang", info.lang);
  out->Opt("version", info.version);
  out->Opt("tls_version", info.tls_version);
  out->Opt("tls_cipher_suite", info.tls_cipher_suite);
  if (options.auth && !info.tls_peer_certs.empty()) {
    out->Key("tls_peer_certs");
    out->BeginArray();
    for (const TlsPeerCert& cert : info.tls_peer_certs) {
      out->BeginObject();
      out->Opt("subject", cert.subject);
      out->Opt("spki_sha256", cert.spki_sha256);
      out->Opt("cert_sha256", cert.cert_sha256);
      out->EndObject();
    }
    out->EndArray();
  }
  out->OptBool("tls_first", info.tls_first);
  if (options.auth) {
    out->Opt("authorized_user", info.user);
    if (foreign) out->Put("account", info.account);
  }
  RenderSubsOf(info, options, out);
  if (options.auth) {
    out->Opt("jwt", info.jwt);
    out->Opt("issuer_key", info.issuer_key);
    // The tag of an account without one is its name; of closed connections the peer forgets it for
    // $G.
    if (!info.name_tag.empty()) {
      out->Put("name_tag", info.name_tag);
    } else if (foreign || info.stop_ns == 0) {
      out->Opt("name_tag", info.account);
    }
    out->OptStrings("tags", info.tags);
  }
  out->Opt("mqtt_client", info.mqtt_client);
  if (!info.proxy_key.empty()) {
    out->Key("proxy");
    out->BeginObject();
    out->Put("key", info.proxy_key);
    out->EndObject();
  }
  out->EndObject();
}

void RenderConnz(ConnzInput&& input, const ConnzOptions& options, JsonWriter* out) {
  MR_CHECK_OP(options.limit, >, 0);
  MR_CHECK_OP(options.offset, >=, 0);
  const ConnzInput all = std::move(input);
  out->BeginObject();
  if (!all.account_known) {
    // So says the peer of an account that it does not know: neither an id nor a list.
    out->Put("server_id", "");
    out->PutTime("now", all.now_ns);
    out->PutInt("num_connections", 0);
    out->PutInt("total", 0);
    out->PutInt("offset", options.offset);
    out->PutInt("limit", options.limit);
    out->Key("connections"), out->Null();
    out->EndObject();
    return;
  }
  const std::vector<Ranked> page = Select(all, options);
  out->Put("server_id", all.server_id);
  out->PutTime("now", all.now_ns);
  out->PutUint("num_connections", page.size());
  out->PutUint("total",
               (options.wants_open() ? std::max(all.open_total, all.open.size()) : 0) +
                   (options.wants_closed() ? std::max(all.closed_total, all.closed.size()) : 0));
  out->PutInt("offset", options.offset);
  out->PutInt("limit", options.limit);
  out->Key("connections");
  out->BeginArray();
  for (const Ranked& each : page) RenderConnInfo(*each.info, options, all.now_ns, out);
  out->EndArray();
  out->EndObject();
}

}  // namespace millrace
