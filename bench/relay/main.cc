// SPDX-License-Identifier: Apache-2.0
// millrace-relay -a 127.0.0.1 -p 4222 [--recv-bytes N --recv-buffers N]
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "bench/relay/relay.h"

namespace {

volatile std::sig_atomic_t stopping = 0;

int Listen(const char* host, uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1 ||
      bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(fd, 4096) != 0) {
    std::perror("millrace-relay: listen");
    std::exit(1);
  }
  return fd;
}

}  // namespace

int main(int argc, char** argv) {
  const char* host = "127.0.0.1";
  uint16_t port = 4222;
  millrace::bench::Ring::Options options;
  options.entries = 4096;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    const char* value = argv[i + 1];
    if (flag == "-a") host = value;
    if (flag == "-p") port = static_cast<uint16_t>(std::atoi(value));
    if (flag == "--recv-bytes") options.buffer_bytes = static_cast<uint32_t>(std::atoi(value));
    if (flag == "--recv-buffers") options.buffer_count = static_cast<uint32_t>(std::atoi(value));
  }
  for (const int number : {SIGTERM, SIGINT}) {
    std::signal(number, [](int) { stopping = 1; });
  }
  std::signal(SIGPIPE, SIG_IGN);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);

  millrace::bench::Ring ring(options);
  const int listen_fd = Listen(host, port);
  millrace::bench::Relay relay(&ring, listen_fd, port);
  while (stopping == 0) ring.RunOnce(200'000'000);
  // The armed accept keeps the port until the kernel has torn the ring down, some time after this process has gone.
  shutdown(listen_fd, SHUT_RDWR);
  return 0;
}
