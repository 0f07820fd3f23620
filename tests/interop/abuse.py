#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad input, in bulk, while a well-behaved pair of connections goes on exchanging messages.

    abuse.py --server build/release/millrace [--flags ...] [--memory-mib 1024] [--seed N] [--only REGEX]

After every kind of abuse: the process lives, the pair lost and mixed up nothing and went on, a new client is served, and resident memory
never passed the bound. Prints one line per kind, then `N passed, N failed`.
"""
import argparse
import os
import random
import re
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import traffic  # noqa: E402
import wire  # noqa: E402

QUIET = b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n'


class Pair(threading.Thread):
    """Publishes numbered messages and checks that every one arrives, in order, once."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.publisher = wire.Connection(port, timeout=20)
        self.subscriber = wire.Connection(port, timeout=20)
        self.subscriber.send(QUIET + b"SUB good.pair.* 1\r\nPING\r\n")
        assert self.subscriber.read_line() == b"PONG"
        self.publisher.send(QUIET)
        self.exchanged = 0
        self.slowest_s = 0.0
        self.error = None
        self.running = True

    def run(self):
        serial = 0
        try:
            while self.running:
                out, wanted = [], []
                for _ in range(20):
                    serial += 1
                    body = b"%d:" % serial + b"d" * (serial % 300)
                    out.append(b"PUB good.pair.%d %d\r\n%s\r\n" % (serial % 5, len(body), body))
                    wanted.append(b"MSG good.pair.%d 1 %d\r\n%s\r\n" % (serial % 5, len(body), body))
                started = time.monotonic()
                self.publisher.send(b"".join(out))
                need = b"".join(wanted)
                while len(self.subscriber.buffer) < len(need):
                    self.subscriber.fill()
                    self.answer_pings(self.subscriber)
                got = self.subscriber.read_exactly(len(need))
                if got != need:
                    raise ValueError(f"got {got[:200]!r}, wanted {need[:200]!r}")
                self.slowest_s = max(self.slowest_s, time.monotonic() - started)
                self.exchanged += 20
                self.publisher.send(b"PING\r\n")
                line = self.publisher.read_line()
                while line == b"PING":
                    self.publisher.send(b"PONG\r\n")
                    line = self.publisher.read_line()
                if line != b"PONG":
                    raise ValueError(f"publisher got {line!r}")
        except Exception as e:        # whatever it is, it is the finding
            self.error = f"{type(e).__name__}: {e}"

    @staticmethod
    def answer_pings(c):
        # The payloads hold no PING, so any PING is the server's own.
        if b"PING\r\n" in c.buffer:
            c.buffer = c.buffer.replace(b"PING\r\n", b"")
            c.send(b"PONG\r\n")

    def wait_for(self, count, timeout=30):
        goal = self.exchanged + count
        deadline = time.monotonic() + timeout
        while self.exchanged < goal and self.error is None and time.monotonic() < deadline:
            self.join(0.005)
        return self.error is None and self.exchanged >= goal


class Memory(threading.Thread):
    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.peak = 0
        self.stop = threading.Event()

    def run(self):
        while not self.stop.wait(0.02):
            self.peak = max(self.peak, self.server.memory_bytes())


def raw(port, data=b"", timeout=5):
    s = socket.create_connection(("127.0.0.1", port), timeout)
    try:
        s.sendall(data)
    except OSError:
        pass
    return s


def half_close(s):
    try:
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def drain(s, limit_s=5):
    s.settimeout(limit_s)
    try:
        while s.recv(1 << 16):
            pass
    except OSError:
        pass
    s.close()


# -- the kinds of abuse: each takes (port, rng)

def random_bytes(port, rng):
    for _ in range(400):
        data = rng.randbytes(rng.choice((1, 10, 100, 5000)))
        s = raw(port, (QUIET if rng.random() < 0.5 else b"") + data)
        if rng.random() < 0.7:
            half_close(s)
        s.settimeout(0.05)
        try:
            while s.recv(65536):
                pass
        except OSError:
            pass
        s.close()


def random_after_verb(port, rng):
    verbs = (b"PUB ", b"SUB ", b"UNSUB ", b"HPUB ", b"CONNECT ", b"INFO ", b"-ERR ", b"+OK", b"PING", b"PONG", b"MSG ", b"HMSG ", b"RS+ ", b"LS+ ", b"A+ ")
    for _ in range(400):
        s = raw(port, QUIET + b"".join(rng.choice(verbs) + rng.randbytes(rng.randrange(60)) + b"\r\n" for _ in range(20)))
        half_close(s)
        drain(s)


def mutated_traffic(port, rng):
    generator = traffic.Traffic(rng.randrange(1 << 30), quirks=True)
    for _ in range(300):
        data = bytearray(QUIET + b"".join(op[0] for op in generator.batch()[1]))
        for _ in range(rng.randrange(1, 8)):
            at = rng.randrange(len(QUIET), len(data))
            kind = rng.random()
            if kind < 0.5:
                data[at] = rng.randrange(256)
            elif kind < 0.75:
                del data[at:at + rng.randrange(1, 20)]
            else:
                data[at:at] = rng.randbytes(rng.randrange(1, 20))
            if len(data) <= len(QUIET) + 1:
                break
        # Subscriptions of such a stream may want the pair's messages too; both sides of it must bear that.
        s = raw(port, data)
        half_close(s)
        drain(s)


def half_lines(port, rng):
    halves = (b"CONNECT {", b"CONNECT", b"SUB foo", b"PUB foo 10\r\nabc", b"PUB foo", b"P", b"HPUB foo 12 20\r\nNATS/1.0\r\n", b"UNSUB", b"PUB foo 1000000\r\n" + b"x" * 9000)
    held = [raw(port, QUIET + rng.choice(halves)) for _ in range(600)]
    for s in held[::2]:
        s.close()
    for s in held[1::2]:
        half_close(s)
    for s in held[1::2]:
        drain(s)


def huge_sizes(port, rng):
    lines = (b"PUB x 999999999", b"PUB x 1048577", b"PUB x 2147483648", b"PUB x 18446744073709551615", b"PUB x -1", b"HPUB x 999999999 999999999", b"HPUB x 12 999999999",
             b"PUB x 4294967296", b"UNSUB 1 99999999999999999999", b"SUB x 1" + b"0" * 4000, b"HPUB x 1048577 12", b"PUB x 000000000000001")
    for _ in range(40):
        for line in lines:
            s = raw(port, QUIET + line + b"\r\n" + b"z" * rng.choice((0, 100, 70000)))
            half_close(s)
            drain(s)


def half_payloads_held(port, rng):
    """Many connections, each of which announces a megabyte and sends nearly all of it."""
    held = [raw(port, QUIET + b"PUB x 1048576\r\n" + b"x" * (200000 if i % 4 else 1048000)) for i in range(120)]
    for s in held:
        s.close()


def connection_flood(port, rng):
    held = []
    for _ in range(3000):
        try:
            held.append(raw(port))
        except OSError:
            break
    for s in held:
        s.close()


def connection_churn(port, rng):
    for i in range(3000):
        s = raw(port, QUIET + b"SUB a.%d 1\r\n" % i if i % 3 else b"")
        if i % 5 == 0:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")     # closes with a reset
        s.close()


def never_reading(port, rng):
    """Readers that never read, of a flood and of the pair's own subject."""
    readers = []
    for i in range(4):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", port))
        s.sendall(QUIET + (b"SUB flood 1\r\n" if i else b"SUB flood 1\r\nSUB good.> 2\r\n"))
        readers.append(s)
    p = wire.Connection(port, timeout=30)
    p.send(QUIET + b"PING\r\n")
    p.read_line()
    chunk = b"PUB flood 65536\r\n" + b"f" * 65536 + b"\r\n"
    for _ in range(30):
        p.send(chunk * 64 + b"PING\r\n")
        while p.read_line() != b"PONG":
            p.send(b"PONG\r\n")
    p.close()
    for s in readers:
        s.close()


def pings_never_read(port, rng):
    """Asks for PONGs by the million and reads none."""
    for _ in range(3):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", port))
        s.settimeout(1)
        try:
            for _ in range(60):
                s.sendall(b"PING\r\n" * 20000)
        except OSError:
            pass
        s.close()


def errors_never_read(port, rng):
    """Asks for -ERR by the hundred thousand and reads none."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", port))
    s.settimeout(1)
    try:
        s.sendall(b'CONNECT {"verbose":true}\r\n')
        for _ in range(40):
            s.sendall(b"SUB a..b 1\r\nPUB a..b 0\r\n\r\n" * 5000)
    except OSError:
        pass
    s.close()


def slow_loris(port, rng):
    text = QUIET + b"SUB slow.* 1\r\nPUB slow.a 4\r\nabcd\r\n" * 2
    held = [raw(port) for _ in range(500)]
    for at in range(len(text)):
        for s in held:
            try:
                s.send(text[at:at + 1])
            except OSError:
                pass
    for s in held:
        s.close()


def giant_connects(port, rng):
    for size in (4000, 4097, 5000, 65536, 1 << 20, 8 << 20) * 6:
        for filler in (b'"', b"[", b'{"a":', b" ", b"\\u0041"):
            s = raw(port, b'CONNECT {"name":' + (b'"' if filler == b'"' else b"") + filler * (size // len(filler)))
            drain(s, 0.05)


def nested_json(port, rng):
    for depth in (100, 1000, 2000):
        s = raw(port, b'CONNECT {"x":' + b"[" * depth + b"]" * depth + b"}\r\nPING\r\n")
        half_close(s)
        drain(s)
        s = raw(port, b"INFO " + b'{"a":' * (depth // 4) + b"1" + b"}" * (depth // 4) + b"\r\nPING\r\n")
        half_close(s)
        drain(s)


def endless_junk(port, rng):
    """16 MB lines that a server has no reason to keep: they must not be kept."""
    for start, filler in ((b"PING ", b"j"), (b"PONG ", b"j"), (b"+OK ", b"j"), (b"CONNECT ", b" "), (b"SUB ", b"\t"), (b"PUB ", b" "), (b"SUB ", b"s")):
        s = raw(port, start)
        try:
            for _ in range(256):
                s.sendall(filler * (1 << 16))
            s.sendall(b"\r\n")
        except OSError:
            pass
        s.close()


def many_subscriptions(port, rng):
    c = wire.Connection(port, timeout=60)
    c.send(QUIET)
    for base in range(0, 200000, 10000):
        c.send(b"".join(b"SUB many.%d.%d.* %d\r\n" % (i % 100, i, i) for i in range(base, base + 10000)))
    c.send(b"PING\r\n")
    c.read_line()
    c.shut_down()


def deep_subjects(port, rng):
    c = wire.Connection(port, timeout=30)
    c.send(QUIET)
    subject = b".".join([b"d"] * 2000)
    c.send(b"SUB " + subject + b" 1\r\n")
    for i in range(12):
        stars = [b"*" if i >> (j % 4) & 1 else b"d" for j in range(40)]
        c.send(b"SUB " + b".".join(stars) + b" %d\r\n" % (i + 2))
    c.send(b"".join(b"SUB " + b".".join([b"*"] * n + [b">"]) + b" %d\r\n" % (n + 100) for n in range(1, 400)))
    c.send((b"PUB " + subject + b" 0\r\n\r\n") * 10 + (b"PUB " + b".".join([b"d"] * 40) + b" 0\r\n\r\n") * 50 + b"PING\r\n")
    while c.read_line() != b"PONG":
        pass
    c.shut_down()


def wildcard_bomb(port, rng):
    """Subscriptions that branch at every token, and subjects that match none of them at the end."""
    c = wire.Connection(port, timeout=60)
    c.send(QUIET)
    for i in range(1 << 10):
        c.send(b"SUB " + b".".join(b"*" if i >> j & 1 else b"a" for j in range(10)) + b".z %d\r\n" % i)
    c.send((b"PUB " + b".".join([b"a"] * 10) + b".y 0\r\n\r\n") * 500 + b"PING\r\n")
    while c.read_line() != b"PONG":
        pass
    c.shut_down()


def other_protocols(port, rng):
    for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500, b"SSH-2.0-x\r\n", b"\x10\x0e\x00\x04MQTT\x04\x02\x00<\x00\x02ab",
                 b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + b"\0" * 12, b"EHLO x\r\n", b"*1\r\n$4\r\nPING\r\n", b"\0" * 65536, b"INFO {}\r\n" * 1000):
        for _ in range(10):
            s = raw(port, data)
            half_close(s)
            drain(s)


KINDS = [random_bytes, random_after_verb, mutated_traffic, half_lines, huge_sizes, half_payloads_held, connection_flood, connection_churn, never_reading,
         pings_never_read, errors_never_read, slow_loris, giant_connects, nested_json, endless_junk, many_subscriptions, deep_subjects, wildcard_bomb, other_protocols]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", required=True)
    parser.add_argument("--flags", default="")
    parser.add_argument("--memory-mib", type=int, default=1024, help="bound on resident memory")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    wire.raise_file_limit()
    passed = failed = 0
    server = wire.Server(args.server, wire.split_flags(args.flags))
    pair = Pair(server.port)
    pair.start()
    memory = Memory(server)
    memory.start()
    try:
        for kind in [k for k in KINDS if re.search(args.only, k.__name__)]:
            memory.peak = 0
            pair.slowest_s = 0
            before = pair.exchanged
            started = time.monotonic()
            problems = []
            try:
                kind(server.port, random.Random(f"{args.seed} {kind.__name__}"))
            except Exception as e:
                problems.append(f"abuser: {type(e).__name__}: {e}")
            if not server.alive():
                problems.append(f"the server has exited with {server.process.returncode}:\n{server.log_tail(15)}")
            elif not pair.wait_for(100):
                problems.append(f"the pair: {pair.error or 'no progress'}")
            else:
                try:
                    c = wire.Connection(server.port, timeout=10)
                    c.send(b"PING\r\n")
                    if c.read_line() != b"PONG":
                        problems.append("a new client got no PONG")
                    c.shut_down()
                except (OSError, wire.Closed) as e:
                    problems.append(f"a new client: {type(e).__name__} {e}")
            peak = max(memory.peak, server.memory_bytes()) / 1048576
            if peak > args.memory_mib:
                problems.append(f"memory rose to {peak:.0f} MiB, the bound is {args.memory_mib}")
            passed, failed = (passed, failed + 1) if problems else (passed + 1, failed)
            print(f"{'FAIL' if problems else 'ok  '}  {kind.__name__:22} {time.monotonic() - started:6.1f} s   peak {peak:5.0f} MiB   pair: {pair.exchanged - before:6} messages, "
                  f"slowest batch {pair.slowest_s * 1000:.0f} ms")
            for p in problems:
                print("      " + p)
            sys.stdout.flush()
            if problems and (not server.alive() or pair.error):
                # Start over, so that one finding does not hide the others.
                memory.stop.set()
                pair.running = False
                server.stop()
                server = wire.Server(args.server, wire.split_flags(args.flags))
                pair = Pair(server.port)
                pair.start()
                memory = Memory(server)
                memory.start()
    finally:
        pair.running = False
        memory.stop.set()
        server.stop()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
