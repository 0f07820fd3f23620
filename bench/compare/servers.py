# SPDX-License-Identifier: Apache-2.0
"""Starting, pinning, watching and stopping one server process."""

import os
import shlex
import signal
import socket
import subprocess
import tempfile
import time


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def memory_kib(pid):
    """(RSS, peak RSS) in KiB."""
    values = {}
    with open(f'/proc/{pid}/status', encoding='ascii') as status:
        for line in status:
            key, _, rest = line.partition(':')
            if key in ('VmRSS', 'VmHWM'):
                values[key] = int(rest.split()[0])
    return values['VmRSS'], values['VmHWM']


def pinned(core, realtime):
    """The words before a command that bind it to a core, and let it go before all ordinary processes there."""
    return [*(['chrt', '-r', '1'] if realtime else []), 'taskset', '-c', str(core)]


class Server:
    """A context: inside it the server runs, pinned, in an empty folder, and answers on self.port."""

    def __init__(self, name, binary, flags, prefix, config=''):
        self.name, self.binary, self.flags, self.prefix, self.config = name, binary, flags, prefix, config
        self.process = self.port = self.folder = None

    def __enter__(self):
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory(prefix=f'compare-{self.name}-')
        self.log_path = os.path.join(self.folder.name, 'log')
        command = [*self.prefix, self.binary, '-a', '127.0.0.1', '-p', str(self.port),
                   *shlex.split(self.flags)]
        if self.config:
            with open(os.path.join(self.folder.name, 'server.conf'), 'w', encoding='utf-8') as file:
                file.write(self.config)
            command += ['-c', 'server.conf']
        try:
            with open(self.log_path, 'wb') as log:
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                                stderr=log, cwd=self.folder.name)
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    @property
    def pid(self):
        return self.process.pid  # chrt and taskset have become the server: they exec

    def _wait_until_ready(self, patience_s=15):
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                with socket.create_connection(('127.0.0.1', self.port), timeout=1) as connection:
                    if connection.recv(5) == b'INFO ':
                        return
            except OSError:
                pass
            time.sleep(0.02)
        raise RuntimeError(f'{self.name} does not come up: {self.log_tail()}')

    def log_tail(self):
        with open(self.log_path, encoding='utf-8', errors='replace') as log:
            return ''.join(log.readlines()[-5:]).strip() or '(its log is empty)'

    def __exit__(self, *_):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.folder.cleanup()
