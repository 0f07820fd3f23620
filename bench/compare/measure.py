# SPDX-License-Identifier: Apache-2.0
"""One run of one scenario against one fresh server, and what there is to know about the machine."""

import json
import os
import platform
import subprocess
import time

from servers import Server, memory_kib, pinned


def output_of(*command, cwd=None):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ''


def describe_machine():
    with open('/proc/cpuinfo', encoding='utf-8') as cpuinfo:
        models = [line.split(':', 1)[1].strip() for line in cpuinfo if line.startswith('model name')]
    with open('/proc/meminfo', encoding='utf-8') as meminfo:
        memory = int(meminfo.readline().split()[1])
    return {'cpu': models[0] if models else '', 'cpus': os.cpu_count(), 'memory_kib': memory,
            'kernel': os.uname().release, 'python': platform.python_version(), 'loadavg_at_start': os.getloadavg()[0]}


def core_busy_s(core):
    """CPU seconds the core was not idle, of whoever (ticks of 10 ms)."""
    with open('/proc/stat', encoding='ascii') as stat:
        for line in stat:
            fields = line.split()
            if fields[0] == f'cpu{core}':
                times = [int(value) for value in fields[1:9]]
                return (sum(times) - times[3] - times[4]) / os.sysconf('SC_CLK_TCK')
    return 0.0


class Runner:
    def __init__(self, options):
        self.options = options
        self.amounts = {}  # (scenario, server) → the amount of work that takes --seconds

    def command(self, scenario, server, amount):
        command = [*pinned(self.options.load_core, self.options.realtime), self.options.load,
                   *scenario.load, '--port', str(server.port), '--server-pid', str(server.pid)]
        if scenario.amount_flag is not None:
            command += [scenario.amount_flag, str(amount)]
        elif scenario.load[0] in ('open', 'fair'):
            command += ['--seconds', str(self.options.seconds + 0.5)]
            # A real-time process that never pauses is stopped by the kernel for 50 ms of every second.
            if self.options.realtime and scenario.load[0] == 'open':
                command += ['--rest-ms', '20']
        elif scenario.settle_s and not self.options.quick:
            command += ['--settle-s', str(scenario.settle_s)]
        return command + self.options.load_flags.split()

    def load(self, scenario, server, amount):
        if scenario.load[0] == 'idle':
            return self.load_idle(scenario, server)
        process = subprocess.run(self.command(scenario, server, amount), capture_output=True,
                                 text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)
        return self.result_of(process.stdout, process.stderr, process.returncode)

    @staticmethod
    def result_of(output, errors, status):
        lines = [line for line in output.splitlines() if line.startswith('{')]
        result = json.loads(lines[-1]) if lines else {}
        if status != 0 or not lines:
            result.setdefault('error', f'exit {status}: {errors.strip()[-300:]}')
        return result

    def load_idle(self, scenario, server):
        before, _ = memory_kib(server.pid)
        with subprocess.Popen(self.command(scenario, server, 0), text=True, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            ready = json.loads(process.stdout.readline() or '{}')
            time.sleep(self.options.seconds if self.options.quick else max(self.options.seconds, scenario.hold_s))
            after, _ = memory_kib(server.pid)
            output, errors = process.communicate()  # closes its stdin, which ends it
        result = self.result_of(output, errors, process.returncode)
        if 'ready' in ready:
            result['rss_before_kib'] = before
            result['rss_kib_per_conn'] = (after - before) / ready['ready']
        return result

    def run(self, scenario, name, binary, flags, round_number):
        """The run as a dict: who, which round, what the generator reported, what the machine did meanwhile."""
        options = self.options
        if name == 'ours' and scenario.ours_flags:
            flags = f'{flags} {scenario.ours_flags}'
        with Server(name, binary, flags, pinned(options.server_core, options.realtime),
                    scenario.config) as server:
            amount = self.amounts.get((scenario.name, name))
            if amount is None and scenario.amount_flag is not None:
                trial = self.load(scenario, server, scenario.amount)
                if 'error' in trial:
                    return {'server': name, 'round': round_number, **trial}
                amount = int(scenario.amount * options.seconds / max(trial['wall_s'], 1e-3))
                amount = max(min(amount, scenario.amount_max), scenario.amount // 10, 1)
                self.amounts[scenario.name, name] = amount
            elif scenario.amount_flag is not None:
                self.load(scenario, server, max(amount // 10, 1))  # warms the server up
            cores = {options.server_core, options.load_core}
            busy = sum(core_busy_s(core) for core in cores)
            started = time.monotonic()
            result = self.load(scenario, server, amount)
            wall = time.monotonic() - started
            busy = sum(core_busy_s(core) for core in cores) - busy
            result['rss_kib'], result['peak_rss_kib'] = memory_kib(server.pid)
            used = result.get('cpu_s', 0) + result.get('server_cpu_s', 0)
            if scenario.load[0] != 'idle':  # its figures leave the opening out
                result['others_share'] = max(0.0, (busy - used) / wall)
            count = result.get(scenario.per, 0)
            if count and 'server_cpu_s' in result:
                result['server_ns_per_op'] = result['server_cpu_s'] * 1e9 / count
        return {'server': name, 'round': round_number, **result}
