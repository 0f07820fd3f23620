// SPDX-License-Identifier: Apache-2.0
// Backups of nats-server before 2.15: a tar of the files that it keeps of a stream: meta.inf, msgs/N.blk in the order
// of their messages, obs/NAME/meta.inf and obs/NAME/o.dat. Others (checksums, indexes) say nothing that these do not.
#include <algorithm>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/parse.h"
#include "broker/jetstream/archive/block_file.h"
#include "broker/jetstream/backup/stream_restore.h"

namespace millrace {

std::string StreamRestore::TakeFiles() {
  TarFile file;
  while (!ended_) {
    switch (tar_.Read(&file)) {
      case TarReader::Next::kNeedMore:
        return "";
      case TarReader::Next::kInvalid:
        return "archive/tar: invalid tar header";
      case TarReader::Next::kEnd:
        for (auto& [name, snapshot] : old_consumers_) consumers_.push_back(std::move(snapshot));
        ended_ = true;
        return "";
      case TarReader::Next::kFile:
        break;
    }
    if (std::string error = TakeFile(file); !error.empty()) return error;
  }
  return "";
}

std::string StreamRestore::TakeFile(const TarFile& file) {
  const std::string_view name = file.name;
  file_bytes_ += file.content.size();
  const uint64_t reserved = static_cast<uint64_t>(std::max<int64_t>(config_.max_bytes, 1));
  if (std::optional<ApiError> error = directory_.CheckRestoredBytes(owner_, config_, reserved + file_bytes_))
    return Refuse(*std::move(error));
  if (name == "meta.inf") {
    StreamConfig config;
    if (const std::string error = ParseJson(file.content, &config); !error.empty()) return error;
    if (config.name != config_.name) return "stream names do not match";
    state_ = StreamState{};
    return MakeStream();
  }
  if (name.starts_with("msgs/") && name.ends_with(".blk")) return TakeBlock(file.content);
  constexpr std::string_view kConsumers = "obs/";
  if (!name.starts_with(kConsumers)) return "";
  const size_t slash = name.rfind('/');
  if (slash < kConsumers.size()) return "";
  const std::string consumer(name.substr(kConsumers.size(), slash - kConsumers.size()));
  ConsumerSnapshot& snapshot = old_consumers_[consumer];
  if (name.ends_with("/meta.inf")) {
    if (const std::string error = ParseJson(file.content, &snapshot.config); !error.empty())
      return absl::StrFormat("error restoring consumer [\"%s\"]: %s", consumer, error);
    snapshot.config.name = consumer;
  } else if (name.ends_with("/o.dat") && !ReadConsumerFile(file.content, &snapshot)) {
    return absl::StrFormat("error restoring consumer [\"%s\"]: corrupt state file", consumer);
  }
  return "";
}

std::string StreamRestore::TakeBlock(std::string_view block) {
  Stream* to = stream();
  if (to == nullptr) return "stream is gone";
  std::string error;
  const bool whole = ReadBlockFile(block, [&](const BlockRecord& record) {
    const uint64_t last_seq = to->log().state().last_seq;
    if (record.kind == BlockRecord::Kind::kMessage && record.seq > last_seq) {
      error = TakeMessage({record.subject, record.time_ns, record.seq, record.header, record.body});
      return error.empty();
    }
    // Deleted, sooner or later.
    if (record.seq > last_seq) {
      to->SkipTo(record.seq);
    } else if (record.kind == BlockRecord::Kind::kTombstone) {
      to->log().Remove(record.seq, StreamLog::Erase::kNo);
    }
    return true;
  });
  if (!error.empty()) return error;
  return whole ? "" : "corrupt state file";
}

}  // namespace millrace
