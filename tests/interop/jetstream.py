#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""JetStream of the real binary with nats-py, over restarts and kill -9 under load.

    jetstream.py --server build/release/millrace [--shards 1,2] [--kills 3]

The last line is `N passed, N failed, N skipped`; exit code 1 on a failure.
"""
import argparse
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
            client = wire.Connection(server.port)
            client.send(b'CONNECT {"verbose":false}\r\nSUB reply 1\r\n')
            body = b'{"name":"LARGE","subjects":["large"],"max_bytes":2147483648}'

            def create():
                client.send(b"PUB $JS.API.STREAM.CREATE.LARGE reply %d\r\n%s\r\n" % (len(body), body))
                line = client.read_line()
                while b"stream_create_response" not in line:
                    line = client.read_line()
                return line

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
        clients = [wire.Connection(server.port) for _ in range(4)]

        def ask(client, subject, body):
            client.send(b"PUB %s reply %d\r\n%s\r\n" % (subject, len(body), body))

        def await_line(client, wanted):
            while wanted not in client.read_line():
                pass

        for number, client in enumerate(clients):
            client.send(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB reply 1\r\n')
            if number == 0:
                ask(client, b"$JS.API.STREAM.CREATE.STOP", b'{"name":"STOP","subjects":["stop"],"storage":"memory"}')
                await_line(client, b"stream_create_response")
            ask(client, b"$JS.API.CONSUMER.CREATE.STOP.c%d" % number,
                b'{"stream_name":"STOP","config":{"name":"c%d","mem_storage":true,"ack_policy":"none"}}' % number)
            await_line(client, b"consumer_create_response")
            ask(client, b"$JS.API.CONSUMER.MSG.NEXT.STOP.c%d" % number, b'{"batch":5,"expires":60000000000}')
            # Answered behind the pull, so the pull waits by then.
            ask(client, b"$JS.API.CONSUMER.INFO.STOP.c%d" % number, b"")
            await_line(client, b'"num_waiting":1')
        server.process.send_signal(signal.SIGTERM)
        told = 0
        for client in clients:
            told += b"NATS/1.0 409 Server Shutdown\r\nNats-Pending-Messages: 5\r\n" in client.read_to_close()
        server.process.wait(PATIENCE_S)
        tally.add(label + " stop under pulls", "PASS" if told == len(clients) else "FAIL", f"{told} of 4 told")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", required=True)
    parser.add_argument("--shards", default="1,2")
    parser.add_argument("--kills", type=int, default=3)
    args = parser.parse_args()
    tally = run.Tally()
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
