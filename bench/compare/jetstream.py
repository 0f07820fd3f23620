#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""JetStream beside nats-server: both servers in turn on one core, the load on another.

bench/compare/jetstream.py --nats PATH --peer PATH [--ours build/release/millrace] [--rounds 5] [--only REGEX]
                           [--realtime] [--json FILE]

Publishing is measured by millrace-load store, which is never the limit and checks every confirmation; reading by `nats bench`,
a Go client of one process: where that is the limit the rates of both servers meet, and only the CPU column tells.
Per row: messages a second, and the CPU time of the server per message (sum of schedstat over its threads, file system and
flushes of its own threads included). Rows with one message in flight also say how long a confirmation took.
"""
import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from measure import describe_machine, output_of  # noqa: E402
from servers import Server, memory_kib, pinned  # noqa: E402

PEER_ALWAYS = 'sync_interval: always'

# name, what prepares it, what is measured, messages, how the peer is configured. {n} is the number of messages.
# "store …" is millrace-load, everything else `nats bench`. {ours_async} is for ours only: the peer's stream is a plain one.
FILL = 'store --msgs {n}'
KV = """ --subjects 100000 --stream '"max_msgs_per_subject":1,"allow_direct":true'"""
ASYNC = """ --stream '"persist_mode":"async"'"""
SCENARIOS = [
    ('pub-async-durable', [], 'store --msgs {n}', 400_000, 'lazy'),
    ('pub-async-always', [], 'store --msgs {n}', 60_000, 'always'),
    ('pub-async-async', [], 'store --msgs {n}' + ASYNC, 1_000_000, 'lazy'),
    ('pub-async-async-default', [], 'store --msgs {n}{ours_async}', 1_000_000, 'lazy'),
    ('pub-sync', [], 'store --inflight 1 --msgs {n}', 4_000, 'always'),
    ('pub-100k-subjects', [], 'store --subjects 100000 --msgs {n}', 500_000, 'lazy'),
    ('pub-memory', [], """store --msgs {n} --stream '"storage":"memory"'""", 1_000_000, 'lazy'),
    ('kv-shape', ['store --msgs 100000' + KV], 'store --msgs {n}' + KV, 400_000, 'lazy'),
    ('kv-shape-aged', ['store --msgs 2000000' + KV], 'store --msgs {n}' + KV, 400_000, 'lazy'),
    ('ordered', [FILL], 'js ordered --stream BENCH --msgs {n}', 500_000, 'lazy'),
    ('consume-explicit', [FILL], 'js consume --stream BENCH --acks explicit --msgs {n}', 300_000, 'lazy'),
    ('fetch-explicit', [FILL], 'js fetch --stream BENCH --acks explicit --msgs {n} --batch 500', 300_000, 'lazy'),
    ('filtered-1-in-1000', ['store --subjects 1000 --msgs 1000000'],
     'js ordered --stream BENCH --filter bench.000500 --msgs {n}', 1_000, 'lazy'),
    ('get-sync', [FILL], 'js get sync --stream BENCH --msgs {n}', 20_000, 'lazy'),
    ('kv-put', [], 'kv put --size 128 --msgs {n}', 5_000, 'lazy'),
    ('kv-get', ['kv put --size 128 --msgs 20000'], 'kv get --msgs {n}', 20_000, 'lazy'),
]


def cpu_s(pid):
    total = 0
    for task in os.listdir(f'/proc/{pid}/task'):
        try:
            with open(f'/proc/{pid}/task/{task}/schedstat', encoding='ascii') as stat:
                total += int(stat.read().split()[0])
        except OSError:
            pass
    return total / 1e9


class Bench:
    def __init__(self, options):
        self.options = options

    def load(self, server, arguments):
        """Runs one line of load. The client's own account of it is in stdout."""
        words = shlex.split(arguments)
        if words[0] == 'store':
            command = [self.options.load, *words, '--port', str(server.port), '--server-pid', str(server.pid)]
        else:
            command = [self.options.nats, '-s', f'nats://127.0.0.1:{server.port}', 'bench', *words, '--no-progress']
        return subprocess.run([*pinned(self.options.load_core, self.options.realtime), *command], capture_output=True,
                              text=True, timeout=300, check=False, stdin=subprocess.DEVNULL)

    def run(self, scenario, name):
        title, prepare, measured, count, mode = scenario
        options = self.options
        binary = options.ours if name == 'ours' else options.peer
        flags = '-js -sd store'
        if name == 'ours':
            flags += ' --shards 1 ' + options.ours_flags
        config = f'/tmp/jetstream-bench-{os.getpid()}.conf'
        if name == 'peer' and mode == 'always':
            with open(config, 'w', encoding='ascii') as file:
                file.write('jetstream { store_dir: store, sync_interval: always }\n')
            flags = f'-c {config}'
        with Server(name, binary, flags, pinned(options.server_core, options.realtime)) as server:
            for line in prepare:
                done = self.load(server, line.format(n=count))
                if done.returncode != 0:
                    return {'error': done.stderr.strip()[-200:] or done.stdout.strip()[-200:]}
            rss_before, _ = memory_kib(server.pid)
            cpu = cpu_s(server.pid)
            started = time.monotonic()
            done = self.load(server, measured.format(n=count, ours_async=ASYNC if name == 'ours' else ''))
            wall = time.monotonic() - started
            cpu = cpu_s(server.pid) - cpu
            rss, peak = memory_kib(server.pid)
        if done.returncode != 0:
            return {'error': done.stderr.strip()[-200:] or done.stdout.strip()[-200:]}
        result = {'wall_s': wall, 'rss_growth_kib': rss - rss_before, 'peak_kib': peak}
        if measured.startswith('store'):
            said = json.loads(done.stdout.splitlines()[-1])
            return {'rate': said['msgs_per_s'], 'cpu_us': said['server_cpu_s'] * 1e6 / said['msgs'],
                    'p50_us': said['p50_us'], 'p99_us': said['p99_us'], 'load_share': said['cpu_share'], **result}
        rates = re.findall(r'([\d,]+) msgs/sec', done.stdout)
        rate = float(rates[-1].replace(',', '')) if rates else count / wall
        return {'rate': rate, 'cpu_us': cpu * 1e6 / count, **result}


def middle(values):
    return statistics.median(values) if values else float('nan')


def latency(good):
    """What one message in flight waits, and the share of its core that the load used."""
    if 'p50_us' not in good[0][0]:
        return ''
    return ''.join(f'  {key[:3]} {middle([a[key] for a, _ in good]):,.0f} / {middle([b[key] for _, b in good]):,.0f} µs'
                   for key in ('p50_us', 'p99_us')) + f'  load {middle([a["load_share"] for a, _ in good]) * 100:.0f} %'


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser.add_argument('--nats', default='nats')
    parser.add_argument('--peer', default='nats-server')
    parser.add_argument('--ours', default=os.path.join(root, 'build/release/millrace'))
    parser.add_argument('--load', default=os.path.join(root, 'build/release/bench/load/millrace-load'))
    parser.add_argument('--ours-flags', default='')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--only', default='')
    parser.add_argument('--realtime', action='store_true')
    parser.add_argument('--server-core', type=int, default=0)
    parser.add_argument('--load-core', type=int, default=1)
    parser.add_argument('--json')
    options = parser.parse_args()
    bench = Bench(options)
    results = []
    print(f'{"scenario":20} {"ours/s":>10} {"peer/s":>10} {"ratio":>16} {"ours µs":>8} {"peer µs":>8} {"CPU ratio":>9}  RSS growth KiB')
    for scenario in SCENARIOS:
        if not re.search(options.only, scenario[0]):
            continue
        rows = {'ours': [], 'peer': []}
        for round_number in range(options.rounds):
            for name in ('ours', 'peer') if round_number % 2 == 0 else ('peer', 'ours'):
                rows[name].append(bench.run(scenario, name))
        results.append({'scenario': scenario[0], 'load': scenario[2], 'msgs': scenario[3], 'peer_mode': scenario[4], **rows})
        good = [(a, b) for a, b in zip(rows['ours'], rows['peer']) if 'error' not in a and 'error' not in b]
        if not good:
            errors = [run['error'] for run in rows['ours'] + rows['peer'] if 'error' in run]
            print(f'{scenario[0]:20} failed: {errors[0]}', flush=True)
            continue
        ratios = [a['rate'] / b['rate'] for a, b in good]
        print(f'{scenario[0]:20} {middle([a["rate"] for a, _ in good]):10,.0f} {middle([b["rate"] for _, b in good]):10,.0f} '
              f'{middle(ratios):5.2f} ({min(ratios):.2f}…{max(ratios):.2f}) {middle([a["cpu_us"] for a, _ in good]):8.2f} '
              f'{middle([b["cpu_us"] for _, b in good]):8.2f} {middle([a["cpu_us"] / b["cpu_us"] for a, b in good]):9.2f}  '
              f'{middle([a["rss_growth_kib"] for a, _ in good]):,.0f} / {middle([b["rss_growth_kib"] for _, b in good]):,.0f}'
              + latency(good), flush=True)
    if options.json:
        with open(options.json, 'w', encoding='utf-8') as file:
            json.dump({'machine': describe_machine(), 'commit': output_of('git', 'rev-parse', 'HEAD', cwd=root),
                       'peer': output_of(options.peer, '--version'), 'rounds': options.rounds,
                       'realtime': options.realtime, 'results': results}, file, indent=1)
    return 0


if __name__ == '__main__':
    sys.exit(main())
