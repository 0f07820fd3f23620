// SPDX-License-Identifier: Apache-2.0
// BufferedClient: a client that answers what it reads: lines collect while bytes are handled, and leave in one send.
// Owner:  caller, as Client.
#pragma once

#include <string>

#include "bench/load/client.h"

namespace millrace::bench {

class BufferedClient : public Client {
 public:
  using Client::Client;

  // Sends what has collected unless a send is in flight; then its completion does.
  void Flush() {
    if (sending() || out_.empty()) return;
    flying_.swap(out_);
    out_.clear();
    SendBlock(flying_);
  }

 protected:
  std::string& out() { return out_; }
  void OnSendIdle() override { Flush(); }

 private:
  std::string out_;
  std::string flying_;
};

}  // namespace millrace::bench
