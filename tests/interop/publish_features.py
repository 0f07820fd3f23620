#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks two servers the same about TTLs, markers, counters, batches and schedules, and compares what they answer and store.

    publish_features.py [--memory] build/release/millrace /tmp/peer/nats-server     # or one of them: prints its answers
"""
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time


class Client:
    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.data = b""
        self.sock.sendall(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB in.> 1\r\nSUB dlv.> 3\r\n'
                          b'SUB $JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.> 2\r\n')
        self.ping()

    def line(self):
        while b"\r\n" not in self.data:
            self.more()
        line, self.data = self.data.split(b"\r\n", 1)
        return line

    def more(self):
        got = self.sock.recv(65536)
        if not got:
            raise EOFError("connection closed")
        self.data += got

    def ping(self):
        """Everything that arrives before the PONG."""
        self.sock.sendall(b"PING\r\n")
        got = []
        while True:
            line = self.line()
            if line == b"PONG":
                return got
            if line.startswith((b"MSG ", b"HMSG ")):
                size = int(line.split()[-1])
                while len(self.data) < size + 2:
                    self.more()
                got.append((line.split()[1].decode(), self.data[:size].decode()))
                self.data = self.data[size + 2:]

    def publish(self, subject, body="", headers=(), reply="in.r", raw=None):
        block = raw if raw is not None else "".join(f"{k}: {v}\r\n" for k, v in headers)
        if block:
            block = block if raw is not None else "NATS/1.0\r\n" + block + "\r\n"
            self.sock.sendall(f"HPUB {subject} {reply} {len(block)} {len(block) + len(body)}\r\n{block}{body}\r\n".encode())
        else:
            self.sock.sendall(f"PUB {subject} {reply} {len(body)}\r\n{body}\r\n".encode())
        return self.settle()

    def settle(self, quiet=0.05, patience=1.0):
        """What arrives until nothing does any more: a disk that is slow to commit has its time, for some answers none come."""
        got, last = [], time.time()
        while time.time() - last < (quiet if got else patience):
            time.sleep(quiet / 5)
            new = self.ping()
            got += new
            last = time.time() if new else last
        # Advisories go their own way: their order among answers says nothing.
        got.sort(key=lambda one: one[0].startswith("$JS.EVENT"))
        return [("" if s.startswith("in.") else s, clean(s, b)) for s, b in got]

    def api(self, subject, request):
        return self.publish("$JS.API." + subject, json.dumps(request))


def clean(subject, body):
    if subject.startswith("$JS.EVENT"):
        event = json.loads(body)
        return json.dumps({k: event.get(k) for k in ("type", "stream", "batch", "reason", "account")})
    body = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>", body)
    return body


STREAM = {"storage": "file", "num_replicas": 1}


def steps(c, out):
    def say(what, got):
        for subject, text in got or [("", "(nothing)")]:
            out.append(f"{what}: {subject} {text!r}")

    def create(name, **more):
        got = c.api("STREAM.CREATE." + name, dict(STREAM, name=name, **more))
        error = json.loads(got[0][1]).get("error")
        out.append(f"create {name}: {error}")

    def stored(name, last):
        for seq in range(1, last + 1):
            answer = json.loads(c.api("STREAM.MSG.GET." + name, {"seq": seq})[0][1])
            message = answer.get("message", {})
            out.append(f"{name} {seq}: {[message.get(k) for k in ('subject', 'hdrs', 'data')] if message else answer['error']}")

    def put(subject, *headers, body="x", reply="in.r"):
        say(f"{subject} {headers} {reply}", c.publish(subject, body, headers, reply))

    # --- order of checks
    create("ORDER", subjects=["o.>"], max_msg_size=1000)
    fields = [("Nats-Incr", "x"), ("Nats-Expected-Stream", "T"), ("Nats-TTL", "1s"),
              ("Nats-Expected-Last-Subject-Sequence", "9"), ("Nats-Expected-Last-Sequence", "8"),
              ("Nats-Schedule", "@at never"), ("Nats-Schedule-Next", "x"), ("Nats-Stream-Source", "x"),
              ("Nats-Expected-Last-Msg-Id", "x"), ("Nats-Rollup", "x")]
    for first in range(len(fields)):
        put("o.a", *fields[first:])
    put("o.a", ("Nats-TTL", "1ms"))
    put("o.a", ("Nats-Expected-Last-Subject-Sequence-Subject", "o.b"))
    say("status", c.publish("o.a", "", raw="NATS/1.0 100 Hello\r\nA: b\r\n\r\n"))
    stored("ORDER", 2)

    # --- TTL and markers
    create("TTL", subjects=["t.>"], allow_msg_ttl=True)
    for ttl in ("500ms", "-1", "x", "-2h", "0", "never", "NEVER", "1s", "1h", "2", "1.5s", ""):
        put("t.a", ("Nats-TTL", ttl))
    create("KV", subjects=["kv.>"], subject_delete_marker_ttl=2_000_000_000, max_age=1_500_000_000)
    put("kv.a", body="1")
    put("kv.a", body="2")
    put("kv.b", ("KV-Operation", "PURGE"))
    create("KV2", subjects=["kx.>"], subject_delete_marker_ttl=60_000_000_000, max_msgs_per_subject=1)
    put("kx.a", ("Nats-TTL", "1s"))
    put("kx.b", ("Nats-TTL", "1s"), ("KV-Operation", "PURGE"))
    create("KV1", subjects=["kw.>"], subject_delete_marker_ttl=600_000_000_000)
    put("kw.a", ("Nats-TTL", "1s"), ("A", "b"))

    # --- counters
    create("C", subjects=["c.>"], allow_msg_counter=True, allow_atomic=True)
    for incr in ("1", "+5", "-7", "99999999999999999999999999", "x", "1.5", "", "-0"):
        put("c.a", ("Nats-Incr", incr), body="")
    put("c.a", body="")
    put("c.a", ("Nats-Incr", "1"))
    put("c.a", ("Nats-Incr", "1"), ("Nats-Rollup", "sub"), body="")
    put("c.a", ("Nats-Incr", "1"), ("Nats-Msg-Id", "1"), body="")
    put("c.a", ("Nats-Incr", "1"), ("Nats-Msg-Id", "1"), body="")
    put("o.a", ("Nats-Incr", "1"), body="")
    stored("C", 5)

    # --- atomic batches
    create("B", subjects=["b.>"], allow_atomic=True, allow_rollup_hdrs=True, allow_msg_ttl=True)

    def batch(id, *messages):
        for i, (subject, *headers) in enumerate(messages, 1):
            put(subject, ("Nats-Batch-Id", id), ("Nats-Batch-Sequence", i), *headers, body="")

    commit = ("Nats-Batch-Commit", "1")
    batch("one", ("b.1",), ("b.2",), ("b.3", commit))
    batch("eob", ("b.1",), ("b.2",), ("b.3", ("Nats-Batch-Commit", "eob")))
    batch("single", ("b.1", commit))
    put("b.id", ("Nats-Msg-Id", "old"))
    for header in (("Nats-Expected-Last-Sequence", "7"), ("Nats-Msg-Id", "old"), ("Nats-Msg-Id", "twice"),
                   ("Nats-Expected-Last-Msg-Id", "old"), ("Nats-Rollup", "all"), ("Nats-Rollup", "sub"), ("Nats-Rollup", "x"),
                   ("Nats-Expected-Last-Subject-Sequence", "0"), ("Nats-TTL", "x"), ("Nats-Expected-Stream", "T"),
                   ("Nats-Incr", "1"), ("Nats-Schedule", "@every 1s"), ("Nats-Expected-Last-Sequence", "8"),
                   ("Nats-Stream-Source", "x"), ("Nats-Expected-Last-Subject-Sequence-Subject", "b.9")):
        batch("fail", ("b.1", ("Nats-Msg-Id", "twice")), ("b.1", header, commit))
    batch("roll", ("b.1", ("Nats-Rollup", "all")), ("b.1", ("Nats-TTL", "1h"), commit))
    batch("i" * 65, ("b.1",))
    put("b.1", ("Nats-Batch-Id", "i"))
    put("b.1", ("Nats-Batch-Id", "i"), ("Nats-Batch-Sequence", "x"))
    put("b.1", ("Nats-Batch-Id", "i"), ("Nats-Batch-Sequence", "2"))
    put("b.1", ("Nats-Batch-Id", "i"), ("Nats-Batch-Sequence", "1002"))
    put("b.1", ("Nats-Batch-Id", "i"), ("Nats-Batch-Sequence", "1001"), ("Nats-Batch-Commit", "eob"))
    put("b.1", ("Nats-Batch-Id", "gap"), ("Nats-Batch-Sequence", "1"))
    put("b.1", ("Nats-Batch-Id", "gap"), ("Nats-Batch-Sequence", "3"))
    put("b.1", ("Nats-Batch-Id", "e"), ("Nats-Batch-Sequence", "1"), ("Nats-Batch-Commit", "eob"))
    put("b.1", ("Nats-Batch-Id", "e"), ("Nats-Batch-Sequence", "1"), ("Nats-Batch-Commit", "yes"))
    put("b.1", ("Nats-Batch-Id", "e"), ("Nats-Batch-Sequence", "1"), ("Nats-Batch-Commit", ""))
    put("b.1", ("Nats-Batch-Id", "e"), ("Nats-Batch-Sequence", "1"), ("Nats-Required-Api-Level", "99"))
    put("b.1", ("Nats-Batch-Id", "lvl"), ("Nats-Batch-Sequence", "1"), ("Nats-Required-Api-Level", "1"), commit)
    put("b.1", ("Nats-Batch-Id", ""), ("Nats-Batch-Sequence", "1"))
    put("o.a", ("Nats-Batch-Id", "e"), ("Nats-Batch-Sequence", "1"))
    stored("B", 14)
    batch("count", ("c.z", ("Nats-Incr", "1")), ("c.z", ("Nats-Incr", "2")), ("c.y", ("Nats-Incr", "3"), commit))
    create("NEW", subjects=["n.>"], allow_atomic=True, discard="new", max_msgs=2, max_msgs_per_subject=1,
           discard_new_per_subject=True)
    batch("n", ("n.1",), ("n.2",), ("n.3", commit))
    batch("n", ("n.1",), ("n.1", commit))
    batch("n", ("n.1",), ("n.2", commit))

    # --- fast batches
    create("F", subjects=["f.>"], allow_batched=True)

    def fast(how, seq, operation, *headers, subject="f.1"):
        put(subject, *headers, reply=f"in.{how}.{seq}.{operation}.$FI")

    for seq, operation in ((1, 0), (2, 1), (3, 1), (4, 1), (4, 4), (5, 2), (6, 1)):
        fast("id.3.fail", seq, operation)
    fast("single.3.fail", 1, 2)
    for seq, operation in ((1, 0), (2, 1), (3, 3)):
        fast("eob.100.fail", seq, operation)
    for seq, operation in ((1, 0), (4, 1)):
        fast("gap.100.fail", seq, operation)
    for seq, operation in ((1, 0), (4, 1), (6, 4), (2, 1)):
        fast("gap.100.ok", seq, operation)
    wrong = ("Nats-Expected-Last-Sequence", "77")
    fast("wrong.100.fail", 1, 0, wrong)
    fast("wrong.100.fail", 1, 0)
    fast("wrong.100.fail", 2, 1, wrong)
    fast("wrong2.100.ok", 1, 0)
    fast("wrong2.100.ok", 2, 1, wrong)
    fast("wrong2.100.ok", 3, 2)
    fast("wrong3.100.ok", 1, 0)
    fast("wrong3.100.ok", 2, 2, wrong)
    put("f.1", ("Nats-Msg-Id", "a"))
    fast("dup.1.fail", 1, 0, ("Nats-Msg-Id", "a"))
    fast("dup.1.fail", 2, 1)
    fast("dup.1.fail", 3, 2, ("Nats-Msg-Id", "a"))
    fast("dup2.1.fail", 1, 2, ("Nats-Msg-Id", "a"))
    for how, seq, operation in (("x.100.maybe", 1, 0), ("x.100.ok", 2, 1), ("x.100.ok", 2, 0), ("x.100.ok", 1, 1), ("x.y.ok", 1, 2),
                                ("x.100.ok", 1, 9), ("i" * 65 + ".100.ok", 1, 0), ("x.100.ok", 1, 4)):
        fast(how, seq, operation)
    fast("x.100.ok", 1, 0, subject="o.a")
    fast("a.1000.ok", 1, 0)
    fast("b.1000.ok", 1, 0)
    for seq in (2, 3, 4):
        fast("b.1000.ok", seq, 1)
    fast("lvl.10.ok", 1, 0, ("Nats-Required-Api-Level", "99"))

    # --- schedules
    create("S", subjects=["s.>"], allow_msg_schedules=True, allow_msg_ttl=True)
    every, target = ("Nats-Schedule", "@every 10s"), ("Nats-Schedule-Target", "s.o")
    for headers in ([("Nats-Schedule", "@every 10ms"), target], [("Nats-Schedule", "sometimes"), target], [every],
                    [every, ("Nats-Schedule-Target", "s.plan")], [every, ("Nats-Schedule-Target", "s.*")],
                    [every, ("Nats-Schedule-Target", "elsewhere")], [every, target, ("Nats-Schedule-TTL", "1ms")],
                    [every, target, ("Nats-Schedule-Rollup", "all")], [every, target, ("Nats-Rollup", "all")],
                    [every, target, ("Nats-Schedule-Source", "s.o")], [every, target, ("Nats-Schedule-Source", "elsewhere")],
                    [every, target, ("Nats-Schedule-Time-Zone", "")], [every, target, ("Nats-Schedule-Time-Zone", "No/Where")],
                    [every, target, ("Nats-Schedule-Time-Zone", "Europe/Berlin")], [("Nats-Scheduler", "s.x")],
                    [("Nats-Schedule-Next", "2030-01-01T00:00:00Z"), ("Nats-Scheduler", "s.x")],
                    [("Nats-Schedule-Next", "purge")], [("Nats-Schedule-Next", "purge"), ("Nats-Scheduler", "s.plan")],
                    [("Nats-Schedule", ""), target], [("Nats-Schedule-Time-Zone", "UTC")],
                    [("Nats-Schedule-Next", "purge"), ("Nats-Scheduler", "s.none")]):
        put("s.plan", *headers)
    put("s.data", body="no schedule")
    put("s.x", ("Nats-Schedule-Next", "purge"), ("Nats-Scheduler", "s.data"))
    put("o.a", every, ("Nats-Schedule-Target", "o.b"))
    put("o.a", ("Nats-Schedule", "x"))
    now = time.time()
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + 2))
    put("s.at", ("Nats-Schedule", "@at " + at), target, ("Nats-Schedule-TTL", "5m"), ("Nats-Msg-Id", "1"), ("X", "y"),
        ("Nats-Expected-Stream", "S"), body="at")
    put("s.src", ("Y", "z"), body="source")
    put("s.every", ("Nats-Schedule", "@every 2s"), ("Nats-Schedule-Target", "s.p"), ("Nats-Schedule-Source", "s.src"),
        ("Nats-Schedule-Rollup", "sub"))
    time.sleep(max(0.0, now + 3.2 - time.time()))
    got = json.loads(c.api("STREAM.MSG.GET.S", {"last_by_subj": "s.o"})[0][1]).get("message", {})
    out.append(f"s.o: {[got.get(k) for k in ('hdrs', 'data')]}")
    got = json.loads(c.api("STREAM.MSG.GET.S", {"last_by_subj": "s.at"})[0][1])
    out.append(f"s.at: {got.get('error')}")
    time.sleep(1.5)
    got = json.loads(c.api("STREAM.MSG.GET.S", {"last_by_subj": "s.p"})[0][1]).get("message", {})
    out.append(f"s.p: {readable(got.get('hdrs'))} {got.get('data')}")
    # By now the first markers stand.
    stored("KV", 5)
    stored("KV2", 4)
    stored("KV1", 1)
    for name in ("TTL", "KV", "S"):
        state = json.loads(c.api("STREAM.INFO." + name, {})[0][1])["state"]
        out.append(f"{name}: {state.get('num_subjects')}")


def readable(block):
    import base64
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>", base64.b64decode(block or "").decode())


def run(binary):
    directory = tempfile.mkdtemp(prefix="publish-features-")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = subprocess.Popen([binary, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", directory],
                              stderr=open(os.path.join(directory, "log"), "w"))
    out = []
    try:
        for _ in range(100):
            try:
                client = Client(port)
                break
            except OSError:
                time.sleep(0.1)
        steps(client, out)
    except (EOFError, OSError, ValueError, KeyError, IndexError) as error:
        out.append(f"stopped: {error!r}")
    finally:
        server.terminate()
        server.wait()
    return out


def main():
    if "--memory" in sys.argv:
        STREAM["storage"] = "memory"
        sys.argv.remove("--memory")
    answers = [run(binary) for binary in sys.argv[1:]]
    if len(answers) == 1:
        print("\n".join(answers[0]))
        return 0
    import difflib
    # A schedule's own time is in the question too.
    texts = [[re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>", line) for line in one] for one in answers]
    lines = list(difflib.unified_diff(texts[1], texts[0], "peer", "ours", lineterm="", n=0))
    print("\n".join(lines) if lines else f"{len(texts[0])} answers, all the same")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
