#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends one seeded random operation stream to two servers and compares every byte each connection receives.

    differential.py --ours build/release/millrace --peer /tmp/bin/nats-server --ops 1000000 --seed 1

See README.md in this folder for what is forgiven (identity, random choices) and how a difference is reported.
"""
import argparse
import collections
import json
import os
import random
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import traffic  # noqa: E402
import wire  # noqa: E402

PONG = b"PONG\r\n"
PING = b"PING\r\n"
BAD_PUB = b"-ERR 'Invalid Publish Subject'"
# Keys of INFO whose values are a server's own; their presence is still compared.
IDENTITY = {"server_id", "server_name", "port", "client_id", "client_ip", "nonce", "go", "version", "xkey", "cluster", "host", "ip",
            "connect_urls"}
EPOCH_OPS = 20000


def canonical_info(line):
    try:
        info = json.loads(line[5:])
    except ValueError:
        return line
    info.pop("git_commit", None)      # absent from binaries built without one
    return b"INFO " + json.dumps({k: ("" if k in IDENTITY else v) for k, v in info.items()}, sort_keys=True).encode()


def frames_of(data):
    """Splits a server's byte stream into frames: (line, body) with body None for control lines."""
    frames = []
    at = 0
    size = len(data)
    while at < size:
        end = data.find(b"\r\n", at)
        if end < 0:
            frames.append((data[at:], None))
            break
        line = data[at:end]
        at = end + 2
        if line.startswith((b"MSG ", b"HMSG ")):
            try:
                n = int(line[line.rindex(b" ") + 1:])
            except ValueError:
                frames.append((line, None))
                continue
            frames.append((line, data[at:at + n + 2]))
            at += n + 2
        else:
            frames.append((line, None))
    return frames


def canonical(data, queued, keep_pongs=True):
    """The frames with identity and permitted freedom removed. Queue deliveries are counted into `queued` instead."""
    out = []
    run = []       # deliveries of one publish: their order among a connection's subscriptions is free
    run_key = None
    for line, body in frames_of(data):
        if body is not None:
            words = line.split(b" ")
            if words[2].startswith(b"Q"):
                head = int(words[-2]) if words[0] == b"HMSG" else 0
                fixed = 5 if words[0] == b"HMSG" else 4
                reply = words[3] if len(words) > fixed else b""
                queued[(words[1], words[2].split(b"-")[0], reply, body[head:])] += 1
                continue
            if words[0] == b"HMSG" and body.startswith(b"NATS/1.0 503"):
                words[2] = b"*"   # any own subscription that matches the reply may carry it
                line = b" ".join(words)
            key = (words[1], body[int(words[-2]) if words[0] == b"HMSG" else 0:])
            if key != run_key:
                run.sort()
                out += run
                run, run_key = [], key
            run.append((line, body))
            continue
        if run:
            run.sort()
            out += run
            run, run_key = [], None
        if line == b"PING" or (line == b"PONG" and not keep_pongs):
            continue
        if line == BAD_PUB and out and out[-1][0] == BAD_PUB:
            continue       # nats-server says it twice when a read boundary falls inside the payload
        if line.startswith(b"INFO "):
            line = canonical_info(line)
        out.append((line, None))
    run.sort()
    return out + run


class Link:
    """One connection to one server."""

    def __init__(self, port, timeout_s):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(None)
        packed = struct.pack("ll", int(timeout_s), int((timeout_s % 1) * 1e6))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, packed)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, packed)
        self.closed = False
        self.hung = False
        self.answer = b""
        data = b""
        while not data.endswith(b"\r\n"):
            chunk = self.socket.recv(65536)
            if not chunk:
                break
            data += chunk
        self.info = data

    def send(self, data):
        try:
            self.socket.sendall(data)
        except BlockingIOError:
            self.hung = True
        except OSError:
            pass            # a close shows when reading

    def read(self, pongs):
        """Reads until `pongs` PONGs have come, the connection closes, or time is up."""
        data = b""
        try:
            while True:
                chunk = self.socket.recv(1 << 18)
                if not chunk:
                    self.closed = True
                    break
                data = data + chunk if data else chunk
                if data.count(PONG) >= pongs:
                    break
        except BlockingIOError:
            self.hung = True
        except OSError:
            self.closed = True
        if PING in data:
            self.send(b"PONG\r\n")
        return data

    def read_now(self):
        self.socket.setblocking(False)
        try:
            data = self.socket.recv(1 << 18)
            self.closed = self.closed or not data
            return data
        except BlockingIOError:
            return b""
        except OSError:
            self.closed = True
            return b""
        finally:
            self.socket.settimeout(None)

    def close(self):
        """Waits for the server's close, so that nothing of this connection is left behind."""
        if not self.closed and not self.hung:
            try:
                self.socket.shutdown(socket.SHUT_WR)
                while self.socket.recv(1 << 18):
                    pass
            except OSError:
                pass
        self.socket.close()


class Difference(Exception):
    def __init__(self, step, index, what, ours=b"", peer=b""):
        super().__init__(what)
        self.step, self.index, self.what, self.ours, self.peer = step, index, what, ours, peer


class Pair:
    """Both servers, and the same connections to each."""

    def __init__(self, args):
        self.args = args
        self.config = traffic.PROFILES[args.profile]
        self.ours = self.peer = None
        self.links = []          # per connection: (ours, peer)
        self.late = 0
        self.bytes = 0
        self.deliveries = 0
        self.start()

    def start(self):
        if self.ours is None or not self.ours.alive():
            self.ours = wire.Server(self.args.ours, wire.split_flags(self.args.flags), self.config)
        if self.peer is None or not self.peer.alive():
            self.peer = wire.Server(self.args.peer, (), self.config)

    def stop(self):
        for server in (self.ours, self.peer):
            if server:
                server.stop()

    def close_all(self):
        for pair in self.links:
            for link in pair:
                link.close()
        self.links = []

    def open(self, step, index):
        try:
            ours = Link(self.ours.port, self.args.timeout)
        except OSError as e:
            raise Difference(step, index, f"our server does not take a connection: {e}")
        pair = (ours, Link(self.peer.port, self.args.timeout))
        a, b = (canonical_info(link.info.strip()) for link in pair)
        if a != b and not self.args.no_info:
            raise Difference(step, index, "INFO differs", pair[0].info, pair[1].info)
        return pair

    def reopen_closed(self, step):
        """Replaces what the servers closed. Returns the indices."""
        closed = [i for i, (a, _) in enumerate(self.links) if a.closed]
        for i in closed:
            for link in self.links[i]:
                link.close()
            self.links[i] = self.open(step, i)
        return closed

    def run_step(self, step, index, ops, cuts):
        """One batch on one connection, then a barrier on every connection, then the comparison."""
        data = b"".join([op[0] for op in ops])
        pongs = sum([op[1] for op in ops]) + 2
        ours, peer = self.links[index]
        at = 0
        for cut in cuts:
            ours.send(data[at:cut])
            peer.send(data[at:cut])
            at = cut
        # Two PINGs: what a server adds after the first PONG (INFO) comes before the second.
        tail = data[at:] + PING + PING
        ours.send(tail)
        peer.send(tail)
        peer.answer = peer.read(pongs)
        ours.answer = ours.read(pongs)
        others = [pair for i, pair in enumerate(self.links) if i != index]
        for a, b in others:
            a.send(PING)
            b.send(PING)
        for a, b in others:
            b.answer = b.read(1)
            a.answer = a.read(1)
        for _, b in self.links:
            self.bytes += len(b.answer)
            self.deliveries += b.answer.count(b"MSG ")
        for a, b in self.links:
            if a.answer != b.answer or a.closed != b.closed or a.hung or b.hung:
                self.compare(step)
                return

    def compare(self, step):
        if not self.mismatch():
            return
        if not self.args.strict:
            # A server may answer a PING before a message that another of its threads still carries. Wait for it.
            deadline = time.monotonic() + self.args.grace
            while time.monotonic() < deadline:
                for a, _ in self.links:
                    a.answer += a.read_now()
                if not self.mismatch(keep_pongs=False):
                    self.late += 1
                    return
                time.sleep(0.005)
        index, what = self.mismatch()
        a, b = self.links[index] if index is not None else self.links[0]
        raise Difference(step, index, what, a.answer, b.answer)

    def mismatch(self, keep_pongs=True):
        queued = [collections.Counter(), collections.Counter()]
        for i, (a, b) in enumerate(self.links):
            if a.closed != b.closed:
                return i, f"connection {i}: ours is {'closed' if a.closed else 'open'}, the peer's is {'closed' if b.closed else 'open'}"
            if a.hung != b.hung:
                return i, f"connection {i}: no PONG from {'our server' if a.hung else 'the peer'} within {self.args.timeout} s"
            if a.hung:
                return i, f"connection {i}: no PONG from either server: the traffic generator lost track"
            fa = canonical(a.answer, queued[0], keep_pongs)
            fb = canonical(b.answer, queued[1], keep_pongs)
            if fa != fb:
                n = next((k for k, (x, y) in enumerate(zip(fa, fb)) if x != y), min(len(fa), len(fb)))
                return i, f"connection {i}: frame {n} differs\n  ours: {show(fa, n)}\n  peer: {show(fb, n)}"
        if queued[0] != queued[1]:
            return None, f"queue deliveries differ\n  ours only: {dict(queued[0] - queued[1])}\n  peer only: {dict(queued[1] - queued[0])}"
        return None


def show(frames, n):
    if n >= len(frames):
        return "(nothing more)"
    line, body = frames[n]
    return repr(line) + ("" if body is None else " " + repr(body[:200]) + ("..." if len(body) > 200 else ""))


def readable(data, limit=160):
    return repr(data if len(data) <= limit else data[:limit])[1:] + (f" ... ({len(data)} bytes)" if len(data) > limit else "")


def report(args, trace, difference):
    print(f"\nDIFFERENCE  seed {args.seed}  profile {args.profile}  step {difference.step}")
    print(difference.what)
    history = [(i, op) for i, (index, ops, _) in enumerate(trace) if difference.index is None or index == difference.index for op in ops]
    print(f"\noperations {'of connection %s' % difference.index if difference.index is not None else 'of all connections'}"
          f" since it was opened or the epoch began (last {min(len(history), 60)} of {len(history)}):")
    for i, op in history[-60:]:
        print(f"  [{i}] {readable(op[0])}")
    for name, data in (("ours", difference.ours), ("peer", difference.peer)):
        print(f"\n{name} ({len(data)} bytes):")
        for line, body in frames_of(data)[-60:]:
            print("  " + repr(line) + ("" if body is None else " " + readable(body)))
    sys.stdout.flush()


def play(pair, trace):
    """Replays a trace on fresh connections. Returns the Difference or None."""
    pair.start()
    pair.close_all()
    try:
        for i in range(max([t[0] for t in trace] + [0]) + 1):
            pair.links.append(pair.open(0, i))
        for step, (index, ops, cuts) in enumerate(trace):
            pair.run_step(step, index, ops, cuts)
            pair.reopen_closed(step)
    except Difference as d:
        return d
    return None


def shrink(pair, trace, seconds=120):
    """Delta debugging: drops steps, then ops, then write splits, while the servers still differ."""
    deadline = time.monotonic() + seconds
    pair.args.timeout = min(pair.args.timeout, 1.0)
    pair.args.grace = min(pair.args.grace, 0.15)
    tries = 0

    def fails(candidate):
        nonlocal tries
        tries += 1
        return play(pair, candidate) is not None

    def reduce(items, rebuild):
        chunk = max(1, len(items) // 2)
        while chunk and time.monotonic() < deadline:
            at, dropped = 0, False
            while at < len(items) and time.monotonic() < deadline:
                candidate = items[:at] + items[at + chunk:]
                if fails(rebuild(candidate)):
                    items, dropped = candidate, True
                else:
                    at += chunk
            if chunk == 1 and not dropped:
                break
            chunk = chunk // 2 if chunk > 1 else 1
        return items

    # The last step is where it showed; without its ops nothing can fail.
    uncut = [(i, ops, []) for i, ops, _ in trace]
    if fails(uncut):
        trace = uncut
    trace = reduce(trace, lambda t: t)
    flat = [(s, op) for s, (_, ops, _) in enumerate(trace) for op in ops]
    base = trace

    def rebuild(items):
        grouped = collections.OrderedDict()
        for s, op in items:
            grouped.setdefault(s, []).append(op)
        return [(base[s][0], ops, base[s][2] if len(ops) == len(base[s][1]) else []) for s, ops in grouped.items()]
    if fails(rebuild(flat)):
        trace = rebuild(reduce(flat, rebuild))
    print(f"shrunk to {sum(len(t[1]) for t in trace)} operations in {tries} tries")
    return trace


def save(path, args, trace):
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"profile": args.profile, "seed": args.seed,
                   "steps": [[i, [[op[0].decode("latin-1"), op[1]] for op in ops], cuts] for i, ops, cuts in trace]}, f)
    print(f"saved: {path}   (run again with --replay {path})")


def load(path):
    with open(path, encoding="utf-8") as f:
        stored = json.load(f)
    return stored, [(i, [(op[0].encode("latin-1"), op[1]) for op in ops], cuts) for i, ops, cuts in stored["steps"]]


def finish_failure(args, pair, trace, difference):
    report(args, trace, difference)
    if args.shrink:
        smaller = shrink(pair, trace)
        again = play(pair, smaller)
        if again:
            trace = smaller
            print("\nsmallest reproduction found:")
            for index, ops, cuts in trace:
                for op in ops:
                    print(f"  connection {index}: {readable(op[0], 400)}")
                if cuts:
                    print(f"    (split into writes at {cuts[:20]})")
            report(args, trace, again)
        else:
            print("the shrunk trace does not fail again; keeping the long one")
    save(args.save or f"/tmp/interop-difference-{args.seed}.json", args, trace)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", required=True)
    parser.add_argument("--peer", default="/tmp/bin/nats-server")
    parser.add_argument("--ops", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--flags", default="", help="extra flags for our server, e.g. '--shards 4'")
    parser.add_argument("--profile", choices=sorted(traffic.PROFILES), default="plain")
    parser.add_argument("--connections", type=int, default=5)
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds to wait for a PONG")
    parser.add_argument("--grace", type=float, default=1.0, help="seconds to wait for a delivery that comes after the PONG")
    parser.add_argument("--strict", action="store_true", help="a delivery after the PONG is a difference")
    parser.add_argument("--quirks", action="store_true", help="also odd input that nats-server happens to accept")
    parser.add_argument("--no-info", action="store_true", help="do not compare the first INFO")
    parser.add_argument("--replay", metavar="FILE")
    parser.add_argument("--shrink", action="store_true", help="reduce a failing stream to a minimal one")
    parser.add_argument("--save", metavar="FILE", help="where a failing stream goes")
    args = parser.parse_args()
    wire.raise_file_limit()

    if args.replay:
        stored, trace = load(args.replay)
        args.profile, args.seed = stored["profile"], stored["seed"]
        pair = Pair(args)
        try:
            difference = play(pair, trace)
            if difference is None:
                print("no difference")
                return 0
            finish_failure(args, pair, trace, difference)
            return 1
        finally:
            pair.close_all()
            pair.stop()

    if args.seed is None:
        args.seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {args.seed}, profile {args.profile}, {args.ops} operations")
    generator = traffic.Traffic(args.seed, args.profile, args.connections, args.quirks)
    pair = Pair(args)
    started = time.monotonic()
    done = steps = closes = 0
    trace = []
    try:
        while done < args.ops:
            # An epoch: fresh connections, so that a failure depends on this epoch's operations only.
            pair.start()
            pair.close_all()
            trace = []
            epoch_ops = 0
            generator.refresh_subjects()
            for i in range(args.connections):
                pair.links.append(pair.open(steps, i))
            pending = [(i, generator.prologue(i), []) for i in range(args.connections)]
            while epoch_ops < EPOCH_OPS and done < args.ops:
                index, ops, cuts = pending.pop(0) if pending else generator.batch()
                if not ops:
                    continue
                trace.append((index, ops, cuts))
                steps += 1
                pair.run_step(steps, index, ops, cuts)
                done += len(ops)
                epoch_ops += len(ops)
                for i in pair.reopen_closed(steps):
                    closes += 1
                    pending.append((i, generator.prologue(i), []))
        seconds = time.monotonic() - started
        print(f"no difference: {done} operations in {steps} batches, {pair.deliveries} deliveries, {pair.bytes} bytes compared, "
              f"{closes} connections closed by the servers, {pair.late} late deliveries, {seconds:.1f} s")
        return 0
    except Difference as d:
        finish_failure(args, pair, trace, d)
        if not pair.ours.alive():
            print("our server is no longer running; the end of its log:\n" + pair.ours.log_tail())
        return 1
    finally:
        pair.close_all()
        pair.stop()


if __name__ == "__main__":
    sys.exit(main())
