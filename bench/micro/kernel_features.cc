// SPDX-License-Identifier: Apache-2.0
// kernel_features: what some io_uring features cost or save on this machine's loopback, in CPU time of the side that
// uses them. Prints a line for each; broker/io/README.md says what was made of it.
//   send     64 KiB blocks with send, and with send_zc (which waits for its notification before the next one)
//   recv     the same stream into 128 KiB buffers, into 4 KiB buffers, and into bundles of 4 KiB buffers, with a check
//            that the bytes are in order
//   files    one byte there and back, with plain and with registered descriptors
#include <arpa/inet.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

namespace {

constexpr unsigned kBundle = 1u << 4;  // IORING_RECVSEND_BUNDLE, Linux 6.10; liburing 2.3 does not have it
constexpr size_t kBlock = 65536;
constexpr uint64_t kStreamBytes = uint64_t{2} << 30;
constexpr int kRoundTrips = 100'000;

void Require(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  std::exit(1);
}

double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

struct Pair {
  int a = -1;
  int b = -1;
  Pair() {
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof address;
    Require(bind(listener, reinterpret_cast<sockaddr*>(&address), bytes) == 0 && listen(listener, 1) == 0, "listen");
    getsockname(listener, reinterpret_cast<sockaddr*>(&address), &bytes);
    a = socket(AF_INET, SOCK_STREAM, 0);
    Require(connect(a, reinterpret_cast<sockaddr*>(&address), bytes) == 0, "connect");
    b = accept(listener, nullptr, nullptr);
    close(listener);
    const int on = 1;
    for (const int fd : {a, b}) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  ~Pair() {
    close(a);
    close(b);
  }
};

struct Ring {
  io_uring ring{};
  Ring() {
    io_uring_params params{};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    Require(io_uring_queue_init_params(64, &ring, &params) == 0, "io_uring_queue_init");
  }
  ~Ring() { io_uring_queue_exit(&ring); }
  io_uring_cqe Wait() {
    io_uring_cqe* cqe = nullptr;
    while (io_uring_peek_cqe(&ring, &cqe) != 0) io_uring_submit_and_wait(&ring, 1);
    const io_uring_cqe copy = *cqe;
    io_uring_cqe_seen(&ring, cqe);
    return copy;
  }
};

uint8_t ByteAt(uint64_t position) { return static_cast<uint8_t>(position / kBlock * 7 + position % 251); }

void MeasureSend(bool zero_copy) {
  Pair pair;
  std::thread reader([&] {
    std::vector<char> buffer(1 << 20);
    while (read(pair.b, buffer.data(), buffer.size()) > 0) {
    }
  });
  Ring ring;
  std::vector<char> block(kBlock, 'x');
  const double start = CpuSeconds();
  for (uint64_t sent = 0; sent < kStreamBytes; sent += kBlock) {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring.ring);
    if (zero_copy) {
      io_uring_prep_send_zc(sqe, pair.a, block.data(), kBlock, MSG_WAITALL, 0);
    } else {
      io_uring_prep_send(sqe, pair.a, block.data(), kBlock, MSG_WAITALL);
    }
    io_uring_cqe cqe = ring.Wait();
    Require(cqe.res == static_cast<int>(kBlock), "send");
    while ((cqe.flags & IORING_CQE_F_MORE) != 0) cqe = ring.Wait();
  }
  const double cpu = CpuSeconds() - start;
  shutdown(pair.a, SHUT_WR);
  reader.join();
  std::printf("send   %-28s %7.2f us CPU per 64 KiB\n", zero_copy ? "send_zc" : "send",
              cpu * 1e6 / (kStreamBytes / kBlock));
}

void MeasureRecv(const char* name, uint32_t buffer_bytes, uint32_t count, bool bundle) {
  Pair pair;
  std::thread writer([&] {
    std::vector<char> block(kBlock);
    for (uint64_t at = 0; at < kStreamBytes; at += kBlock) {
      for (size_t i = 0; i < kBlock; i += 1024) block[i] = static_cast<char>(ByteAt(at + i));
      for (size_t done = 0; done < kBlock;) {
        const ssize_t n = write(pair.a, block.data() + done, kBlock - done);
        Require(n > 0, "write");
        done += static_cast<size_t>(n);
      }
    }
    shutdown(pair.a, SHUT_WR);
  });
  Ring ring;
  const size_t ring_bytes = count * sizeof(io_uring_buf);
  void* memory = mmap(nullptr, ring_bytes + size_t{buffer_bytes} * count, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  Require(memory != MAP_FAILED, "mmap");
  auto* buffers = static_cast<io_uring_buf_ring*>(memory);
  char* data = static_cast<char*>(memory) + ring_bytes;
  io_uring_buf_reg reg{};
  reg.ring_addr = reinterpret_cast<uint64_t>(buffers);
  reg.ring_entries = count;
  reg.bgid = 1;
  Require(io_uring_register_buf_ring(&ring.ring, &reg, 0) == 0, "register_buf_ring");
  io_uring_buf_ring_init(buffers);
  const auto give = [&](unsigned id) {
    io_uring_buf_ring_add(buffers, data + size_t{id} * buffer_bytes, buffer_bytes, static_cast<uint16_t>(id),
                          io_uring_buf_ring_mask(count), 0);
    io_uring_buf_ring_advance(buffers, 1);
  };
  for (unsigned id = 0; id < count; ++id) give(id);
  uint64_t position = 0;
  uint64_t wrong = 0;
  uint64_t results = 0;
  bool armed = false;
  const double start = CpuSeconds();
  for (;;) {
    if (!armed) {
      io_uring_sqe* sqe = io_uring_get_sqe(&ring.ring);
      io_uring_prep_recv_multishot(sqe, pair.b, nullptr, 0, 0);
      sqe->flags |= IOSQE_BUFFER_SELECT;
      sqe->buf_group = 1;
      if (bundle) sqe->ioprio |= kBundle;
    }
    const io_uring_cqe cqe = ring.Wait();
    armed = (cqe.flags & IORING_CQE_F_MORE) != 0;
    if (cqe.res == -ENOBUFS) continue;
    if (cqe.res <= 0) break;
    ++results;
    unsigned id = cqe.flags >> IORING_CQE_BUFFER_SHIFT;
    for (int left = cqe.res; left > 0; id = (id + 1) & (count - 1)) {
      const size_t here = std::min(static_cast<size_t>(left), size_t{buffer_bytes});
      const size_t first = (1024 - position % 1024) % 1024;
      for (size_t i = first; i < here; i += 1024) {
        wrong += static_cast<uint8_t>(data[size_t{id} * buffer_bytes + i]) != ByteAt(position + i);
      }
      position += here;
      left -= static_cast<int>(here);
      give(id);
    }
  }
  const double cpu = CpuSeconds() - start;
  writer.join();
  std::printf("recv   %-28s %7.2f us CPU per 64 KiB, %6.1f KiB a result, %llu of %llu KiB out of order\n", name,
              cpu * 1e6 / (static_cast<double>(position) / kBlock),
              static_cast<double>(position) / 1024 / static_cast<double>(results),
              static_cast<unsigned long long>(wrong), static_cast<unsigned long long>(position / 1024));
  munmap(memory, ring_bytes + size_t{buffer_bytes} * count);
}

void MeasureFiles(bool registered) {
  Pair pair;
  std::thread echo([&] {
    char byte = 0;
    while (read(pair.b, &byte, 1) == 1 && write(pair.b, &byte, 1) == 1) {
    }
  });
  Ring ring;
  if (registered) Require(io_uring_register_files(&ring.ring, &pair.a, 1) == 0, "register_files");
  const double start = CpuSeconds();
  char byte = 'x';
  for (int i = 0; i < kRoundTrips; ++i) {
    io_uring_sqe* out = io_uring_get_sqe(&ring.ring);
    io_uring_prep_send(out, registered ? 0 : pair.a, &byte, 1, 0);
    io_uring_sqe* in = io_uring_get_sqe(&ring.ring);
    io_uring_prep_recv(in, registered ? 0 : pair.a, &byte, 1, 0);
    if (registered) {
      out->flags |= IOSQE_FIXED_FILE;
      in->flags |= IOSQE_FIXED_FILE;
    }
    ring.Wait();
    ring.Wait();
  }
  std::printf("files  %-28s %7.2f us CPU per round trip\n", registered ? "registered" : "plain",
              (CpuSeconds() - start) * 1e6 / kRoundTrips);
  shutdown(pair.a, SHUT_WR);
  echo.join();
}

}  // namespace

int main() {
  for (int round = 0; round < 3; ++round) {
    MeasureSend(false);
    MeasureSend(true);
    MeasureRecv("8 buffers of 128 KiB", 131072, 8, false);
    MeasureRecv("256 buffers of 4 KiB", 4096, 256, false);
    MeasureRecv("256 of 4 KiB, in bundles", 4096, 256, true);
    MeasureFiles(false);
    MeasureFiles(true);
  }
}
