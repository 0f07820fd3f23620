#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""JetStream of the real binary with nats-py, over restarts and kill -9 under load.

    jetstream.py --server build/release/millrace [--shards 1,2] [--kills 3]

The last line is `N passed, N failed, N skipped`; exit code 1 on a failure.
"""
import argparse
import base64
import os
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import run  # noqa: E402
import wire  # noqa: E402

CHECK = os.path.join(run.CLIENTS, "check_js.py")
PATIENCE_S = 60


def phase(tally, label, python, server, *arguments):
    run.run_program(tally, label, [python, CHECK, *arguments], f"nats://127.0.0.1:{server.port}")


def flood_and_kill(python, server, path):
    """Lets a client publish until some hundred messages are confirmed, and kills the server in the middle of it."""
    with open(path, "wb") as out:
        client = subprocess.Popen([python, CHECK, f"nats://127.0.0.1:{server.port}", "flood"], stdout=out,
                                  stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and client.poll() is None:
        with open(path, "rb") as file:
            if file.read().count(b"\n") > 400:
                break
        try:
            client.wait(0.02)
        except subprocess.TimeoutExpired:
            pass
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    try:
        client.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        client.kill()


class Requester:
    """A raw client whose answers come to `reply`."""

    def __init__(self, server):
        self.client = wire.Connection(server.port)
        self.client.send(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB reply 1\r\n')

    def send(self, subject, body):
        self.client.send(b"PUB %s reply %d\r\n%s\r\n" % (subject, len(body), body))

    def ask(self, subject, body, wanted):
        """The first line from then on that has `wanted` in it."""
        self.send(subject, body)
        line = self.client.read_line()
        while wanted not in line:
            self.look(subject, line)
            line = self.client.read_line()
        return line

    def look(self, subject, line):
        """At every line before that."""


def reload_limits(tally, label, binary, flags):
    """Limits of JetStream that a reload raises count from then on (G-65)."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf", prefix="interop-js-") as config:
        def write(max_file):
            config.seek(0)
            config.truncate()
            config.write("jetstream { max_mem_store: 1GB, max_file_store: %s }\n" % max_file)
            config.flush()

        write("1GB")
        with wire.Server(binary, ["-c", config.name, *flags]) as server:
            client = Requester(server)

            def create():
                return client.ask(b"$JS.API.STREAM.CREATE.LARGE",
                                  b'{"name":"LARGE","subjects":["large"],"max_bytes":2147483648}',
                                  b"stream_create_response")

            refused = b'"err_code":10047' in create()
            write("4GB")
            server.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + PATIENCE_S
            made = False
            while not made and time.monotonic() < deadline:
                made = b'"did_create":true' in create()
            tally.add(label + " reload of limits", "PASS" if refused and made else "FAIL", f"{refused}, {made}")


def stop_under_pulls(tally, label, binary, flags):
    """A server that stops tells every waiting pull, on whatever shard its client is (J-5c)."""
    with wire.Server(binary, flags) as server:
        clients = [Requester(server) for _ in range(4)]
        clients[0].ask(b"$JS.API.STREAM.CREATE.STOP", b'{"name":"STOP","subjects":["stop"],"storage":"memory"}',
                       b"stream_create_response")
        for number, client in enumerate(clients):
            client.ask(b"$JS.API.CONSUMER.CREATE.STOP.c%d" % number,
                       b'{"stream_name":"STOP","config":{"name":"c%d","mem_storage":true,"ack_policy":"none"}}' % number,
                       b"consumer_create_response")
            client.send(b"$JS.API.CONSUMER.MSG.NEXT.STOP.c%d" % number, b'{"batch":5,"expires":60000000000}')
            # Answered behind the pull, so the pull waits by then.
            client.ask(b"$JS.API.CONSUMER.INFO.STOP.c%d" % number, b"", b'"num_waiting":1')
        server.process.send_signal(signal.SIGTERM)
        told = 0
        for client in clients:
            told += b"NATS/1.0 409 Server Shutdown\r\nNats-Pending-Messages: 5\r\n" in client.client.read_to_close()
        code = server.process.wait(PATIENCE_S)
        passed = told == len(clients) and code == 0
        tally.add(label + " stop under pulls", "PASS" if passed else "FAIL", f"{told} of 4 told, exit {code}")


MARKERS = [b"MARKERSTREAM", b"marker.subject", b"MARKERPAYLOAD", b"MARKERCONSUMER"]


def found_on_disk(store):
    """Which markers stand in the clear in a file of the store, and where."""
    found = []
    for directory, _, names in os.walk(store):
        for name in names:
            with open(os.path.join(directory, name), "rb") as file:
                content = file.read()
            found += [f"{name}: {marker.decode()}" for marker in MARKERS if marker in content]
    return found


class Marked(Requester):
    """Stores messages which are easy to find, and reads them back."""

    def look(self, subject, line):
        if b'"error"' in line or b"503" in line:
            raise wire.ServerError(f"{subject.decode()}: {line.decode()}")

    def write(self, first, count):
        if first == 1:
            self.ask(b"$JS.API.STREAM.CREATE.MARKERSTREAM",
                     b'{"name":"MARKERSTREAM","subjects":["marker.>"],"storage":"file"}', b"stream_create_response")
            self.ask(b"$JS.API.CONSUMER.CREATE.MARKERSTREAM.MARKERCONSUMER",
                     b'{"stream_name":"MARKERSTREAM","config":{"name":"MARKERCONSUMER","durable_name":"MARKERCONSUMER",'
                     b'"ack_policy":"explicit"}}', b"consumer_create_response")
        for number in range(first, first + count):
            self.ask(b"marker.subject", b"MARKERPAYLOAD %d" % number, b'"seq":%d' % number)

    def check(self, count):
        for number in range(1, count + 1):
            self.ask(b"$JS.API.STREAM.MSG.GET.MARKERSTREAM",
                     b'{"seq":%d}' % number, base64.b64encode(b"MARKERPAYLOAD %d" % number))
        self.ask(b"$JS.API.CONSUMER.INFO.MARKERSTREAM.MARKERCONSUMER", b"", b"consumer_info_response")


def refused(binary, flags, wanted):
    """The server ends at once and says why."""
    done = subprocess.run([binary, "-a", "127.0.0.1", "-p", str(wire.free_port()), *flags], timeout=PATIENCE_S,
                          capture_output=True, check=False)
    text = (done.stdout + done.stderr).decode()
    return "" if done.returncode == 1 and wanted in text else f"exit code {done.returncode}: {text[-300:]}"


def encryption(tally, binary):
    """With a key nothing is in the clear on the disk, after kill -9 and through changes of the key."""
    def life(label, store, key_flags, first, count, wait_for=""):
        """Checks what is there, writes more, kills; then looks at the files."""
        problem = ""
        try:
            with wire.Server(binary, ["-js", "-sd", store, *key_flags]) as server:
                marked = Marked(server)
                if first > 1:
                    marked.check(first - 1)
                marked.write(first, count)
                deadline = time.monotonic() + PATIENCE_S
                while wait_for and wait_for not in server.log_tail():
                    if time.monotonic() > deadline:
                        raise wire.ServerError(f"the log never says: {wait_for}")
                    time.sleep(0.02)
                server.process.send_signal(signal.SIGKILL)
                server.process.wait()
        except (wire.ServerError, wire.Closed, OSError) as e:
            problem = str(e)
        found = found_on_disk(store)
        if not problem and bool(found) == bool(key_flags):
            problem = ", ".join(found) or "the markers cannot be found at all"
        tally.add("encryption: " + label, "FAIL" if problem else "PASS", problem)

    def refusal(label, store, key_flags, wanted):
        problem = refused(binary, ["-js", "-sd", store, *key_flags], wanted)
        tally.add("encryption: " + label, "FAIL" if problem else "PASS", problem)

    whole = "JetStream storage is encrypted as a whole"
    with tempfile.TemporaryDirectory(prefix="interop-js-") as store:
        life("a new store", store, ["--js-key", "one"], 1, 50)
        life("after kill -9", store, ["--js-key", "one"], 51, 50)
        refusal("another key", store, ["--js-key", "two"], "the store is encrypted with another key")
        refusal("no key", store, [], "the store is encrypted, and no key is configured")
        life("prev_key", store, ["--js-key", "two", "--js-prev-key", "one"], 101, 5)
        refusal("the key before", store, ["--js-key", "one"], "the store is encrypted with another key")
        life("the new key", store, ["--js-key", "two"], 106, 5)
        life("another cipher", store, ["--js-key", "two", "--js-cipher", "aes"], 111, 5, whole)
    with tempfile.TemporaryDirectory(prefix="interop-js-") as store:
        life("a plain store", store, [], 1, 50)
        life("gets a key", store, ["--js-key", "one", "--js-cipher", "aes"], 51, 50, whole)
        life("gets a key, kill -9", store, ["--js-key", "one", "--js-cipher", "aes"], 101, 5)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", required=True)
    parser.add_argument("--shards", default="1,2")
    parser.add_argument("--kills", type=int, default=3)
    args = parser.parse_args()
    tally = run.Tally()
    encryption(tally, args.server)
    try:
        python = run.find_python()[0]
    except run.Skip as e:
        tally.add("nats-py", "SKIP", str(e))
        print(f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped")
        return 0
    for shards in args.shards.split(","):
        label = f"jetstream [{shards} shards]"
        with tempfile.TemporaryDirectory(prefix="interop-js-") as store:
            flags = ["-js", "-sd", store, "--shards", shards]
            with wire.Server(args.server, flags) as server:
                phase(tally, label, python, server, "first")
                server.process.send_signal(signal.SIGKILL)
                server.process.wait()
            with wire.Server(args.server, flags) as server:
                phase(tally, label + " after kill -9", python, server, "after")
                server.process.send_signal(signal.SIGTERM)
                server.process.wait(PATIENCE_S)
            with wire.Server(args.server, flags) as server:
                phase(tally, label + " after a stop", python, server, "after")
            stop_under_pulls(tally, label, args.server, flags)
            reload_limits(tally, label, args.server, ["-sd", store, "--shards", shards])
            path = os.path.join(store, "confirmed")
            for kill in range(args.kills):
                with wire.Server(args.server, flags) as server:
                    flood_and_kill(python, server, f"{path}-{kill}")
                with wire.Server(args.server, flags) as server:
                    for earlier in range(kill + 1):
                        phase(tally, f"{label} kill {kill + 1}, flood {earlier + 1}", python, server, "confirmed",
                              f"{path}-{earlier}")
    print(f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
