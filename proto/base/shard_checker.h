// SPDX-License-Identifier: Apache-2.0
// ShardChecker: remembers the thread that an object belongs to, so that an MR_DCHECK finds whoever strays from it.
// Owner:  shard (a member of what it checks).
// Use:    `[[no_unique_address]] ShardChecker shard_checker_;` and MR_DCHECK(shard_checker_.Here()) where the object
//         is entered. It begins with the thread that made the object; one that is handed over is adopted by the next.
// Cost:   none with NDEBUG: the type is empty then. Shards that take turns on one thread (tests/sim) are one to it.
#pragma once

#ifndef NDEBUG
#include <pthread.h>
#endif

namespace millrace {

#ifdef NDEBUG
class ShardChecker {
 public:
  void Adopt() {}
  bool Here() const { return true; }
};
#else
class ShardChecker {
 public:
  // The calling thread has the object from now on. Nobody else uses it meanwhile: the two are ordered by the start or
  // the end of a thread.
  void Adopt() { owner_ = pthread_self(); }
  bool Here() const { return pthread_equal(owner_, pthread_self()) != 0; }

 private:
  pthread_t owner_ = pthread_self();
};
#endif

}  // namespace millrace
