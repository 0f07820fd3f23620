// SPDX-License-Identifier: Apache-2.0
// DiskReserve: a file that holds nothing but its place, for the day when the disk is full to the last byte: giving it
// up
//              is what the checkpoint lives on that gives the rest back.
// Owner:  shard.  Blocking, and fast: making and removing it touches metadata only.
// File:   DIR/reserve. Whatever it holds means nothing; it may be missing, or of another size.
#pragma once

#include <cstdint>

#include "store/disk.h"

namespace millrace {

class DiskReserve {
 public:
  DiskReserve(Disk& disk, uint64_t bytes) : disk_(disk), bytes_(bytes) {}

  void Open();     // finds out whether it is there
  void Make();     // fails without a trace when there is no room
  void Release();  // its place is free when this returns
  bool held() const { return held_; }
  uint64_t bytes() const { return bytes_; }

 private:
  Disk& disk_;
  const uint64_t bytes_;
  bool held_ = false;
};

}  // namespace millrace
