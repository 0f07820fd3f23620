# SPDX-License-Identifier: Apache-2.0
"""Shared pieces of the interop tools: start a server, speak the client protocol byte by byte.

Nothing here knows which server it talks to: any binary that takes nats-server's flags will do.
"""
import errno
import json
import os
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time

START_TIMEOUT_S = 20
IO_TIMEOUT_S = 10


def raise_file_limit(wanted=60000):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def split_flags(text):
    return shlex.split(text or "")


class ServerError(Exception):
    pass


class Server:
    """One running server on 127.0.0.1. `config` is configuration text; {port} and {dir} are filled in. `ports`: an iterator of
    those to try; without it free ones are asked of the kernel."""

    def __init__(self, path, flags=(), config=None, monitor=False, environment=None, ports=None):
        self.path = os.path.abspath(path)
        if not os.access(self.path, os.X_OK):
            raise ServerError(f"not an executable: {self.path}")
        self.dir = tempfile.mkdtemp(prefix="interop-")
        self.monitor_port = None
        self.log_path = os.path.join(self.dir, "server.log")
        for attempt in range(5):
            self.port = free_port() if ports is None else next(ports)
            argv = [self.path, "-a", "127.0.0.1", "-p", str(self.port)]
            if monitor:
                self.monitor_port = free_port() if ports is None else next(ports)
                argv += ["-m", str(self.monitor_port)]
            if config is not None:
                argv += ["-c", self.write_config(config)]
            argv += list(flags)
            with open(self.log_path, "wb") as log:
                env = dict(os.environ, **(environment or {}))
                self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
            if self._wait_until_serving():
                return
            text = self.log_tail()
            self.kill_process()
            if "in use" not in text.lower():
                raise ServerError(f"{' '.join(argv)} did not come up:\n{text}")
        raise ServerError("no free port")

    def write_config(self, config):
        path = os.path.join(self.dir, "server.conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write(config.replace("{port}", str(self.port)).replace("{dir}", self.dir))
        return path

    def reload(self, config):
        """True when it has been taken. With a monitor, all of the server goes by it then."""
        said = ("Reloaded server configuration", "Failed to reload server configuration")

        def count():
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                text = f.read()
            return [text.count(line) for line in said]
        before = count()
        self.write_config(config)
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + IO_TIMEOUT_S
        while count() == before:
            if time.monotonic() > deadline or not self.alive():
                raise ServerError("no reload:\n" + self.log_tail())
            time.sleep(0.005)
        if self.monitor_port:
            self.http_json("/connz")  # shards answer after what they were told before
        return count()[1] == before[1]

    def _wait_until_serving(self):
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return False
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as s:
                    s.settimeout(IO_TIMEOUT_S)
                    if s.recv(1):
                        return True
            except OSError:
                # Neither server offers a portable event for "listening", so the port itself is polled.
                time.sleep(0.01)
        return False

    def alive(self):
        return self.process.poll() is None

    def memory_bytes(self, key="VmRSS"):
        try:
            with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
                for line in f:
                    if line.startswith(key + ":"):
                        return int(line.split()[1]) * 1024
        except OSError:
            pass
        return 0

    def log_tail(self, count=30):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                return "".join(f.readlines()[-count:])
        except OSError:
            return ""

    def http_json(self, path):
        import urllib.request
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor_port}{path}", timeout=IO_TIMEOUT_S) as r:
            return json.load(r)

    def kill_process(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM, then SIGKILL. Returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        code = self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


CLOSED_ERRNOS = {errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN, errno.ESHUTDOWN, errno.ECONNABORTED}


class Closed(Exception):
    """The peer closed or reset the connection."""


class Connection:
    """A blocking client connection with a receive buffer. A reset counts as a close."""

    def __init__(self, port, timeout=IO_TIMEOUT_S, read_info=True, receive_buffer_bytes=None, source=None):
        self.socket = socket.socket()
        if receive_buffer_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(timeout)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.closed = False
        self.info = None
        self.info_line = b""
        if read_info:
            self.info_line = self.read_line()
            if self.info_line.startswith(b"INFO "):
                self.info = json.loads(self.info_line[5:])

    def send(self, data):
        """Sends all. A close by the peer is not an error here: reading will show it."""
        try:
            self.socket.sendall(data)
        except OSError as e:
            if e.errno not in CLOSED_ERRNOS:
                raise

    def fill(self):
        """Reads once. Raises Closed at end of stream, TimeoutError when nothing came in time."""
        if self.closed:
            raise Closed()
        try:
            data = self.socket.recv(1 << 18)
        except OSError as e:
            if isinstance(e, TimeoutError) or e.errno not in CLOSED_ERRNOS:
                raise
            data = b""
        if not data:
            self.closed = True
            raise Closed()
        self.buffer += data

    def read_line(self):
        while True:
            end = self.buffer.find(b"\r\n")
            if end >= 0:
                line, self.buffer = self.buffer[:end], self.buffer[end + 2:]
                return line
            self.fill()

    def read_exactly(self, count):
        while len(self.buffer) < count:
            self.fill()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def read_to_close(self):
        try:
            while True:
                self.fill()
        except Closed:
            data, self.buffer = self.buffer, b""
            return data

    def close(self):
        self.socket.close()
        self.closed = True

    def shut_down(self):
        """Half-closes and waits for the server's close, so that its side is gone when this returns."""
        if not self.closed:
            try:
                self.socket.shutdown(socket.SHUT_WR)
                self.socket.settimeout(IO_TIMEOUT_S)
                while self.socket.recv(1 << 18):
                    pass
            except OSError:
                pass
        self.close()
