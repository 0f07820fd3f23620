#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs millrace, a peer and optionally the relay under the same load in turn, and prints the ratios.

Only ratios of one run count: machines differ, and this one has neighbours. Each figure is the median over rounds of
the ratio within a round, where the servers ran right after each other; the order turns round each time.
"""

import argparse
import datetime
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time

import figures
import page
import results
from measure import Runner, describe_machine, output_of
from scenarios import LADDER, SCENARIOS, rung

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
STORE = os.path.join(ROOT, 'bench', 'results')


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
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--seconds', type=float, default=1.5, help='how long one run is to take')
    parser.add_argument('--quick', action='store_true', help='one round of 0.4 s: a smoke test')
    parser.add_argument('--only', default='', help="regex: the scenarios to run ('ladder' leaves only the ladder)")
    parser.add_argument('--ladder', action='store_true',
                        help='after the scenarios: open loop at rising rates, until a server falls behind')
    parser.add_argument('--list', action='store_true', help='print the scenarios and stop')
    parser.add_argument('--server-core', type=int, default=0)
    parser.add_argument('--load-core', type=int, default=1)
    parser.add_argument('--realtime', action='store_true',
                        help='SCHED_RR for server and load, where others use the same cores (needs root)')
    parser.add_argument('--progress', action='store_true', help='lines of progress on stderr, also to a file')
    parser.add_argument('--json', default=None, help='write machine, commit and all runs to this file')
    parser.add_argument('--save', action='store_true', help='--json bench/results/DATE-COMMIT.json')
    parser.add_argument('--html', default=None, help='write one page with all figures to this file')
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.4
    return options


def choose_servers(options):
    """name → {binary, flags}, in table order; ratios are of the first by the peer."""
    peer = options.peer or '/tmp/bin/nats-server'
    if options.peer is None and not os.path.exists(peer):
        peer = shutil.which('nats-server') or peer
    servers = {}
    if not options.no_ours:
        servers['ours'] = {'binary': options.ours, 'flags': options.ours_flags}
    if options.relay is not None:
        servers['relay'] = {'binary': options.relay, 'flags': ''}
    servers['peer'] = {'binary': peer, 'flags': options.peer_flags}
    missing = [path for path in [options.load, *(server['binary'] for server in servers.values())]
               if not os.access(path, os.X_OK)]
    if missing:
        sys.exit('compare: not there: ' + ', '.join(missing) + ' (tools/build release, or see --help)')
    for name, server in servers.items():
        server['binary'] = os.path.realpath(server['binary'])
        with open(server['binary'], 'rb') as file:  # the commit is the checkout's: this says which build it was
            server['sha256'] = hashlib.sha256(file.read()).hexdigest()
        version = '' if name == 'relay' else output_of(server['binary'], '--version').split('\n')[0]
        server['version'] = version.replace(': ', ' ')
    return servers


class Progress:
    """Where a series stands and how long it will take: redrawn on a terminal, with --progress a line per run."""

    def __init__(self, wanted, runs):
        self.draws, self.prints = sys.stderr.isatty(), wanted
        self.runs, self.done, self.started = runs, 0, time.monotonic()

    def show(self, text):
        left = (time.monotonic() - self.started) / self.done * (self.runs - self.done) if self.done else None
        line = f'{100 * self.done // max(self.runs, 1):3} %  {text}'
        line += '' if left is None else f', {left / 60:.0f} min left' if left > 90 else f', {left:.0f} s left'
        self.done += 1
        if self.draws:
            print(f'\r{line:<78}', end='', file=sys.stderr, flush=True)
        elif self.prints:
            print(line, file=sys.stderr, flush=True)

    def clear(self):
        if self.draws:
            print('\r' + ' ' * 78 + '\r', end='', file=sys.stderr, flush=True)


class Series:
    """All runs that were asked for, in order, written down after each scenario."""

    def __init__(self, options, servers, chosen):
        self.options, self.servers, self.chosen = options, servers, chosen
        self.names = list(servers)
        self.runner = Runner(options)
        per_scenario = options.rounds * len(servers)
        self.progress = Progress(options.progress,
                                 per_scenario * (len(chosen) + (len(LADDER) if options.ladder else 0)))
        self.report = {
            'format': results.FORMAT,
            'date': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
            'commit': output_of('git', 'rev-parse', 'HEAD', cwd=ROOT),
            'dirty': bool(output_of('git', 'status', '--porcelain', '--untracked-files=no', cwd=ROOT)),
            'command': shlex.join(['bench/compare/compare', *sys.argv[1:]]),
            'machine': describe_machine(),
            'servers': servers,
            'options': {key: getattr(options, key) for key in (
                'rounds', 'seconds', 'quick', 'only', 'ladder', 'server_core', 'load_core', 'realtime', 'load_flags')},
            'scenarios': [], 'ladder': [],
        }
        if options.save:
            options.json = os.path.join(STORE, f'{self.report["date"][:10]}-{self.report["commit"][:10]}.json')

    def rounds(self, scenario):
        runs = []
        able = [name for name in self.names if name != 'relay' or scenario.relay]
        for round_number in range(self.options.rounds):
            for name in able if round_number % 2 == 0 else reversed(able):
                self.progress.show(f'{scenario.name}: round {round_number + 1} of {self.options.rounds}, {name}')
                server = self.servers[name]
                try:
                    runs.append(self.runner.run(scenario, name, server['binary'], server['flags'], round_number))
                except (RuntimeError, OSError, subprocess.TimeoutExpired, KeyError, ValueError) as error:
                    runs.append({'server': name, 'round': round_number, 'error': str(error)})
        self.progress.clear()
        return {**scenario.described(), 'runs': runs}

    def write(self):
        """After every scenario: a long series that is cut short has still told something."""
        if self.options.json:
            size = results.write(self.report, self.options.json)
            if self.options.save and size > results.STORED_BYTES_MAX:
                print(f'compare: {self.options.json} has {size} bytes, too many to keep', file=sys.stderr)
        if self.options.html:
            with open(self.options.html, 'w', encoding='utf-8') as file:
                file.write(page.page(self.report))

    def run(self):
        failed = False
        for scenario in self.chosen:
            self.report['scenarios'].append(self.rounds(scenario))
            row = figures.row(self.report['scenarios'][-1], self.names, self.options.realtime)
            failed = failed or bool(row.errors)
            print(table_row(row, self.names), flush=True)
            self.write()
        if self.options.ladder:
            print(f'\n{"rate":<18} ' + '  '.join(f'{name + "  p50 / p99 µs  CPU":>32}' for name in self.names))
        for rate in LADDER if self.options.ladder else []:
            self.report['ladder'].append({**self.rounds(rung(rate)), 'rate': rate})
            step = figures.rungs(self.report)[-1]
            print(ladder_row(step, self.names), flush=True)
            self.write()
            if any(step.behind.values()):
                break
        return failed


def table_row(row, names):
    def cell(name):
        value = row.values.get(name)
        if value is None:
            return f'{"–":>18}'
        cpu = row.cpu.get(name)
        return f'{value.median:9.3g} {figures.cpu_text(cpu.median) if cpu else "":>8}'

    def ratio(of):
        return f'{"–":>19}' if of is None else f'{of.median:6.2f} ({of.min:.2f}..{of.max:.2f})'

    cells = ' '.join(cell(name) for name in names)
    shares = '/'.join(f'{100 * share:.0f}' for share in row.shares.values())
    notes = '; '.join(row.notes + row.errors[:1])
    return (f'{row.name:<18}{row.unit:>4} {cells}  {ratio(row.ratio):>20} {ratio(row.cpu_ratio):>20}  '
            f'{shares:>9}  {notes}').rstrip()


def ladder_row(step, names):
    def cell(name):
        if name not in step.p50_us:
            return f'{"–":>32}'
        text = f'{step.p50_us[name].median:.0f} / {step.p99_us[name].median:.0f}  {100 * step.cpu[name].median:.0f} %'
        return f'{text + ("  behind" if step.behind[name] else ""):>32}'

    return f'{step.rate:<18,} ' + '  '.join(cell(name) for name in names)


def main():
    options = parse_arguments()
    chosen = [s for s in SCENARIOS if re.search(options.only, s.name)]
    if options.list:
        for scenario in chosen:
            print(f'{scenario.name:<18}{" ".join(scenario.load)} {scenario.ours_flags}'.rstrip())
        return 0
    servers = choose_servers(options)
    options.load = os.path.realpath(options.load)
    series = Series(options, servers, chosen)
    report, names = series.report, series.names
    print(f'{report["machine"]["cpu"]}, kernel {report["machine"]["kernel"]}, '
          f'commit {report["commit"][:12]}, peer {servers["peer"]["version"]}')
    if chosen:
        heads = ' '.join(f'{name + "  CPU/op":>18}' for name in names)
        print(f'{"scenario":<22} {heads}  {names[0] + " / peer":>20} {"CPU " + names[0] + " / peer":>20}  generator %')
    failed = series.run()
    if options.json:
        print(f'written: {os.path.relpath(options.json)}')
    return 1 if failed else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit('compare: interrupted')
