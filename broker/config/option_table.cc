// SPDX-License-Identifier: Apache-2.0
#include "broker/config/option_table.h"

#include <algorithm>
#include <iterator>

#include "broker/config/read_file.h"
#include "broker/config/language/text.h"
#include "proto/base/check.h"

namespace millrace::config {
namespace {

using enum HelpGroup;
using enum OnReload;

constexpr OptionRow kRows[] = {
    {.key = "server_name", .flags = "n|name|server_name", .value_name = "<name>",
     .help = "Name of this server (default: its id)", .group = kServer,
     .field = &Options::server_name, .read = ReadServerName, .peer_name = "ServerName"},
    {.key = "host", .aliases = "net", .flags = "a|addr|net", .value_name = "<host>",
     .help = "Address to listen on (default: 0.0.0.0, all of them)", .group = kServer,
     .field = &Options::host, .peer_name = "Host"},
    {.key = "port", .flags = "p|port", .value_name = "<port>",
     .help = "Port for clients (default: 4222; -1 takes a free one)", .group = kServer,
     .field = &Options::port, .peer_name = "Port"},
    {.key = "listen", .read = ReadListen, .on_reload = kIgnore},
    {.key = "client_advertise", .flags = "client_advertise", .value_name = "<host:port>",
     .help = "Address that clients and other servers are told", .group = kServer,
     .field = &Options::client_advertise, .peer_name = "ClientAdvertise", .on_reload = kApply,
     .reloaded = "Reload: client_advertise = "},
    {.key = "trace", .flags = "V|trace", .help = "Log the protocol", .group = kLogging,
     .field = &Options::trace, .on_reload = kApply, .reloaded = "Reloaded: trace = "},
    {.key = "debug", .flags = "D|debug", .help = "Log what helps to find faults",
     .group = kLogging, .field = &Options::debug, .on_reload = kApply,
     .reloaded = "Reloaded: debug = "},
    {.key = "trace_verbose", .field = &Options::trace_verbose, .read = ReadTraceVerbose,
     .on_reload = kApply, .reloaded = "Reloaded: trace_verbose = "},
    {.key = "trace_headers", .field = &Options::trace_headers, .read = ReadTraceHeaders,
     .on_reload = kApply, .reloaded = "Reloaded: trace_headers = "},
    {.key = "disable_sublist_cache", .aliases = "no_sublist_cache",
     .field = &Options::disable_sublist_cache, .peer_name = "NoSublistCache"},
    {.key = "no_header_support", .field = &Options::no_header_support,
     .peer_name = "NoHeaderSupport"},
    {.key = "logtime", .flags = "T|logtime", .help = "Log lines bear the time (default: true)",
     .group = kLogging, .field = &Options::logtime, .on_reload = kApply,
     .reloaded = "Reloaded: logtime = "},
    {.key = "logtime_utc", .flags = "logtime_utc",
     .help = "That time is UTC, not local (default: false)", .group = kLogging,
     .field = &Options::logtime_utc, .on_reload = kApply, .reloaded = "Reloaded: logtime_utc = "},
    {.key = "max_connections", .aliases = "max_conn", .field = &Options::max_connections,
     .read = ReadMaxConnections, .on_reload = kApply, .reloaded = "Reloaded: max_connections = "},
    {.key = "max_subscriptions", .aliases = "max_subs", .field = &Options::max_subscriptions,
     .peer_name = "MaxSubs"},
    {.key = "max_sub_tokens", .aliases = "max_subscription_tokens",
     .field = &Options::max_sub_tokens, .read = ReadMaxSubTokens, .peer_name = "MaxSubTokens"},
    {.key = "no_auth_user", .field = &Options::no_auth_user, .peer_name = "NoAuthUser"},
    {.key = "system_account", .aliases = "system", .field = &Options::system_account,
     .read = ReadSystemAccount, .peer_name = "SystemAccount"},
    {.key = "authorization", .read = ReadAuthorization, .on_reload = kIgnore},
    {.key = "username", .flags = "user", .value_name = "<user>",
     .help = "User that clients must name", .group = kAuthorization,
     .field = &Options::username, .on_reload = kApply,
     .reloaded = "Reloaded: authorization username"},
    {.key = "password", .flags = "pass", .value_name = "<password>",
     .help = "Password of that user, plain or a bcrypt hash", .group = kAuthorization,
     .field = &Options::password, .on_reload = kApply,
     .reloaded = "Reloaded: authorization password"},
    {.key = "token", .flags = "auth", .value_name = "<token>",
     .help = "Token that clients must present", .group = kAuthorization,
     .field = &Options::authorization, .on_reload = kApply,
     .reloaded = "Reloaded: authorization token"},
    {.key = "ping_interval", .field = &Options::ping_interval, .read = ReadPingInterval,
     .on_reload = kApply, .reloaded = "Reloaded: ping_interval = "},
    {.key = "ping_max", .field = &Options::ping_max, .on_reload = kApply,
     .reloaded = "Reloaded: ping_max = "},
    {.key = "http_host", .field = &Options::http_host, .peer_name = "HTTPHost"},
    {.key = "http", .read = ReadHttp, .on_reload = kIgnore},
    {.key = "http_port", .aliases = "monitor_port", .flags = "m|http_port",
     .value_name = "<port>", .help = "Port for monitoring over HTTP", .group = kServer,
     .field = &Options::http_port, .peer_name = "HTTPPort"},
    {.key = "http_base_path", .field = &Options::http_base_path, .peer_name = "HTTPBasePath"},
    {.key = "https", .read = ReadHttps, .on_reload = kIgnore},
    {.key = "https_port", .flags = "ms|https_port", .value_name = "<port>",
     .help = "Port for monitoring over HTTPS", .group = kServer, .field = &Options::https_port,
     .peer_name = "HTTPSPort"},
    {.key = "auth_timeout", .field = &Options::auth_timeout, .on_reload = kApply,
     .reloaded = "Reloaded: authorization timeout = "},
    {.key = "max_control_line", .field = &Options::max_control_line, .read = ReadMaxControlLine,
     .on_reload = kApply, .reloaded = "Reloaded: max_control_line = "},
    {.key = "max_payload", .field = &Options::max_payload, .read = ReadMaxPayload,
     .on_reload = kApply, .reloaded = "Reloaded: max_payload = "},
    {.key = "max_pending", .field = &Options::max_pending, .peer_name = "MaxPending"},
    {.key = "no_fast_producer_stall", .field = &Options::no_fast_producer_stall,
     .on_reload = kApply, .reloaded = "Reloaded: fast producers will be stalled"},
    // Reloading JetStream has rules of its own: reload.cc.
    {.key = "jetstream", .read = ReadJetStream, .on_reload = kIgnore},
    {.key = "store_dir", .aliases = "storedir", .read = ReadStoreDir, .on_reload = kIgnore},
    {.key = "enabled", .aliases = "enable", .flags = "js|jetstream", .help = "Turn JetStream on",
     .group = kJetStream, .block = Block::kJetStream, .field = &JetStreamOptions::enabled, .on_reload = kIgnore},
    {.key = "store_dir", .aliases = "store|storedir", .flags = "sd|store_dir", .value_name = "<dir>",
     .help = "Directory for what JetStream stores (in it: jetstream)", .group = kJetStream,
     .block = Block::kJetStream, .field = &JetStreamOptions::store_dir, .read = ReadStoreDir, .on_reload = kIgnore},
    {.key = "strict", .block = Block::kJetStream, .field = &JetStreamOptions::strict, .read = ReadStrict,
     .peer_name = "NoJetStreamStrict"},
    {.key = "max_memory_store", .aliases = "max_mem_store|max_mem", .block = Block::kJetStream,
     .field = &JetStreamOptions::max_memory_store, .read = ReadMaxMemoryStore, .on_reload = kIgnore},
    {.key = "max_file_store", .aliases = "max_file", .block = Block::kJetStream,
     .field = &JetStreamOptions::max_file_store, .read = ReadMaxFileStore, .on_reload = kIgnore},
    {.key = "domain", .block = Block::kJetStream, .field = &JetStreamOptions::domain, .peer_name = "JetStreamDomain"},
    {.key = "extension_hint", .block = Block::kJetStream, .field = &JetStreamOptions::extension_hint,
     .peer_name = "JetStreamExtHint"},
    {.key = "unique_tag", .block = Block::kJetStream, .field = &JetStreamOptions::unique_tag, .read = ReadUniqueTag,
     .peer_name = "JetStreamUniqueTag"},
    {.key = "request_queue_limit", .block = Block::kJetStream, .field = &JetStreamOptions::request_queue_limit,
     .read = ReadRequestQueueLimit, .peer_name = "JetStreamRequestQueueLimit"},
    {.key = "info_queue_limit", .block = Block::kJetStream, .field = &JetStreamOptions::info_queue_limit,
     .read = ReadInfoQueueLimit, .peer_name = "JetStreamInfoQueueLimit"},
    {.key = "max_concurrent_io", .block = Block::kJetStream, .field = &JetStreamOptions::max_concurrent_io,
     .read = ReadMaxConcurrentIo, .peer_name = "JetStreamConcurrentIOs"},
    {.key = "max_buffered_msgs", .block = Block::kJetStream, .field = &JetStreamOptions::max_buffered_msgs,
     .read = ReadMaxBufferedMsgs, .peer_name = "StreamMaxBufferedMsgs"},
    {.key = "max_buffered_size", .block = Block::kJetStream, .field = &JetStreamOptions::max_buffered_size,
     .read = ReadMaxBufferedSize, .peer_name = "StreamMaxBufferedSize"},
    {.key = "sync_interval", .aliases = "sync", .block = Block::kJetStream,
     .field = &JetStreamOptions::sync_interval, .read = ReadSyncInterval, .peer_name = "SyncInterval"},
    {.key = "key", .aliases = "ek|encryption_key", .flags = "js-key", .value_name = "<key>",
     .help = "Encrypts what JetStream stores (better in the file, as $VARIABLE)", .group = kJetStream,
     .block = Block::kJetStream, .field = &JetStreamOptions::key, .peer_name = "JetStreamKey"},
    {.key = "prev_key", .aliases = "prev_ek|prev_encryption_key", .flags = "js-prev-key", .value_name = "<key>",
     .help = "The key before, when it is changed", .group = kJetStream, .block = Block::kJetStream,
     .field = &JetStreamOptions::prev_key, .peer_name = "JetStreamOldKey"},
    {.key = "cipher", .flags = "js-cipher", .value_name = "<chacha|aes>",
     .help = "Cipher of that encryption (default: chacha)", .group = kJetStream, .block = Block::kJetStream,
     .field = &JetStreamOptions::cipher, .read = ReadCipher, .peer_name = "JetStreamCipher"},
    {.key = "limits", .block = Block::kJetStream, .read = ReadJetStreamLimits, .on_reload = kIgnore},
    {.key = "max_request_batch", .block = Block::kJetStreamLimits, .field = &JetStreamLimits::max_request_batch,
     .on_reload = kIgnore},
    {.key = "max_ack_pending", .block = Block::kJetStreamLimits, .field = &JetStreamLimits::max_ack_pending,
     .on_reload = kIgnore},
    {.key = "max_ha_assets", .block = Block::kJetStreamLimits, .field = &JetStreamLimits::max_ha_assets,
     .on_reload = kIgnore},
    {.key = "default_max_consumers", .block = Block::kJetStreamLimits,
     .field = &JetStreamLimits::default_max_consumers, .on_reload = kIgnore},
    {.key = "duplicate_window", .block = Block::kJetStreamLimits, .field = &JetStreamLimits::duplicate_window,
     .read = ReadDuplicateWindow, .on_reload = kIgnore},
    {.key = "batch", .block = Block::kJetStreamLimits, .read = ReadJetStreamBatch, .on_reload = kIgnore},
    {.key = "max_inflight_per_stream", .block = Block::kJetStreamBatch,
     .field = &JetStreamLimits::batch_max_inflight_per_stream, .on_reload = kIgnore},
    {.key = "max_inflight_total", .block = Block::kJetStreamBatch,
     .field = &JetStreamLimits::batch_max_inflight_total, .on_reload = kIgnore},
    {.key = "max_msgs", .block = Block::kJetStreamBatch, .field = &JetStreamLimits::batch_max_msgs,
     .on_reload = kIgnore},
    {.key = "timeout", .block = Block::kJetStreamBatch, .field = &JetStreamLimits::batch_timeout,
     .read = ReadBatchTimeout, .on_reload = kIgnore},
    {.key = "prof_port", .flags = "profile", .value_name = "<port>",
     .help = "Port for profiles over HTTP", .group = kServer, .field = &Options::prof_port,
     .peer_name = "ProfPort"},
    {.key = "prof_block_rate", .field = &Options::prof_block_rate, .on_reload = kApply,
     .reloaded = "Reloaded: prof_block_rate = "},
    {.key = "pid_file", .aliases = "pidfile", .flags = "P|pid", .value_name = "<file>",
     .help = "File to write the process id to", .group = kServer, .field = &Options::pid_file,
     .on_reload = kApply, .reloaded = "Reloaded: pid_file = "},
    {.key = "ports_file_dir", .flags = "ports_file_dir", .value_name = "<dir>",
     .help = "Directory for a file that lists the ports in use", .group = kServer,
     .field = &Options::ports_file_dir, .on_reload = kApply,
     .reloaded = "Reloaded: ports_file_dir = "},
    {.key = "log_file", .aliases = "logfile", .flags = "l|log", .value_name = "<file>",
     .help = "Log to this file, not to stderr", .group = kLogging, .field = &Options::log_file,
     .on_reload = kApply, .reloaded = "Reloaded: log_file = "},
    {.key = "logfile_size_limit", .aliases = "log_size_limit", .flags = "log_size_limit",
     .value_name = "<bytes>", .help = "Start a new log file at this size (default: never)",
     .group = kLogging, .field = &Options::logfile_size_limit, .peer_name = "LogSizeLimit"},
    {.key = "logfile_max_num", .aliases = "log_max_num", .field = &Options::logfile_max_num,
     .peer_name = "LogMaxFiles"},
    {.key = "syslog", .flags = "s|syslog", .help = "Log to syslog", .group = kLogging,
     .field = &Options::syslog, .on_reload = kApply, .reloaded = "Reloaded: syslog = "},
    {.key = "remote_syslog", .flags = "r|remote_syslog", .value_name = "<url>",
     .help = "Log to this syslog server (udp://localhost:514)", .group = kLogging,
     .field = &Options::remote_syslog, .on_reload = kApply,
     .reloaded = "Reloaded: remote_syslog = "},
    {.key = "write_deadline", .field = &Options::write_deadline, .read = ReadWriteDeadline,
     .on_reload = kApply, .reloaded = "Reloaded: write_deadline = "},
    {.key = "write_timeout", .read = ReadWriteTimeout, .peer_name = "WriteTimeout"},
    {.key = "max_closed_clients", .field = &Options::max_closed_clients,
     .peer_name = "MaxClosedClients"},
    {.key = "lame_duck_duration", .field = &Options::lame_duck_duration,
     .read = ReadLameDuckDuration, .peer_name = "LameDuckDuration"},
    {.key = "lame_duck_grace_period", .field = &Options::lame_duck_grace_period,
     .read = ReadLameDuckGracePeriod, .peer_name = "LameDuckGracePeriod"},
    {.key = "max_traced_msg_len", .flags = "max_traced_msg_len", .value_name = "<bytes>",
     .help = "Cut traced messages to this length (default: 0, whole)", .group = kLogging,
     .field = &Options::max_traced_msg_len, .on_reload = kApply,
     .reloaded = "Reloaded: max_traced_msg_len = "},
    {.key = "connect_error_reports", .field = &Options::connect_error_reports,
     .on_reload = kApply, .reloaded = "Reloaded: connect_error_reports = "},
    {.key = "reconnect_error_reports", .field = &Options::reconnect_error_reports,
     .on_reload = kApply, .reloaded = "Reloaded: reconnect_error_reports = "},
    {.key = "server_tags", .read = ReadServerTags, .on_reload = kApply,
     .reloaded = "Reloaded: tags"},
    {.key = "server_metadata", .read = ReadServerMetadata, .on_reload = kApply,
     .reloaded = "Reloaded: metadata"},
    {.key = "feature_flags", .read = ReadFeatureFlags, .peer_name = "FeatureFlags"},
    {.key = "no_system_account", .aliases = "no_system|no_sys_acc", .read = ReadIgnoredBool,
     .on_reload = kIgnore},
    {.key = "millrace", .read = ReadTuning, .on_reload = kIgnore},

    {.key = "shards", .flags = "shards", .value_name = "<n>",
     .help = "Threads that serve (default: one per CPU this process may use)", .group = kTuning,
     .block = Block::kTuning, .field = &Tuning::shards, .least = 1, .most = kShardsMax},
    {.key = "pin_shards", .flags = "pin_shards", .help = "Bind each to a CPU (default: true)",
     .group = kTuning, .block = Block::kTuning, .field = &Tuning::pin_shards},
    {.key = "spin_us", .flags = "spin_us", .value_name = "<microseconds>",
     .help = "Poll at most so long before sleeping, 0: never (default: 100)", .group = kTuning, .block = Block::kTuning,
     .field = &Tuning::spin_us, .least = 0, .most = 1000},
    {.key = "batch_wait_us", .flags = "batch_wait_us", .value_name = "<microseconds>",
     .help = "Gather messages so long where nobody waits for an answer, 0: never (default: 0)",
     .group = kTuning, .block = Block::kTuning, .field = &Tuning::batch_wait_us, .least = 0, .most = 10000},
    {.key = "recv_buffer_bytes_small", .flags = "recv_buffer_bytes_small",
     .value_name = "<bytes>", .help = "Receive buffer of a quiet connection (default: 4096)",
     .group = kTuning, .block = Block::kTuning, .field = &Tuning::recv_buffer_bytes_small, .least = 512,
     .most = 1 << 20},
    {.key = "recv_buffer_bytes_large", .flags = "recv_buffer_bytes_large",
     .value_name = "<bytes>", .help = "Receive buffer of a busy connection (default: 131072)",
     .group = kTuning, .block = Block::kTuning, .field = &Tuning::recv_buffer_bytes_large, .least = 4096,
     .most = 16 << 20},
    {.key = "recv_buffers_small", .flags = "recv_buffers_small", .value_name = "<n>",
     .help = "How many of the former, per shard (default: 1024)", .group = kTuning, .block = Block::kTuning,
     .field = &Tuning::recv_buffers_small, .least = 2, .most = 32768, .power_of_two = true},
    {.key = "recv_buffers_large", .flags = "recv_buffers_large", .value_name = "<n>",
     .help = "How many of the latter, per shard (default: 8)", .group = kTuning, .block = Block::kTuning,
     .field = &Tuning::recv_buffers_large, .least = 2, .most = 32768, .power_of_two = true},
    {.key = "ring_bytes", .flags = "ring_bytes", .value_name = "<bytes>",
     .help = "Ring between each two shards (default: 1048576)", .group = kTuning, .block = Block::kTuning,
     .field = &Tuning::ring_bytes, .least = 65536, .most = 1 << 30, .power_of_two = true},
    {.key = "mail_inline_bytes_max", .flags = "mail_inline_bytes_max", .value_name = "<bytes>",
     .help = "Payload copied into that ring; larger ones by reference (default: 2048)",
     .group = kTuning, .block = Block::kTuning, .field = &Tuning::mail_inline_bytes_max, .least = 0, .most = 16384},
    {.key = "send_bytes_max", .flags = "send_bytes_max", .value_name = "<bytes>",
     .help = "Most that one send carries (default: 1048576)", .group = kTuning, .block = Block::kTuning,
     .field = &Tuning::send_bytes_max, .least = 4096, .most = 64 << 20},
    {.key = "send_bytes_shared", .flags = "send_bytes_shared", .value_name = "<bytes>",
     .help = "The same while clients that send little are served as well (default: 65536)", .group = kTuning,
     .block = Block::kTuning, .field = &Tuning::send_bytes_shared, .least = 4096, .most = 64 << 20},
    {.key = "outbox_chunk_bytes", .flags = "outbox_chunk_bytes", .value_name = "<bytes>",
     .help = "Block in which output is gathered (default: 65536)", .group = kTuning, .block = Block::kTuning,
     .field = &Tuning::outbox_chunk_bytes, .least = 16384, .most = 16 << 20},
    {.key = "output_high_water", .flags = "output_high_water", .value_name = "<bytes>",
     .help = "Backlog at which producers are paused (default: 1048576)", .group = kTuning, .block = Block::kTuning,
     .field = &Tuning::output_high_water, .least = 4096, .most = int64_t{1} << 40},
    {.key = "bytes_per_turn", .flags = "bytes_per_turn", .value_name = "<bytes>",
     .help = "Input that a shard works off before it sends (default: 131072)", .group = kTuning,
     .block = Block::kTuning, .field = &Tuning::bytes_per_turn, .least = 4096, .most = 64 << 20},
    {.key = "uring_entries", .flags = "uring_entries", .value_name = "<n>",
     .help = "Length of the submission queue (default: 4096)", .group = kTuning, .block = Block::kTuning,
     .field = &Tuning::uring_entries, .least = 64, .most = 32768, .power_of_two = true},
    {.key = "match_cache_entries", .flags = "match_cache_entries", .value_name = "<n>",
     .help = "Subjects whose targets are remembered, per shard (default: 65536)",
     .group = kTuning, .block = Block::kTuning, .field = &Tuning::match_cache_entries, .least = 64, .most = 1 << 24,
     .power_of_two = true},
    {.key = "store_lock_wait", .flags = "store_lock_wait", .value_name = "<duration>",
     .help = "Wait so long at start for the server that has the store (default: 0s)", .group = kTuning,
     .block = Block::kTuning, .field = &JetStreamOptions::store_lock_wait, .read = ReadStoreLockWait,
     .on_reload = kIgnore},
    {.key = "js_durability", .flags = "js-durability", .value_name = "<durable|async>",
     .help = "When JetStream acknowledges: on disk, or at once (default: durable)", .group = kTuning,
     .block = Block::kTuning, .field = &JetStreamOptions::durability, .read = ReadDurability},
    {.key = "js_wal_file_bytes", .flags = "js-wal-file-bytes", .value_name = "<bytes>",
     .help = "One file of JetStream's write-ahead log (default: 16777216)", .group = kTuning,
     .block = Block::kTuning, .field = &JetStreamOptions::wal_file_bytes, .least = 1 << 20, .most = int64_t{4} << 30,
     .power_of_two = true},
    {.key = "js_wal_files", .flags = "js-wal-files", .value_name = "<n>",
     .help = "Files of that log kept, in use and ready (default: 3)", .group = kTuning, .block = Block::kTuning,
     .field = &JetStreamOptions::wal_files, .least = 2, .most = 1024},
    {.key = "js_block_cache_bytes", .flags = "js-block-cache-bytes", .value_name = "<bytes>",
     .help = "Memory for stored messages that are read again (default: 67108864)", .group = kTuning,
     .block = Block::kTuning, .field = &JetStreamOptions::block_cache_bytes, .least = 1 << 20,
     .most = int64_t{1} << 40},
    {.key = "js_scrub_bytes_per_second", .flags = "js-scrub-bytes-per-second", .value_name = "<bytes>",
     .help = "Stored bytes read a second to find damage, 0: none (default: 8388608)", .group = kTuning,
     .block = Block::kTuning, .field = &JetStreamOptions::scrub_bytes_per_second, .least = 0, .most = int64_t{1} << 40},
    {.key = "js_block_bytes", .flags = "js-block-bytes", .value_name = "<bytes>",
     .help = "One block of stored messages (default: 262144)", .group = kTuning, .block = Block::kTuning,
     .field = &JetStreamOptions::block_bytes, .least = 16384, .most = 64 << 20, .power_of_two = true},
};

template <typename Wanted>
const OptionRow* Find(Wanted wanted) {
  for (const OptionRow& row : kRows) {
    if (wanted(row)) return &row;
  }
  return nullptr;
}

// Calls `use` with the value that the row's field has in `options`.
template <typename Use>
auto Visit(const OptionRow& row, const Options& options, Use use) {
  return std::visit(
      [&](auto field) {
        if constexpr (std::is_same_v<decltype(field), std::monostate>) {
          return use(false);
        } else {
          return use(FieldOf(options, field));
        }
      },
      row.field);
}

}  // namespace

std::span<const OptionRow> OptionTable() { return kRows; }

bool OneOf(std::string_view words, std::string_view name) {
  if (name.empty()) return false;
  for (size_t at = 0; at <= words.size();) {
    const size_t end = std::min(words.find('|', at), words.size());
    if (words.substr(at, end - at) == name) return true;
    at = end + 1;
  }
  return false;
}

const OptionRow* FindByKey(std::string_view lower_key) {
  // These rows are reached by other keys: authorization { user ... }, http, and so on.
  if (OneOf("username|password|token|auth_timeout|http_host", lower_key)) return nullptr;
  return FindInBlock(Block::kTop, lower_key);
}

const OptionRow* FindInBlock(Block block, std::string_view lower_key) {
  return Find([&](const OptionRow& row) {
    return row.block == block && (row.key == lower_key || OneOf(row.aliases, lower_key));
  });
}

std::string KeysOf(Block block) {
  std::string keys;
  for (const OptionRow& row : kRows) {
    if (row.block != block || (block == Block::kTop && FindByKey(row.key) == nullptr)) continue;
    keys += std::string(row.key) + "|";
    if (!row.aliases.empty()) keys += std::string(row.aliases) + "|";
  }
  return keys;
}

const OptionRow* FindByFlag(std::string_view flag) {
  // Dashes and underscores within are the same.
  const auto same = [&](std::string_view word) {
    return std::equal(word.begin(), word.end(), flag.begin(), flag.end(),
                      [](char a, char b) { return a == b || ((a == '-' || a == '_') && (b == '-' || b == '_')); });
  };
  return Find([&](const OptionRow& row) {
    for (size_t at = 0; at < row.flags.size();) {
      const size_t end = std::min(row.flags.find('|', at), row.flags.size());
      if (same(row.flags.substr(at, end - at))) return true;
      at = end + 1;
    }
    return false;
  });
}

std::string_view DurabilityText(Durability durability) {
  return durability == Durability::kAsync ? "async" : "durable";
}

std::optional<Durability> ParseDurability(std::string_view text) {
  if (text == "durable") return Durability::kDurable;
  if (text == "async") return Durability::kAsync;
  return std::nullopt;
}

std::string FieldText(const OptionRow& row, const Options& options) {
  return Visit(row, options, [](const auto& value) -> std::string {
    using Type = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<Type, bool>) {
      return value ? "true" : "false";
    } else if constexpr (std::is_same_v<Type, std::string>) {
      return value;
    } else if constexpr (std::is_same_v<Type, double>) {
      return FormatFloat(value);
    } else if constexpr (std::is_same_v<Type, std::chrono::nanoseconds>) {
      return FormatDuration(value);
    } else if constexpr (std::is_same_v<Type, Durability>) {
      return std::string(DurabilityText(value));
    } else {
      return std::to_string(value);
    }
  });
}

int64_t FieldNumber(const OptionRow& row, const Options& options) {
  return Visit(row, options, [](const auto& value) -> int64_t {
    if constexpr (std::is_integral_v<std::decay_t<decltype(value)>>) return value;
    return 0;
  });
}

bool FieldEqual(const OptionRow& row, const Options& a, const Options& b) {
  return FieldText(row, a) == FieldText(row, b);
}

bool IsSecret(const OptionRow& row) { return OneOf("password|token|key|prev_key", row.key); }

std::optional<std::string_view> ParseCipher(std::string_view text) {
  if (OneOf("chacha|chachapoly", Lower(text))) return "chacha";
  if (Lower(text) == "aes") return "aes";
  return std::nullopt;
}

std::string_view CipherName(std::string_view cipher) { return cipher == "aes" ? "AES-GCM" : "ChaCha20-Poly1305"; }

}  // namespace millrace::config
