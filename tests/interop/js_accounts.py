#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""JetStream of several accounts: asks two servers the same, and compares what they answer, byte for byte but for times.

    js_accounts.py build/release/millrace /tmp/peer/nats-server     # or one of them: prints its answers

Names and subjects that meet in no account, limits, tiers' errors, accounts without JetStream, the system account, and a
configuration that gives JetStream to an account, takes it and gives it back, without a restart and with one. And what
crosses accounts by imports: API, deliveries, captured streams, external mirrors and sources, through a restart.
"""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
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
# EX has the streams; IM and, with what `share` tells, SH read them.
IMPORTS = """imports: [
  {{service: {{account: EX, subject: "$JS.API.>"}}, to: "ex.api.>"{share}}}
  {{service: {{account: EX, subject: "$JS.FC.>"}}}}
  {{stream: {{account: EX, subject: "dlv.>"}}}}
  {{stream: {{account: EX, subject: "ev.>"}}, to: "in.ev.>"}}
]"""
CROSSING = f"""
server_name: here
jetstream {{ store_dir: '{{dir}}/js', max_mem: 50MB, max_file: 50MB }}
accounts {{
  EX {{ jetstream: enabled, users: [{{user: ex, password: x}}]
       exports: [{{service: "$JS.API.>"}}, {{service: "$JS.FC.>"}}, {{stream: "dlv.>"}}, {{stream: "ev.>"}}] }}
  IM {{ jetstream: enabled, users: [{{user: im, password: x}}], {IMPORTS.format(share="")} }}
  SH {{ jetstream: enabled, users: [{{user: sh, password: x}}], {IMPORTS.format(share=", share: true")} }}
}}
"""
MASKS = ((r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "T"),
         (r'"(created|ts|time|first_ts|last_ts|expires)":"[^"]*"', r'"\1":"T"'), (r'"id":"[^"]*"', '"id":"I"'),
         (r'"_nats.ver":"[^"]*"', '"_nats.ver":"V"'), (r'\$JS\.ACK\.(\S+)\.\d{19}\.', r'$JS.ACK.\1.T.'),
         (r'"(start|stop|rtt)":"?[^",}]*"?', r'"\1":0'), (r'"(active|consumer_seq)":-?\d+', r'"\1":0'),
         (r'(Nats-Stream-Source: (?:\S+ ){5})\S{8}\r', r'\1IDENTITY\r'), (r'Nats-Time-Stamp: \S+', 'Nats-Time-Stamp: T'),
         (r'\$JS\.ACK\.(\S+)\.\d{19}\.', r'$JS.ACK.\1.T.'), (r'_R_\.\S+', '_R_'), (r'"(id|cid)":\d+', r'"\1":0'))


def masked(text):
    for pattern, to in MASKS:
        text = re.sub(pattern, to, text)
    return text


class Client:
    """One connection of a user; what it is asked for within a moment is all that comes."""

    def __init__(self, port, user, also=()):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.sock.makefile("rb")
        self.file.readline()
        connect = {"user": user, "pass": "x", "verbose": False, "headers": True, "no_responders": True}
        self.send(f"CONNECT {json.dumps(connect)}\r\nSUB in.r 1\r\n")
        for sid, subject in enumerate(also, 2):
            self.send(f"SUB {subject} {sid}\r\n")
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
    def __init__(self, binary, config=CONFIG.format(a=f"jetstream: {A_LIMITS},")):
        self.server = Server(binary, config=config, monitor=True)
        self.clients = {}
        self.answers = []

    def ask(self, user, subject, body="", header="", silent=False):
        if user not in self.clients:
            self.clients[user] = Client(self.server.port, user)
        answer = self.clients[user].request(subject, body, header, silent)
        self.answers.append((f"{user}: {subject} {body[:60]} {header}", answer))
        return answer

    def until(self, user, subject, wanted):
        """Asks until the answer has it, and keeps that one."""
        if user not in self.clients:
            self.clients[user] = Client(self.server.port, user)
        answer = ""
        deadline = time.monotonic() + 40
        while wanted not in answer and time.monotonic() < deadline:
            answer = self.clients[user].request(subject)
            time.sleep(0.05)
        self.answers.append((f"{user}: {subject} until {wanted}", answer))

    def restart(self):
        self.clients.clear()
        process = self.server.process
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        with open(self.server.log_path, "ab") as log:
            self.server.process = subprocess.Popen(process.args, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if not self.server._wait_until_serving():
            self.answers.append(("restart", "did not happen"))

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


EXTERNAL = {"api": "ex.api", "deliver": "dlv"}


def origin(**more):
    return dict(name="O", external=EXTERNAL, **more)


def copies(run, user, count):
    """What mirrors and sources have of O, which has this many messages, and say of themselves."""
    for name, messages in (("M", count), ("S", count), ("F", count // 3), ("T", count // 3), ("N", count)):
        run.until(user, f"$JS.API.STREAM.INFO.{name}", f'"messages":{messages},')
        for seq in (1, 2, messages // 2, messages):
            run.ask(user, f"$JS.API.DIRECT.GET.{name}", json.dumps({"seq": seq}))


def fill(run, first, last, size):
    for i in range(first, last + 1):
        run.ask("ex", f"o.{i % 3}", f"{i} ".ljust(size, "."), header="" if i % 4 else "Kind: fourth")
    del run.answers[-(last - first + 1):]


def external(run):
    stream(run, "ex", "O", subjects=["o.>"])
    fill(run, 1, 30, 10)
    fill(run, 31, 150, 20_000)
    run.ask("ex", "$JS.API.CONSUMER.CREATE.O.D", json.dumps({"stream_name": "O", "config": dict(
        name="D", durable_name="D", deliver_subject="dlv.named", ack_policy="flow_control", flow_control=True,
        idle_heartbeat=1_000_000_000, max_ack_pending=1000)}))
    for user in ("im", "sh"):
        stream(run, user, "M", mirror=origin(), allow_direct=True)
        stream(run, user, "S", sources=[origin()], allow_direct=True)
        stream(run, user, "F", sources=[origin(filter_subject="o.1")], allow_direct=True)
        stream(run, user, "T", sources=[origin(subject_transforms=[{"src": "o.2", "dest": "x.y"}])], allow_direct=True)
    named = {"name": "D", "deliver_subject": "dlv.named"}
    stream(run, "im", "N", mirror=origin(consumer=named), allow_direct=True)
    stream(run, "sh", "N", mirror=origin(), allow_direct=True)
    copies(run, "im", 150)
    copies(run, "sh", 150)
    # How much of it is confirmed is a matter of time.
    run.until("ex", "$JS.API.CONSUMER.INFO.O.D", '"num_pending":0')
    question, answer = run.answers[-1]
    run.answers[-1] = question, re.sub(r'"ack_floor":{[^}]*},"num_ack_pending":\d+', "", answer)
    run.ask("ex", "$JS.API.CONSUMER.NAMES.O")
    run.restart()
    fill(run, 151, 180, 1000)
    copies(run, "im", 180)
    copies(run, "sh", 180)
    stream(run, "im", "NONE", mirror=dict(name="NONE", external=EXTERNAL))
    run.until("im", "$JS.API.STREAM.INFO.NONE", '"error"')
    stream(run, "ex", "NONE", subjects=["none"])
    run.ask("ex", "none", "x")
    run.until("im", "$JS.API.STREAM.INFO.NONE", '"messages":1,')


def captured(run):
    """A stream takes what its account imports."""
    stream(run, "im", "EV", subjects=["in.ev.*"])
    for subject in ("ev.1", "ev.2.3"):
        run.ask("ex", subject, "x", silent=True)
    got = []
    while not got:
        got = run.clients["im"].barrier()
    run.answers.append(("im: who has published is answered in this account", got[0][2]))
    run.until("im", "$JS.API.STREAM.INFO.EV", '"messages":1,')
    run.ask("im", "$JS.API.STREAM.MSG.GET.EV", '{"seq":1}')


def over_imports(run):
    """Requests to another account's API, what it tells of them, and a consumer that delivers into this account."""
    for user in ("ex", "im", "sh"):
        asker = Client(run.server.port, user)
        told = Client(run.server.port, "ex", also=["$JS.EVENT.ADVISORY.API", "$JS.EVENT.ADVISORY.STREAM.CREATED.>"])
        prefix = "$JS.API" if user == "ex" else "ex.api"
        for verb, body, header in (("STREAM.NAMES", "", ""), ("STREAM.INFO.NOT", "", "A: b"),
                                   ("STREAM.CREATE.X", json.dumps({"name": "X", "subjects": ["x." + user]}), "")):
            run.answers.append((f"{user} asks {verb}", asker.request(f"{prefix}.{verb}", body, header)))
            advisories = []
            while not advisories:
                advisories = told.barrier()
            if user != "ex":  # what is told of an account's own clients is another matter
                run.answers.append((f"{user} asked {verb}", masked(repr(sorted(part[2] for part in advisories)))))
        asker.request(f"{prefix}.STREAM.DELETE.X")
        if user == "ex":
            continue
        reader = Client(run.server.port, user, also=["dlv.push." + user])
        config = dict(name="P" + user, deliver_subject="dlv.push." + user, filter_subject="o.0", ack_policy="none")
        reader.request("ex.api.CONSUMER.CREATE.O.P" + user + ".o.0", json.dumps({"stream_name": "O", "config": config}))
        fill(run, 1, 3, 10)
        got = []
        while not any(part[0] == "o.0" for part in got):
            got += reader.barrier()
        # Which of them is the first to come behind the answer is chance.
        heard = [re.sub(r"(\$JS\.ACK\.O\.\w+)\S*", r"\1", part[1]) for part in got if part[0] == "o.0"]
        run.answers.append((f"delivered to {user}", repr(heard[:1])))


def answers_of(binary):
    answers = []
    for config, parts in ((CONFIG.format(a=f"jetstream: {A_LIMITS},"), (without_jetstream, limits, apart, back_and_forth)),
                          (CROSSING, (external, captured, over_imports))):
        run = Run(binary, config)
        try:
            for part in parts:
                part(run)
        finally:
            run.server.kill_process()
        answers += run.answers
    return answers


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
