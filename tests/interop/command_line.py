#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The nats command line asks both servers about themselves: `nats server …`, `nats account …`, `nats events`, as an operator does, with the
same configuration, clients and streams. Its answers are compared line by line: what is a measure, an id or a time is masked, the widths
of tables are not looked at. JSON is compared by value.

    command_line.py build/release/millrace /tmp/peer/nats-server [--nats /tmp/peer/nats] [--shards 2] [--show]
"""
import argparse
import json
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import wire  # noqa: E402
from install import nats_clis  # noqa: E402
from talk import Talker  # noqa: E402

CONFIG = """
server_name: DESK
server_tags: ["zone:a"]
jetstream { store_dir: "{dir}/js", max_mem: 64MB, max_file: 256MB }
accounts {
  A {
    jetstream: { max_mem: 16MB, max_file: 32MB, max_streams: 5, max_consumers: 9 }
    users: [ {user: a, password: x} ]
    exports: [ {service: "svc.>", accounts: [B]}, {stream: "st.>"} ]
    mappings: { "m.1": "m.2" }
  }
  B {
    users: [ {user: b, password: x} ]
    imports: [ {service: {account: A, subject: "svc.x"}, to: "x"}, {stream: {account: A, subject: "st.1"}, prefix: p} ]
    limits { max_connections: 50 }
  }
  "$SYS" { users: [ {user: s, password: x} ] }
}
"""

# As whom, and what. {id} is the server's, {cid} that of a client of A.
COMMANDS = [
    ("s", "server list"), ("s", "server list --json"), ("s", "server list 1"), ("s", "server list 2"), ("s", "server info"), ("s", "server info {id}"), ("s", "server info DESK"),
    ("s", "server info nope"), ("s", "server ping --count 1"), ("s", "server ping --id"), ("s", "server report accounts"), ("s", "server report accounts --json"), ("s", "server report accounts A"),
    ("s", "server report accounts --sort conns"), ("s", "server report connections"), ("s", "server report connections --json"), ("s", "server report connections --account A"),
    ("s", "server report connections --subject st.1"), ("s", "server report connections --username b"), ("s", "server report connections --state closed"),
    ("s", "server report connections --sort subs --top 2"), ("s", "server report connections --filter kind==\"Client\""), ("s", "server report jetstream"),
    ("s", "server report jetstream --account A"), ("s", "server report jetstream --json"), ("s", "server report health"), ("s", "server report health --json"), ("s", "server report cpu"),
    ("s", "server report mem"), ("s", "server report routes"), ("s", "server report gateways"), ("s", "server report leafnodes"), ("s", "server report downgrade 1"),
    ("s", "server request variables"), ("s", "server request variables --name DESK"), ("s", "server request variables --name nope"), ("s", "server request connections"),
    ("s", "server request connections --filter-account A"), ("s", "server request connections --filter-user b --subscriptions"), ("s", "server request subscriptions"),
    ("s", "server request subscriptions --detail --filter-account A"), ("s", "server request accounts"), ("s", "server request accounts --account A"), ("s", "server request jetstream"),
    ("s", "server request jetstream --account A --streams --consumer --config"), ("s", "server request jetstream-health"), ("s", "server request jetstream-health --js-enabled"),
    ("s", "server request jetstream-health --account A --stream ORDERS"), ("s", "server request routes"), ("s", "server request gateways"), ("s", "server request leafnodes"),
    ("s", "server request raft"), ("s", "server request ipqueue"), ("s", "server account info A"), ("s", "server account info B"), ("s", "server account info nope"),
    ("s", "server account purge A --force"), ("s", "server stream-check"), ("s", "server cluster step-down --force"), ("s", "server config reload {id} --force"), ("s", "server graph --help"),
    ("a", "server check connection"), ("a", "server check stream --stream ORDERS"), ("a", "server check stream --stream NOPE"), ("a", "server check consumer --stream ORDERS --consumer work"),
    ("a", "server check message --stream ORDERS --subject orders.1"), ("a", "server check jetstream"), ("a", "server check jetstream --format json"), ("a", "server check kv --bucket K"),
    ("a", "server check request --subject svc.x --payload hi"), ("s", "server check server --name DESK"), ("s", "server check server --name DESK --conn-warn 1 --conn-critical 100"),
    ("s", "server check meta --expect 1 --lag-critical 1 --seen-critical 1s"), ("a", "account info"), ("a", "account info --json"), ("b", "account info"), ("a", "account report connections"),
    ("a", "account report connections --json"), ("a", "account report statistics"), ("b", "account report statistics"), ("s", "account info"), ("a", "server list"), ("a", "server report connections"),
    ("a", "stream report"), ("a", "stream info ORDERS"), ("a", "stream subjects ORDERS"), ("a", "stream state ORDERS"), ("a", "consumer report ORDERS"), ("a", "consumer info ORDERS work"), ("a", "kv ls"),
    ("a", "kv info K"), ("a", "stream ls -a"), ("a", "stream get ORDERS 1"), ("a", "rtt"), ("a", "trace svc.x hi"), ("s", "server request kick {cid}"), ("s", "server request kick 999999"),
]

# Measures, ids and times: of whole members in JSON, of patterns in text.
MASKED = {"cpu", "mem", "cores", "gomaxprocs", "gomemlimit", "rtt", "start", "uptime", "now", "time", "seq", "id", "server_id", "cid", "port", "last_activity", "idle", "stop", "ts", "config_load_time", "created", "store_dir",
          "in_bytes", "out_bytes", "in_msgs", "out_msgs", "pid", "git_commit", "go", "http_req_stats", "expiry", "slow_consumer_stats", "config_digest", "xkey", "total_connections", "next_cid", "first_ts", "last_ts",
          "seconds", "memory", "latency", "ip", "sent", "received", "num_subs", "subscriptions", "num_subscriptions", "num_cache", "num_inserts", "num_removes", "num_matches", "cache_hit_rate", "max_fanout", "avg_fanout",
          "connections", "update_time", "http_port", "pending_bytes", "duration", "req", "sid", "first_responder_ns", "updated", "api", "total"}
PATTERNS = [
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"\bN[A-Z2-7]{55}\b"), "ID"),
    (re.compile(r"sha256:[0-9a-f]{64}"), "DIGEST"),
    (re.compile(r"[0-9A-Za-z]{22}\b(?=[ .\"]|$)"), "NUID"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?[+-]\d\d:?\d\d|Z)?( UTC)?"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)?(ns|µs|us|ms|s|m|h|d|y)(\d+(\.\d+)?(ns|µs|us|ms|s))*\b"), "SPAN"),
    (re.compile(r"127\.0\.0\.1:\d+"), "ADDRESS"),
    (re.compile(r"\b\d+(\.\d+)? ?(B|KiB|MiB|GiB|KB|MB|GB)\b"), "BYTES"),
    (re.compile(r"\b\d[\d,.]*\b"), "#"),
    (re.compile(r"[─━═╌╴╶╭╮╰╯├┤┬┴┼│┃║+|=-]+"), " "),
    (re.compile(r"\s+"), " "),
]


INBOX = re.compile(r"_INBOX\.[0-9A-Za-z.]+")
COUNTS = re.compile(r"(in|out)_client_(msgs|bytes)")
TRAFFIC = {"sent", "sent_to_clients", "received", "received_from_clients"}  # of the system account, by the moment

# What the peer has of its own and this server has not.
DIFFERENT = {"server request ipqueue": "no queues between threads", "server request subscriptions --detail --filter-account A": "the peer's own subscriptions"}


def masked_json(value):
    if isinstance(value, dict):
        return {k: "*" if k in TRAFFIC or COUNTS.fullmatch(k) or k in MASKED and not isinstance(v, (dict, list)) else masked_json(v)
                for k, v in value.items()}
    if isinstance(value, str):
        return INBOX.sub("INBOX", value)
    if isinstance(value, list):  # some have the order of the peer's maps
        return sorted((masked_json(v) for v in value), key=json.dumps)
    return value


def masked(text, server):
    lines = []
    for line in text.replace(server.dir, "DIR").replace(str(server.port), "PORT").splitlines():
        for pattern, replacement in PATTERNS:
            line = pattern.sub(replacement, line)
        if line.strip():
            lines.append(line.strip())
    return sorted(lines)  # some have the order of the peer's maps


def readable(text, server):
    """JSON by its values, where it is JSON; else the lines."""
    try:
        return masked_json(json.loads(text))
    except ValueError:
        pass
    try:
        return [masked_json(json.loads(line)) for line in text.splitlines() if line.strip()]
    except ValueError:
        return masked(text, server)


def run(nats, server, user, command, values):
    argv = [nats, "-s", "127.0.0.1:%d" % server.port, "--user", user, "--password", "x", "--timeout", "2s", "--no-context"]
    words = [re.sub(r"\{(\w+)\}", lambda m: values[m[1]], word) for word in command.split(" ")]
    env = dict(os.environ, HOME=server.dir, XDG_CONFIG_HOME=server.dir, NO_COLOR="1", COLUMNS="250")
    done = subprocess.run(argv + words, capture_output=True, text=True, timeout=60, env=env, stdin=subprocess.DEVNULL, check=False)
    return done.returncode, done.stdout + done.stderr


def api(talker, verb, body):
    talker.publish("$JS.API." + verb, json.dumps(body), "in.api")
    return talker.next()


def fill(talker):
    """Streams, a consumer and a bucket of A."""
    talker.subscribe("in.>")
    api(talker, "STREAM.CREATE.ORDERS", {"name": "ORDERS", "subjects": ["orders.>"], "storage": "file", "max_msgs": 100, "duplicate_window": 60000000000})
    api(talker, "STREAM.CREATE.KV_K", {"name": "KV_K", "subjects": ["$KV.K.>"], "storage": "memory", "max_msgs_per_subject": 3, "allow_direct": True, "deny_delete": True, "allow_rollup_hdrs": True, "discard": "new"})
    api(talker, "CONSUMER.CREATE.ORDERS.work", {"stream_name": "ORDERS", "config": {"durable_name": "work", "name": "work", "ack_policy": "explicit"}})
    for i in range(7):
        talker.publish("orders.%d" % i, "text %d" % i, "in.ack")
        talker.next()
    talker.publish("$KV.K.key", "value", "in.ack")
    talker.next()


def ask(path, flags, nats, show):
    answers = []
    with wire.Server(path, flags, CONFIG, monitor=True) as server:
        talkers = [Talker(server.port, user, name) for user, name in (("a", "worker"), ("b", "guest"), ("a", "service"))]
        talkers[1].subscribe("p.st.1", "own.*")
        fill(talkers[0])
        server_id = talkers[0].connection.info["server_id"]
        service = subprocess.Popen([nats, "-s", "127.0.0.1:%d" % server.port, "--user", "a", "--password", "x", "--no-context", "reply", "svc.x", "answer"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ, HOME=server.dir))
        prober = Talker(server.port, "a", "prober")
        prober.subscribe("probe.>")
        while True:  # until the service is there: nobody answers before
            prober.publish("svc.x", "", "probe.1")
            reply = prober.next()
            if reply is not None and "503" not in reply[3]:
                break
        prober.settle()
        prober.close()
        values = {"id": server_id, "cid": str(talkers[2].connection.info["client_id"])}
        try:
            for user, command in COMMANDS:
                code, text = run(nats, server, user, command, values)
                if show:
                    print("### %s: nats %s -> %d\n%s" % (user, command, code, text))
                answers.append(("%s: nats %s" % (user, command), code, readable(text, server)))
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait()
    return answers


def differences(ours, theirs, at=""):
    """[(where, ours, theirs)] of two values."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        found = []
        for key in list(ours) + [k for k in theirs if k not in ours]:
            found += differences(ours.get(key, "(absent)"), theirs.get(key, "(absent)"), at + "/" + key)
        return found
    if isinstance(ours, list) and isinstance(theirs, list):
        found = []
        for i in range(max(len(ours), len(theirs))):
            found += differences(ours[i] if i < len(ours) else "(absent)", theirs[i] if i < len(theirs) else "(absent)", "%s/%d" % (at, i))
        return found
    return [] if ours == theirs else [(at, ours, theirs)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs=2)
    parser.add_argument("--nats")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    nats = args.nats or nats_clis(print)[0][1]
    ours = ask(args.servers[0], ["--shards", str(args.shards)], nats, args.show)
    theirs = ask(args.servers[1], [], nats, args.show)
    different = 0
    for (command, code, answer), (_, peer_code, peer_answer) in zip(ours, theirs):
        found = differences(answer, peer_answer)
        if code != peer_code:
            found.insert(0, ("exit code", code, peer_code))
        why = DIFFERENT.get(command.split(": nats ")[1])
        if found and why:
            print("%s: %s" % (command, why))
            continue
        different += bool(found)
        if found:
            print(command)
        for where, mine, other in found[:12]:
            print("  %s\n    ours %s\n    peer %s" % (where, str(mine)[:300], str(other)[:300]))
    print("nats command line, %d shard(s): %d commands, %d different" % (args.shards, len(ours), different))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
