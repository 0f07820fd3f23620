#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Start and end of the real binary: who has the store, hand-over in lame duck mode, pid files, stops that must not hang.

    lifecycle.py --server build/release/millrace [--peer nats-server] [--only WORDS]

The last line is `N passed, N failed, N skipped`; exit code 1 on a failure.
"""
import argparse
import ctypes
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import run  # noqa: E402
import wire  # noqa: E402

PATIENCE_S = 60
STOP_MAX_S = 10


class Failed(Exception):
    pass


def check(condition, what):
    if not condition:
        raise Failed(what)


def wait_for(condition, what, patience=PATIENCE_S):
    deadline = time.monotonic() + patience
    while not condition():
        check(time.monotonic() < deadline, f"never: {what}")
        time.sleep(0.005)


class Client:
    """Answers come to `reply`."""

    def __init__(self, port):
        self.wire = wire.Connection(port)
        self.wire.send(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB reply 1\r\n')

    def ask(self, subject, body=b"", patience=wire.IO_TIMEOUT_S):
        """Header and payload of the answer."""
        self.wire.socket.settimeout(patience)
        self.wire.send(b"PUB %s reply %d\r\n%s\r\n" % (subject, len(body), body))
        while True:
            line = self.wire.read_line()
            if line.startswith((b"MSG ", b"HMSG ")):
                return self.wire.read_exactly(int(line.split()[-1]) + 2)[:-2]
            if line == b"PING":
                self.wire.send(b"PONG\r\n")

    def make(self, stream):
        answer = self.ask(b"$JS.API.STREAM.CREATE." + stream,
                          b'{"name":"%s","subjects":["%s.>"]}' % (stream, stream))
        check(b'"error"' not in answer, answer)

    def publish(self, stream, count):
        """Pipelined; every one of them is confirmed."""
        self.wire.send(b"".join(b"PUB %s.x reply 5\r\nhello\r\n" % stream for _ in range(count)))
        last = 0
        for _ in range(count):
            line = self.wire.read_line()
            while not line.startswith((b"MSG ", b"HMSG ")):
                line = self.wire.read_line()
            answer = self.wire.read_exactly(int(line.split()[-1]) + 2)
            check(b'"seq":' in answer, answer)
            last = int(answer.split(b'"seq":')[1].split(b"}")[0].split(b",")[0])
        return last

    def messages(self, stream):
        answer = self.ask(b"$JS.API.STREAM.INFO." + stream)
        check(b'"messages":' in answer, answer)
        return int(answer.split(b'"messages":')[1].split(b",")[0])


def fingerprint(directory):
    """Everything in it, and when it was changed."""
    found = {}
    for path, _, names in os.walk(directory):
        for name in [""] + names:
            full = os.path.join(path, name)
            info = os.stat(full)
            digest = ""
            if name and info.st_size < 1 << 20:
                with open(full, "rb") as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
            found[full] = (info.st_ino, info.st_size, info.st_mtime_ns, digest)
    return found


def run_to_end(binary, flags, patience=PATIENCE_S):
    """Exit code and output of a server that is not expected to stay."""
    process = subprocess.Popen([binary, "-a", "127.0.0.1", *flags], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    try:
        out, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
        raise Failed(f"it stays up: {out.decode()[-400:]}") from None
    return process.returncode, out.decode()


def stop(server, what, number=signal.SIGTERM):
    start = time.monotonic()
    server.process.send_signal(number)
    try:
        code = server.process.wait(STOP_MAX_S + 5)
    except subprocess.TimeoutExpired:
        raise Failed(f"{what}: still there after {STOP_MAX_S + 5} s") from None
    return code, time.monotonic() - start


def second_server(args, store):
    with wire.Server(args.server, ["-js", "-sd", store]) as first:
        client = Client(first.port)
        client.make(b"S")
        client.publish(b"S", 1000)
        # At rest: nothing of its own is going on that would change files.
        wait_for(lambda: fingerprint(store) == (time.sleep(0.2), fingerprint(store))[1], "the store is at rest")
        before = fingerprint(store)
        code, out = run_to_end(args.server, ["-js", "-sd", store, "-p", "-1"])
        check(code == 1, f"exit code {code}")
        for word in [os.path.join(store, "jetstream"), str(first.process.pid), "--store_lock_wait"]:
            check(word in out, f"{word} is not in: {out[-500:]}")
        check(fingerprint(store) == before, "it has left traces")
        start = time.monotonic()
        code, out = run_to_end(args.server, ["-js", "-sd", store, "-p", "-1", "--store_lock_wait", "300ms"])
        check(code == 1 and "300ms" in out and 0.3 <= time.monotonic() - start, out[-500:])
        check(fingerprint(store) == before, "it has left traces, after it waited")
        client.publish(b"S", 300)
        client.wire.close()
        stop(first, "the first")
    with wire.Server(args.server, ["-js", "-sd", store]) as again:
        found = Client(again.port).messages(b"S")
        check(found == 1300, f"{found} of 1300 are readable")


def kill_and_start(args, store):
    """A lock does not outlive a killed process."""
    for round_number in range(5):
        with wire.Server(args.server, ["-js", "-sd", store]) as server:
            client = Client(server.port)
            if round_number == 0:
                client.make(b"S")
            client.publish(b"S", 50)
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
    with wire.Server(args.server, ["-js", "-sd", store]) as server:
        check(Client(server.port).messages(b"S") == 250, "not all are readable")


def health(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=wire.IO_TIMEOUT_S) as answer:
            return answer.status
    except urllib.error.HTTPError as e:
        return e.code


def hand_over(args, store):
    """The next server waits on the same port and store; the old one goes to lame duck mode under load."""
    for shards in ["1", "2"]:
        stream = b"S" + shards.encode()
        old = wire.Server(args.server, ["-js", "-sd", store, "--shards", shards], monitor=True)
        new = None
        try:
            publisher = Client(old.port)
            publisher.make(stream)
            confirmed = publisher.publish(stream, 5000)
            check(health(old.monitor_port) == 200, "not healthy before")
            log_path = os.path.join(old.dir, "new.log")
            with open(log_path, "wb") as log:
                new = subprocess.Popen([args.server, "-a", "127.0.0.1", "-p", str(old.port), "-js", "-sd", store,
                                        "--store_lock_wait", "30s"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

            def said(word):
                with open(log_path, "rb") as file:
                    return word in file.read()

            wait_for(lambda: said(b"waiting up to 30s"), "the new one waits")
            old.process.send_signal(signal.SIGUSR2)
            # Every answer is a confirmation or a refusal; after a refusal there is no confirmation.
            while True:
                answer = publisher.ask(stream + b".x", b"more")
                if b'"seq":' not in answer:
                    break
                confirmed += 1
            check(answer.startswith(b"NATS/1.0 503"), answer)
            check(health(old.monitor_port) != 200, "healthy in lame duck mode")
            wait_for(lambda: said(b"Server is ready"), "the new one is ready")
            check(old.alive(), "the old one has left its client alone")
            check(publisher.ask(stream + b".x", b"late").startswith(b"NATS/1.0 503"), "the old one confirms again")
            client = Client(old.port)
            found = client.messages(stream)
            check(found == confirmed, f"{found} of {confirmed} are readable")
            client.publish(stream, 100)
            publisher.wire.close()
            check(old.process.wait(PATIENCE_S) == 0, "the old one's exit code")
            check(client.messages(stream) == confirmed + 100, "not all are readable when the old one has ended")
        finally:
            if new is not None:
                new.terminate()
                new.wait(PATIENCE_S)
            old.stop()


def waiting_is_ended(args, store):
    with wire.Server(args.server, ["-js", "-sd", store]) as first:
        with open(os.path.join(first.dir, "second.log"), "wb") as log:
            second = subprocess.Popen([args.server, "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", store, "--store_lock_wait",
                                       "1h"], stdout=log, stderr=log)
        wait_for(lambda: b"waiting up to" in open(log.name, "rb").read(), "the second waits")
        second.terminate()
        check(second.wait(PATIENCE_S) == 0, f"exit code {second.returncode}")


def a_reload_while_it_starts(args, store):
    """Is done once there is something to reload: after a wait for the store, and after what a start takes."""
    config = os.path.join(store, "conf")
    with open(config, "w", encoding="ascii") as file:
        file.write("debug: false\n")
    argv = [args.server, "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", store, "-c", config]
    log_path = os.path.join(store, "log")

    def said(text):
        with open(log_path, encoding="utf-8") as file:
            return text in file.read()

    for waits in (True, False):
        first = wire.Server(args.server, ["-js", "-sd", store]) if waits else None
        with open(log_path, "wb") as log:
            second = subprocess.Popen(argv + ["--store_lock_wait", "1h"], stdout=log, stderr=log)
        try:
            wait_for(lambda: said("waiting up to" if waits else "Git:"), "the second starts")
            second.send_signal(signal.SIGHUP)
            if first is not None:
                first.stop()
            wait_for(lambda: said("Reloaded server configuration"), "the second reloads")
        finally:
            second.terminate()
            check(second.wait(PATIENCE_S) == 0, f"exit code {second.returncode}")


def copied_store(args, store):
    with wire.Server(args.server, ["-js", "-sd", store]) as first:
        client = Client(first.port)
        client.make(b"S")
        client.publish(b"S", 100)
        client.wire.close()
        stop(first, "the first")
    copy = store + ".copy"
    shutil.copytree(store, copy)
    try:
        with wire.Server(args.server, ["-js", "-sd", store]) as one, wire.Server(args.server, ["-js", "-sd", copy]) as two:
            a, b = Client(one.port), Client(two.port)
            a.publish(b"S", 10)
            b.publish(b"S", 20)
            check((a.messages(b"S"), b.messages(b"S")) == (110, 120), "they are not two stores")
    finally:
        shutil.rmtree(copy)


def pid_files(args, store):
    directory = tempfile.mkdtemp(prefix="interop-pid-")
    try:
        for path, why in [("/nonexistent/x.pid", "open /nonexistent/x.pid: no such file or directory"),
                          (directory, f"open {directory}: is a directory")]:
            for binary in filter(None, [args.server, args.peer]):
                code, out = run_to_end(binary, ["-p", "-1", "-P", path])
                check(code == 1, f"{binary}: exit code {code}")
                check(f"[FTL] Could not write pidfile: {why}" in out, f"{binary}: {out[-300:]}")
        # A server that has to go leaves the pid of the one that stays.
        path = os.path.join(directory, "pid")
        with wire.Server(args.server, ["-js", "-sd", store, "-P", path]) as server:
            run_to_end(args.server, ["-js", "-sd", store, "-p", "-1", "-P", path])
            with open(path, encoding="ascii") as file:
                check(file.read() == str(server.process.pid), "another pid")
        config = os.path.join(directory, "conf")
        for binary in filter(None, [args.server, args.peer]):
            with open(config, "w", encoding="ascii") as file:
                file.write(f'pid_file: "{path}"\n')
            with wire.Server(binary, ["-c", config]) as server:
                for target, wanted in [(path + "2", "Reloaded: pid_file = "),
                                       ("/nonexistent/y", "Failed to write pidfile: open /nonexistent/y: no such")]:
                    with open(config, "w", encoding="ascii") as file:
                        file.write(f'pid_file: "{target}"\n')
                    server.process.send_signal(signal.SIGHUP)
                    wait_for(lambda: wanted in server.log_tail(), f"{binary}: {wanted}", 10)
                with open(path + "2", encoding="ascii") as file:
                    check(file.read() == str(server.process.pid), "another pid after a reload")
    finally:
        shutil.rmtree(directory)


def stop_with_interest(args, store):
    """One client with very many subscriptions, on more than one shard; more clients beside it."""
    for shards in ["1", "2", "3"]:
        for count in [30000, 100000]:
            with wire.Server(args.server, ["--shards", shards, "-js", "-sd", store]) as server:
                clients = [wire.Connection(server.port) for _ in range(3)]
                clients[0].send(b'CONNECT {"verbose":false}\r\n')
                clients[0].send(b"".join(b"SUB some.long.subject.%d %d\r\n" % (n, n) for n in range(count)) + b"PING\r\n")
                clients[0].socket.settimeout(PATIENCE_S)
                while clients[0].read_line() != b"PONG":
                    pass
                code, took = stop(server, f"{shards} shards, {count} subscriptions")
                check(code == 0, f"{shards} shards, {count} subscriptions: exit code {code} after {took:.1f} s")


def stop_with_a_shard_that_hangs(args, store):
    """The process ends all the same, and says who did not answer."""
    seize, interrupt = 0x4206, 0x4207
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    with wire.Server(args.server, ["--shards", "2", "-js", "-sd", store]) as server:
        task = f"/proc/{server.process.pid}/task"

        def name(thread):
            with open(f"{task}/{thread}/comm", encoding="ascii") as file:
                return file.read().strip()

        thread = next(int(t) for t in os.listdir(task) if name(t) == "shard-1")
        if libc.ptrace(seize, thread, None, None) != 0:
            raise run.Skip("threads cannot be held here")
        libc.ptrace(interrupt, thread, None, None)
        wait_for(lambda: open(f"{task}/{thread}/stat", encoding="ascii").read().split()[2] == "t", "the thread stands")
        start = time.monotonic()
        server.process.send_signal(signal.SIGTERM)

        def ended():
            try:
                os.waitpid(thread, os.WNOHANG | 0x40000000)  # __WALL: a traced thread ends when we have seen it end
            except ChildProcessError:
                pass
            return server.process.poll() is not None

        wait_for(ended, "the end", STOP_MAX_S + 5)
        took = time.monotonic() - start
        check(server.process.returncode == 1, f"exit code {server.process.returncode}")
        check(took < STOP_MAX_S + 3, f"{took:.1f} s")
        check("shard 1: does not answer" in server.log_tail(), server.log_tail())


CASES = [second_server, kill_and_start, hand_over, waiting_is_ended, a_reload_while_it_starts, copied_store, pid_files,
         stop_with_interest, stop_with_a_shard_that_hangs]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", required=True)
    parser.add_argument("--peer", help="nats-server: says the same about pid files")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    args.server = os.path.abspath(args.server)
    tally = run.Tally()
    for case in CASES:
        if args.only not in case.__name__:
            continue
        label = "lifecycle: " + case.__name__.replace("_", " ")
        with tempfile.TemporaryDirectory(prefix="interop-life-") as store:
            try:
                case(args, store)
                tally.add(label, "PASS")
            except run.Skip as e:
                tally.add(label, "SKIP", str(e))
            except (Failed, wire.ServerError, wire.Closed, OSError) as e:
                tally.add(label, "FAIL", f"{type(e).__name__} {e}")
    print(f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
