// SPDX-License-Identifier: Apache-2.0
// Io: everything a shard asks of the kernel, as about a dozen calls that each take a Completion.
// Owner:  shard (one Io per thread; only that thread calls it, except where a function says otherwise).
// Bounds: an operation's Completion is a member of its owner and must stay in place until its last result
//         (IoResult::more false). Results are delivered by RunCompletions only, never from inside a call that submits.
// Two implementations: UringIo (uring.h) for the kernel, SimIo (tests/sim) for the deterministic simulation.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <string_view>

#include "proto/base/completion.h"
#include "proto/base/nanos.h"

namespace millrace {

// Which pool of receive buffers a connection draws from: small ones for the many, large ones for the busy.
enum class RecvSize : uint8_t { kSmall, kLarge };

class Io {
 public:
  virtual ~Io() = default;

  // Multishot accept on a listening descriptor; each result's value is a new connected descriptor.
  virtual void Accept(int listener, Completion* completion) = 0;
  // Multishot receive. A result of 0 bytes is the peer's end; -ENOBUFS means: arm again in a later turn.
  virtual void Recv(int fd, RecvSize size, Completion* completion) = 0;
  // Sends all of `parts` in order (short sends are retried by the kernel); the array is copied, the bytes are not.
  virtual void Send(int fd, const iovec* parts, uint32_t count, Completion* completion) = 0;
  // Sends what the socket takes at once. If that is all of it, nobody is woken and RunQuietSends reports it; otherwise
  // it is a result like others: short, or -EAGAIN.
  virtual void SendQuietly(int fd, const iovec* parts, uint32_t count, Completion* completion) = 0;
  // Reads up to `bytes` at the descriptor's own position (signalfd, pipes).
  virtual void Read(int fd, void* buffer, uint32_t bytes, Completion* completion) = 0;
  // --- files, at absolute offsets (UringDisk). Results may be short.
  virtual void ReadFile(int fd, uint64_t offset, char* to, uint32_t bytes, Completion* completion) = 0;
  enum class WriteMode : uint8_t {
    kPlain,
    kDurable,   // reports when it is on stable storage (RWF_DSYNC)
    kThenNext,  // the operation asked for next begins when this one has been written whole, otherwise it is -ECANCELED
  };
  virtual void WriteFile(int fd, uint64_t offset, std::string_view bytes, WriteMode mode, Completion* completion) = 0;
  virtual void SyncFile(int fd, Completion* completion) = 0;  // fdatasync
  // `path` (zero-terminated) stays in place until the result.
  virtual void Unlink(int directory, const char* path, Completion* completion) = 0;
  // Asks for an operation's early end; its last result still arrives (usually -ECANCELED).
  virtual void Cancel(Completion* completion) = 0;
  // Stops both directions now, so that operations in flight on `fd` end.
  virtual void Shutdown(int fd) = 0;
  virtual void Close(int fd) = 0;
  // Wakes another participant's Io from SubmitAndWait (the mesh's doorbell).
  virtual void Wake(uint32_t participant) = 0;

  // Submits what was asked for. May block until a result, a Wake or `deadline` (absolute, of Now()) when `may_block`.
  virtual void SubmitAndWait(Nanos deadline, bool may_block) = 0;
  // The same, blocking: what arrives in the first `at_least` waits for its end.
  virtual void SubmitAndGather(Nanos deadline, Nanos at_least) = 0;
  // True if results wait to be run, or the kernel has work for us that the next submit will turn into results.
  virtual bool HasCompletions() = 0;
  // Runs the handlers of the quiet sends that left whole with the last SubmitAndWait.
  virtual void RunQuietSends() = 0;
  // Runs the handlers of results that had arrived by the last SubmitAndWait, up to about `bytes_max` of received bytes.
  // Returns false if it stopped early.
  virtual bool RunCompletions(uint64_t bytes_max) = 0;

  // Monotonic clock.
  virtual Nanos Now() = 0;
};

}  // namespace millrace
