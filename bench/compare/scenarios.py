# SPDX-License-Identifier: Apache-2.0
"""The scenarios of compare.py: which load, what is counted, and which way is better."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    name: str
    load: tuple  # scenario of millrace-load and its fixed options
    # The option that says how much work there is, and as much of it as the peer does in some 0.2 s: the first run
    # of each server uses this and tells how much it takes to fill the time wanted. None: takes a fixed time.
    amount_flag: str | None = '--msgs'
    amount: int = 200_000
    metric: str = 'deliveries_per_s'
    unit: str = 'M/s'
    scale: float = 1e-6
    lower_is_better: bool = False
    per: str = 'deliveries'  # the server's CPU is reported per one of these
    relay: bool = True  # the relay knows nothing of queue groups and UNSUB
    amount_max: int = 400_000_000
    ours_flags: str = ''  # for millrace in this scenario only
    config: str = ''  # a configuration file for either server
    settle_s: float = 0   # idle: before the CPU time counts, and
    hold_s: float = 0     # while it does, at least; both not with --quick

    def described(self):
        """What a stored result has to say about it to be read when this table has changed."""
        return {'name': self.name, 'load': ' '.join(self.load), 'ours_flags': self.ours_flags, 'config': self.config,
                'metric': self.metric, 'unit': self.unit, 'scale': self.scale, 'lower_is_better': self.lower_is_better, 'per': self.per}


def _fanout(name, options, amount, **more):
    return Scenario(name, ('fanout', *options), amount=amount, **more)


def _request(name, inflight, **more):
    return Scenario(name, ('request', '--inflight', str(inflight)), per='msgs', **more)


def _open(name, rate, **more):
    return Scenario(name, ('open', '--rate', str(rate)), amount_flag=None, metric='p99_us', unit='µs',
                    scale=1, lower_is_better=True, per='msgs', **more)


_P50 = {'amount': 3_000, 'metric': 'p50_us', 'unit': 'µs', 'scale': 1, 'lower_is_better': True}
_RATE = {'amount': 30_000, 'metric': 'msgs_per_s', 'unit': 'k/s', 'scale': 1e-3}
_PER_CONNECTION = {'amount_flag': None, 'metric': 'rss_kib_per_conn', 'unit': 'KiB', 'scale': 1,
                   'lower_is_better': True, 'per': 'conns'}
_NO_SPIN = '--spin_us 0'
_USERS = 'A: {users: [{user: a, password: x}], %s}, B: {users: [{user: b, password: x}], %s}'
_TENANTS = 'accounts: {' + _USERS % (
    'exports: [{stream: "bench.*"}, {service: "bench.service"}]',
    'imports: [{stream: {account: A, subject: "bench.*"}, prefix: from},'
    ' {service: {account: A, subject: "bench.service"}, to: ask}]') + '}'
_AS_A = ('--user', 'a', '--password', 'x')
_TO_B = ('--to-user', 'b', '--to-password', 'x')
_B_ASKS_A = ('--user', 'b', '--password', 'x', '--subject', 'ask', '--to-user', 'a', '--to-password', 'x',
             '--to-subject', 'bench.service')

SCENARIOS = [
    Scenario('pub-16', ('pub', '--size', '16'), amount=1_000_000, metric='msgs_per_s', per='msgs'),
    Scenario('pub-128', ('pub', '--size', '128'), amount=500_000, metric='msgs_per_s', per='msgs'),
    _fanout('1x1-16', ('--size', '16'), 400_000),
    _fanout('1x1-128', ('--size', '128'), 300_000),
    _fanout('1x1-1k', ('--size', '1024'), 150_000),
    _fanout('1x1-64k', ('--size', '65536'), 3_000, unit='k/s', scale=1e-3),
    _fanout('headers-128', ('--headers', '--size', '128'), 200_000),
    _fanout('1x8-16', ('--subs', '8', '--size', '16'), 150_000),
    _fanout('1x8-128', ('--subs', '8', '--size', '128'), 80_000),
    _fanout('1x8-128-slow', ('--subs', '8', '--size', '128', '--slow', '1'), 80_000),
    _fanout('1x1000-128', ('--subs', '1000', '--size', '128'), 400),
    _fanout('4x4-128', ('--pubs', '4', '--subs', '4', '--size', '128'), 150_000),
    _fanout('subjects-1k', ('--subjects', '1000', '--wildcard', '--size', '128'), 200_000),
    _fanout('subjects-100k', ('--subjects', '100000', '--wildcard', '--size', '128'), 200_000),
    _fanout('interest-100k', ('--other-subs', '100000', '--size', '128'), 300_000),
    _fanout('account-1x1-128', ('--size', '128', *_AS_A), 300_000, config=_TENANTS, relay=False),
    _fanout('import-1x1-128', ('--size', '128', '--subject', 'bench.x', *_AS_A, *_TO_B, '--to-subject', 'from.bench.x'),
            200_000, config=_TENANTS, relay=False),
    _fanout('mapping-1x1-128', ('--size', '128', '--subject', 'bench.x', '--to-subject', 'mapped.x'), 200_000,
            config='mappings: {"bench.*": "mapped.$1"}', relay=False),
    Scenario('service-64', ('request', '--inflight', '64', *_B_ASKS_A), per='msgs', config=_TENANTS, relay=False, **_RATE),
    Scenario('queue8-128', ('queue', '--members', '8', '--size', '128'), relay=False,
             amount_max=20_000_000),
    _request('request-1', 1, **_P50),
    _request('request-1-nospin', 1, ours_flags=_NO_SPIN, **_P50),
    _request('request-64', 64, **_RATE),
    _request('request-64-nospin', 64, ours_flags=_NO_SPIN, **_RATE),
    _open('open-10k', 10_000),
    _open('open-50k', 50_000),
    _open('open-100k', 100_000),
    _open('open-100k-batch', 100_000, ours_flags='--batch_wait_us 100'),
    # The quiet client's latency; its CPU per message is the flood's as well and says nothing.
    Scenario('fair-8', ('fair', '--flood-subs', '8'), amount_flag=None, metric='p99_us', unit='µs', scale=1,
             lower_is_better=True, per='msgs'),
    Scenario('churn', ('churn',), amount_flag='--pairs', amount=40_000, metric='pairs_per_s',
             unit='k/s', scale=1e-3, per='pairs', relay=False),
    Scenario('connect', ('connect',), amount_flag='--conns', amount=2_000, metric='conns_per_s',
             unit='k/s', scale=1e-3, per='conns', amount_max=50_000),
    Scenario('idle-1k', ('idle', '--conns', '1000', '--subscribe'), **_PER_CONNECTION),
    Scenario('idle-10k', ('idle', '--conns', '10000', '--subscribe'), **_PER_CONNECTION),
    # Servers ping a new client once after two seconds, and ours looks once more at the write deadline of that PING ten
    # seconds later: idle is what comes after.
    Scenario('idle-cpu-8k', ('idle', '--conns', '8000', '--subscribe'), amount_flag=None, metric='server_cpu_share',
             unit='%', scale=100, lower_is_better=True, per='conns', settle_s=14, hold_s=5),
]

# Messages per second of --ladder, until a server falls behind.
LADDER = [10_000, 20_000, 50_000, 100_000, 200_000, 400_000, 800_000, 1_600_000]


def rung(rate):
    return _open(f'ladder-{rate // 1000}k', rate)
