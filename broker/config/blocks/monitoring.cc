// SPDX-License-Identifier: Apache-2.0
#include "broker/config/blocks/monitoring.h"

#include "broker/config/blocks/address.h"
#include "broker/config/blocks/server.h"
#include "broker/config/table/table.h"

namespace millrace {
namespace config {
namespace {

void ReadHttp(MonitoringOptions& options, Reading& reading, const Value& value) {
  const std::optional<Address> address = ReadAddress(reading, value);
  if (!address) return;
  options.http_host = address->host;
  options.http_port = address->port;
  reading.Note(kMember<&MonitoringOptions::http_host>, value);
  reading.Note(kMember<&MonitoringOptions::http_port>, value);
}

void ReadHttps(MonitoringOptions& options, Reading& reading, const Value& value) {
  const std::optional<Address> address = ReadAddress(reading, value);
  if (!address) return;
  options.http_host = address->host;
  options.https_port = address->port;
  reading.Note(kMember<&MonitoringOptions::http_host>, value);
  reading.Note(kMember<&MonitoringOptions::https_port>, value);
}

void CompleteMonitoring(MonitoringOptions& options, const Blocks& blocks) {
  if (options.http_host.empty()) options.http_host = blocks.Get<ServerOptions>().host;
}

constexpr Lacking kHttps = {"monitoring over HTTPS", Lacking::Policy::kRefuse};

using enum OnReload;

constexpr Row kRows[] = {
    {.key = "http_host", .is_key = false, .order = 250, .member = &kMember<&MonitoringOptions::http_host>,
     .shown = Shown::kComment, .peer_name = "HTTPHost"},
    {.key = "http", .order = 260, .read = kHook<ReadHttp>, .on_reload = kIgnore},
    {.key = "http_port", .aliases = "monitor_port", .flags = "-m|--http_port", .value_name = "<port>",
     .help = "Port for monitoring over HTTP", .group = &kServerHelp, .order = 270,
     .member = &kMember<&MonitoringOptions::http_port>, .any_port = true, .peer_name = "HTTPPort"},
    {.key = "http_base_path", .order = 280, .member = &kMember<&MonitoringOptions::http_base_path>,
     .peer_name = "HTTPBasePath"},
    {.key = "https", .order = 290, .read = kHook<ReadHttps>, .lacking = &kHttps, .on_reload = kIgnore},
    {.key = "https_port", .flags = "-ms|--https_port", .value_name = "<port>", .help = "Port for monitoring over HTTPS",
     .group = &kServerHelp, .order = 300, .member = &kMember<&MonitoringOptions::https_port>, .lacking = &kHttps,
     .peer_name = "HTTPSPort"},
};

}  // namespace
}  // namespace config

constexpr config::Table MonitoringOptions::kTable = {
    .type = &config::kTypeTag<MonitoringOptions>,
    .rows = config::kRows,
    .complete = config::kHook<config::CompleteMonitoring>,
};

}  // namespace millrace
