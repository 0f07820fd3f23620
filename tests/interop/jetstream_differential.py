#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends the same seeded JetStream requests, messages and acknowledgements to two servers and compares all that comes back.

    jetstream_differential.py OURS PEER [--seeds 1:20] [--steps 150] [--verbose]

With odd seeds fields, values and JSON itself are wrong now and then; with even ones next to nothing is. A step waits for its first
answer on both sides; what arrives later (deliveries, advisories) is compared by subject at the end of every few steps.
Left out, because it depends on time: ages and waits that end within a run, mirrors and sources, heartbeats.
"""
import argparse
import json
import random
import re
import select
import socket
import sys
import tempfile
import time

import wire

PATIENCE_S = 3
QUIET_S = 0.06
STREAMS = ["A", "B", "C", "D"]
CONSUMERS = ["c1", "c2", "c3"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
ACK = re.compile(r"(\$JS\.ACK\.\S+?\.\d+\.\d+\.\d+)\.\d{15,}\.(\d+)")


def clean(text):
    """What may differ between two servers, and between two runs of one."""
    text = TIME.sub("<time>", text)
    text = ACK.sub(r"\1.<time>.\2", text)
    text = re.sub(r'"id":"[A-Za-z0-9]{22}"', '"id":"<id>"', text)
    text = re.sub(r'"client":\{.*?\}', '"client":{}', text)
    # Nothing has ever been in its file store, and message 0 is missing.
    text = text.replace('"num_deleted":1,"deleted":[0],', "")
    # In the order of its map.
    text = re.sub(r"violates consumers: ([^\"]+)", lambda found: ", ".join(sorted(found[1].split(", "))), text)
    text = re.sub(r'"pause_remaining":\d+', '"pause_remaining":<ns>', text)
    text = re.sub(r"Nats-Pin-Id: \S+", "Nats-Pin-Id: <id>", text)
    return re.sub(r'"pinned_client_id":"\S+?"', '"pinned_client_id":"<id>"', text)


class Link:
    """One connection: everything that arrives, in buckets by the subject that it was asked under."""

    def __init__(self, port, run):
        self.inbox = f"in.{run}."
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.data = b""
        self.got = {}    # bucket -> texts
        self.acks = []   # reply subjects of deliveries
        self.sock.sendall(b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n'
                          b"SUB " + self.inbox.encode() + b"* 1\r\nSUB dlv.> 2\r\nSUB $JS.EVENT.ADVISORY.> 3\r\nPING\r\n")
        while b"PONG\r\n" not in self.data:
            self.data += self.sock.recv(65536)
        self.data = self.data.split(b"PONG\r\n", 1)[1]

    def send(self, subject, body, headers, reply):
        if isinstance(body, str):
            body = body.encode()
        if headers is None:
            self.sock.sendall(f"PUB {subject} {reply} {len(body)}\r\n".encode() + body + b"\r\n")
        else:
            block = headers.encode()
            self.sock.sendall(f"HPUB {subject} {reply} {len(block)} {len(block) + len(body)}\r\n".encode() + block + body + b"\r\n")

    def read(self, wait_s):
        if select.select([self.sock], [], [], wait_s)[0]:
            more = self.sock.recv(1 << 20)
            if not more:
                raise EOFError("the server closed the connection")
            self.data += more
            self.parse()
            return True
        return False

    def wait(self, bucket, seconds=PATIENCE_S):
        """Until something came under this name, or for so long."""
        deadline = time.monotonic() + seconds
        while bucket not in self.got and time.monotonic() < deadline:
            self.read(0.02)

    def parse(self):
        while True:
            end = self.data.find(b"\r\n")
            if end < 0:
                return
            words = self.data[:end].decode().split(" ")
            if words[0] in ("MSG", "HMSG"):
                size = int(words[-1])
                if len(self.data) < end + 2 + size + 2:
                    return
                payload = self.data[end + 2:end + 2 + size].decode("latin-1")
                self.data = self.data[end + 4 + size:]
                sizes = 2 if words[0] == "HMSG" else 1
                sid, reply = words[2], words[3] if len(words) == 4 + sizes else ""
                self.take(words[1], sid, reply, payload)
            else:
                self.got.setdefault("!", []).append(" ".join(words))
                self.data = self.data[end + 2:]

    def take(self, subject, sid, reply, payload):
        if reply.startswith("$JS.ACK."):
            self.acks.append(reply)
        # A pull's messages come under their own subject: the ack names the consumer.
        bucket = subject if sid != "1" or subject.startswith(self.inbox) else self.asked
        if subject == "$JS.EVENT.ADVISORY.API":  # says what the answers say
            payload = "audit of " + json.loads(payload)["subject"]
            if "STREAM.DELETE" in payload:
                return  # of the run before, maybe
        if sid == "3":
            bucket = ".".join(subject.split(".")[:7])
        self.got.setdefault(bucket, []).append(clean(f"{subject if sid != '1' else ''} {reply} {payload}"))


class Dice:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.calm = seed % 2 == 0

    def chance(self, one_in):
        return self.r.randrange(one_in) == 0

    def pick(self, *values):
        return self.r.choice(values)

    def some(self, config, key, one_in, *values):
        if self.calm:  # fewer fields, and those that make sense: streams and consumers that live for long
            one_in, values = 3 * one_in, values[:(len(values) + 1) // 2]
        if self.chance(one_in):
            config[key] = self.pick(*values)

    def stream(self):
        return self.pick(*STREAMS)

    def subject(self, name):
        return f"{name.lower()}.{self.pick('x', 'y', 'z', 'x.1')}"

    def filter(self, name):
        return f"{name.lower()}." + self.pick("x", "y", "*", ">", "x.*", "none")

    def stream_config(self, name):
        low = name.lower()
        config = {"name": name}
        if not self.chance(10):
            config["subjects"] = self.pick([f"{low}.>"], [f"{low}.*"], [f"{low}.x", f"{low}.y", f"{low}.z"], [f"{low}.>"])
        self.some(config, "subjects", 25, ["a.>"], ["b.x", "b.x"], ["$JS.>"], [">"], ["a..b"], [""], [f"{low}.>", f"{low}.x"], [f"{low}. x"])
        self.some(config, "storage", 2, "memory", "file", "file", "disk", 1)
        self.some(config, "retention", 3, "limits", "interest", "workqueue", "workqueue", "other")
        self.some(config, "discard", 4, "old", "new", "new", "none")
        self.some(config, "max_msgs", 4, 3, 5, 8, -1, 0, -2)
        self.some(config, "max_bytes", 6, 200, 400, -1, 10, -2)
        self.some(config, "max_age", 12, 3600000000000, 0, 50, -1)
        self.some(config, "max_msg_size", 8, 40, -1, 0, 2147483648, -7)
        self.some(config, "max_msgs_per_subject", 4, 1, 2, -1, 0, -3)
        self.some(config, "max_consumers", 10, 1, 2, -1, 0)
        self.some(config, "num_replicas", 10, 1, 0, 3, 6, -1, 2)
        self.some(config, "no_ack", 60, True, False)
        self.some(config, "duplicate_window", 8, 120000000000, 0, -1, 10, 60000000000)
        self.some(config, "description", 8, "text", "", "x" * 5000, 7)
        self.some(config, "allow_direct", 3, True, False)
        self.some(config, "allow_rollup_hdrs", 4, True, False)
        self.some(config, "deny_delete", 12, True, False)
        self.some(config, "deny_purge", 12, True, False)
        self.some(config, "sealed", 40, True, False)
        self.some(config, "discard_new_per_subject", 8, True, False)
        self.some(config, "first_seq", 10, 1, 5, 100)
        self.some(config, "compression", 8, "s2", "none", "zip")
        self.some(config, "allow_msg_ttl", 6, True, False)
        self.some(config, "subject_delete_marker_ttl", 16, 3600000000000, 1, -1, 0)
        self.some(config, "allow_msg_counter", 12, True, False)
        self.some(config, "allow_atomic", 6, True, False)
        self.some(config, "allow_msg_schedules", 12, True, False)
        self.some(config, "persist_mode", 14, "async", "default", "none")
        self.some(config, "subject_transform", 12, {"src": f"{low}.>", "dest": f"{low}.>"}, {"src": f"{low}.*", "dest": f"{low}.t.{{{{wildcard(1)}}}}"},
                  {"src": ">", "dest": "t.{{wildcard(1)}}"}, {"src": "a..b", "dest": "x"}, {})
        self.some(config, "republish", 16, {"src": f"{low}.>", "dest": "dlv.rep.>"}, {"src": ">", "dest": f"{low}.>"}, {"dest": "dlv.rep.>", "headers_only": True},
                  {"src": f"{low}.*", "dest": "dlv.rep.{{wildcard(1)}}"})
        self.some(config, "consumer_limits", 10, {"inactive_threshold": 3600000000000}, {"max_ack_pending": 5}, {"max_ack_pending": -2}, {"inactive_threshold": 7200000000000, "max_ack_pending": 9})
        self.some(config, "metadata", 8, {"k": "v"}, {"_nats.x": "y"}, {"a": "1", "b": "2"}, {})
        self.some(config, "placement", 20, {"cluster": "C"}, {"tags": ["t"]}, {})
        self.some(config, "allow_batched", 12, True, False)
        self.some(config, "mirror", 60, {"name": name}, {"name": ""}, {"name": "no such"})
        self.some(config, "nonsense", 60, 1, "x", None)
        return config

    def consumer_config(self, stream, name):
        config = {}
        if self.chance(2):
            config["durable_name"] = name
        if not self.chance(4):
            config["name"] = name
        config["ack_policy"] = self.pick("explicit", "explicit", "explicit", "none", "all", "all" if self.calm else "some")
        if self.chance(25) and not self.calm:
            del config["ack_policy"]
        self.some(config, "deliver_policy", 2, "all", "last", "new", "last_per_subject", "by_start_sequence", "by_start_time", "never")
        self.some(config, "opt_start_seq", 4, 1, 3, 50, 0)
        self.some(config, "opt_start_time", 16, "2020-01-01T00:00:00Z", "2040-01-01T00:00:00Z", "yesterday")
        self.some(config, "ack_wait", 6, 3600000000000, 0, -1)
        self.some(config, "max_deliver", 5, 1, 2, 3, -1, 0, -5)
        self.some(config, "filter_subject", 4, self.filter(stream), self.filter(stream), "b.x", "a..", "")
        self.some(config, "filter_subjects", 6, [self.filter(stream)], [f"{stream.lower()}.x", f"{stream.lower()}.y"], [f"{stream.lower()}.>", f"{stream.lower()}.x"], [], [""])
        self.some(config, "replay_policy", 12, "instant", "slow")
        self.some(config, "max_ack_pending", 5, 1, 2, 100, -1, 0, -3)
        self.some(config, "max_waiting", 8, 1, 10, 0, -1)
        self.some(config, "headers_only", 10, True, False)
        self.some(config, "max_batch", 10, 1, 3, 0, -1)
        self.some(config, "max_expires", 14, 1000000000, 1, -1)
        self.some(config, "max_bytes", 14, 100, 1, -1)
        self.some(config, "inactive_threshold", 8, 3600000000000, 0, -1, 7300000000000)
        self.some(config, "backoff", 12, [3600000000000], [3600000000000, 7200000000000], [], [-1])
        self.some(config, "num_replicas", 14, 0, 1, 3, -1)
        self.some(config, "mem_storage", 6, True, False)
        self.some(config, "metadata", 10, {"k": "v"}, {"_nats.x": "y"})
        self.some(config, "description", 12, "text", "y" * 5000)
        self.some(config, "sample_freq", 20, "100", "50%", "x")
        self.some(config, "rate_limit_bps", 24, 1000000, 0)
        self.some(config, "pause_until", 16, "2040-01-01T00:00:00Z", "2020-01-01T00:00:00Z")
        self.some(config, "priority_groups", 14, ["g"], ["g", "h"], [""], ["bad group"])
        self.some(config, "priority_policy", 14, "overflow", "pinned_client", "prioritized", "none", "other")
        self.some(config, "priority_timeout", 20, 3600000000000, -1)
        if self.chance(4):
            config["deliver_subject"] = self.pick(f"dlv.{stream}.{name}", f"dlv.{stream}.{name}", "dlv.>", f"{stream.lower()}.x", "")
            self.some(config, "deliver_group", 8, "g")
            self.some(config, "flow_control", 10, True, False)
            self.some(config, "idle_heartbeat", 8, 3600000000000, 5, -1)
        self.some(config, "nonsense", 60, 1)
        return config

    def message_headers(self):
        lines = []
        if self.chance(5):
            lines.append(f"Nats-Msg-Id: {self.r.randrange(8)}")
        if self.chance(12):
            lines.append(f"Nats-Expected-Last-Sequence: {self.pick(0, 1, 2, 5, 'x')}")
        if self.chance(12):
            lines.append(f"Nats-Expected-Last-Subject-Sequence: {self.pick(0, 1, 2, 5, 'x')}")
        if self.chance(20):
            lines.append(f"Nats-Expected-Last-Subject-Sequence-Subject: {self.pick('a.x', 'a.*', 'b.>', 'bad..', '')}")
        if self.chance(16):
            lines.append(f"Nats-Expected-Last-Msg-Id: {self.r.randrange(8)}")
        if self.chance(16):
            lines.append(f"Nats-Expected-Stream: {self.stream()}")
        if self.chance(16):
            lines.append(f"Nats-Rollup: {self.pick('sub', 'all', 'SUB', 'x')}")
        if self.chance(14):
            lines.append(f"Nats-TTL: {self.pick('1h', '3600', 'never', '1ms', 'x', '-1', '0')}")
        if self.chance(16):
            lines.append(f"Nats-Incr: {self.pick('1', '-2', 'x', '5')}")
        if self.chance(10):
            lines.append(f"{self.pick('Key', 'X-Other', 'Nats-Marker-Reason')}: {self.pick('value', '', 'two words')}")
        return "NATS/1.0\r\n" + "".join(line + "\r\n" for line in lines) + "\r\n" if lines else None

    def broken(self, body):
        """Now and then a request is no JSON, or not what it should be."""
        if self.calm or not self.chance(40):
            return body
        return self.pick("", "{", "[]", "null", "7", '"x"', body + "x", "{}", '{"a":}', body[:-1])

    def get_request(self, name):
        request = {}
        self.some(request, "seq", 2, 1, 2, 3, 50, 0)
        self.some(request, "last_by_subj", 4, self.subject(name), self.filter(name))
        self.some(request, "next_by_subj", 4, self.subject(name), self.filter(name))
        return request

    def step(self):
        """subject, body, headers; or ("ack", which, kind, reply wanted)."""
        name, consumer = self.stream(), self.pick(*CONSUMERS)
        what = self.r.randrange(100)
        api, body = None, ""
        if what < 34:
            size = self.pick(0, 3, 10, 10, 60)
            return self.subject(name), "x" * size, self.message_headers()
        if what < 42:
            api, body = f"STREAM.CREATE.{name}", json.dumps(self.stream_config(name))
        elif what < 47:
            api, body = f"STREAM.UPDATE.{name}", json.dumps(self.stream_config(name))
        elif what < 49:
            api = f"STREAM.DELETE.{name}"
            body = self.pick("", "", "", "{}", "x")
        elif what < 53:
            request = {}
            self.some(request, "subjects_filter", 2, ">", self.filter(name), "bad..")
            self.some(request, "deleted_details", 3, True)
            self.some(request, "offset", 6, 1, 100, -1)
            api, body = f"STREAM.INFO.{name}", json.dumps(request) if request or self.chance(2) else ""
        elif what < 55:
            request = {}
            self.some(request, "subject", 2, self.filter(name), ">", "bad..", "b.x")
            self.some(request, "offset", 4, 0, 1, 50, -1)
            api, body = self.pick("STREAM.NAMES", "STREAM.LIST"), json.dumps(request) if request else ""
        elif what < 58:
            request = {}
            self.some(request, "filter", 2, self.filter(name), "b.x", "bad..")
            self.some(request, "seq", 3, 1, 3, 50)
            self.some(request, "keep", 3, 1, 2, 0)
            api, body = f"STREAM.PURGE.{name}", json.dumps(request) if request else ""
        elif what < 62:
            request = self.get_request(name)
            self.some(request, "no_hdr", 12, True)
            api, body = f"STREAM.MSG.GET.{name}", json.dumps(request)
        elif what < 65:
            request = {"seq": self.pick(1, 2, 3, 4, 50, 0)}
            self.some(request, "no_erase", 2, True)
            api, body = f"STREAM.MSG.DELETE.{name}", json.dumps(request)
        elif what < 69:
            request = self.get_request(name)
            self.some(request, "batch", 4, 1, 3, 0)
            self.some(request, "max_bytes", 8, 10, 100)
            self.some(request, "multi_last", 6, [">"], [self.filter(name)], [f"{name.lower()}.x", f"{name.lower()}.y"], [])
            self.some(request, "up_to_seq", 8, 1, 3)
            self.some(request, "no_hdr", 12, True)
            api, body = f"DIRECT.GET.{name}", json.dumps(request)
            if self.chance(4):
                api, body = f"DIRECT.GET.{name}.{self.subject(name)}", ""
        elif what < 77:
            config = self.consumer_config(name, consumer)
            request = {"stream_name": name if not self.chance(20) else "A", "config": config}
            self.some(request, "action", 3, "", "create", "update", "other")
            api = f"CONSUMER.CREATE.{name}.{consumer}"
            if "filter_subject" in config and self.chance(2):
                api += "." + config["filter_subject"]
            if self.chance(6) and "durable_name" in config:
                api = f"CONSUMER.DURABLE.CREATE.{name}.{consumer}"
            body = json.dumps(request)
        elif what < 79:
            api = f"CONSUMER.INFO.{name}.{consumer}"
        elif what < 80:
            api, body = self.pick(f"CONSUMER.NAMES.{name}", f"CONSUMER.LIST.{name}"), self.pick("", "{}", '{"offset":1}')
        elif what < 82:
            api = f"CONSUMER.DELETE.{name}.{consumer}"
        elif what < 83:
            api, body = f"CONSUMER.PAUSE.{name}.{consumer}", self.pick("", "{}", '{"pause_until":"2040-01-01T00:00:00Z"}', '{"pause_until":"2020-01-01T00:00:00Z"}', '{"pause_until":1}')
        elif what < 84:
            api, body = self.pick((f"CONSUMER.UNPIN.{name}.{consumer}", '{"group":"g"}'), (f"CONSUMER.UNPIN.{name}.{consumer}", "{}"),
                                  (f"CONSUMER.RESET.{name}.{consumer}", ""), (f"CONSUMER.RESET.{name}.{consumer}", '{"seq":2}'),
                                  ("INFO", ""), ("ACCOUNT.PURGE.X", ""), ("STREAM.NOTHING", ""), ("META.LEADER.STEPDOWN", ""),
                                  (f"STREAM.LEADER.STEPDOWN.{name}", ""), (f"STREAM.PEER.REMOVE.{name}", '{"peer":"x"}'))
        elif what < 92:
            request = {"no_wait": True}
            self.some(request, "batch", 2, 1, 2, 5, 0, -1)
            self.some(request, "max_bytes", 8, 60, 500, -1)
            self.some(request, "group", 12, "g", "h")
            self.some(request, "min_pending", 20, 1, 5)
            self.some(request, "expires", 12, 50000000, -1)
            if "expires" in request and self.chance(2):
                del request["no_wait"]
            self.some(request, "idle_heartbeat", 30, 10000000, 100000000000)
            api = f"CONSUMER.MSG.NEXT.{name}.{consumer}"
            body = json.dumps(request) if not self.chance(20) else self.pick("x", "{", "2")
        else:
            kind = self.pick("", "+ACK", "+ACK", "+ACK", "-NAK", "+TERM", "+WPI", "+NXT", '+NXT {"batch":1,"no_wait":true}', '-NAK {"delay":3600000000000}', "+TERM why", "+FOO")
            return "ack", self.r.randrange(1 << 30), kind, self.chance(3) or kind.startswith("+NXT")
        return "$JS.API." + api, self.broken(body), None


def run(seed, ports, options):
    links = [Link(port, seed) for port in ports]
    dice = Dice(seed)
    trace = []
    try:
        for number in range(options.steps):
            step = dice.step()
            trace.append(step)
            inbox = f"in.{seed}.{number}"
            sent = send(links, step, inbox)
            if sent:
                for link in links:
                    link.wait(inbox)
            if "MSG.NEXT" in step[0] and '"expires": 5' in step[1]:  # its end comes under the name of this step
                settle_for(links, 0.15)
            if number % 8 == 7 or number + 1 == options.steps:
                difference = settle(links)
                if difference:
                    return trace, difference
    except EOFError as error:
        return trace, [str(error)]
    finally:
        clear(links, options.steps)
    return trace, None


def send(links, step, inbox):
    for link in links:
        link.asked = inbox
    if step[0] != "ack":
        for link in links:
            link.send(step[0], step[1], step[2], inbox)
        return True
    _, which, kind, wants_reply = step
    count = min(len(link.acks) for link in links)
    if count == 0:
        return False
    for link in links:
        link.send(link.acks[which % count], kind, None, inbox if wants_reply else "")
    return wants_reply


def settle_for(links, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for link in links:
            link.read(0.01)


def settle(links):
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < QUIET_S:
        for link in links:
            if link.read(0.01):
                quiet_since = time.monotonic()
    ours, peers = (link.got for link in links)
    different = []
    for bucket in sorted(set(ours) | set(peers)):
        if re.match(r"\$JS\.EVENT\.ADVISORY\.(STREAM|CONSUMER)\.DELETED\.", bucket) and bucket not in peers:
            continue  # a stream of the peer may end before it has sent that
        if bucket == "$JS.EVENT.ADVISORY.API":  # some of its refusals are late
            for got in (ours, peers):
                got[bucket] = sorted(got.get(bucket, []))
        if ours.get(bucket) != peers.get(bucket):
            different.append((bucket, ours.get(bucket), peers.get(bucket)))
    for link in links:
        link.got = {}
    return different


def clear(links, number):
    for name in STREAMS:
        for link in links:
            link.got = {}
            inbox = f"{link.inbox}{number}"
            link.asked = inbox
            link.send(f"$JS.API.STREAM.DELETE.{name}", "", None, inbox)
            link.wait(inbox)
    for link in links:
        link.sock.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("ours")
    parser.add_argument("peer")
    parser.add_argument("--seeds", default="1:20")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    first, last = (int(part) for part in options.seeds.split(":"))
    failed = 0
    with tempfile.TemporaryDirectory(prefix="jetstream-") as folder, \
            wire.Server(options.ours, ["-js", "-n", "same", "-sd", folder + "/ours"]) as ours, \
            wire.Server(options.peer, ["-js", "-n", "same", "-sd", folder + "/peer"]) as peer:
        for seed in range(first, last + 1):
            trace, difference = run(seed, (ours.port, peer.port), options)
            if difference is None:
                continue
            failed += 1
            print(f"seed {seed}, within step {len(trace)}:")
            for item in difference:
                if isinstance(item, str):
                    print("  " + item)
                    continue
                bucket, mine, theirs = item
                number = bucket.split(".")[2] if bucket.startswith("in.") else None
                if number is not None and int(number) < len(trace):
                    print("  step", number, trace[int(number)])
                else:
                    print("  " + bucket)
                mine, theirs = mine or [], theirs or []
                same = 0
                while same < min(len(mine), len(theirs)) and mine[same] == theirs[same]:
                    same += 1
                print(f"    ours {len(mine)}:", *mine[same:same + 3])
                print(f"    peer {len(theirs)}:", *theirs[same:same + 3])
            if options.verbose:
                for number, step in enumerate(trace):
                    print("   ", number, step)
    print(f"{last - first + 1 - failed} of {last - first + 1} seeds alike")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
