#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fills two servers to max_file_store and max_memory_store in every way there is, and compares what they answer and count.

    limits.py build/release/millrace /tmp/peer/nats-server     # or one of them: prints its answers

What differs on purpose is at the end of the output, under its name (docs/durability.md, Limits).
"""
import json
import os
import signal
import sys
import time
import urllib.request

from backup import Client
from wire import Server

LIMIT = 200_000
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../jetstream/golden/backup.arc.s2")
CONFIG = "jetstream { store_dir: '{dir}/js', max_file_store: %d, max_memory_store: %d }\n"


class Fixture:
    def __init__(self, binary, storage):
        self.storage = storage
        self.server = Server(binary, config=CONFIG % (LIMIT, LIMIT), monitor=True)
        self.client = Client(self.server.port)
        self.client.sock.settimeout(30)

    def create(self, name, **more):
        got = self.client.api("STREAM.CREATE." + name, dict(name=name, storage=self.storage, **more))
        return got.get("error", "made")

    def update(self, name, **more):
        got = self.client.api("STREAM.UPDATE." + name, dict(name=name, storage=self.storage, **more))
        return got.get("error", "updated")

    def publish(self, subject, bytes=1000, **headers):
        block = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in headers.items())
        header = f"NATS/1.0\r\n{block}\r\n".encode() if block else b""
        text = self.client.request(subject, "x" * bytes, header)
        return json.loads(text) if text else {}

    def fill(self, subject, bytes=1000):
        """How many were taken before one was refused, and the refusal."""
        for count in range(LIMIT):
            got = self.publish(subject, bytes)
            if "error" in got:
                return count, got
        return "never refused"

    def state(self, name):
        state = self.client.api("STREAM.INFO." + name)["state"]
        return {k: state[k] for k in ("messages", "bytes", "last_seq")}

    def figures(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.server.monitor_port}/jsz?accounts=1", timeout=10) as page:
            jsz = json.load(page)
        info = self.client.api("INFO")
        account = jsz["account_details"][0]
        return {"jsz": {k: jsz[k] for k in ("memory", "storage", "reserved_memory", "reserved_storage", "bytes")},
                "account": {k: account[k] for k in ("memory", "storage")},
                "info": {k: info[k] for k in ("memory", "storage", "limits")}}

    def until(self, what, wanted, patience=20):
        deadline = time.time() + patience
        got = what()
        while got != wanted and time.time() < deadline:
            time.sleep(0.05)
            got = what()
        return got

    def restore(self, config):
        got = self.client.api("STREAM.RESTORE." + config["name"], {"config": config, "state": {}})
        if "error" in got:
            return "refused", got["error"]
        with open(GOLDEN, "rb") as file:
            data = file.read()
        for at in range(0, len(data), 4096):
            text = self.client.request(got["deliver_subject"], data[at:at + 4096])
            if text:
                return "restored", json.loads(text).get("error")
        answer = json.loads(self.client.request(got["deliver_subject"], b""))
        return "restored", answer.get("error", {k: answer.get("state", {}).get(k) for k in ("messages", "bytes")})


def single(f, say):
    say("create", f.create("A", subjects=["a.>"]))
    say("create", f.create("B", subjects=["b.>"]))
    say("fill", f.fill("a.1"))
    say("full", f.figures())
    say("other stream", f.publish("b.1", 1))
    say("with headers", f.publish("b.1", 1, Nats_Msg_Id="1"))
    say("wrong expectation", f.publish("b.1", 1, Nats_Expected_Stream="X"))
    say("delete", f.client.api("STREAM.MSG.DELETE.A", {"seq": 3}).get("success"))
    say("after delete", f.fill("a.1"))
    say("purge keep", f.client.api("STREAM.PURGE.A", {"keep": 100}).get("purged"))
    say("after purge", f.fill("b.1", 3000))
    say("update", f.update("A", subjects=["a.>"], max_msgs=20))
    say("after update", f.fill("b.1", 100))
    say("another can be made", f.create("C", subjects=["c.>"]))
    say("deleted", f.client.api("STREAM.DELETE.B").get("success"))
    say("after deletion", f.fill("c.1", 777))
    say("state", [f.state(name) for name in "AC"])
    say("full again", f.figures())
    say("the other storage", f.publish("z", 1))


def reservations(f, say):
    say("too much", f.create("A", subjects=["a.>"], max_bytes=LIMIT + 1))
    say("all", f.create("A", subjects=["a.>"], max_bytes=LIMIT))
    say("one more", f.create("B", subjects=["b.>"]))
    say("less", f.update("A", subjects=["a.>"], max_bytes=LIMIT - 1))
    say("one more", f.create("B", subjects=["b.>"]))
    say("promised byte", f.create("C", subjects=["c.>"], max_bytes=1))
    say("promised byte", f.create("D", subjects=["d.>"], max_bytes=1))
    say("more", f.update("A", subjects=["a.>"], max_bytes=LIMIT))
    say("figures", f.figures()["jsz"])
    say("fill", f.fill("b.1"))
    say("reserved is not kept free", f.publish("a.1"))


def batches(f, say):
    say("create", f.create("B", subjects=["b.>"], allow_atomic=True, allow_batched=True))
    say("fill", f.fill("b.1", 40_000))
    say("first of an atomic batch", f.publish("b.1", 1, Nats_Batch_Id="i", Nats_Batch_Sequence=1))
    say("purge", f.client.api("STREAM.PURGE.B").get("purged"))
    for seq in range(1, 4):
        say("batch with room", f.publish("b.1", 1000, Nats_Batch_Id="j", Nats_Batch_Sequence=seq,
                                         **({"Nats_Batch_Commit": 1} if seq == 3 else {})))
    say("state", f.state("B"))


def upstreams(f, say):
    other = "memory" if f.storage == "file" else "file"
    f.client.api("STREAM.CREATE.O", {"name": "O", "subjects": ["o.>"], "storage": other})
    for _ in range(150):
        f.publish("o.1")
    say("mirror", f.create("M", mirror={"name": "O"}))
    say("copied", f.until(lambda: f.state("M")["messages"], 150))
    say("fill", f.create("A", subjects=["a.>"]))
    say("fill", f.fill("a.1"))
    for _ in range(10):
        f.publish("o.1")
    time.sleep(3)
    say("waits", f.state("M"))
    say("purge", f.client.api("STREAM.PURGE.A").get("purged"))
    say("goes on", f.until(lambda: f.state("M")["messages"], 160, 60))
    f.client.api("STREAM.DELETE.M")
    say("sources", f.create("S", sources=[{"name": "O"}]))
    say("copied", f.until(lambda: f.state("S")["messages"], 160))


def restores(f, say):
    config = {"name": "BK", "subjects": ["bk.>"], "storage": f.storage, "num_replicas": 1}
    say("create", f.create("A", subjects=["a.>"]))
    say("room", f.restore(config))
    f.client.api("STREAM.DELETE.BK")
    say("fill", f.fill("a.1"))
    say("no room", f.restore(config))
    f.client.api("STREAM.DELETE.BK")
    say("a little room", f.client.api("STREAM.PURGE.A", {"keep": f.state("A")["messages"] - 5}).get("purged"))
    say("too little room", f.restore(config))
    f.client.api("STREAM.DELETE.BK")
    f.client.api("STREAM.PURGE.A")
    say("reserved", f.update("A", subjects=["a.>"], max_bytes=LIMIT - 10))
    say("room, but promised", f.restore(config))
    f.client.api("STREAM.DELETE.BK")
    say("figures", f.figures()["jsz"])


def reload(f, say):
    say("create", f.create("A", subjects=["a.>"]))
    say("fill", f.fill("a.1"))
    for limit in (LIMIT // 2, 2 * LIMIT):
        with open(os.path.join(f.server.dir, "server.conf"), "w", encoding="utf-8") as file:
            file.write((CONFIG % (limit, limit)).replace("{dir}", f.server.dir))
        f.server.process.send_signal(signal.SIGHUP)
        time.sleep(1)
        say(f"limit {limit}", f.publish("a.1"))
    say("fill", f.fill("a.1"))
    say("promise", f.create("B", subjects=["b.>"], max_bytes=LIMIT + 1))
    say("figures", f.figures())


def expiry(f, say):
    say("create", f.create("A", subjects=["a.>"], max_age=2_000_000_000))
    say("fill", f.fill("a.1", 10_000))
    say("expired", f.until(lambda: f.state("A")["messages"], 0))
    say("room", "error" in f.publish("a.1"))
    say("markers", f.create("K", subjects=["k.>"], allow_msg_ttl=True, allow_rollup_hdrs=True,
                            subject_delete_marker_ttl=1_000_000_000))
    f.publish("k.1", 1000, Nats_TTL="3s")
    say("bulk", f.create("B", subjects=["b.>"]))
    say("fill", "error" in f.fill("b.1")[1])


PARTS = [single, reservations, batches, upstreams, restores, reload, expiry]


def run(binary):
    out = []
    for storage in ("file", "memory"):
        for part in PARTS:
            fixture = Fixture(binary, storage)
            try:
                part(fixture, lambda what, got: out.append(f"{storage} {part.__name__}: {what}: {json.dumps(got)}"))
            except (EOFError, OSError, ValueError, KeyError, IndexError, TypeError) as error:
                out.append(f"{storage} {part.__name__}: stopped: {error!r}")
            finally:
                fixture.server.process.terminate()
                fixture.server.process.wait()
    return out


def main():
    only = [name for name in sys.argv[1:] if name in [part.__name__ for part in PARTS]]
    PARTS[:] = [part for part in PARTS if not only or part.__name__ in only]
    answers = [run(binary) for binary in sys.argv[1:] if binary not in only]
    if len(answers) == 1:
        print("\n".join(answers[0]))
        return 0
    import difflib
    lines = list(difflib.unified_diff(answers[1], answers[0], "peer", "ours", lineterm="", n=0))
    print("\n".join(lines) if lines else f"{len(answers[0])} answers, all the same")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
