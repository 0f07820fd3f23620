#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Events of the system account: what a server publishes below $SYS when clients come, go and are refused, when accounts have more
or fewer connections, and when it ends. The same script runs against both servers; ids, times and measures are masked, all else is compared
byte by byte, subject by subject in order.

    system_events.py build/release/millrace /tmp/peer/nats-server [--shards 2]     # or one of them: prints its events
"""
import argparse
import collections
import json
import os
import re
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import wire  # noqa: E402

CONFIG = """
server_name: EVENTS
server_tags: ["zone:a", "disk:ssd"]
ping_interval: "1h"
lame_duck_duration: "30s"
lame_duck_grace_period: "10ms"
max_payload: 1000
authorization {
  timeout: 1
  users: [ { user: g, password: g } ]
}
accounts {
  A { users: [ { user: a, password: a }, { user: quiet, password: quiet, permissions: { publish: "x" } } ] }
  C { users: [ { user: stays, password: stays }, { user: gone, password: gone } ] }
  B { users: [ { user: b, password: b } ], limits: { max_connections: 2 } }
  "$SYS" { users: [ { user: s, password: s } ] }
}
"""
RELOADED = CONFIG.replace(", { user: gone, password: gone }", "")

MASKS = [
    (re.compile(r'("host":"[^"]*","id":)"N[A-Z2-7]{55}"'), r'\1*'),
    (re.compile(r'"seq":\d+'), '"seq":*'),
    (re.compile(r'"(time|timestamp|start|stop)":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"'), r'"\1":*'),
    (re.compile(r'"(time|timestamp|start|stop)":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?[+-]\d\d:\d\d"'), r'"\1":*'),
    (re.compile(r'"id":"[0-9A-Za-z]{22}"'), '"id":*'),
    (re.compile(r'"id":\d+'), '"id":*'),
    (re.compile(r'"rtt":\d+'), '"rtt":*'),
    (re.compile(r'"(mem|cpu|cores|gomaxprocs|gomemlimit)":[0-9.]+'), r'"\1":*'),
]
# The peer counts its own subscriptions in every account, which are other than ours; what the system account has been sent
# and the figures of STATSZ depend on the moment.
SUBSCRIPTIONS = re.compile(r'"num_subscriptions":\d+')
SYSTEM_SENT = re.compile(r'("acc":"\$SYS".*"sent":\{)"msgs":\d+,"bytes":\d+')
STATSZ_FIGURES = re.compile(r'"(subscriptions|connections|total_connections|active_accounts|msgs|bytes)":\d+')


def mask(server_id, subject, payload):
    text = payload.decode()
    for pattern, replacement in MASKS:
        text = pattern.sub(replacement, text)
    text = SYSTEM_SENT.sub(r'\1*', SUBSCRIPTIONS.sub('"num_subscriptions":*', text))
    if subject.endswith("STATSZ"):
        text = STATSZ_FIGURES.sub(r'"\1":*', text)
    return subject.replace(server_id, "ID"), text.replace(server_id, "ID")


class Listener:
    """A client that keeps all it hears."""

    def __init__(self, port, user, sub="$SYS.>"):
        self.port, self.user = port, user
        self.wire = login(port, user, "listener-" + user)
        self.wire.send(b"SUB %s 1\r\nPING\r\n" % sub.encode())
        while self.wire.read_line() != b"PONG":
            pass
        self.heard = []
        self.closed = False
        self.changes = collections.Counter()  # of connections, by account

    def forget(self):
        """What it has heard until now, when the server has told all of it."""
        probe = login(self.port, self.user, "probe")
        settle(probe)
        probe.socket.close()
        self.wait("DISCONNECT", b'"probe"')
        self.changed("$SYS", 2)
        self.heard = []
        self.changes.clear()

    def take(self, timeout):
        """One more; False: none in time, or the connection has ended."""
        self.wire.socket.settimeout(timeout)
        try:
            line = self.wire.read_line()
            if line.startswith(b"MSG "):
                words = line.split()
                self.heard.append((words[1].decode(), self.wire.read_exactly(int(words[-1]) + 2)[:-2]))
            elif line == b"PING":
                self.wire.send(b"PONG\r\n")
            return True
        except wire.Closed:
            self.closed = True
            return False
        except TimeoutError:
            return False

    def until(self, condition, what):
        deadline = time.monotonic() + wire.IO_TIMEOUT_S
        while not condition(self.heard):
            left = deadline - time.monotonic()
            if left <= 0 or self.closed or (not self.take(left) and not condition(self.heard)):
                raise AssertionError(f"never heard: {what}; heard {[h[0] for h in self.heard]}")

    def wait(self, suffix, text=b"", count=1):
        """Until `count` events have come whose subject ends so and that hold this text."""
        def enough(heard):
            return sum(s.endswith(suffix) and text in p for s, p in heard) >= count
        self.until(enough, f"{count} x {suffix} with {text}")

    def changed(self, account, count=1):
        """Until it has been told of as many more changes of this account's connections."""
        self.changes[account] += count
        self.wait("$SYS.ACCOUNT.%s.SERVER.CONNS" % account, count=self.changes[account])

    def rest(self):
        while self.take(wire.IO_TIMEOUT_S):
            pass


def login(port, user, name, password=None, more=""):
    c = wire.Connection(port)
    c.send(b'CONNECT {"user":"%s","pass":"%s","name":"%s","lang":"py","version":"1.2","verbose":false,"pedantic":false,"protocol":1%s}\r\n' % (
        user.encode(), (password or user).encode(), name.encode(), more.encode()))
    return c


def settle(c):
    c.send(b"PING\r\n")
    while c.read_line() != b"PONG":
        pass


def to_end(c):
    try:
        while True:
            c.read_line()
    except wire.Closed:
        pass


def come(events, user, name, account):
    c = login(events.port, user, name)
    settle(c)
    events.wait(account + ".CONNECT", b'"%s"' % name.encode())
    events.changed(account)
    return c


def go(events, c, name, account):
    c.socket.close()
    events.wait(account + ".DISCONNECT", b'"%s"' % name.encode())
    events.changed(account)


def scenario(server, events, others):
    port = server.port
    # An account's clients come, talk and go.
    one = come(events, "a", "one", "A")
    two = come(events, "a", "two", "A")
    two.send(b"SUB t 1\r\n")
    settle(two)
    one.send(b"PUB t 5\r\nhello\r\nPUB t 3\r\nyou\r\n")
    settle(one)
    for _ in range(2):
        two.read_line(), two.read_line()
    go(events, one, "one", "A")
    go(events, two, "two", "A")
    # Who says little of itself, and who says it twice.
    bare = wire.Connection(port)
    bare.send(b'CONNECT {"user":"a","pass":"a"}\r\n')
    settle(bare)
    events.changed("A")
    bare.send(b'CONNECT {"user":"b","pass":"b","name":"again"}\r\n')
    settle(bare)
    events.wait("B.CONNECT", b'"again"')
    events.changed("A")
    events.changed("B")
    go(events, bare, "again", "B")
    # Refused: by password, for naming nobody, for saying nothing, for an account's limit.
    to_end(login(port, "a", "wrong", "no"))
    events.wait("AUTH.ERR", b'"wrong"')
    to_end(login(port, "nobody", "who"))
    events.wait("AUTH.ERR", b'"who"')
    silent = wire.Connection(port)
    silent.send(b"PUB x 0\r\n\r\n")
    to_end(silent)
    events.wait("AUTH.ERR", count=3)
    late = wire.Connection(port)
    to_end(late)
    events.wait("DISCONNECT", b"Authentication Timeout")
    # Gone before CONNECT.
    wire.Connection(port).socket.close()
    events.wait("$G.DISCONNECT", b"Client Closed")
    b = [come(events, "b", "b%d" % i, "B") for i in range(2)]
    full = login(port, "b", "full")
    to_end(full)
    events.wait("DISCONNECT", b"Maximum Account Connections Exceeded")
    for i in range(2):
        go(events, b[i], "b%d" % i, "B")
    # Broken rules.
    for name, bad in ("large", b"PUB x 2000\r\n"), ("parse", b"NONSENSE\r\n"), ("account", b""):
        more = ',"account":"A"' if name == "account" else ""
        c = login(port, "a", name, more=more)
        if bad:
            settle(c)
        c.send(bad)
        to_end(c)
        events.wait("DISCONNECT", b'"%s"' % name.encode())
        events.changed("A", 2)
    # Permissions say nothing of this.
    quiet = come(events, "quiet", "quiet", "A")
    quiet.send(b"PUB y 0\r\n\r\n")
    settle(quiet)
    go(events, quiet, "quiet", "A")
    # A reload takes a user away.
    gone = come(events, "gone", "gone", "C")
    with open(os.path.join(server.dir, "server.conf"), "w", encoding="utf-8") as f:
        f.write(RELOADED)
    server.process.send_signal(signal.SIGHUP)
    to_end(gone)
    events.wait("C.DISCONNECT", b'"gone"')
    events.changed("C")
    for account in "A", "$SYS":  # those who are looked at anew
        events.changed(account, 2)
    events.wait("STATSZ")
    for other in others:
        settle_listener(other)


def settle_listener(listener):
    """All that was published to it before has come."""
    before = len(listener.heard)
    listener.wire.send(b"PING\r\n")
    listener.wire.socket.settimeout(wire.IO_TIMEOUT_S)
    while True:
        line = listener.wire.read_line()
        if line == b"PONG":
            return len(listener.heard) - before
        if line.startswith(b"MSG "):
            words = line.split()
            listener.heard.append((words[1].decode(), listener.wire.read_exactly(int(words[-1]) + 2)[:-2]))


def grouped(server_id, who, heard):
    events = collections.defaultdict(list)
    for subject, payload in heard:
        json.loads(payload)
        name, text = mask(server_id, subject, payload)
        events[who + " " + name].append(text)
    for subject, texts in events.items():
        if subject.endswith("STATSZ"):  # how many depends on time
            events[subject] = texts[-1:]
    return events


def run(path, flags):
    events = {}
    with wire.Server(path, flags, CONFIG) as server:
        system, global_, tenant = (Listener(server.port, u) for u in "sga")
        server_id = system.wire.info["server_id"]
        system.changed("A")
        system.forget()
        scenario(server, system, [global_, tenant])
        server.process.send_signal(signal.SIGTERM)
        for who, listener in ("system", system), ("global", global_), ("tenant", tenant):
            listener.rest()
            events.update(grouped(server_id, who, listener.heard))
    with wire.Server(path, flags, CONFIG) as server:
        system = Listener(server.port, "s")
        server_id = system.wire.info["server_id"]
        system.forget()
        guest = come(system, "a", "guest", "A")
        server.process.send_signal(signal.SIGUSR2)
        system.rest()
        # The peer says nothing more behind this.
        end = 1 + next(i for i, (subject, _) in enumerate(system.heard) if subject.endswith("LAMEDUCK"))
        for subject, texts in grouped(server_id, "lame duck", system.heard[:end]).items():
            if not subject.endswith("STATSZ"):
                events[subject] = texts
    return events


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="+")
    parser.add_argument("--shards", type=int)
    parser.add_argument("--print", action="store_true")
    args = parser.parse_args()
    answers = []
    for path in args.servers:
        flags = ["--shards", str(args.shards)] if args.shards and not answers else []
        answers.append(run(path, flags))
        if args.print or len(args.servers) == 1:
            for subject, texts in sorted(answers[-1].items()):
                print(subject, *texts, sep="\n    ")
    if len(answers) == 1:
        return 0
    differences = 0
    for subject in sorted(set(answers[0]) | set(answers[1])):
        ours, peers = (a.get(subject, []) for a in answers)
        for i in range(max(len(ours), len(peers))):
            one, other = (texts[i] if i < len(texts) else "(nothing)" for texts in (ours, peers))
            if one != other:
                differences += 1
                print(f"{subject} [{i}]\n  ours: {one}\n  peer: {other}")
    print(f"{sum(map(len, answers[1].values()))} events of {len(answers[1])} subjects, {differences} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
