// SPDX-License-Identifier: Apache-2.0
// Checks: the macros for our own bugs. They stay on in release builds (MR_DCHECK does not) and abort with values.
// Owner:  caller (pure).
#pragma once

#include <cstdio>
#include <cstdlib>

namespace millrace {

[[noreturn, gnu::cold, gnu::noinline]] inline void CheckFailed(const char* file, int line, const char* what) {
  std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, what);
  std::abort();
}

[[noreturn, gnu::cold, gnu::noinline]] inline void CheckOpFailed(const char* file, int line, const char* what,
                                                                 long long left, long long right) {
  std::fprintf(stderr, "%s:%d: check failed: %s (%lld against %lld)\n", file, line, what, left, right);
  std::abort();
}

}  // namespace millrace

#define MR_CHECK(condition)                                                                \
  do {                                                                                     \
    if (!(condition)) [[unlikely]] ::millrace::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)

// MR_CHECK_OP(pending_bytes, <=, limit): like MR_CHECK, and prints both integer values.
#define MR_CHECK_OP(left, op, right)                                                              \
  do {                                                                                            \
    if (!((left)op(right))) [[unlikely]]                                                          \
      ::millrace::CheckOpFailed(__FILE__, __LINE__, #left " " #op " " #right, (long long)(left),  \
                                (long long)(right));                                              \
  } while (false)

namespace millrace {

// Whether MR_DCHECK checks; for what is more than a condition: if constexpr (kDebugChecks) Invariant();
#ifdef NDEBUG
inline constexpr bool kDebugChecks = false;
#else
inline constexpr bool kDebugChecks = true;
#endif

}  // namespace millrace

#ifdef NDEBUG
#define MR_DCHECK(condition) \
  do {                       \
    if (false) {             \
      (void)(condition);     \
    }                        \
  } while (false)
#else
#define MR_DCHECK(condition) MR_CHECK(condition)
#endif
