// SPDX-License-Identifier: Apache-2.0
// millrace: a message broker that takes the place of nats-server.
#include <cstdio>
#include <string>

#include "broker/config/startup.h"
#include "broker/control/memory.h"
#include "broker/control/server.h"

int main(int argc, char** argv) {
  millrace::config::Startup startup = millrace::config::ParseStartup(argc, argv);
  std::fputs(startup.out.c_str(), stdout);
  std::fflush(stdout);
  std::fputs(startup.err.c_str(), stderr);
  if (startup.action == millrace::config::Startup::Action::kExit) return startup.exit_code;
  millrace::SetFreedMemory(millrace::FreedMemory::kGoesAtOnce);  // until a shard is busy
  millrace::Server server(std::move(startup), argv[0]);
  return server.Run();
}
