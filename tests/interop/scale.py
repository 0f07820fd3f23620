#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds many subscriptions on one server (literals, `*` and `>` filters, queue groups) and checks that publishes reach exactly
the ones that match; prints the time, the server's memory per subscription, and that all of it is given back.

    scale.py --server build/release/millrace [--subs 1000000] [--connections 4] [--probes 20000] [--flags '--shards 2']
"""
import argparse
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import wire  # noqa: E402

QUIET = b'CONNECT {"verbose":false,"pedantic":false}\r\n'
KINDS = 4


def subscription(i):
    """The filter of subscription i, and a subject that only it (and its like) matches."""
    kind, n = i % KINDS, i // KINDS
    a, b = n % 977, n // 977
    if kind == 0:
        return f"lit.{a}.{b}", f"lit.{a}.{b}"
    if kind == 1:
        return f"star.{a}.*.{b}", f"star.{a}.x{n % 7}.{b}"
    if kind == 2:
        return f"tail.{a}.{b}.>", f"tail.{a}.{b}.y.z"
    return f"queue.{a}.{b}", f"queue.{a}.{b}"


def read_until(connection, end, limit=600.0):
    data = bytearray()
    deadline = time.monotonic() + limit
    while not data.endswith(end):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {end!r} within {limit} s")
        chunk = connection.socket.recv(1 << 20)
        if not chunk:
            raise ConnectionError("the server closed")
        data += chunk
    return bytes(data)


def rss_kib(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", required=True)
    parser.add_argument("--flags", default="")
    parser.add_argument("--subs", type=int, default=1000000)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--probes", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    server = wire.Server(args.server, tuple(wire.split_flags(args.flags)))
    pid = server.process.pid
    before = rss_kib(pid)
    connections = [wire.Connection(server.port) for _ in range(args.connections)]
    for c in connections:
        c.socket.settimeout(600)
        c.socket.sendall(QUIET + b"PING\r\n")
        read_until(c, b"PONG\r\n")
    start = time.monotonic()
    for index, c in enumerate(connections):
        lines = []
        for i in range(index, args.subs, args.connections):
            queue = " g" if i % KINDS == 3 else ""
            lines.append(f"SUB {subscription(i)[0]}{queue} {i}\r\n")
            if len(lines) == 10000:
                c.socket.sendall("".join(lines).encode())
                lines.clear()
        c.socket.sendall("".join(lines).encode() + b"PING\r\n")
    for c in connections:
        read_until(c, b"PONG\r\n")
    took = time.monotonic() - start
    after = rss_kib(pid)
    print(f"{args.subs} subscriptions in {took:.1f} s, {(after - before) * 1024 / args.subs:.0f} bytes each")

    rng = random.Random(args.seed)
    publisher = wire.Connection(server.port)
    publisher.socket.settimeout(600)
    publisher.socket.sendall(QUIET)
    expected = {}
    out = []
    for probe in range(args.probes):
        i = rng.randrange(args.subs)
        subject = subscription(i)[1]
        payload = str(probe)
        out.append(f"PUB {subject} {len(payload)}\r\n{payload}\r\n")
        expected.setdefault(i % args.connections, {})[payload] = (subject, str(i))
        out.append(f"PUB nobody.{probe} 0\r\n\r\n")
    publisher.socket.sendall("".join(out).encode() + b"PING\r\n")
    read_until(publisher, b"PONG\r\n")
    wrong = 0
    for index, c in enumerate(connections):
        c.socket.sendall(b"PING\r\n")
        lines = read_until(c, b"PONG\r\n").decode().split("\r\n")
        got = {}
        for head, payload in zip(lines[0:-2:2], lines[1:-2:2]):
            _, subject, sid, _ = head.split()
            wrong += payload in got
            got[payload] = (subject, sid)
        wrong += got != expected.get(index, {})
    print(f"{args.probes} probes: {'as expected' if not wrong else 'WRONG'}")

    for c in connections:
        c.close()
    publisher.socket.sendall(b"PING\r\n")
    read_until(publisher, b"PONG\r\n")
    print(f"resident {before // 1024} MiB before, {after // 1024} MiB with subscriptions, {rss_kib(pid) // 1024} MiB after they went")
    alive = server.alive()
    server.stop()
    print(f"{0 if wrong or not alive else 1} passed, {1 if wrong or not alive else 0} failed")
    return 1 if wrong or not alive else 0


if __name__ == "__main__":
    sys.exit(main())
