// SPDX-License-Identifier: Apache-2.0
// /subsz: options, selection and JSON.
#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/monitor/pages.h"
#include "broker/monitor/parameters.h"
#include "proto/base/check.h"
#include "proto/base/status.h"
#include "proto/subject.h"

namespace millrace {

void SublistStats::Add(const SublistStats& other) {
  num_subscriptions += other.num_subscriptions;
  num_cache += other.num_cache;
  num_inserts += other.num_inserts;
  num_removes += other.num_removes;
  num_matches += other.num_matches;
  cache_hits += other.cache_hits;
  max_fanout = std::max(max_fanout, other.max_fanout);
  total_fanout += other.total_fanout;
  cache_entries += other.cache_entries;
}

absl::Status CompleteSubszOptions(SubszOptions* options) {
  options->offset = std::max<int64_t>(options->offset, 0);
  if (options->limit <= 0) options->limit = kSubszLimitDefault;
  if (!options->test.empty() && !IsValidLiteral(options->test))
    return absl::InvalidArgumentError(
        absl::StrFormat("invalid test subject, must be valid publish subject: %s", options->test));
  return absl::OkStatus();
}

absl::StatusOr<SubszOptions> ParseSubszParams(const HttpTarget& target) {
  SubszOptions options;
  MR_ASSIGN_OR_RETURN(options.subs, DecodeBool("subs", target.Param("subs")));
  MR_ASSIGN_OR_RETURN(options.offset, DecodeInt("offset", target.Param("offset")));
  MR_ASSIGN_OR_RETURN(options.limit, DecodeInt("limit", target.Param("limit")));
  options.test = target.Param("test");
  options.account = target.Param("acc");
  MR_RETURN_IF_ERROR(CompleteSubszOptions(&options));
  return options;
}

void RenderSubInfo(const SubInfo& info, JsonWriter* out) {
  out->BeginObject();
  out->Opt("account", info.account);
  out->Opt("account_tag", info.account_tag);
  out->Put("subject", info.subject);
  out->Opt("qgroup", info.queue);
  out->Put("sid", info.sid);
  out->PutInt("msgs", info.msgs);
  out->OptInt("max", info.max);
  out->PutUint("cid", info.cid);
  out->EndObject();
}

void RenderSublistStatsFields(const SublistStats& stats, JsonWriter* out) {
  const auto rate = [](uint64_t part, uint64_t whole) {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
  };
  out->PutUint("num_subscriptions", stats.num_subscriptions);
  out->PutUint("num_cache", stats.num_cache);
  out->PutUint("num_inserts", stats.num_inserts);
  out->PutUint("num_removes", stats.num_removes);
  out->PutUint("num_matches", stats.num_matches);
  out->PutFloat("cache_hit_rate", rate(stats.cache_hits, stats.num_matches));
  out->PutUint("max_fanout", stats.max_fanout);
  out->PutFloat("avg_fanout", rate(stats.total_fanout, stats.cache_entries));
}

void RenderSubsz(SubszInput&& input, const SubszOptions& options, JsonWriter* out) {
  MR_CHECK_OP(options.limit, >, 0);
  MR_CHECK_OP(options.offset, >=, 0);
  SubszInput all = std::move(input);
  if (!options.account.empty())
    std::erase_if(all.subs, [&](const SubInfo& sub) { return sub.account != options.account; });
  if (!options.test.empty())
    std::erase_if(all.subs,
                  [&](const SubInfo& sub) { return !SubjectMatches(options.test, sub.subject); });
  const size_t total = options.subs ? all.subs.size() : 0;
  const size_t first = std::min(static_cast<size_t>(options.offset), total);
  const size_t last = first + std::min(static_cast<size_t>(options.limit), total - first);
  // Of all subscriptions only those up to the page's end are put in order: by connection, then sid.
  std::partial_sort(all.subs.begin(), all.subs.begin() + static_cast<ptrdiff_t>(last),
                    all.subs.end(), [](const SubInfo& a, const SubInfo& b) {
                      if (a.cid != b.cid) return a.cid < b.cid;
                      return a.sid.size() != b.sid.size() ? a.sid.size() < b.sid.size()
                                                          : a.sid < b.sid;
                    });
  out->BeginObject();
  out->Put("server_id", all.server_id);
  out->PutTime("now", all.now_ns);
  RenderSublistStatsFields(all.stats, out);
  out->PutUint("total", total);
  out->PutInt("offset", options.offset);
  out->PutInt("limit", options.limit);
  if (first < last) {
    out->Key("subscriptions_list");
    out->BeginArray();
    for (size_t i = first; i < last; ++i) RenderSubInfo(all.subs[i], out);
    out->EndArray();
  }
  out->EndObject();
}

}  // namespace millrace
