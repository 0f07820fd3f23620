#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests to the system account: every service of one server, with and without options, by the system's user and by users of
accounts, on both servers with the same configuration and the same clients. Every key, in its order, and every value is compared;
ids, times and measures are masked by key (MASKED), and what the peer's own subscriptions count.

    system_services.py --ours build/release/millrace --peer /tmp/peer/nats-server [--shards 2] [--show]
"""
import argparse
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import wire  # noqa: E402

CONFIG = """
server_name: SERVICES
server_tags: ["zone:a", "Disk:SSD"]
server_metadata: {rack: "7"}
jetstream { store_dir: "{dir}/js", domain: hub }
accounts {
  A {
    jetstream: enabled
    users: [ {user: a, password: a},
             {user: r, password: r, permissions: {publish: {allow: ["$SYS.REQ.USER.INFO", "x.>"], deny: "x.y"},
                                                   subscribe: {allow: ["_I.>", "q.* work"], deny: "z"}, allow_responses: {max: 3, expires: "2s"}}} ]
    exports: [ {service: "svc.>", accounts: [B]}, {stream: "st.>"} ]
    mappings: { "m.1": "m.2" }
  }
  B {
    users: [ {user: b, password: b} ]
    imports: [ {service: {account: A, subject: "svc.x"}, to: "x"}, {stream: {account: A, subject: "st.1"}, prefix: p} ]
  }
  "$SYS" { users: [ {user: s, password: s} ] }
}
"""

SERVER = ["VARZ", "CONNZ", "SUBSZ", "ROUTEZ", "GATEWAYZ", "LEAFZ", "ACCOUNTZ", "JSZ", "HEALTHZ", "PROFILEZ", "EXPVARZ", "IPQUEUESZ", "RAFTZ", "STATSZ", "IDZ"]
FILTERS = ['{}', 'null', ' ', '{"server_name":"SERV"}', '{"server_name":"SERV","exact_match":true}', '{"server_name":"SERVICES","exact_match":true}', '{"host":"0.0"}',
           '{"host":"127"}', '{"cluster":"c"}', '{"tags":["zone:a"]}', '{"tags":["DISK:ssd","zone:a"]}', '{"tags":["other"]}', '{"domain":"hub"}', '{"domain":"other"}', '{"SERVER_NAME":"none"}']
BROKEN = ['x', '[]', '"a"', '1', '{', '{"server_name":1}', '{"exact_match":"yes"}', '{"tags":"a"}', '{"tags":[1]}', '{"tags":{}}', '{"host":null} x', '{"unknown":1}', '{"server_name":"a","domain":[],"host":2}']
OPTIONS = {
    "CONNZ": ['{"limit":"x"}', '{"limit":1.5}', '{"limit":99999999999999999999}', '{"cid":-1}', '{"sort":"zzz"}', '{"sort":1}', '{"state":"open"}', '{"state":7}', '{"state":1}',
              '{"state":2,"auth":true}', '{"auth":true}', '{"acc":"A","auth":true}', '{"acc":"A"}', '{"acc":"nope"}', '{"user":"a"}', '{"user":"a","auth":true}', '{"subscriptions":true}',
              '{"subscriptions_detail":true}', '{"filter_subject":"st.1"}', '{"acc":"A","filter_subject":"st.1"}', '{"acc":"A","filter_subject":"nobody"}', '{"limit":1}', '{"offset":1,"limit":1}',
              '{"limit":-1,"offset":-1}', '{"sort":"subs"}', '{"sort":"start"}', '{"sort":"stop"}', '{"sort":"reason","state":1}', '{"mqtt_client":"m"}', '{"cid":1000000}'],
    "SUBSZ": ['{"test":"a.*"}', '{"subscriptions":true,"test":"st.1"}', '{"subscriptions":true,"account":"A"}', '{"subscriptions":"x"}', '{"limit":1,"subscriptions":true,"account":"B"}'],
    "ACCOUNTZ": ['{"account":"nope"}', '{"account":1}'],
    "JSZ": ['{"accounts":true}', '{"account":"A"}', '{"account":"A","streams":true}', '{"account":"A","consumer":true,"config":true}', '{"account":"nope"}', '{"leader_only":true}', '{"limit":"x"}', '{"raft":true}'],
    "HEALTHZ": ['{"stream":"x"}', '{"account":"A","consumer":"c"}', '{"account":"A","stream":"S"}', '{"account":"A","stream":"nope"}', '{"account":"nope"}', '{"details":true}', '{"account":"nope","details":true}',
                '{"js-enabled-only":true}', '{"js-server-only":1}', '{"account":"A","stream":"S","consumer":"nope","details":true}'],
    "PROFILEZ": ['{"name":"cpu"}', '{"name":"cpu","duration":16000000000}', '{"name":"none"}', '{"duration":"1s"}', '{"debug":"x"}'],
    "GATEWAYZ": ['{"accounts":true}', '{"accounts":1}'],
    "ROUTEZ": ['{"subscriptions":1}'],
    "LEAFZ": ['{"account":1}', '{"subscriptions":true}'],
    "RAFTZ": ['{"account":"A"}', '{"group":1}'],
    "IPQUEUESZ": ['{"all":1}'],
}
ACCOUNT = ["SUBSZ", "CONNZ", "LEAFZ", "JSZ", "INFO", "STATZ", "CONNS"]

MASKED = {
    "server_id", "id", "seq", "time", "timestamp", "now", "start", "stop", "last_activity", "uptime", "idle", "rtt", "mem", "cpu", "cores", "gomaxprocs", "port", "http_port",
    "config_load_time", "config_digest", "max_storage", "store_dir", "max_memory", "git_commit", "go", "cid", "created", "ts", "first_ts", "last_ts", "update_time", "num_cache", "num_inserts",
    "num_removes", "num_matches", "cache_hit_rate", "max_fanout", "avg_fanout", "total_connections", "memstats", "cmdline", "sid", "millrace", "api", "expires",
    # Subscriptions of the server itself are counted by the peer, which has others, and for each account.
    "num_subscriptions", "subscriptions", "in_msgs", "in_bytes", "in_client_msgs", "in_client_bytes", "out_msgs", "out_bytes", "out_client_msgs", "out_client_bytes",
}
# Where they count what the server itself has sent and heard.
TRAFFIC = {"sent", "received", "sent_to_clients", "received_from_clients"}


def own(subscription):
    return subscription.get("subject", "").startswith("$")


def masked(value, key=None):
    if key in TRAFFIC and isinstance(value, dict):
        return sorted(value)
    if key in MASKED and not isinstance(value, (dict, list)):
        return f"<{type(value).__name__}>" if not isinstance(value, (int, float)) or isinstance(value, bool) else "<number>"
    if key in ("memstats", "cmdline", "api", "millrace"):
        return "<>"
    if isinstance(value, dict):
        pairs = [(k, masked(v, k)) for k, v in value.items() if k != "millrace"]
        return dict(pairs)
    if isinstance(value, list):
        if key in ("subscriptions_list", "subscriptions_list_detail"):
            value = [v for v in value if not (own(v) if isinstance(v, dict) else v.startswith("$"))]
            value.sort(key=lambda v: json.dumps(v if not isinstance(v, dict) else [v.get("account"), v["subject"]]))
        if key in ("accounts", "allow", "deny"):
            value = sorted(value)
        return [masked(v) for v in value]
    return value


def ordered(value):
    """With the order of keys in it, so that equal means equal order too."""
    if isinstance(value, dict):
        return [[k, ordered(v)] for k, v in value.items()]
    if isinstance(value, list):
        return [ordered(v) for v in value]
    return value


class Client:
    def __init__(self, port, user, more=""):
        self.wire = wire.Connection(port)
        self.wire.send(b'CONNECT {"user":"%s","pass":"%s","name":"client-%s","lang":"py","version":"1.2","verbose":false,"headers":true,"no_responders":true,"protocol":1%s}\r\nSUB _I.> 1\r\n' % (
            user.encode(), user.encode(), user.encode(), more.encode()))
        self.settle()
        self.asked = 0

    def settle(self):
        self.wire.send(b"PING\r\n")
        while True:
            line = self.wire.read_line()
            if line == b"PONG":
                return
            if line.startswith(b"-ERR"):
                raise AssertionError(line)

    def ask(self, subject, body=b"", header=b"", wait=wire.IO_TIMEOUT_S):
        """(header, payload); an -ERR is its text; None when nothing comes."""
        self.asked += 1
        reply = f"_I.{self.asked}"
        if header:
            block = b"NATS/1.0\r\n" + header + b"\r\n\r\n"
            self.wire.send(b"HPUB %s %s %d %d\r\n%s%s\r\n" % (subject.encode(), reply.encode(), len(block), len(block) + len(body), block, body))
        else:
            self.wire.send(b"PUB %s %s %d\r\n%s\r\n" % (subject.encode(), reply.encode(), len(body), body))
        self.wire.socket.settimeout(wait)
        try:
            while True:
                line = self.wire.read_line()
                if line.startswith((b"MSG ", b"HMSG ")):
                    words = line.split()
                    payload = self.wire.read_exactly(int(words[-1]) + 2)[:-2]
                    cut = int(words[-2]) if words[0] == b"HMSG" else 0
                    if words[1].decode() == reply:
                        return payload[:cut], payload[cut:]
                elif line.startswith(b"-ERR"):
                    return b"", line
                elif line == b"PING":
                    self.wire.send(b"PONG\r\n")
        except (TimeoutError, wire.Closed):
            return None
        finally:
            self.wire.socket.settimeout(wire.IO_TIMEOUT_S)


def questions():
    """(user, subject, body, header) of each."""
    yield from (("s", "$SYS.REQ.SERVER.PING", body, b"") for body in ["", *FILTERS, *BROKEN])
    for name in SERVER:
        yield from (("s", f"$SYS.REQ.SERVER.PING.{name}", body, b"") for body in ["", *FILTERS, *BROKEN])
        yield ("s", f"$SYS.REQ.SERVER.ID.{name}", "", b"")
        yield from (("s", f"$SYS.REQ.SERVER.ID.{name}", body, b"") for body in OPTIONS.get(name, ()))
    for name in ACCOUNT:
        for account in ("A", "B", "$G", "$SYS", "nope", "PING"):
            yield ("s", f"$SYS.REQ.ACCOUNT.{account}.{name}", "", b"")
        yield from (("s", f"$SYS.REQ.ACCOUNT.A.{name}", body, b"") for body in [*FILTERS[3:5], *BROKEN, *OPTIONS.get(name, ())] if name != "CONNS")
    for body in ('{"accounts":["A","B"]}', '{"accounts":["nope"]}', '{"include_unused":true}', '{"accounts":["nope"],"include_unused":true}', '{"accounts":"A"}', '{"accounts":[1]}'):
        yield ("s", "$SYS.REQ.ACCOUNT.PING.STATZ", body, b"")
    for user in ("a", "b", "r", "s"):
        yield (user, "$SYS.REQ.USER.INFO", "", b"")
    yield ("s", "$SYS.REQ.USER.A.INFO", "", b"")
    for user in ("a", "b"):
        for subject in ("$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.PING.STATZ"):
            yield from ((user, subject, body, b"") for body in ("", '{"acc":"A"}', '{"auth":true}', '{"accounts":["A"]}', "x"))
        yield from ((user, subject, "", b"") for subject in ("$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.VARZ", "$SYS.REQ.ACCOUNT.A.STATZ", "$SYS.DEBUG.SUBSCRIBERS", "$SYS.REQ.USER.A.INFO"))
    yield from (("s", "$SYS.DEBUG.SUBSCRIBERS", body, b"") for body in ("", "_I.1", "_I.>", " _I.1 ", "_I.1 q", ">", "nobody"))
    yield from (("s", "$SYS.REQ.ACCOUNT.NSUBS", body, b"") for body in
                ('{"acc":"A","subject":"st.1"}', '{"acc":"A","subject":"st.>"}', '{"acc":"A","subject":"q.1"}', '{"acc":"A","subject":"q.1","queue":"d29yaw=="}', '{"acc":"A","subject":"q.*","queue":"bm8="}'))
    yield from (("s", f"$SYS.REQ.SERVER.{at}.{name}", "", b"") for at in ("PING", "ID", "NOBODY") for name in ("NOPE", "VARZ.x", "LDM", "KICK", "RELOAD") if at != "ID" or name in ("NOPE", "VARZ.x"))
    yield from (("s", "$SYS.REQ.SERVER.PING.LEAFZ", "", b"Accept-Encoding: " + coding) for coding in (b"snappy", b"S2", b"br"))
    yield from (("s", "$SYS.REQ.SERVER.ID.KICK", body, b"") for body in ('{"cid":1000000}', '{"cid":1000000,"server_name":"other"}'))
    yield from (("s", "$SYS.REQ.SERVER.ID.LDM", body, b"") for body in ('{"cid":1000000}',))
    yield ("s", "$SYS.REQ.SERVER.ID.RELOAD", '{"server_name":"other"}', b"")
    yield ("s", "$SYS.REQ.SERVER.ID.RELOAD", '{"server_name":1}', b"")
    yield ("s", "$SYS.REQ.SERVER.ID.RELOAD", "", b"")


# Asked of both, and answered by the two in ways that have nothing to do with each other.
ONLY_KEYS = {"IPQUEUESZ", "EXPVARZ"}


def seen(answer, subject):
    if answer is None:
        return "nothing"
    header, payload = answer
    if header.startswith(b"NATS/1.0 503"):
        return "no responders"
    said = [header.decode()] if header else []
    if b"snappy" in header:
        return said + [payload[:10].hex()]
    try:
        value = json.loads(payload)
    except ValueError:
        return said + [payload.decode()]
    if subject.rsplit(".", 1)[1] in ONLY_KEYS and "error" not in value:
        return said + [sorted(value)]
    return said + [ordered(masked(value))]


def prepare(server):
    """The clients that both have, and a stream."""
    clients = {user: Client(server.port, user) for user in ("a", "b", "r", "s")}
    a = clients["a"]
    a.wire.send(b"SUB st.> 2\r\nSUB q.* work 3\r\nSUB q.* work 4\r\n")
    a.settle()
    clients["b"].wire.send(b"SUB x.y 2\r\nSUB p.st.1 3\r\n")
    clients["b"].settle()
    assert b'"error"' not in a.ask("$JS.API.STREAM.CREATE.S", b'{"name":"S","subjects":["js.>"]}')[1]
    assert b'"error"' not in a.ask("$JS.API.CONSUMER.CREATE.S.C", b'{"stream_name":"S","config":{"name":"C","durable_name":"C","ack_policy":"explicit"}}')[1]
    gone = Client(server.port, "b")
    gone.wire.shut_down()
    return clients


def ask_all(server):
    clients = prepare(server)
    server_id = clients["s"].wire.info["server_id"]
    answers = []
    for user, subject, body, header in questions():
        silent = any(f in body for f in ('"host":"0.0"', '"cluster"', '"other"', '"none"', '"SERV","exact'))
        wait = 0.15 if silent or subject.endswith(("CONNS", "STATZ", "NSUBS")) else 2
        answer = clients[user].ask(subject.replace(".ID.", f".{server_id}."), body.encode(), header, wait)
        answers.append(((user, subject, body, header.decode()), seen(answer, subject)))
    answers += act(server, clients, server_id)
    for client in clients.values():
        client.wire.close()
    return answers


def act(server, clients, server_id):
    """What changes the server: one client is told to go, one is kicked, and the configuration is loaded again."""
    system = clients["s"]
    told, kicked = Client(server.port, "a"), Client(server.port, "a")
    found = []
    for client, name in ((told, "LDM"), (kicked, "KICK")):
        cid = int(client.wire.info["client_id"])
        answer = system.ask(f"$SYS.REQ.SERVER.{server_id}.{name}", b'{"cid":%d}' % cid)
        found.append((("s", name, "its cid", ""), seen(answer, "a." + name)))
    line = told.wire.read_line()
    info = json.loads(line[5:])
    found.append((("told", "INFO", "", ""), ["ldm", info.get("ldm"), sorted(k for k in info if k not in ("git_commit", "connect_urls"))]))
    try:
        while True:
            found.append((("kicked", "hears", "", ""), kicked.wire.read_line().decode()))
    except wire.Closed:
        pass
    reasons = json.loads(system.ask("$SYS.REQ.SERVER.PING.CONNZ", b'{"state":1,"sort":"stop"}')[1])["data"]["connections"]
    found.append((("kicked", "reason", "", ""), sorted(c["reason"] for c in reasons)))
    silent = Client(server.port, "a", ',"protocol":0')
    cid = int(silent.wire.info["client_id"])
    found.append((("s", "LDM", "of an old client", ""), seen(system.ask(f"$SYS.REQ.SERVER.{server_id}.LDM", b'{"cid":%d}' % cid), "a.LDM")))
    with open(os.path.join(server.dir, "server.conf"), "a", encoding="utf-8") as config:
        config.write("\nnonsense_here: 1\n")
    answer = system.ask(f"$SYS.REQ.SERVER.{server_id}.RELOAD")
    text = json.dumps(seen(answer, "a.RELOAD")).replace(server.dir, "DIR")
    found.append((("s", "RELOAD", "a broken file", ""), text))
    return found


def difference(ours, peer, path=""):
    if type(ours) is not type(peer) or not isinstance(ours, list) or len(ours) != len(peer):
        return f"{path}: ours {json.dumps(ours)[:600]}\n      peer {json.dumps(peer)[:600]}"
    for i, (a, b) in enumerate(zip(ours, peer)):
        if a != b:
            name = a[0] if isinstance(a, list) and len(a) == 2 and isinstance(a[0], str) else str(i)
            return difference(a, b, f"{path}/{name}")
    return f"{path}: ours {ours!r}\n      peer {peer!r}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", required=True)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--show", action="store_true", help="print every answer of ours")
    args = parser.parse_args()
    with wire.Server(args.ours, ["--shards", str(args.shards)], CONFIG, monitor=True) as server:
        ours = ask_all(server)
        if not server.alive():
            print(server.log_tail())
    with wire.Server(args.peer, [], CONFIG, monitor=True) as server:
        peer = ask_all(server)
    wrong = 0
    for (question, a), (_, b) in zip(ours, peer):
        if args.show:
            print(question, json.dumps(a))
        if a == b:
            continue
        wrong += 1
        print(f"{' '.join(part for part in question if part)}\n    {difference(a, b)}")
    if len(ours) != len(peer):
        wrong += 1
        print(f"{len(ours)} answers of ours, {len(peer)} of the peer")
    print(f"system services, {args.shards} shard(s): {len(ours)} answers, {wrong} different")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
