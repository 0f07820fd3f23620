// SPDX-License-Identifier: Apache-2.0
// Pace: who works through data says how much is done, so that whoever let it work may pause it there, for as many turns
//       as it takes.
// Owner:  shard.
// Rule:   where Tick is called the data are consistent (nothing is half linked), though the work on them is not at its
//         end; and the caller holds nothing that goes when others work meanwhile: no body of a block, no view of a
//         message. Whoever pauses work sees to it that nobody else touches the stream until it has ended.
#pragma once

#include <cstdint>

namespace millrace {

class Pace {
 public:
  // So much has been done since the last call, in units of about 50 ns.
  void Tick(uint64_t units) {
    done_ += units;
    if (done_ >= due_) [[unlikely]] OnDue();
  }
  uint64_t done() const { return done_; }

 protected:
  ~Pace() = default;
  virtual void OnDue() = 0;

  uint64_t done_ = 0;
  uint64_t due_ = 0;  // OnDue is called when so much is done
};

// A pace that nobody has set costs a comparison.
inline void Tick(Pace* pace, uint64_t units) {
  if (pace != nullptr) pace->Tick(units);
}

}  // namespace millrace
