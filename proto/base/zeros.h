// SPDX-License-Identifier: Apache-2.0
// Zeros: memory that is zero, without clearing it at once: large pieces come from the kernel, page by page as they are
//        touched.
// Owner:  caller (pure).  `bytes` is a multiple of 4096 where it is kZerosFromKernel or more.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "proto/base/check.h"

namespace millrace {

inline constexpr size_t kZerosFromKernel = 128 << 10;
inline constexpr size_t kHugePage = 2 << 20;

// 8 MiB of a table that is touched all over: 7 to 10 ms by calloc of an allocator that keeps what it had, 5 to 8 ms by
// page faults of 4 KiB (a virtual machine), 0.3 ms by huge pages.
inline void* AllocateZeros(size_t bytes) {
  if (bytes < kZerosFromKernel) {
    void* zeros = std::calloc(1, bytes);
    MR_CHECK(zeros != nullptr);
    return zeros;
  }
  MR_DCHECK(bytes % 4096 == 0);
  const size_t skip_max = bytes < kHugePage ? 0 : kHugePage;
  void* mapped = mmap(nullptr, bytes + skip_max, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  MR_CHECK(mapped != MAP_FAILED);
  if (skip_max == 0) return mapped;
  char* const begin = static_cast<char*>(mapped);
  const size_t skip = -reinterpret_cast<uintptr_t>(mapped) & (kHugePage - 1);
  if (skip > 0) MR_CHECK(munmap(begin, skip) == 0);
  MR_CHECK(munmap(begin + skip + bytes, kHugePage - skip) == 0);  // skip is less
  (void)madvise(begin + skip, bytes, MADV_HUGEPAGE);  // without them it is only slower
  return begin + skip;
}

// For what will be read before it is written: pages that only share zeros would each be paid for twice, one by one.
inline void PopulateZeros(void* zeros, size_t bytes) {
  if (bytes >= kZerosFromKernel) (void)madvise(zeros, bytes, MADV_POPULATE_WRITE);  // Linux 5.14
}

// nullptr: nothing happens.
inline void FreeZeros(void* zeros, size_t bytes) {
  if (bytes < kZerosFromKernel) return std::free(zeros);
  MR_CHECK(munmap(zeros, bytes) == 0);
}

}  // namespace millrace
