#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every key and flag of the option table: its effect is seen on the real binary, or it is refused or warned about by name.

    options.py --server build/release/millrace --probe build/release/tests/config/startup_probe [--only REGEX]

The probe prints the rows of the option table; each needs an entry here, and each entry a row. An entry is a function that starts the
broker and looks (`@effect`), a text with which the broker refuses or warns (REFUSED, WARNED), or the test that shows the effect where
the binary alone cannot (ELSEWHERE; the file must name it). A flag needs no entry of its own: that it sets what its key sets is seen in
--print-config. Prints one line per failure, then `N passed, N failed`.
"""
import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WAIT_S = 15
EFFECTS = {}
SERVER = None


def effect(*rows):
    def register(function):
        for row in rows:
            assert row not in EFFECTS, row
            EFFECTS[row] = function
        return function
    return register


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(condition, what):
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"never came: {what}")


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


class Broker:
    """A running broker. `{port}`, `{http}` and `{dir}` in the configuration are filled in; nothing is set that is not said."""

    def __init__(self, config="", *flags, listen=True, directory=None, environment=None):
        self.port, self.http = free_port(), free_port()
        self.own_dir = tempfile.TemporaryDirectory(prefix="options-")
        self.dir = directory or self.own_dir.name
        path = os.path.join(self.dir, "server.conf")
        head = "listen: 127.0.0.1:{port}\n" if listen else ""
        self.config_path = path
        self.write(head + config)
        self.head = head
        self.log_path = os.path.join(self.own_dir.name, "stderr")
        flags = [f.replace("{port}", str(self.port)).replace("{http}", str(self.http)).replace("{dir}", self.dir) for f in flags]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([SERVER, "-c", path, *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=dict(os.environ, **(environment or {})), cwd=self.dir)

    def write(self, config):
        with open(self.config_path, "w", encoding="utf-8") as f:
            f.write(config.replace("{port}", str(self.port)).replace("{http}", str(self.http)).replace("{dir}", self.dir))

    def reload(self, config):
        self.write(self.head + config)
        self.process.send_signal(signal.SIGHUP)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def client(self, host="127.0.0.1", **connect):
        def attempt():
            if self.process.poll() is not None:
                raise AssertionError("ended at its start: " + self.log())
            try:
                return Client(host, self.port, connect)
            except (ConnectionRefusedError, ConnectionResetError):
                return None
        return until(attempt, "a listening broker")

    def page(self, path):
        def attempt():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=WAIT_S) as r:
                    return r.read()
            except (ConnectionRefusedError, urllib.error.URLError) as e:
                if isinstance(e, urllib.error.HTTPError):
                    raise
                return None
        return json.loads(until(attempt, path))

    def wait(self):
        return self.process.wait(WAIT_S)

    def tasks(self, prefix):
        found = []
        base = f"/proc/{self.process.pid}/task"
        for task in os.listdir(base):
            with open(f"{base}/{task}/comm", encoding="ascii") as f:
                if f.read().startswith(prefix):
                    found.append(task)
        return found

    def status(self, key, task=None):
        path = f"/proc/{self.process.pid}/status" if task is None else f"/proc/{self.process.pid}/task/{task}/status"
        with open(path, encoding="ascii") as f:
            for line in f:
                if line.startswith(key + ":"):
                    return line.split(None, 1)[1].strip()
        return ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.own_dir.cleanup()


class Client:
    def __init__(self, host, port, connect, receive_buffer_bytes=None):
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if receive_buffer_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(WAIT_S)
        self.socket.connect((host, port))
        self.buffer = b""
        self.replies = 0
        line = self.line()
        self.info = json.loads(line[5:]) if line.startswith(b"INFO ") else None
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, **connect}
        self.send(f"CONNECT {json.dumps(options)}\r\n")

    def send(self, data):
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def line(self):
        while b"\r\n" not in self.buffer:
            data = self.socket.recv(1 << 16)
            if not data:
                raise ConnectionResetError("closed")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def exactly(self, count):
        while len(self.buffer) < count:
            data = self.socket.recv(1 << 16)
            if not data:
                raise ConnectionResetError("closed")
            self.buffer += data
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def ping(self):
        """All lines up to the PONG; [-1] is what came instead of it when the broker closed."""
        lines = []
        try:
            self.send("PING\r\n")
        except (ConnectionResetError, BrokenPipeError):
            pass  # what it was told is still to be read
        while True:
            try:
                line = self.line()
            except (ConnectionResetError, BrokenPipeError):
                return lines
            lines.append(line)
            if line == b"PONG" or line.startswith(b"-ERR"):
                return lines

    def pinged(self):
        expect(self.ping()[-1] == b"PONG", "no PONG")
        return self

    def message(self):
        while True:
            words = self.line().split(b" ")
            if words[0] == b"PING":
                self.send("PONG\r\n")
            if words[0] in (b"MSG", b"HMSG"):
                body = self.exactly(int(words[-1]) + 2)[:-2]
                header = int(words[-2]) if words[0] == b"HMSG" else 0
                return words[1].decode(), body[:header].decode(), body[header:].decode()

    def request(self, subject, body="", header=""):
        if self.replies == 0:
            self.send("SUB _INBOX.o.* o\r\n")
        self.replies += 1
        reply = f"_INBOX.o.{self.replies}"
        if header:
            head = f"NATS/1.0\r\n{header}\r\n\r\n"
            self.send(f"HPUB {subject} {reply} {len(head)} {len(head) + len(body)}\r\n{head}{body}\r\n")
        else:
            self.send(f"PUB {subject} {reply} {len(body)}\r\n{body}\r\n")
        while True:
            to, head, text = self.message()
            if to == reply:
                return text if text else head

    def api(self, call, **fields):
        return json.loads(self.request("$JS.API." + call, json.dumps(fields) if fields else ""))

    def stream(self, name, **fields):
        return self.api(f"STREAM.CREATE.{name}", **{"name": name, "subjects": [name.lower() + ".>"], **fields})

    def ended(self):
        try:
            while True:
                self.line()
        except (ConnectionResetError, BrokenPipeError):
            return True


def start_fails(config, text, *flags):
    with Broker(config, *flags) as broker:
        expect(broker.wait() == 1, "did not refuse")
        expect(text in broker.log(), f"does not say {text!r}: {broker.log()[-300:]}")


def started_log(config, *flags, **options):
    with Broker(config, *flags, **options) as broker:
        broker.client().pinged()
        return broker.log()


JS = "jetstream { store_dir: '{dir}/js' }\n"


def js(fields="", millrace=""):
    return f"jetstream {{ store_dir: '{{dir}}/js', {fields} }}\nmillrace {{ shards: 1, {millrace} }}\n"


# ---- who we are, where we listen -------------------------------------------------------------------------------------

@effect("top server_name")
def server_name():
    with Broker("server_name: robin") as broker:
        expect(broker.client().info["server_name"] == "robin", "INFO")


@effect("top host")
def host():
    with Broker("host: 127.0.0.9\nport: {port}", listen=False) as broker:
        broker.client(host="127.0.0.9").pinged()
        try:
            Client("127.0.0.1", broker.port, {})
        except ConnectionRefusedError:
            return
        raise AssertionError("listens everywhere")


@effect("top port", "top listen")
def port():
    with Broker("port: {port}", listen=False) as broker:
        broker.client().pinged()
    with Broker("listen: 127.0.0.1:{port}", listen=False) as broker:
        broker.client().pinged()


@effect("top client_advertise")
def client_advertise():
    def told(client):
        return client.info["host"], client.info["port"]
    with Broker("client_advertise: 'example.org:4333'\nhttp: 127.0.0.1:{http}") as broker:
        client = broker.client(protocol=1)
        expect(told(client) == ("example.org", 4333), f"INFO tells {told(client)}")
        again = next(json.loads(line[5:]) for line in client.ping() + client.ping() if line.startswith(b"INFO"))
        expect((again["host"], again["port"]) == ("example.org", 4333), "the second INFO")
        varz = broker.page("/varz")
        expect((varz["host"], varz["port"]) == ("example.org", 4333), "varz")
        broker.reload("client_advertise: '[::1]:5'\nhttp: 127.0.0.1:{http}")
        until(lambda: told(broker.client()) == ("::1", 5), "the reloaded address")
        broker.reload("client_advertise: '[::1]:x'\nhttp: 127.0.0.1:{http}")
        until(lambda: "invalid ClientAdvertise value of [::1]:x" in broker.log(), "the refusal")
        broker.reload("http: 127.0.0.1:{http}")
        until(lambda: told(broker.client()) == ("127.0.0.1", broker.port), "the listener's address")
    with Broker("client_advertise: example.org") as broker:
        expect(told(broker.client()) == ("example.org", broker.port), "the listener's port")
    with Broker("", "--client_advertise", "example.org:0") as broker:
        expect(told(broker.client()) == ("example.org", broker.port), "the listener's port for port 0")
    start_fails("client_advertise: 'a:b:c'", "ClientAdvertise value of a:b:c")


@effect("top http", "top http_host", "top http_port", "top http_base_path")
def http():
    with Broker("http: 127.0.0.1:{http}\nhttp_base_path: /deep") as broker:
        expect(broker.page("/deep/varz")["http_base_path"] == "/deep", "base path")
    with Broker("http_port: {http}") as broker:
        expect(broker.page("/varz")["http_host"] == "127.0.0.1", "host of the client listener")


@effect("top server_tags", "top server_metadata", "top feature_flags")
def varz_texts():
    with Broker("server_tags: [A, b]\nserver_metadata: {k: v}\nfeature_flags: {js_ack_fc_v2: true}\nhttp: 127.0.0.1:{http}") as broker:
        varz = broker.page("/varz")
        expect(varz["tags"] == ["a", "b"] and varz["metadata"] == {"k": "v"} and varz["feature_flags"]["js_ack_fc_v2"], "varz")
        expect("feature flag js_ack_fc_v2 is without effect" in broker.log(), "no warning")


@effect("top pid_file", "top ports_file_dir")
def files():
    with Broker("pid_file: '{dir}/pid'\nports_file_dir: '{dir}'") as broker:
        broker.client().pinged()
        with open(os.path.join(broker.dir, "pid"), encoding="ascii") as f:
            expect(int(f.read()) == broker.process.pid, "pid")
        ports = [name for name in os.listdir(broker.dir) if name.endswith(".ports")]
        with open(os.path.join(broker.dir, ports[0]), encoding="ascii") as f:
            expect(str(broker.port) in f.read(), "port")


# ---- log -------------------------------------------------------------------------------------------------------------

def traced(config):
    with Broker(config) as broker:
        client = broker.client()
        client.send("HPUB a 18 27\r\nNATS/1.0\r\nk: v\r\n\r\nsome-body\r\n")
        client.pinged()
        client.socket.close()
        if config:
            until(lambda: "[DBG]" in broker.log() or "<<- [PING]" in broker.log(), "the log")
        return broker.log()


@effect("top trace", "top trace_verbose", "top trace_headers", "top max_traced_msg_len", "top debug")
def tracing():
    expect("[TRC]" not in traced("") and "[DBG]" not in traced(""), "quiet by itself")
    expect("some-body" in traced("trace: true"), "trace")
    expect("some-body" in traced("trace_verbose: true"), "trace_verbose")
    headers = traced("trace: true\ntrace_headers: true")
    expect("k: v" in headers and "some-body" not in headers, "trace_headers")
    cut = traced("trace: true\nmax_traced_msg_len: 20")
    expect("some-body" not in cut and "k: v" in cut, "max_traced_msg_len")
    expect("[DBG]" in traced("debug: true"), "debug")


@effect("top logtime", "top logtime_utc")
def logtime():
    stamp = re.compile(r"^\[\d+\] \d{4}/\d\d/\d\d (\d\d):\d\d:\d\d\.\d+ \[INF\]", re.M)
    expect(stamp.search(started_log("")), "a time by itself")
    expect(not stamp.search(started_log("logtime: false")), "logtime")
    # 12 hours from here whatever the season: the hours differ.
    east = {"TZ": "XXX-12"}
    utc = int(stamp.search(started_log("logtime_utc: true", environment=east)).group(1))
    local = int(stamp.search(started_log("", environment=east)).group(1))
    expect((local - utc) % 24 in (11, 12, 13), f"logtime_utc: {utc} and {local}")


@effect("top log_file", "top logfile_size_limit", "top logfile_max_num")
def log_file():
    with Broker("log_file: '{dir}/log'\nlogfile_size_limit: 20000\nlogfile_max_num: 3\ntrace: true") as broker:
        client = broker.client()
        for _ in range(300):
            client.send("PUB a 400\r\n" + "x" * 400 + "\r\n")
        client.pinged()
        logs = until(lambda: len(os.listdir(broker.dir)) >= 5 and os.listdir(broker.dir), "log files")
        until(lambda: len([n for n in os.listdir(broker.dir) if n.startswith("log")]) <= 3, "no more than three")
        expect(len([n for n in logs if n.startswith("log")]) > 1, "a new file at the limit")
        expect("[INF]" not in broker.log(), "stderr as well")


@effect("top remote_syslog", "top syslog")
def syslog():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        sink.settimeout(WAIT_S)
        with Broker(f"remote_syslog: 'udp://127.0.0.1:{sink.getsockname()[1]}'") as broker:
            broker.client().pinged()
            expect(sink.recv(4096).startswith(b"<"), "no line")
            expect("[INF]" not in broker.log(), "stderr as well")
    if not os.path.exists("/dev/log"):
        return start_fails("syslog: true", "error connecting to syslog")
    with Broker("syslog: true") as broker:
        broker.client().pinged()
        expect("[INF]" not in broker.log(), "stderr as well")


# ---- what clients may do ---------------------------------------------------------------------------------------------

@effect("top max_connections")
def max_connections():
    with Broker("max_connections: 1") as broker:
        first = broker.client().pinged()
        expect(b"maximum connections exceeded" in until(lambda: broker.client(), "a second").ping()[-1], "the second")
        first.pinged()


@effect("top max_subscriptions", "top max_sub_tokens", "top max_payload", "top max_control_line", "top no_header_support")
def limits():
    def refused(config, text, wanted):
        with Broker(config) as broker:
            client = broker.client()
            client.send(text)
            expect(wanted in b"".join(client.ping()), f"{config}: {wanted}")
    refused("max_subscriptions: 1", "SUB a 1\r\nSUB b 2\r\n", b"maximum subscriptions exceeded")
    refused("max_sub_tokens: 2", "SUB a.b.c 1\r\n", b"too many tokens")
    refused("max_payload: 10", "PUB a 11\r\n" + "x" * 11 + "\r\n", b"Maximum Payload Violation")
    refused("max_control_line: 512", "SUB " + "x" * 600 + " 1\r\n", b"maximum control line exceeded")
    with Broker("no_header_support: true\nmax_payload: 10") as broker:
        info = broker.client().info
        expect(info["headers"] is False and info["max_payload"] == 10, "INFO")


def slow_reader(broker, size_bytes, write_s=3.0):
    """A subscriber that reads nothing, and one that floods it. Returns varz when the flood is over or the reader is gone."""
    client = broker.client()
    reader = Client("127.0.0.1", broker.port, {}, receive_buffer_bytes=4096)
    reader.send("SUB flood 1\r\n")
    reader.pinged()
    message = b"PUB flood 32768\r\n" + b"x" * 32768 + b"\r\n"
    client.socket.settimeout(write_s)
    sent = 0
    end = time.monotonic() + WAIT_S
    try:
        while sent < size_bytes and time.monotonic() < end:
            client.socket.sendall(message)
            sent += len(message)
    except TimeoutError:
        pass
    return reader, client


@effect("top max_pending", "top no_fast_producer_stall", "millrace output_high_water")
def backlog():
    common = "http: 127.0.0.1:{http}\nmax_payload: 64KB\nwrite_deadline: '30s'\n"
    with Broker(common + "max_pending: 1MB") as broker:
        clients = slow_reader(broker, 32 << 20)
        until(lambda: broker.page("/varz")["slow_consumers"] == 1, "the slow consumer over max_pending")
    with Broker(common + "max_pending: 256MB\nno_fast_producer_stall: true") as broker:
        clients = slow_reader(broker, 32 << 20)
        expect(broker.page("/varz").get("stalled_clients", 0) == 0, "stalled although told not to")
    with Broker(common + "max_pending: 256MB") as broker:
        clients = slow_reader(broker, 32 << 20)
        expect(broker.page("/varz")["slow_consumers"] == 0, "a slow consumer below max_pending")
        until(lambda: broker.page("/varz").get("stalled_clients", 0) > 0, "the producer above the high water")
    with Broker(common + "max_pending: 256MB\nmillrace { output_high_water: 128MB }") as broker:
        clients = slow_reader(broker, 32 << 20)
        expect(broker.page("/varz").get("stalled_clients", 0) == 0, "stalled below the high water")
    del clients  # they were to stay until here


@effect("top write_deadline", "top write_timeout")
def write_deadline():
    config = "http: 127.0.0.1:{http}\nmax_pending: 256MB\nwrite_deadline: '150ms'\nno_fast_producer_stall: true\n"

    def drip(extra):
        """Whether a client that reads a little at a time is still there after ten deadlines."""
        with Broker(config + extra) as broker:
            reader, flooder = slow_reader(broker, 24 << 20)
            for _ in range(30):
                if broker.page("/varz")["connections"] < 2:
                    return False, broker.page("/varz")
                for _ in range(3):
                    reader.socket.recv(1 << 16)
                time.sleep(0.05)  # the pace of the reader
            flooder.pinged()
            return True, broker.page("/varz")
    stays, varz = drip("")
    expect(not stays and varz["slow_consumers"] == 1 and "write_timeout" not in varz,
           f"closed at the deadline: {not stays}, {varz['slow_consumers']}, {varz.get('write_timeout')}")
    stays, varz = drip("write_timeout: retry\n")
    expect(stays and varz["slow_consumers"] > 1 and varz["write_timeout"] == "retry", f"stays while it reads: {stays}")
    with Broker(config + "write_timeout: retry\n") as broker:
        clients = slow_reader(broker, 24 << 20)
        until(lambda: broker.page("/varz")["connections"] < 2, "the end of one that reads nothing")
        clients[1].pinged()


@effect("top ping_interval", "top ping_max")
def ping():
    with Broker("ping_interval: '100ms'\nping_max: 2") as broker:
        client = broker.client()
        lines = [client.line() for _ in range(3)]
        expect(lines[:2] == [b"PING", b"PING"] and b"Stale Connection" in lines[2], f"{lines}")


@effect("top max_closed_clients")
def max_closed_clients():
    with Broker("max_closed_clients: 2\nhttp: 127.0.0.1:{http}") as broker:
        for _ in range(5):
            broker.client().pinged().socket.close()
        until(lambda: broker.page("/connz")["num_connections"] == 0, "all closed")
        expect(len(broker.page("/connz?state=closed")["connections"]) == 2, "closed connections kept")


@effect("top lame_duck_duration", "top lame_duck_grace_period")
def lame_duck():
    with Broker("lame_duck_duration: '30s'\nlame_duck_grace_period: '100ms'") as broker:
        client = broker.client().pinged()
        started = time.monotonic()
        broker.process.send_signal(signal.SIGUSR2)
        client.ended()
        expect(broker.wait() == 0 and time.monotonic() - started < 8, "lasted as long as by default")
    start_fails("lame_duck_duration: '30s'\nlame_duck_grace_period: '31s'", "lame duck grace period")


@effect("top authorization", "authorization username", "authorization password", "authorization token", "authorization timeout",
        "authorization users", "authorization permissions", "top no_auth_user")
def authorization():
    def answer(broker, **connect):
        return broker.client(**connect).ping()[-1]
    with Broker("authorization { user: u, password: p, timeout: 0.2 }") as broker:
        expect(answer(broker, user="u", **{"pass": "p"}) == b"PONG", "the right one")
        expect(b"Authorization Violation" in answer(broker, user="u", **{"pass": "q"}), "the wrong one")
        with socket.create_connection(("127.0.0.1", broker.port)) as silent:
            silent.settimeout(1.5)
            got = b""
            while b"-ERR" not in got:
                got += silent.recv(4096)
        expect(b"Authentication Timeout" in got, "auth_timeout")
    with Broker("authorization { token: t }") as broker:
        expect(answer(broker, auth_token="t") == b"PONG", "the right token")
        expect(b"Authorization Violation" in answer(broker, auth_token="x"), "the wrong token")
    with Broker("authorization { users: [{user: u, password: p}] }\nno_auth_user: u") as broker:
        expect(answer(broker) == b"PONG", "no_auth_user")
    with Broker("authorization { default_permissions { publish: a }, users: [{user: u, password: p}] }") as broker:
        client = broker.client(user="u", **{"pass": "p"})
        client.send("PUB a 0\r\n\r\nPUB b 0\r\n\r\n")
        expect(b'Permissions Violation for Publish to "b"' in b"".join(client.ping()), "default_permissions")


@effect("top system_account", "top no_system_account")
def system_account():
    for config in ("system_account: '$SYS'", "no_system_account: true", "no_system_account: false"):
        with Broker(config) as broker:
            expect("503" in broker.client().request("$SYS.REQ.SERVER.PING"), "an account that nobody has built")
    start_fails("system_account: ABC", "error resolving system account: account missing")
    with Broker("accounts { S { users: [{user: s, password: s}] } }\nsystem_account: S") as broker:
        client = broker.client(user="s", **{"pass": "s"})
        client.ping()
        broker.client().pinged()  # users of the system account alone leave the server open


@effect("top accounts")
def accounts():
    config = """accounts {
      A { users: [{user: a, password: a}], imports: [{stream: {account: B, subject: s}, to: t}] }
      B { users: [{user: b, password: b}], exports: [{stream: s}] } }"""
    with Broker(config) as broker:
        a, b = (broker.client(user=user, **{"pass": user}) for user in "ab")
        a.send("SUB t 1\r\nSUB x 2\r\n")
        a.ping()
        b.send("PUB x 1\r\n1\r\nPUB s 1\r\n2\r\n")
        b.ping()
        expect(a.ping() == [b"MSG t 1 1", b"2", b"PONG"], "an import, and nothing else, of another account")


@effect("top mappings")
def mappings():
    with Broker("mappings { foo: bar }") as broker:
        client = broker.client()
        client.send("SUB > 1\r\nPUB foo 1\r\n1\r\n")
        expect(client.ping() == [b"MSG bar 1 1", b"1", b"PONG"], "the mapped subject")


# ---- JetStream -------------------------------------------------------------------------------------------------------

@effect("jetstream enabled", "top jetstream", "top store_dir", "jetstream store_dir")
def jetstream():
    with Broker("http: 127.0.0.1:{http}\njetstream: false") as broker:
        expect("503" in broker.client().request("$JS.API.INFO"), "JetStream although off")
    for config in ("jetstream: enabled\nstore_dir: '{dir}/here'", "jetstream { enabled: true, store_dir: '{dir}/here' }"):
        with Broker(config) as broker:
            expect("memory" in broker.client().api("INFO"), "JetStream")
            expect(os.path.isdir(os.path.join(broker.dir, "here", "jetstream")), "where it stores")


@effect("jetstream strict", "jetstream domain", "jetstream sync_interval")
def jetstream_texts():
    with Broker("http: 127.0.0.1:{http}\n" + js("strict: false, domain: hub, sync_interval: 3s")) as broker:
        client = broker.client()
        expect(client.info["domain"] == "hub", "INFO")
        expect(json.loads(client.request("$JS.hub.API.INFO"))["domain"] == "hub", "API of the domain")
        expect("error" not in client.stream("S", nonsense=1), "strict: false")
        # Nothing else to see: every acknowledged message is on disk long before.
        expect(broker.page("/jsz")["config"]["sync_interval"] == 3_000_000_000, "jsz")
    with Broker(js()) as broker:
        expect("error" in broker.client().stream("S", nonsense=1), "strict by itself")


@effect("jetstream max_memory_store", "jetstream max_file_store")
def store_limits():
    with Broker(js("max_memory_store: 1MB, max_file_store: 2MB")) as broker:
        client = broker.client()
        expect(client.stream("M", storage="memory", max_bytes=3 << 20)["error"]["err_code"] == 10028, "memory")
        expect(client.stream("F", max_bytes=3 << 20)["error"]["err_code"] == 10047, "file")
        expect("error" not in client.stream("F", max_bytes=1 << 20), "what fits")


@effect("jetstream request_queue_limit")
def request_queue_limit():
    def answers(limit):
        with Broker(js(f"request_queue_limit: {limit}")) as broker:
            client = broker.client()
            client.send("SUB _INBOX.q 1\r\n" + "PUB $JS.API.STREAM.NAMES _INBOX.q 0\r\n\r\n" * 500)
            return len([line for line in until(lambda: client.ping(), "the answers") if line.startswith(b"MSG _INBOX.q")]), client
    expect(answers(3)[0] < 500, "a queue of three")


@effect("jetstream key", "jetstream prev_key", "jetstream cipher")
def encryption():
    with tempfile.TemporaryDirectory(prefix="options-js-") as place:
        def log(fields):
            with Broker(f"jetstream {{ store_dir: '{place}', {fields} }}") as broker:
                client = broker.client()
                client.stream("S")
                ack = json.loads(client.request("s.1", "open-secret"))
                return ack["seq"], broker.log()
        seq, text = log("key: k1, cipher: aes")
        expect(seq == 1 and "AES-GCM" in text, "cipher")
        for base, _, names in os.walk(place):
            for name in names:
                with open(os.path.join(base, name), "rb") as f:
                    expect(b"open-secret" not in f.read(), f"{name} can be read")
        seq, text = log("key: k2, prev_key: k1, cipher: aes")
        expect(seq == 2, "prev_key")
        with Broker(f"jetstream {{ store_dir: '{place}', key: other }}") as broker:
            expect(broker.wait() == 1, "opened with a key that is not its own")


@effect("jetstream limits", "limits max_request_batch", "limits max_ack_pending", "limits default_max_consumers",
        "limits duplicate_window")
def jetstream_limits():
    with Broker(js("limits { max_request_batch: 5, max_ack_pending: 7, default_max_consumers: 1, duplicate_window: '1m' }")) as broker:
        client = broker.client()
        expect("error" in client.stream("W", duplicate_window=120_000_000_000), "duplicate_window")
        expect("error" not in client.stream("S"), "a stream")

        def consumer(name, **config):
            return client.api(f"CONSUMER.CREATE.S.{name}", stream_name="S",
                              config={"durable_name": name, "name": name, "ack_policy": "explicit", **config})
        expect("error" in consumer("b", max_batch=6), "max_request_batch")
        expect("error" in consumer("a", max_ack_pending=8), "max_ack_pending")
        expect("error" not in consumer("c"), "the first consumer")
        expect(consumer("d")["error"]["err_code"] == 10026, "default_max_consumers")


@effect("limits batch", "batch max_inflight_per_stream", "batch max_inflight_total", "batch max_msgs", "batch timeout")
def batches():
    def put(client, name, id, number, commit=False):
        header = f"Nats-Batch-Id: {id}\r\nNats-Batch-Sequence: {number}" + ("\r\nNats-Batch-Commit: 1" if commit else "")
        return client.request(f"{name.lower()}.x", "", header)

    def with_limits(limits):
        broker = Broker(js(f"limits {{ batch {{ {limits} }} }}"))
        client = broker.client()
        for name in ("S", "T"):
            expect("error" not in client.stream(name, allow_atomic=True), "a stream with batches")
        return broker, client
    broker, client = with_limits("max_inflight_per_stream: 1, max_msgs: 2")
    with broker:
        put(client, "S", "one", 1)
        expect("error" in put(client, "S", "two", 1), "max_inflight_per_stream")
        expect("error" not in put(client, "T", "three", 1), "another stream")
        put(client, "T", "three", 2)
        expect("error" in put(client, "T", "three", 3), "max_msgs")
    broker, client = with_limits("max_inflight_total: 1")
    with broker:
        put(client, "S", "one", 1)
        expect("error" in put(client, "T", "two", 1), "max_inflight_total")
    broker, client = with_limits("timeout: 1s, max_inflight_per_stream: 1")
    with broker:
        put(client, "S", "one", 1)
        until(lambda: "error" not in put(client, "S", "two", 1), "the end of the first")


@effect("millrace store_lock_wait")
def store_lock_wait():
    with tempfile.TemporaryDirectory(prefix="options-js-") as place:
        config = f"jetstream {{ store_dir: '{place}' }}\n"
        with Broker(config) as first:
            expect(first.client().api("INFO")["type"].endswith("account_info_response"), "JetStream")
            with Broker(config) as refused:
                expect(refused.wait() == 1, "did not refuse a store in use")
            with Broker(config + "millrace { store_lock_wait: '60s' }") as second:
                until(lambda: place in second.log().replace("Store Directory", ""), "that it waits")
                expect(second.process.poll() is None, "did not wait")
                first.process.terminate()
                expect("memory" in second.client().api("INFO"), "the store that was handed over")


@effect("millrace js_durability")
def durability():
    expect("durable (an ack means: on disk)" in started_log(js()), "durable")
    expect("async (an ack means: taken)" in started_log(js("", "js_durability: async")), "async")


@effect("millrace js_wal_file_bytes")
def log_files():
    def wal(broker):
        found = []
        for base, _, names in os.walk(os.path.join(broker.dir, "js")):
            if os.path.basename(base) == "wal":
                found += [os.path.getsize(os.path.join(base, name)) for name in names]
        return found
    with Broker(js("", "js_wal_file_bytes: 1MiB")) as broker:
        broker.client().stream("S")
        until(lambda: wal(broker), "a file")
        expect(max(wal(broker)) <= (1 << 20) + 65536, f"{wal(broker)}")


# ---- our own ---------------------------------------------------------------------------------------------------------

@effect("top millrace", "millrace shards", "millrace pin_shards")
def shards():
    for pin in ("true", "false"):
        with Broker(f"millrace {{ shards: 2, pin_shards: {pin} }}") as broker:
            broker.client().pinged()
            tasks = until(lambda: len(broker.tasks("shard-")) == 2 and broker.tasks("shard-"), "two threads")
            usable = len(os.sched_getaffinity(0))
            one_each = all(broker.status("Cpus_allowed_list", task).isdigit() for task in tasks)
            expect(one_each == (pin == "true" and usable >= 2) or usable == 1, f"pin_shards: {pin}")


def virtual_kb(settings):
    with Broker(f"millrace {{ shards: 2, {settings} }}") as broker:
        broker.client().pinged()
        return int(broker.status("VmSize").split()[0])


@effect("millrace recv_buffer_bytes_small", "millrace recv_buffer_bytes_large", "millrace recv_buffers_small",
        "millrace recv_buffers_large", "millrace ring_bytes")
def buffers():
    plain = virtual_kb("recv_buffers_small: 64")
    for settings, least_mib in (("recv_buffers_small: 32768", 200), ("recv_buffers_small: 64, recv_buffer_bytes_small: 1MiB", 100),
                                ("recv_buffers_small: 64, recv_buffers_large: 1024", 200),
                                ("recv_buffers_small: 64, recv_buffer_bytes_large: 16MiB", 200),
                                ("recv_buffers_small: 64, ring_bytes: 64MiB", 100)):
        more = (virtual_kb(settings) - plain) >> 10
        expect(more >= least_mib, f"{settings}: {more} MiB more")


@effect("millrace uring_entries")
def uring_entries():
    def mapped(entries):
        with Broker(f"millrace {{ shards: 1, uring_entries: {entries} }}") as broker:
            broker.client().pinged()
            with open(f"/proc/{broker.process.pid}/maps", encoding="ascii") as f:
                spans = [line.split()[0].split("-") for line in f if "io_uring" in line]
            return sum(int(end, 16) - int(start, 16) for start, end in spans)
    expect(mapped(32768) > 2 * mapped(256), "the rings' size")


@effect("millrace bytes_per_turn")
def bytes_per_turn():
    def turns(settings):
        with Broker("http: 127.0.0.1:{http}\nmillrace { shards: 1, recv_buffer_bytes_large: 4096, recv_buffers_large: 1024, "
                    + settings + " }") as broker:
            client = broker.client().pinged()
            before = broker.page("/varz")["millrace"]["turns"]
            client.send(("PUB a 1000\r\n" + "x" * 1000 + "\r\n") * 8000)
            client.pinged()
            return broker.page("/varz")["millrace"]["turns"] - before
    # A turn takes what it was given and one buffer more.
    least = 8_000_000 // 8192
    expect(turns("bytes_per_turn: 4096") >= least, "few bytes a turn")


@effect("millrace match_cache_entries")
def match_cache_entries():
    def cached(entries):
        with Broker(f"http: 127.0.0.1:{{http}}\nmillrace {{ shards: 1, match_cache_entries: {entries} }}") as broker:
            client = broker.client()
            client.send("".join(f"SUB s.{i} q {i}\r\n" for i in range(600)))
            for _ in range(3):
                client.send("".join(f"PUB s.{i} 0\r\n\r\n" for i in range(600)))
            client.pinged()
            return broker.page("/subsz")["num_cache"]
    few, many = cached(64), cached(65536)
    expect(few <= 64 < many, f"{few} and {many}")


# ---- without a look at the binary ------------------------------------------------------------------------------------

REFUSED = {
    "top https": ("https: 127.0.0.1:0", "monitoring over HTTPS is not supported yet"),
    "top https_port": ("https_port: 8443", "monitoring over HTTPS is not supported yet"),
    "top prof_port": ("prof_port: 6060", "profiling over HTTP is not supported yet"),
}

WARNED = {
    "top disable_sublist_cache": ("disable_sublist_cache: true", "disable_sublist_cache is without effect"),
    "top prof_block_rate": ("prof_block_rate: 1", "profiling over HTTP is not built yet and has no effect: prof_block_rate"),
    "top connect_error_reports": ("connect_error_reports: 5", "has no effect: connect_error_reports"),
    "top reconnect_error_reports": ("reconnect_error_reports: 5", "has no effect: reconnect_error_reports"),
    "jetstream extension_hint": (js("extension_hint: will_extend"), "has no effect: jetstream.extension_hint"),
    "jetstream unique_tag": ("server_tags: ['az:1']\n" + js("unique_tag: 'az:'"), "has no effect: jetstream.unique_tag"),
    "jetstream info_queue_limit": (js("info_queue_limit: 7"), "info_queue_limit is without effect"),
    "jetstream max_concurrent_io": (js("max_concurrent_io: 7"), "max_concurrent_io is without effect"),
    "jetstream max_buffered_msgs": (js("max_buffered_msgs: 7"), "max_buffered_msgs is without effect"),
    "jetstream max_buffered_size": (js("max_buffered_size: 7MB"), "max_buffered_size is without effect"),
    "limits max_ha_assets": (js("limits { max_ha_assets: 7 }"), "max_ha_assets is without effect"),
}

# What the binary shows to nobody outside: how long it waits, in how many pieces it writes.
ELSEWHERE = {
    "millrace auth_helpers": ("tests/control/checks_test.cc", "auth_helpers"),
    "millrace auth_checks_max": ("tests/control/checks_test.cc", "auth_checks_max"),
    "millrace spin_us": ("tests/io/wait_policy_test.cc", "poll()"),
    "millrace batch_wait_us": ("tests/io/wait_policy_test.cc", "gather()"),
    "millrace mail_inline_bytes_max": ("tests/route/router_test.cc", "WhatIsLargerThanTheInlineLimitTravelsInAFrame"),
    "millrace send_bytes_max": ("tests/sim/world.cc", "send_bytes_max"),
    "millrace send_bytes_shared": ("tests/sim/world.cc", "send_bytes_shared"),
    "millrace outbox_chunk_bytes": ("tests/sim/world.cc", "outbox_chunk_bytes"),
    "millrace js_block_cache_bytes": ("tests/store/segment_store_test.cc", "cache_bytes"),
    "millrace js_block_bytes": ("tests/store/segment_store_test.cc", "block_bytes"),
    "millrace js_scrub_bytes_per_second": ("tests/store/scrub_test.cc", "scrub_bytes_per_second"),
    "millrace js_wal_files": ("tests/store/wal_harness.h", "files"),
}


def check_flag(key, flag):
    """The flag sets what its key sets: --print-config says so, with the flag as the origin."""
    for value in ("4096", "1", "100", "65536", "2097152", "3s", "true", "async", "aes", "text"):
        run = subprocess.run([SERVER, "--print-config", f"-{flag}={value}"], capture_output=True, text=True, timeout=WAIT_S)
        if run.returncode == 0 and re.search(rf"^\s*(# )?{key}: .*# flag -{flag}$", run.stdout, re.M):
            return
    raise AssertionError(f"flag -{flag} does not set {key}")


def check_row(row):
    if row in EFFECTS:
        EFFECTS[row]()
    elif row in REFUSED:
        start_fails(*REFUSED[row])
    elif row in WARNED:
        config, text = WARNED[row]
        log = started_log(config)
        expect(text in log, f"no warning {text!r}:\n{log}")
    elif row in ELSEWHERE:
        path, text = ELSEWHERE[row]
        with open(os.path.join(ROOT, path), encoding="utf-8") as f:
            expect(text in f.read(), f"{path} does not name {text}")
    else:
        raise AssertionError("no test shows what it does: add one to tests/interop/options.py")


def main():
    global SERVER
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--probe", required=True)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    SERVER = os.path.abspath(arguments.server)
    rows = [line.split(" ") for line in
            subprocess.run([arguments.probe, "--rows"], capture_output=True, text=True, check=True).stdout.splitlines()]
    names = [f"{block} {key}" for block, key, _ in rows]
    failures = []
    passed = 0
    results = {}
    for name in sorted(set(EFFECTS) | set(REFUSED) | set(WARNED) | set(ELSEWHERE)):
        if name not in names:
            failures.append(f"{name}: there is no such row any more")
    for block, key, flags in rows:
        name = f"{block} {key}"
        if not re.search(arguments.only, name):
            continue
        try:
            check = EFFECTS.get(name, name)
            if check not in results:  # one look shows several rows
                results[check] = None
                try:
                    check_row(name)
                except Exception as e:  # noqa: BLE001
                    results[check] = f"{type(e).__name__}: {e}"
            if results[check]:
                raise AssertionError(results[check])
            if name not in REFUSED:
                for flag in filter(None, flags.split("|")):
                    check_flag(key, flag)
            passed += 1
        except AssertionError as e:
            failures.append(f"{name}: {e}")
    for failure in failures:
        print("FAIL", failure)
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
