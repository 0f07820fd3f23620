#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs millrace, a peer and optionally the relay under the same load in turn, and prints the ratios.

Only ratios of one run count: machines differ, and this one has neighbours. Each figure is the median over rounds of
the ratio within a round, where the servers ran right after each other; the order turns round each time.
"""

import argparse
import datetime
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

from scenarios import SCENARIOS
from servers import Server, memory_kib, pinned

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
GENERATOR_IS_LIMIT = 0.95  # of its core
NOISY = 0.15  # CPU time that others took on the two cores, as a share of one core


def first_existing(*paths):
    return next((path for path in paths if os.path.exists(path)), paths[0])


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    build = os.path.join(ROOT, 'build', 'release')
    parser.add_argument('--ours', default=first_existing(os.path.join(build, 'millrace'),
                                                         os.path.join(build, 'broker', 'millrace')))
    parser.add_argument('--ours-flags', default='', help='more flags for millrace, as one word')
    parser.add_argument('--peer', default=None, help='default: /tmp/bin/nats-server, or from PATH')
    parser.add_argument('--peer-flags', default='')
    parser.add_argument('--relay', nargs='?', default=None,
                        const=os.path.join(build, 'bench', 'relay', 'millrace-relay'),
                        help='also run the relay, the limit of the machine')
    parser.add_argument('--no-ours', action='store_true', help='only the peer (and the relay)')
    parser.add_argument('--load', default=os.path.join(build, 'bench', 'load', 'millrace-load'))
    parser.add_argument('--load-flags', default='', help='more flags for every load, e.g. --window=256Ki')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--seconds', type=float, default=1.5, help='how long one run is to take')
    parser.add_argument('--quick', action='store_true', help='one round of 0.4 s: a smoke test')
    parser.add_argument('--only', default='', help='regex: the scenarios to run')
    parser.add_argument('--list', action='store_true', help='print the scenarios and stop')
    parser.add_argument('--server-core', type=int, default=0)
    parser.add_argument('--load-core', type=int, default=1)
    parser.add_argument('--realtime', action='store_true',
                        help='SCHED_RR for server and load, where others use the same cores (needs root)')
    parser.add_argument('--json', default=None, help='write machine, commit and all runs to this file')
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.4
    return options


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True,
                              cwd=ROOT).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ''


def describe_machine():
    with open('/proc/cpuinfo', encoding='utf-8') as cpuinfo:
        models = [line.split(':', 1)[1].strip() for line in cpuinfo if line.startswith('model name')]
    with open('/proc/meminfo', encoding='utf-8') as meminfo:
        memory = int(meminfo.readline().split()[1])
    return {'cpu': models[0] if models else '', 'cpus': os.cpu_count(), 'memory_kib': memory,
            'kernel': os.uname().release, 'host': os.uname().nodename,
            'loadavg_at_start': os.getloadavg()[0]}


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
    def __init__(self, options, servers):
        self.options, self.servers = options, servers
        self.amounts = {}  # (scenario, server) → the amount of work that takes --seconds

    def command(self, scenario, server, amount):
        command = [*pinned(self.options.load_core, self.options.realtime), self.options.load,
                   *scenario.load, '--port', str(server.port), '--server-pid', str(server.pid)]
        if scenario.amount_flag is not None:
            command += [scenario.amount_flag, str(amount)]
        elif scenario.load[0] == 'open':
            command += ['--seconds', str(self.options.seconds + 0.5)]
            if self.options.realtime:  # a real-time process that spins is stopped for 50 ms of every second
                command.append('--sleep')
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
            time.sleep(self.options.seconds)
            after, _ = memory_kib(server.pid)
            output, errors = process.communicate()  # closes its stdin, which ends it
        result = self.result_of(output, errors, process.returncode)
        if 'ready' in ready:
            result['rss_before_kib'] = before
            result['rss_kib_per_conn'] = (after - before) / ready['ready']
        return result

    def run(self, scenario, server_arguments, round_number):
        options = self.options
        with Server(*server_arguments, pinned(options.server_core, options.realtime)) as server:
            amount = self.amounts.get((scenario.name, server.name))
            if amount is None and scenario.amount_flag is not None:
                trial = self.load(scenario, server, scenario.amount)
                if 'error' in trial:
                    return {'server': server.name, 'round': round_number, **trial}
                amount = int(scenario.amount * options.seconds / max(trial['wall_s'], 1e-3))
                amount = max(min(amount, scenario.amount_max), scenario.amount // 10, 1)
                self.amounts[scenario.name, server.name] = amount
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
        return {'server': server.name, 'round': round_number, **result}


def median_ratio(runs, metric, upper, lower):
    """Median, least and greatest over the rounds of upper's metric by lower's; None when a run is missing."""
    by_round = {}
    for run in runs:
        if 'error' not in run and run.get(metric):
            by_round.setdefault(run['round'], {})[run['server']] = run[metric]
    ratios = [pair[upper] / pair[lower] for pair in by_round.values() if upper in pair and lower in pair]
    if not ratios:
        return None
    return {'median': statistics.median(ratios), 'min': min(ratios), 'max': max(ratios)}


def summarize(scenario, runs, names, realtime):
    summary = {'scenario': scenario.name, 'metric': scenario.metric, 'unit': scenario.unit}
    for name in names:
        good = [run for run in runs if run['server'] == name and 'error' not in run]
        values = [run[scenario.metric] * scenario.scale for run in good if scenario.metric in run]
        if not values:
            continue
        middle = {key: statistics.median(run[key] for run in good) for key in
                  ('server_ns_per_op', 'cpu_share', 'server_cpu_share', 'others_share', 'peak_rss_kib')
                  if all(key in run for run in good)}
        spins = scenario.load[0] == 'open' and not realtime  # at 100 % whatever it does
        summary[name] = {'value': statistics.median(values), **middle,
                         'generator_was_limit': not spins and middle['cpu_share'] >= GENERATOR_IS_LIMIT}
    first, peer = names[0], 'peer'
    summary['ratio'] = median_ratio(runs, scenario.metric, first, peer)
    summary['cpu_ratio'] = median_ratio(runs, 'server_ns_per_op', first, peer)
    summary['errors'] = [f"{run['server']}: {run['error']}" for run in runs if 'error' in run]
    return summary


def table_row(summary, names):
    def cell(name):
        value = summary.get(name)
        if value is None:
            return f'{"–":>18}'
        cpu = value.get('server_ns_per_op')
        cpu = '' if cpu is None else f'{cpu:.0f} ns' if cpu < 9999 else f'{cpu / 1000:.0f} µs'
        return f'{value["value"]:9.3g} {cpu:>8}'

    def ratio(of):
        return f'{"–":>19}' if of is None else f'{of["median"]:6.2f} ({of["min"]:.2f}..{of["max"]:.2f})'

    notes = []
    present = [name for name in names if name in summary]
    if any(summary[name]['generator_was_limit'] for name in present):
        notes.append('generator is the limit for ' + ', '.join(
            name for name in present if summary[name]['generator_was_limit']))
    if any(summary[name].get('others_share', 0) > NOISY for name in present):
        notes.append('noisy')
    notes += summary['errors'][:1]
    shares = '/'.join(f'{100 * summary[name]["cpu_share"]:.0f}' for name in present)
    cells = ' '.join(cell(name) for name in names)
    return (f'{summary["scenario"]:<14}{summary["unit"]:>4} {cells}  {ratio(summary["ratio"]):>20} '
            f'{ratio(summary["cpu_ratio"]):>20}  {shares:>9}  {"; ".join(notes)}').rstrip()


def choose_servers(options):
    """name → (name, binary, flags), in table order; ratios are of the first by the peer."""
    peer = options.peer or '/tmp/bin/nats-server'
    if options.peer is None and not os.path.exists(peer):
        peer = shutil.which('nats-server') or peer
    servers = {}
    if not options.no_ours:
        servers['ours'] = ('ours', options.ours, options.ours_flags)
    if options.relay is not None:
        servers['relay'] = ('relay', options.relay, '')
    servers['peer'] = ('peer', peer, options.peer_flags)
    missing = [path for _, path, _ in servers.values() if not os.access(path, os.X_OK)]
    if not os.access(options.load, os.X_OK):
        missing.append(options.load)
    if missing:
        sys.exit('compare: not there: ' + ', '.join(missing) + ' (tools/build release, or see --help)')
    return {name: (name, os.path.realpath(path), flags) for name, (_, path, flags) in servers.items()}


def main():
    options = parse_arguments()
    chosen = [s for s in SCENARIOS if re.search(options.only, s.name)]
    if options.list:
        for scenario in chosen:
            print(f'{scenario.name:<16}{" ".join(scenario.load)}')
        return 0
    servers = choose_servers(options)
    options.load = os.path.realpath(options.load)
    names = list(servers)
    report = {
        'date': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
        'machine': describe_machine(),
        'commit': output_of('git', 'rev-parse', 'HEAD'),
        'dirty': bool(output_of('git', 'status', '--porcelain', '--untracked-files=no')),
        'peer_version': output_of(servers['peer'][1], '--version'),
        'options': vars(options), 'servers': servers, 'scenarios': [],
    }
    print(f'{report["machine"]["cpu"]}, kernel {report["machine"]["kernel"]}, '
          f'commit {report["commit"][:12]}, peer {report["peer_version"]}')
    heads = ' '.join(f'{name + "  CPU/op":>18}' for name in names)
    print(f'{"scenario":<18} {heads}  {names[0] + " / peer":>20} {"CPU " + names[0] + " / peer":>20}  '
          'generator %')
    runner = Runner(options, servers)
    failed = False
    for scenario in chosen:
        runs = []
        able = [name for name in names if name != 'relay' or scenario.relay]
        for round_number in range(options.rounds):
            for name in able if round_number % 2 == 0 else reversed(able):
                if sys.stderr.isatty():
                    print(f'\r{scenario.name}: round {round_number + 1} of {options.rounds}, {name}   ',
                          end='', file=sys.stderr, flush=True)
                try:
                    runs.append(runner.run(scenario, servers[name], round_number))
                except (RuntimeError, OSError, subprocess.TimeoutExpired, KeyError, ValueError) as error:
                    runs.append({'server': name, 'round': round_number, 'error': str(error)})
        if sys.stderr.isatty():
            print('\r' + ' ' * 60 + '\r', end='', file=sys.stderr, flush=True)
        summary = summarize(scenario, runs, names, options.realtime)
        failed = failed or bool(summary['errors'])
        print(table_row(summary, names), flush=True)
        report['scenarios'].append({'summary': summary, 'runs': runs})
        if options.json:  # after every scenario: a long run that is cut short has still told something
            with open(options.json, 'w', encoding='utf-8') as file:
                json.dump(report, file, indent=1)
    return 1 if failed else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit('compare: interrupted')
