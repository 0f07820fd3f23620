// SPDX-License-Identifier: Apache-2.0
// FakeIo: an Io that only writes down what it was asked for; the test says what comes of it, and when.
// Owner:  caller (the test); everything on its one thread.
#pragma once

#include <string>

#include "broker/io/io.h"
#include "proto/base/check.h"

namespace millrace {

class FakeIo final : public Io {
 public:
  void Recv(int, RecvSize size, Completion* completion) override {
    completion->Started(0);
    recv = completion;
    recv_size = size;
    ++recvs;
  }
  void Send(int, const iovec* parts, uint32_t count, Completion* completion) override {
    completion->Started(0);
    send = completion;
    sending.clear();
    for (uint32_t i = 0; i < count; ++i) sending.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
    send_bytes = static_cast<int32_t>(sending.size());
    ++sends;
  }
  void SendQuietly(int fd, const iovec* parts, uint32_t count, Completion* completion) override {
    Send(fd, parts, count, completion);
  }
  void Cancel(Completion* completion) override { cancels += completion->busy() ? 1 : 0; }
  void Shutdown(int) override { ++shutdowns; }
  void Close(int) override {
    MR_CHECK((recv == nullptr || !recv->busy()) && (send == nullptr || !send->busy()));
    recv = send = nullptr;  // who asked may go
    ++closes;
  }
  Nanos Now() override { return now; }

  void Accept(int, Completion* completion) override {
    completion->Started(0);
    accept = completion;
  }
  void Read(int, void*, uint32_t, Completion*) override { MR_CHECK(false); }
  void ReadFile(int, uint64_t, char*, uint32_t, Completion*) override { MR_CHECK(false); }
  void WriteFile(int, uint64_t, std::string_view, WriteMode, Completion*) override { MR_CHECK(false); }
  void SyncFile(int, Completion*) override { MR_CHECK(false); }
  void Unlink(int, const char*, Completion*) override { MR_CHECK(false); }
  void Wake(uint32_t) override { MR_CHECK(false); }
  void SubmitAndWait(Nanos, bool) override { MR_CHECK(false); }
  void SubmitAndGather(Nanos, Nanos) override { MR_CHECK(false); }
  bool HasCompletions() override { return false; }
  void RunQuietSends() override {}
  bool RunCompletions(uint64_t) override { return true; }

  // Results.
  void Receive(std::string_view bytes) { recv->Finish(IoResult{static_cast<int32_t>(bytes.size()), true, bytes}); }
  void EndRecv(int error) { recv->Finish(IoResult{-error, false, {}}); }
  void EndSend(int32_t value) {
    if (value > 0) sent.append(sending, 0, static_cast<size_t>(value));
    send->Finish(IoResult{value, false, {}});
  }

  Completion* accept = nullptr;
  Completion* recv = nullptr;
  Completion* send = nullptr;
  int32_t send_bytes = 0;
  std::string sending;  // by the last Send
  std::string sent;     // has left
  RecvSize recv_size = RecvSize::kSmall;  // of the last Recv
  int recvs = 0;
  int cancels = 0;  // of what was under way
  int sends = 0;
  int shutdowns = 0;
  int closes = 0;
  Nanos now{0};
};

}  // namespace millrace
