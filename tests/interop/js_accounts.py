#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""JetStream of several accounts: asks two servers the same, and compares what they answer, byte for byte but for times.

    js_accounts.py build/release/millrace /tmp/peer/nats-server     # or one of them: prints its answers

Names and subjects that meet in no account, limits, tiers' errors, accounts without JetStream, the system account, and a
configuration that gives JetStream to an account, takes it and gives it back, without a restart and with one.
"""
import json
import os
import re
import signal
import socket
import sys
import urllib.request

from wire import Server

A_LIMITS = ("{ max_mem: 4000, max_file: 5000, max_streams: 2, max_consumers: 1, max_ack_pending: 10 }")
CONFIG = """
server_name: here
jetstream {{ store_dir: '{{dir}}/js', max_mem: 10MB, max_file: 10MB }}
accounts {{
  A {{ {a} users: [{{user: a, password: x}}] }}
  B {{ jetstream: enabled, users: [{{user: b, password: x}}] }}
  BARE {{ users: [{{user: bare, password: x}}] }}
  C {{ jetstream: {{max_bytes_required: true, disk_max_stream_bytes: 500, mem_max_stream_bytes: 400 }},
       users: [{{user: c, password: x}}] }}
  SYS {{ users: [{{user: sys, password: x}}] }}
}}
system_account: SYS
"""
MASKS = ((r'"(created|ts|time|first_ts|last_ts|expires)":"[^"]*"', r'"\1":"T"'), (r'"id":"[^"]*"', '"id":"I"'),
         (r'"_nats.ver":"[^"]*"', '"_nats.ver":"V"'), (r'\$JS\.ACK\.(\S+)\.\d{19}\.', r'$JS.ACK.\1.T.'),
         (r'"(start|stop|rtt)":"?[^",}]*"?', r'"\1":0'))


def masked(text):
    for pattern, to in MASKS:
        text = re.sub(pattern, to, text)
    return text


class Client:
    """One connection of a user; what it is asked for within a moment is all that comes."""

    def __init__(self, port, user):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.sock.makefile("rb")
        self.file.readline()
        connect = {"user": user, "pass": "x", "verbose": False, "headers": True, "no_responders": True}
        self.send(f"CONNECT {json.dumps(connect)}\r\nSUB in.> 1\r\n")
        self.barrier()

    def send(self, text):
        self.sock.sendall(text.encode())

    def barrier(self):
        """Everything that has come before the PONG."""
        got = []
        self.send("PING\r\n")
        while True:
            line = self.file.readline()
            if not line:
                return got + ["closed"]
            words = line.decode().split()
            if words[0] == "PONG":
                return got
            if words[0] in ("MSG", "HMSG"):
                got.append((words[1], masked(line.decode().strip()), self.file.read(int(words[-1]) + 2)[:-2].decode()))
            elif words[0] == "PING":
                self.send("PONG\r\n")
            else:
                got.append(line.decode().strip())

    def request(self, subject, body="", header="", silent=False):
        """The first answer; `silent`: there is to be none, and a barrier has to do."""
        if header:
            block = f"NATS/1.0\r\n{header}\r\n\r\n"
            self.send(f"HPUB {subject} in.r {len(block)} {len(block) + len(body)}\r\n{block}{body}\r\n")
        else:
            self.send(f"PUB {subject} in.r {len(body)}\r\n{body}\r\n")
        for _ in range(1 if silent else 2000):
            got = self.barrier()
            if got:
                return masked(" / ".join(part if isinstance(part, str) else part[2] for part in got))
        return "silence"


class Run:
    def __init__(self, binary):
        self.server = Server(binary, config=CONFIG.format(a=f"jetstream: {A_LIMITS},"), monitor=True)
        self.clients = {}
        self.answers = []

    def ask(self, user, subject, body="", header="", silent=False):
        if user not in self.clients:
            self.clients[user] = Client(self.server.port, user)
        answer = self.clients[user].request(subject, body, header, silent)
        self.answers.append((f"{user}: {subject} {body[:60]} {header}", answer))
        return answer

    def page(self, path, but=()):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.server.monitor_port}{path}", timeout=10) as page:
            jsz = json.load(page)
        for account in jsz.get("account_details", []):
            account.get("stream_detail", []).sort(key=lambda stream: stream["name"])
            for stream in account.get("stream_detail", []):
                stream.pop("created", None)
        keep = ("accounts", "streams", "consumers", "messages", "bytes", "memory", "storage", "reserved_memory",
                "reserved_storage", "account_details", "total")
        self.answers.append((path, masked(json.dumps({key: jsz[key] for key in keep if key in jsz and key not in but},
                                                     separators=(",", ":")))))

    def reload(self, a):
        with open(os.path.join(self.server.dir, "server.conf"), "w", encoding="utf-8") as f:
            f.write(CONFIG.format(a=a).replace("{dir}", self.server.dir))
        self.server.process.send_signal(signal.SIGHUP)
        # The answer tells when it has happened: limits and what has them are in it.
        wanted = "10039" if not a else '"max_storage":%s' % re.search(r"max_file: (\d+)", a).group(1)
        self.clients.pop("a", None)
        for _ in range(2000):
            try:
                got = Client(self.server.port, "a").request("$JS.API.INFO")
            except (BrokenPipeError, ConnectionResetError):
                continue  # who has not said who he is when users change is sent away
            if wanted in got:
                return
        self.answers.append(("reload", "did not happen"))


def consumer(run, user, name, **more):
    config = dict(name=name, durable_name=name, ack_policy="explicit", **more)
    run.ask(user, f"$JS.API.CONSUMER.CREATE.S.{name}", json.dumps({"stream_name": "S", "config": config}))


def stream(run, user, name, verb="CREATE", **more):
    run.ask(user, f"$JS.API.STREAM.{verb}.{name}", json.dumps(dict(name=name, **more)))


def without_jetstream(run):
    asked = (("INFO", ""), ("STREAM.CREATE.S", '{"name":"S"}'), ("STREAM.UPDATE.S", '{"name":"S"}'), ("STREAM.NAMES", ""),
             ("STREAM.LIST", ""), ("STREAM.INFO.S", ""), ("STREAM.DELETE.S", ""), ("STREAM.PURGE.S", ""),
             ("STREAM.MSG.DELETE.S", '{"seq":1}'), ("STREAM.MSG.GET.S", '{"seq":1}'),
             ("STREAM.SNAPSHOT.S", '{"deliver_subject":"x"}'), ("STREAM.RESTORE.S", '{"config":{"name":"S"}}'),
             ("CONSUMER.CREATE.S", '{"stream_name":"S","config":{}}'),
             ("CONSUMER.CREATE.S.C", '{"stream_name":"S","config":{"name":"C"}}'), ("CONSUMER.NAMES.S", ""),
             ("CONSUMER.LIST.S", ""), ("CONSUMER.INFO.S.C", ""), ("CONSUMER.DELETE.S.C", ""),
             ("CONSUMER.PAUSE.S.C", "{}"), ("CONSUMER.MSG.NEXT.S.C", ""), ("DIRECT.GET.S", '{"seq":1}'),
             ("STREAM.PEER.REMOVE.S", '{"peer":"x"}'), ("STREAM.LEADER.STEPDOWN.S", ""))
    for user in ("bare", "sys"):
        for verb, body in asked:
            run.ask(user, "$JS.API." + verb, body)
    run.ask("bare", "$JS.API.STREAM.NAMES", header="Nats-Required-Api-Level: 99")
    run.ask("sys", "$JS.API.STREAM.NAMES", header="Nats-Required-Api-Level: 99")
    run.ask("sys", "$JS.API.WHAT")
    for subject in ("$JS.API.META.LEADER.STEPDOWN", "$JS.API.META.RESCUE"):
        run.ask("sys", subject, silent=True)
    run.ask("b", "$JS.API.ACCOUNT.PURGE.A", silent=True)
    run.ask("bare", "s.1", "x")


def limits(run):
    for name in ("S", "T", "U"):
        stream(run, "a", name, subjects=[name.lower() + ".>"])
    stream(run, "a", "S", subjects=["s.>"])
    stream(run, "a", "S", subjects=["s.>"], max_consumers=2)
    consumer(run, "a", "P", max_ack_pending=11)
    consumer(run, "a", "P")
    consumer(run, "a", "Q")
    run.ask("a", "s.1", "x" * 1000)
    for size in (3000, 1000, 900, 800, 100, 10, 0):
        run.ask("a", "s.1", "x" * size)
    run.ask("a", "t.1", "x")
    run.ask("a", "$JS.API.INFO")
    for size in (6000, 5001, 4000):
        stream(run, "a", "T", "UPDATE", subjects=["t.>"], max_bytes=size)
    stream(run, "a", "S", "UPDATE", subjects=["s.>"], max_bytes=1001)
    stream(run, "a", "S", "UPDATE", subjects=["s.>"], max_bytes=1000)
    run.ask("a", "$JS.API.STREAM.PURGE.S")
    run.ask("a", "s.1", "x" * 900)
    run.ask("a", "$JS.API.INFO")
    for storage in ("file", "memory"):
        for size in (-1, 0, 401, 501, 500, 400):
            stream(run, "c", "S" + storage, storage=storage, max_bytes=size)
    stream(run, "c", "R3", num_replicas=3, max_bytes=10)


def apart(run):
    stream(run, "b", "S", subjects=["s.>"])
    consumer(run, "b", "P")
    run.ask("b", "s.1", "of b")
    run.ask("a", "$JS.API.STREAM.NAMES")
    run.ask("b", "$JS.API.STREAM.NAMES")
    run.ask("b", "$JS.API.INFO")
    run.ask("b", "$JS.API.STREAM.MSG.GET.S", '{"last_by_subj":"s.1"}')
    for path in ("/jsz?accounts=1", "/jsz?acc=B", "/jsz?acc=A", "/jsz?acc=NOBODY", "/jsz?accounts=1&offset=1&limit=1"):
        run.page(path)


def back_and_forth(run):
    run.reload("")
    run.ask("a", "$JS.API.STREAM.INFO.S")
    run.ask("a", "s.1", "lost")
    run.ask("b", "s.1", "of b, again")
    # The peer does not give back what the streams had reserved, and reserves it twice when they return.
    run.page("/jsz?accounts=1", but=["reserved_storage"])
    run.reload("jetstream: { max_file: 7000 },")
    run.ask("a", "$JS.API.INFO")
    run.ask("a", "$JS.API.STREAM.NAMES")
    run.ask("a", "$JS.API.CONSUMER.NAMES.S")
    run.ask("a", "s.1", "x")
    run.page("/jsz?accounts=1", but=["reserved_storage"])
    run.ask("sys", "$JS.API.ACCOUNT.PURGE.A")
    run.ask("a", "$JS.API.STREAM.NAMES")
    run.ask("b", "$JS.API.STREAM.NAMES")


def answers_of(binary):
    run = Run(binary)
    try:
        for part in (without_jetstream, limits, apart, back_and_forth):
            part(run)
    finally:
        run.server.kill_process()
    return run.answers


def main():
    runs = [answers_of(path) for path in sys.argv[1:3]]
    if len(runs) == 1:
        for question, answer in runs[0]:
            print(f"{question}\n    {answer}")
        return 0
    wrong = 0
    for (question, ours), (_, theirs) in zip(*runs):
        if ours != theirs:
            wrong += 1
            print(f"{question}\n    ours:   {ours}\n    theirs: {theirs}")
    print(f"{len(runs[0])} answers, {wrong} differ")
    return 1 if wrong or len(runs[0]) != len(runs[1]) else 0


if __name__ == "__main__":
    sys.exit(main())
