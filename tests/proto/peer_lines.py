#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks a running nats-server what tests/proto/lines.txt says of it: peer_lines.py [HOST:PORT]

For each line: sends all but the byte that is to blame and looks that the connection is open, then sends that byte (and
what follows) and compares the -ERR text and whether the connection closed. Exit status 1 when anything differs.
"""
import os
import re
import select
import socket
import sys

TEXT = {
    "open": None,
    "silent": b"",
    "unknown": b"-ERR 'Unknown Protocol Operation'\r\n",
    "line": b"-ERR 'maximum control line exceeded'\r\n",
    "payload": b"-ERR 'Maximum Payload Violation'\r\n",
}


def unescape(text):
    text = re.sub(r"\{(\d+)\*(.)\}", lambda m: m.group(2) * int(m.group(1)), text)
    return text.encode().decode("unicode_escape").encode("latin-1")


def read_for(sock, seconds):
    """Returns (bytes, closed): what came until nothing came for that long, or the end."""
    data = b""
    while select.select([sock], [], [], seconds)[0]:
        try:
            piece = sock.recv(65536)
        except ConnectionError:
            return data, True
        if not piece:
            return data, True
        data += piece
    return data, False


def connect(address):
    sock = socket.create_connection(address)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    read_for(sock, 0.05)
    sock.sendall(b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\nPING\r\n')
    data = b""
    while b"PONG\r\n" not in data:
        data += sock.recv(65536)
    read_for(sock, 0.05)
    return sock


def main():
    host, _, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:4222").rpartition(":")
    address = (host or "127.0.0.1", int(port))
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lines.txt")
    asked = wrong = 0
    for row in open(path, encoding="ascii"):
        row = row.rstrip("\n")
        if not row or row.startswith("#"):
            continue
        expectation, place, text = row.split(" ", 2)
        if expectation.endswith("!"):
            text, _, expectation = text.rpartition("|")
        line = unescape(text)
        asked += 1
        sock = connect(address)
        early = False
        first, rest = b"", line
        if expectation in ("silent", "unknown", "payload"):
            first, rest = line[: int(place)], line[int(place) :]
        if first:
            sock.sendall(first)
            early = read_for(sock, 0.05)[1]
        if not early:
            sock.sendall(rest)
        data, closed = read_for(sock, 0.1)
        data = data.replace(b"PONG\r\n", b"")
        sock.close()
        wanted = TEXT[expectation]
        if early or closed != (wanted is not None) or (wanted or b"") != data:
            wrong += 1
            print(f"{row[:100]}\n    expected {expectation}, got {data[:80]!r} closed={closed} early={early}")
    print(f"{asked} lines, {wrong} differ")
    return 1 if wrong or not asked else 0


if __name__ == "__main__":
    sys.exit(main())
