// SPDX-License-Identifier: Apache-2.0
// Keys of a store, for benchmarks with and without encryption.
// Owner:  caller.
#pragma once

#include <cstring>
#include <memory>

#include "bench/micro/ram_disk.h"
#include "store/keys/store_keys.h"

namespace millrace {

// cipher: 0: none, then as in Cipher. What they need of a disk they have used when they come back.
inline std::unique_ptr<StoreKeys> KeysOf(int64_t cipher) {
  static RamDisk disk[3];
  if (cipher == 0) return nullptr;
  KeyOptions options;
  options.key = "secret";
  options.cipher = static_cast<Cipher>(cipher);
  options.kdf_passes = 1;
  options.kdf_memory_kib = 8;
  options.random = [](uint8_t* to, size_t bytes) { std::memset(to, 7, bytes); };
  return std::move(StoreKeys::Open(disk[cipher], options, std::nullopt)).value();
}

}  // namespace millrace
