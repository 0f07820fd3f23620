#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The real binary on small volumes: a full disk ends as soon as something makes room, and what is dead is given back.

    full_disk.py --server build/release/millrace

Mounts file systems of its own, so it needs root; without, it is skipped by name. The last line is
`N passed, N failed, N skipped`; exit code 1 on a failure.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import wire  # noqa: E402

SOON_S = 2
QUIET_S = 10
LOG_BYTES = 3 * (16 << 20)
BODY = b"x" * 8192


class Volume:
    """An ext4 of `megabytes` in a file, for as long as the block runs."""

    def __init__(self, megabytes):
        self.base = tempfile.mkdtemp(prefix="full-disk-")
        self.image = os.path.join(self.base, "image")
        self.path = os.path.join(self.base, "volume")
        os.mkdir(self.path)
        with open(self.image, "wb") as file:
            file.truncate(megabytes << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", self.image], check=True)
        subprocess.run(["mount", "-o", "loop", self.image, self.path], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.path], check=False)
        os.unlink(self.image)

    def used(self):
        bytes_used = 0
        for directory, _, names in os.walk(self.path):
            for name in names:
                try:
                    bytes_used += os.stat(os.path.join(directory, name)).st_blocks * 512
                except OSError:
                    pass
        return bytes_used

    def fill(self):
        """Somebody else takes the last byte."""
        with open(os.path.join(self.path, "other"), "wb", buffering=0) as file:
            for size in (1 << 20, 4096):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    pass
            try:
                os.fsync(file.fileno())
            except OSError:
                pass


class Client:
    def __init__(self, server):
        self.client = wire.Connection(server.port)
        self.client.send(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB reply 1\r\n')

    def ask(self, subject, body=b""):
        self.client.send(b"PUB %s reply %d\r\n%s\r\n" % (subject, len(body), body))
        while True:
            line = self.client.read_line()
            if line.startswith(b"{"):
                return json.loads(line)

    def stream(self, name=b"S", limits=b""):
        return self.ask(b"$JS.API.STREAM.CREATE." + name,
                        b'{"name":"%s","subjects":["%s"],"storage":"file"%s}' % (name, name.lower(), limits))

    def publish(self, count, subject=b"s"):
        """How many of them were confirmed."""
        record = b"PUB %s reply %d\r\n%s\r\n" % (subject, len(BODY), BODY)
        confirmed = 0
        for _ in range(0, count, 100):
            self.client.send(record * 100)
            for _ in range(100):
                while not (line := self.client.read_line()).startswith(b"{"):
                    pass
                confirmed += b'"error"' not in line
        return confirmed


def until(seconds, what):
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def fill(client):
    while client.publish(100) > 0 or until(SOON_S, lambda: client.publish(100) > 0):
        pass


def makes_room(binary, way, request, to_the_last_byte, megabytes=64):
    with Volume(megabytes) as volume, wire.Server(binary, ["-js", "-sd", os.path.join(volume.path, "s")]) as server:
        client = Client(server)
        client.stream()
        client.stream(b"OTHER")
        fill(client)
        if to_the_last_byte:
            volume.fill()
        if "error" in client.ask(*request):
            return "the request was refused"
        if not until(SOON_S, lambda: client.publish(100, b"other") > 0):
            return "messages are refused two seconds later: " + server.log_tail(3)
    return ""


def gives_back(binary, megabytes=400):
    with Volume(megabytes) as volume, wire.Server(binary, ["-js", "-sd", os.path.join(volume.path, "s")]) as server:
        client = Client(server)
        client.stream()
        if client.publish(12_000) != 12_000:
            return "not everything was confirmed"
        client.ask(b"$JS.API.STREAM.PURGE.S")
        if not until(QUIET_S, lambda: volume.used() <= 2 * LOG_BYTES):
            return f"{volume.used() >> 20} MiB are in use of an empty stream"
    return ""


def bounded(binary, megabytes=200):
    with Volume(megabytes) as volume, wire.Server(binary, ["-js", "-sd", os.path.join(volume.path, "s")]) as server:
        client = Client(server)
        client.stream(limits=b',"max_bytes":1000000')
        confirmed = client.publish(40_000)
        return "" if confirmed == 40_000 else f"{confirmed} of 40000 confirmed: " + server.log_tail(3)


def tiny(binary, megabytes):
    with Volume(megabytes) as volume, wire.Server(binary, ["-js", "-sd", os.path.join(volume.path, "s")]) as server:
        client = Client(server)
        start = time.monotonic()
        client.stream()
        client.publish(200)
        client.ask(b"$JS.API.STREAM.INFO.S")
        client.ask(b"$JS.API.STREAM.DELETE.S")
        if time.monotonic() - start > SOON_S:
            return f"answers took {time.monotonic() - start:.1f} s"
        return "" if "INTERNAL" not in server.log_tail(100) else server.log_tail(3)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    options = parser.parse_args()
    if os.geteuid() != 0 or not os.path.exists("/dev/loop-control"):
        print("full_disk: skipped, volumes can be mounted by root only")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    purge = b"$JS.API.STREAM.PURGE.S"
    ways = {"purge": (purge,), "purge that keeps ten": (purge, b'{"keep":10}'), "delete": (b"$JS.API.STREAM.DELETE.S",)}
    cases = {}
    for name, request in ways.items():
        cases[f"full disk, {name}"] = lambda r=request: makes_room(options.server, "", r, False)
    cases["full to the last byte, purge"] = lambda: makes_room(options.server, "", (purge,), True)
    cases["full to the last byte, keep"] = lambda: makes_room(options.server, "", ways["purge that keeps ten"], True)
    cases["100 MB purged are given back"] = lambda: gives_back(options.server)
    cases["a stream of 1 MB on 200 MB"] = lambda: bounded(options.server)
    for megabytes in (1, 8):
        cases[f"a volume of {megabytes} MB"] = lambda m=megabytes: tiny(options.server, m)
    failed = 0
    for name, case in cases.items():
        try:
            problem = case()
        except (wire.ServerError, wire.Closed, OSError, subprocess.CalledProcessError) as e:
            problem = str(e) or type(e).__name__
        failed += bool(problem)
        print(f"{'FAIL' if problem else 'PASS'} {name} {problem}", flush=True)
    print(f"{len(cases) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
