#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Starts our server and the peer with the same flags, makes the same connections to both, asks both
for the same monitoring pages, and compares status, headers, keys and their order, types and formatting.

usage: compare_with_peer.py --ours build/nats-server --peer /path/to/nats-server
                            [--accounts | --jetstream | --shared] [--verbose]
With --shared accounts export, import, map and have limits and JetStream; all pages are compared again after each of
several reloads.
Values that depend on time, chance or the machine are compared by shape only. Ends with 1 on a difference.
"""

import argparse
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

HEAD = """
server_name: same
server_tags: ["b:2", "A:<1>"]
server_metadata: {zone: "a&b"}
"""
ONE_ACCOUNT = HEAD + """
authorization { users: [{user: a, password: a}, {user: b, password: b}] }
no_auth_user: a
"""
ACCOUNTS = HEAD + """
accounts {
  A { users: [{user: a, password: a}] }
  B { users: [{user: b, password: b}] }
  SYS { users: [{user: s, password: s}] }
}
system_account: SYS
no_auth_user: a
"""

# With limits of its own, so that both see the same; DIRECTORY differs.
JETSTREAM = ONE_ACCOUNT + """
jetstream { store_dir: 'DIRECTORY', max_mem: 1GB, max_file: 2GB, domain: hub, limits { max_ack_pending: 5000 } }
"""

# Accounts that share what they have. What comes after is what a reload changes: texts and what takes their place.
SHARED = HEAD + """
accounts {
  A {
    users: [{user: a, password: a}, {user: a2, password: a}]
    exports: [
      {stream: "s.>"}, {stream: "t.*", accounts: [B, C]}, {stream: "p.*.x", account_token_position: 2},
      {service: "q.>"}, {service: "q.list", accounts: [B], response: stream, threshold: 1s},
      {service: "q.part", response: chunked}, {service: "q.lat", latency: {subject: lat.out, sampling: 50}},
      {service: "q.head", latency: {subject: lat.out, sampling: headers}}, {service: tr, allow_trace: true}
    ]
    mappings: {
      foo: bar, "m.*": [{destination: "n.$1", weight: 30}, {destination: "o.{{wildcard(1)}}", weight: 20%},
                        {destination: east, weight: 50, cluster: east}],
      w: [{destination: w1, weight: 40}], loss: [{destination: loss, weight: 30}, {destination: x, weight: 60}]
    }
  }
  B {
    users: [{user: b, password: b}]
    imports: [
      {stream: {account: A, subject: "s.>"}}, {stream: {account: A, subject: "t.*"}, to: "tt.*"},
      {stream: {account: A, subject: "s.*.x"}, to: "ttt.$1"}, {stream: {account: A, subject: "s.1"}, prefix: pp},
      {service: {account: A, subject: "q.lat"}, to: "my.lat"}, {service: {account: A, subject: "q.head"}},
      {service: {account: A, subject: "q.*"}, to: "my.*", share: true},
      {service: {account: A, subject: "q.*.*"}, to: "your.$2.$1"}, {service: {account: A, subject: "q.list"}}
    ]
    limits { max_conn: 10, max_subs: 100 }
  }
  C { users: [{user: c, password: c}], jetstream { max_mem: 1MB, max_file: 1MB } }
  D { jetstream: enabled }
  SYS { users: [{user: s, password: s}] }
}
system_account: SYS
no_auth_user: a
mappings { gg: hh }
jetstream { store_dir: 'DIRECTORY', max_mem: 1GB, max_file: 2GB }
"""
TOO_MUCH = "JetStream: more is promised than there is"
RELOADS = [
    ("exports, imports and mappings go", [
        ('{service: {account: A, subject: "q.list"}}', ''), ('{service: "q.list", accounts: [B], response: stream, threshold: 1s},', ''),
        ('{stream: {account: A, subject: "s.1"}, prefix: pp},', ''), ('w: [{destination: w1, weight: 40}],', ''),
        ('mappings { gg: hh }', ''), ('D { jetstream: enabled }', 'D { }')]),
    ("limits, an account more, one less, a user who moves", [
        ('max_conn: 10', 'max_conn: 3'), ('D { }', 'E { users: [{user: e, password: e}] }'),
        (', {user: a2, password: a}', ''), ('[{user: c, password: c}]', '[{user: c, password: c}, {user: a2, password: a}]')]),
    ("JetStream goes and comes", [
        ('jetstream { max_mem: 1MB, max_file: 1MB }', ''), ('E {', 'E { jetstream { max_file: 10MB }, ')]),
    (TOO_MUCH, [('max_file: 10MB', 'max_file: 3GB')]),
]

SORTS = ("cid", "start", "subs", "pending", "msgs_to", "msgs_from", "bytes_to", "bytes_from", "last", "idle",
         "uptime", "rtt", "stop", "reason", "x")

# ACC stands for the account of user a. With one account the peer forgets $G for closed connections and
# so finds none by that name; we find them (broker/monitor/README.md), hence no such page here.
PAGES = [
    "/varz", "/varz?callback=x", "/connz", "/connz?subs=1", "/connz?subs=detail&auth=1",
    "/connz?auth=true&subs=true&limit=1", "/connz?offset=1&limit=1", "/connz?limit=0", "/connz?limit=-1",
    "/connz?offset=-1", "/connz?offset=99", "/connz?cid=999999", "/connz?state=closed",
    "/connz?state=closed&subs=detail&auth=1", "/connz?state=any&subs=1", "/connz?acc=ACC&auth=1",
    "/connz?state=closed&sort=stop", "/connz?state=closed&sort=reason", "/connz?acc=nope",
    "/connz?user=b&auth=1", "/connz?user=nobody", "/connz?mqtt_client=x",
    *[f"/connz?sort={sort}" for sort in SORTS],
    "/connz?limit=a", "/connz?limit=%zz", "/connz?limit=99999999999999999999", "/connz?limit=%2B1",
    "/connz?cid=-1", "/connz?subs=z", "/connz?auth=q", "/connz?state=x", "/connz?offset=1.5",
    "/subsz", "/subsz?acc=ACC", "/subsz?subs=1&acc=ACC", "/subsz?subs=1&acc=ACC&test=foo.x.y",
    "/subsz?acc=nope&subs=1", "/subsz?test=a.*", "/subsz?subs=q", "/subscriptionsz?acc=ACC",
    "/healthz", "/healthz?details=1", "/healthz?js-enabled-only=true", "/healthz?js-server-only=true",
    "/healthz?js-enabled=q", "/healthz?stream=s", "/healthz?stream=s&details=1",
    "/healthz?account=A&consumer=c", "/routez", "/routez?subs=q", "/gatewayz", "/gatewayz?accs=q", "/leafz",
    "/accountz", "/accountz?acc=nope", "/accstatz", "/accstatz?unused=q", "/jsz", "/jsz?limit=q", "/raftz",
    "/ipqueuesz", "/nope", "/healthz/", "//healthz", "/x/../healthz?a=1", "/HEALTHZ",
]
ACCOUNT_PAGES = ["/connz?state=ALL&acc=A", "/connz?state=closed&acc=B&auth=1", "/subsz?subs=1&acc=B&limit=1"]
SHARED_PAGES = [
    *(f"/accountz?acc={name}" for name in ("A", "B", "C", "D", "E", "SYS", "$G", "$SYS", "a")), "/accountz",
    *(f"/connz?acc={name}&auth=1&state=any" for name in ("A", "B", "C", "E", "SYS", "$SYS", "D", "nope")),
    "/connz?auth=1&subs=detail", "/connz?acc=A&subs=1", "/connz?acc=A&user=a2&auth=1", "/connz?acc=B&user=a",
    "/connz?acc=A&limit=1", "/connz?acc=B&state=closed&auth=1&subs=detail", "/connz?state=closed&acc=SYS",
    *(f"/subsz?acc={name}" for name in ("A", "B", "C", "D", "$G", "nope")),
    "/accstatz", "/accstatz?unused=1", "/accstatz?unused=0", "/varz",
    "/jsz", "/jsz?accounts=1", "/jsz?acc=C&streams=1&consumers=1&config=1", "/jsz?acc=C", "/jsz?acc=D", "/jsz?acc=E",
    "/jsz?acc=A", "/jsz?acc=SYS", "/jsz?accounts=1&limit=1", "/jsz?accounts=1&offset=1", "/healthz",
    *(f"/healthz?account={name}&details=1" for name in ("A", "C", "D", "E", "SYS", "nope")),
    "/healthz?account=C&stream=S", "/healthz?account=C&stream=T", "/healthz?account=A&stream=S",
    "/healthz?account=C&stream=S&consumer=PULL", "/healthz?account=C&stream=S&consumer=no&details=1",
]
# G stands for the account $G.
JETSTREAM_PAGES = [page.replace("G", "$G") if "acc" in page else page for page in (
    "/jsz", "/jsz?acc=G", "/jsz?acc=nope", "/jsz?accounts=1", "/jsz?accounts=1&offset=1", "/jsz?accounts=1&limit=-1",
    "/jsz?accounts=1&offset=5&limit=2", "/jsz?streams=1", "/jsz?streams=1&config=1", "/jsz?acc=G&streams=1",
    "/jsz?consumers=1", "/jsz?consumers=1&config=1", "/jsz?consumers=1&direct-consumers=1&config=1",
    "/jsz?raft=1&consumers=1", "/jsz?leader-only=1", "/jsz?stream-leader-only=1&streams=1", "/jsz?offset=x",
    "/jsz?accounts=2", "/jsz?raft=q", "/varz", "/accountz?acc=nope", "/healthz?js-meta-only=1", "/healthz",
    "/healthz?details=1", "/healthz?js-enabled-only=1", "/healthz?js-server-only=1", "/healthz?account=G",
    "/healthz?account=nope", "/healthz?account=nope&details=1", "/healthz?account=G&stream=FILE",
    "/healthz?account=G&stream=no", "/healthz?account=G&stream=no&details=1",
    "/healthz?account=G&stream=FILE&consumer=PULL", "/healthz?account=G&stream=FILE&consumer=no",
    "/healthz?account=G&stream=FILE&consumer=no&details=1", "/healthz?consumer=PULL",
)]

# Keys whose value is one machine's, one moment's or one implementation's.
LOOSE = {
    "server_id", "now", "start", "last_activity", "stop", "config_load_time", "update_time", "uptime", "idle",
    "rtt", "mem", "cpu", "cores", "gomaxprocs", "gomemlimit", "port", "http_port", "config_digest",
    "cid", "git_commit", "go", "num_cache", "num_matches", "num_inserts", "num_removes", "cache_hit_rate",
    "created", "first_ts", "last_ts", "ts", "last_active", "active", "store_dir", "max_fanout", "avg_fanout", "subscriptions_total", "pending_bytes", "stalls",
}
# In /varz and /subsz the peer counts the subscriptions of its own services.
INTERNAL = {"subscriptions", "num_subscriptions", "total", "total_connections"}
# In these accounts, with --shared, the server has subscriptions of its own; in all others they are compared.
OWN_ACCOUNTS = ("SYS", "C", "D", "E", "$SYS")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, path, directory, text):
        self.port, self.http = free_port(), free_port()
        self.config = os.path.join(directory, os.path.basename(path) + f".{self.port}.conf")
        self.directory = directory
        self.path = path
        self.write_config(text)
        self.log = open(os.path.join(directory, os.path.basename(path) + f".{self.port}.log"), "w+")
        self.process = subprocess.Popen(
            [path, "-c", self.config, "-a", "127.0.0.1", "-p", str(self.port), "-m", str(self.http)],
            stderr=self.log, stdout=self.log)
        deadline = time.monotonic() + 10
        while True:
            try:
                self.get("/healthz")
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self.log.seek(0)
                    raise SystemExit(f"{path} does not start:\n{self.log.read()}")
                time.sleep(0.02)

    def write_config(self, text):
        store = os.path.join(self.directory, f"store-{self.port}")
        with open(self.config, "w") as f:
            f.write(text.replace("DIRECTORY", store))

    def reload(self, text):
        """Returns what was logged, without times."""
        begin = os.path.getsize(self.log.name)
        self.write_config(text)
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while True:
            with open(self.log.name) as log:
                log.seek(begin)
                lines = re.findall(r"(\[[A-Z]{3}\] .*)", re.sub(r"sha256:[0-9a-f]+", "DIGEST", log.read()))
            if any("Reloaded server config" in line or "Failed to reload" in line for line in lines):
                # Ours says besides what becomes of streams whose account has lost JetStream.
                return [line for line in lines if "[DBG]" not in line and "streams are kept, and not served" not in line]
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.path} does not reload: {lines}")
            time.sleep(0.02)

    def get(self, target, method="GET"):
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=10)
        connection.putrequest(method, target, skip_accept_encoding=True)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), body.decode("utf-8")

    def client(self, connect, lines=b""):
        s = socket.create_connection(("127.0.0.1", self.port))
        s.settimeout(5)
        reader = s.makefile("rb")
        assert reader.readline().startswith(b"INFO ")
        s.sendall(b"CONNECT " + connect + b"\r\n" + lines + b"PING\r\n")
        while True:
            line = reader.readline()
            if not line or line.startswith(b"-ERR"):
                raise SystemExit(f"client refused: {line}")
            if line.startswith(b"PONG"):
                return s, reader

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def ping(client):
    s, reader = client
    s.sendall(b"PING\r\n")
    while not reader.readline().startswith(b"PONG"):
        pass


def populate(server):
    """Two clients that stay, one that goes."""
    a = server.client(b'{"verbose":false,"user":"a","pass":"a","name":"na<m>e \\u2028 \\u0001 \\"q\\" \xc3\xa9",'
                      b'"lang":"py","version":"1"}', b"SUB foo.> qq 1\r\nSUB bar 2\r\nUNSUB 2 7\r\n")
    b = server.client(b'{"verbose":false,"user":"b","pass":"b"}')
    c = server.client(b'{"verbose":false,"user":"b","pass":"b","name":"gone"}', b"SUB x.* 1\r\n")
    a[0].sendall(b"PUB foo.x.y 5\r\nhello\r\nPUB bar 2\r\nhi\r\n")
    ping(a)
    c[1].close()
    c[0].close()
    deadline = time.monotonic() + 5
    while json.loads(server.get("/connz")[2])["num_connections"] != 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    return a, b


def request(client, subject, body):
    s, reader = client
    payload = json.dumps(body).encode()
    s.sendall(b"PUB %s answers %d\r\n%s\r\n" % (subject.encode(), len(payload), payload))
    while True:
        line = reader.readline()
        if line.startswith((b"MSG", b"HMSG")):
            answer = json.loads(reader.read(int(line.split()[-1]) + 2))
            if "error" in answer:
                raise SystemExit(f"{subject}: {answer['error']}")
            return answer
        if not line:
            raise SystemExit(f"{subject}: no answer")


def populate_jetstream(server):
    """Streams on disk and in memory, messages, consumers of both kinds."""
    client = server.client(b'{"verbose":false,"user":"a","pass":"a"}', b"SUB answers 1\r\n")
    for stream in ({"name": "FILE", "subjects": ["file.>"], "description": "a <b> & \"c\"", "metadata": {"a": "b"},
                    "allow_direct": True},
                   {"name": "MEMORY", "subjects": ["memory"], "storage": "memory", "max_bytes": 1 << 20,
                    "discard": "new", "compression": "none"},
                   {"name": "EMPTY", "retention": "workqueue", "max_age": 10 ** 12}):
        request(client, "$JS.API.STREAM.CREATE." + stream["name"], stream)
    for number in range(5):
        request(client, f"file.{number % 3}", {"number": number})
    request(client, "memory", {})
    request(client, "$JS.API.STREAM.MSG.DELETE.FILE", {"seq": 2})
    for config in ({"durable_name": "PULL", "ack_policy": "explicit", "filter_subject": "file.1"},
                   {"durable_name": "PUSH", "ack_policy": "none", "deliver_subject": "nobody.listens"}):
        request(client, "$JS.API.CONSUMER.CREATE.FILE." + config["durable_name"] +
                ("." + config["filter_subject"] if "filter_subject" in config else ""),
                {"stream_name": "FILE", "config": config, "action": "create"})
    return client


def populate_shared(server):
    """Clients of three accounts that speak to each other, one of the system account, and a stream."""
    def client(user, lines=b"", password=None):
        name = user.encode()
        return server.client(b'{"verbose":false,"user":"%s","pass":"%s"}' % (name, (password or user).encode()), lines)
    a = client("a", b"SUB q.> 1\r\nSUB own 2\r\nSUB n.* 3\r\nSUB bar 4\r\n")
    a2 = client("a2", b"SUB own 1\r\n", "a")
    b = client("b", b"SUB s.> 1\r\nSUB tt.1 2\r\nSUB answer 3\r\nSUB > 4\r\nSUB ttt.* 5\r\n")
    c = client("c", b"SUB answers 1\r\n")
    s = client("s")
    gone = client("b", b"SUB s.9 1\r\n")
    gone[1].close()
    gone[0].close()
    request(c, "$JS.API.STREAM.CREATE.S", {"name": "S", "subjects": ["in.>"]})
    request(c, "in.1", {})
    request(c, "$JS.API.CONSUMER.CREATE.S.PULL", {"stream_name": "S", "action": "create", "config":
            {"durable_name": "PULL", "ack_policy": "explicit"}})
    a[0].sendall(b"PUB s.1 2\r\nhi\r\nPUB t.1 3\r\nabc\r\nPUB own 1\r\nx\r\nPUB foo 2\r\nfo\r\n")
    ping(a)
    b[0].sendall(b"PUB your.a.b answer 4\r\nwhat\r\n")
    line = a[1].readline()
    while not line.startswith(b"MSG q.b.a "):
        line = a[1].readline()
    a[0].sendall(b"PUB %s 2\r\nok\r\n" % line.split()[3])
    ping(a)
    while not b[1].readline().startswith(b"MSG answer "):
        pass
    ping(b)
    deadline = time.monotonic() + 5
    # The one that has gone has gone with what it had subscribed to, in both accounts.
    while time.monotonic() < deadline:
        removed = [json.loads(server.get("/subsz?acc=" + account)[2])["num_removes"] for account in ("A", "B")]
        if json.loads(server.get("/connz")[2])["num_connections"] == 5 and all(removed):
            break
        time.sleep(0.02)
    return a, a2, b, c, s


SHAPES = [
    (re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"), "<time>"),
    (re.compile(r"^(\d+y)?(\d+d)?(\d+h)?(\d+m)?[\d.]+(s|ms|µs|ns)$"), "<duration>"),
    (re.compile(r"^N[A-Z2-7]{55}$"), "<server id>"),
    (re.compile(r"^sha256:[0-9a-f]{64}$"), "<digest>"),
]


def shape(value):
    if isinstance(value, str):
        for pattern, name in SHAPES:
            if pattern.match(value):
                return name
        return "<text>"
    return {bool: "<bool>", int: "<number>", float: "<number>"}.get(type(value), "<other>")


def normal(value, page, key="", compared=False):
    """The value with what may differ replaced by its shape, the order of keys kept. compared: also counts that the
    server's own subscriptions are part of."""
    if isinstance(value, dict):
        name = value.get("account_name", value.get("acc"))
        compared = compared or (name is not None and name not in OWN_ACCOUNTS)
        return {k: normal(v, page, k, compared) for k, v in value.items()}
    if isinstance(value, list):
        items = [normal(v, page, "", compared) for v in value]
        unordered = key in ("stream_detail", "consumer_detail", "subscriptions_list", "subscriptions_list_detail", "accounts",
                             "account_statz", "exports", "imports", "approved_accounts")
        # Ties, and an order by chance.
        unordered |= key == "connections" and page.endswith(("sort=pending", "sort=rtt", "sort=reason"))
        return sorted(items, key=str) if unordered else items
    if key in LOOSE:
        return shape(value)
    counted = re.match(r"/subsz\?acc=(.*)", page)
    compared = compared or (counted is not None and counted.group(1) not in OWN_ACCOUNTS and "--shared" in sys.argv)
    if key in INTERNAL and not page.startswith("/connz") and not compared:
        return shape(value)
    return value


def without_internal(parsed):
    """Leaves out the subscriptions that belong to the server itself."""
    subs = parsed.get("subscriptions_list")
    if isinstance(subs, list):
        kept = [s for s in subs if not (isinstance(s, dict) and s["subject"].startswith("$SYS."))]
        if kept:
            parsed["subscriptions_list"] = kept
        else:
            del parsed["subscriptions_list"]
    # Answers of the API to the client of C hold times, whose length differs.
    if "--shared" in sys.argv:
        connections = parsed.get("connections")
        for each in connections if isinstance(connections, list) else []:
            if each.get("authorized_user") == "c":
                each["out_bytes"] = 0
        for each in parsed.get("account_statz", []):
            if each["acc"] == "C":
                each["sent"]["bytes"] = 0
            if each["acc"] in ("A", "B"):  # what comes through an import counts where it comes to, at the peer where from
                each["sent"]["msgs"] = each["sent"]["bytes"] = 0
        if "out_client_bytes" in parsed:
            parsed["out_bytes"] = parsed["out_client_bytes"] = 0
    parsed.pop("http_req_stats", None)
    parsed.pop("git_commit", None)
    return parsed


def reformatted(body):
    """The same JSON as a careful printer with two spaces would write it; finds indent and escape faults."""
    text = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    for plain, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028")):
        text = text.replace(plain, escaped)
    return text


def without_own(body, page):
    """/varz without its last key, which is ours alone."""
    page_of_all = json.loads(body)
    if page.startswith("/varz") and list(page_of_all)[-1] == "millrace":
        del page_of_all["millrace"]
    return page_of_all


def differences(page, ours, theirs):
    (status, headers, body), (peer_status, peer_headers, peer_body) = ours, theirs
    if status != peer_status:
        yield f"status {status}, peer {peer_status}"
    for name in ("Content-Type", "Access-Control-Allow-Origin", "X-Content-Type-Options", "Location"):
        if headers.get(name) != peer_headers.get(name):
            yield f"{name}: {headers.get(name)}, peer {peer_headers.get(name)}"
    if peer_headers.get("Content-Type") != "application/json":
        if body != peer_body:
            yield f"body {body!r}, peer {peer_body!r}"
        return
    mine = normal(without_internal(without_own(body, page)), page)
    peer = normal(without_internal(json.loads(peer_body)), page)
    a = json.dumps(mine, indent=1, ensure_ascii=False).splitlines()
    b = json.dumps(peer, indent=1, ensure_ascii=False).splitlines()
    if a != b:
        import difflib
        yield "\n    ".join(["body"] + [d for d in difflib.unified_diff(b, a, "peer", "ours", lineterm="", n=1)])
    if "\n" in peer_body and not re.search(r"\d\.\d+e", body) and reformatted(body) != body:
        yield "body is not formatted as the peer's"


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--ours", required=True)
    options.add_argument("--peer", required=True)
    options.add_argument("--accounts", action="store_true", help="three accounts instead of one")
    options.add_argument("--jetstream", action="store_true", help="what JetStream shows")
    options.add_argument("--shared", action="store_true", help="accounts with exports, imports, mappings, reloads")
    options.add_argument("--verbose", action="store_true")
    args = options.parse_args()
    failed = 0
    account = "A" if args.accounts else "$G"
    pages = [page.replace("ACC", account) for page in PAGES] + (ACCOUNT_PAGES if args.accounts else [])
    text = ACCOUNTS if args.accounts else ONE_ACCOUNT
    if args.jetstream:
        pages, text = JETSTREAM_PAGES, JETSTREAM
        # Answers of the API hold times, whose length differs.
        LOOSE.update(("in_bytes", "in_client_bytes", "out_bytes", "out_client_bytes"))
    if args.shared:
        pages, text = SHARED_PAGES, SHARED
    compared = 0
    with tempfile.TemporaryDirectory() as directory:
        servers = []
        try:
            for path in (args.ours, args.peer):
                servers.append(Server(path, directory, text))
            fill = populate_jetstream if args.jetstream else populate_shared if args.shared else populate
            clients = [fill(server) for server in servers]
            for name, changes in [("", [])] + (RELOADS if args.shared else []):
                for old, new in changes:
                    assert old in text, old
                    text = text.replace(old, new)
                if name:
                    print("after a reload: " + name)
                    logs = [server.reload(text) for server in servers]
                    if logs[0] != logs[1]:
                        failed += 1
                        print(f"FAIL log\n  {logs[0]}\n  peer {logs[1]}")
                for page in pages:
                    # The peer calls itself ill because of the streams of an account that has lost JetStream.
                    if name.startswith("JetStream") and page.startswith("/healthz"):
                        continue
                    # It leaves the other accounts half done, some of them, by chance.
                    if name == TOO_MUCH and not page.startswith("/jsz"):
                        continue
                    found = list(differences(page, *[server.get(page) for server in servers]))
                    failed += bool(found)
                    compared += 1
                    if found or args.verbose:
                        print(("FAIL " if found else "ok   ") + page)
                    for difference in found:
                        print("  " + difference)
            heads = [server.get("/healthz", "HEAD") for server in servers]
            if not args.shared and heads[0][1].get("Content-Length") != heads[1][1].get("Content-Length"):
                failed += 1
                print("FAIL HEAD /healthz", heads)
            stats = [json.loads(server.get("/varz")[2])["http_req_stats"] for server in servers]
            # Both waited for /healthz and /connz to answer, as often as it took.
            for one in stats:
                one.pop("/healthz", None)
                one.pop("/connz", None)
                one.pop("/subsz" if args.shared else None, None)
            if stats[0] != stats[1]:
                failed += 1
                print(f"FAIL http_req_stats {stats[0]}, peer {stats[1]}")
            del clients
        finally:
            for server in servers:
                server.stop()
    print(f"{compared} pages, {failed} differ")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
