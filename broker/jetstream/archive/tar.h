// SPDX-License-Identifier: Apache-2.0
// TarReader: the files of a tar archive that comes in pieces, as backups of nats-server before 2.15 are.
// Owner:  caller (pure).  Format: ustar; of PAX headers the path counts.  Bounds: one file is held, of at most 128 MiB.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace millrace {

struct TarFile {
  std::string name;
  std::string_view content;  // until the next call of the reader
};

class TarReader {
 public:
  void Add(std::string_view bytes);
  enum class Next : uint8_t { kFile, kNeedMore, kEnd, kInvalid };
  Next Read(TarFile* file);

 private:
  size_t at_ = 0;
  std::string bytes_;
  std::string path_;  // of a PAX header, for the file that follows
};

}  // namespace millrace
