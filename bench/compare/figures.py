# SPDX-License-Identifier: Apache-2.0
"""From the raw runs of a result to the figures that are shown: medians, ratios with their spread, aims met or not.

Pure: no server, no clock. A ratio is taken within a round, where the servers ran right after each other, and the median
is over the rounds. Runs that failed count nowhere; their errors are shown.
"""

import statistics
from dataclasses import dataclass

from aims import AIMS, CPU

GENERATOR_IS_LIMIT = 0.95  # of its core
NOISY = 0.15               # CPU time that others took on the two cores, as a share of one core
KEEPS_UP = 0.98            # of the rate asked for; below it a server has fallen behind
NAMES = ('ours', 'relay', 'peer')
PERCENTILES = [('p50_us', .5), ('p75_us', .75), ('p90_us', .9), ('p95_us', .95), ('p99_us', .99), ('p995_us', .995),
               ('p999_us', .999), ('p9995_us', .9995), ('p9999_us', .9999)]


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest over the rounds."""
    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values):
        return cls(statistics.median(values), min(values), max(values)) if values else None

    def times(self, factor):
        return Spread(self.median * factor, self.min * factor, self.max * factor)

    def inverse(self):
        return Spread(1 / self.median, 1 / self.max, 1 / self.min) if self.min > 0 else None


def good(runs, server=None):
    return [run for run in runs if 'error' not in run and server in (None, run['server'])]


def spread(runs, server, metric):
    return Spread.of([run[metric] for run in good(runs, server) if metric in run])


def ratio(runs, metric, upper, lower):
    """upper's metric by lower's, round by round; None when no round has both, or the lower one is zero."""
    by_round = {}
    for run in good(runs):
        if metric in run:
            by_round.setdefault(run['round'], {})[run['server']] = run[metric]
    return Spread.of([pair[upper] / pair[lower] for pair in by_round.values()
                      if upper in pair and pair.get(lower)])


def servers_of(report):
    return [name for name in NAMES if name in report['servers']]


def sides(names):
    """Whose ratio by the peer is shown: ours, or the relay's where there is no build of ours."""
    return names[0], 'peer'


@dataclass(frozen=True)
class Row:
    """One scenario, ready to be shown. Values are in the scenario's unit, CPU in ns per operation."""
    name: str
    unit: str
    metric: str
    lower_is_better: bool
    values: dict   # server → Spread
    cpu: dict      # server → Spread
    ratio: Spread | None      # of the metric
    cpu_ratio: Spread | None
    latency: dict  # server → [(fraction, µs)], for scenarios that measure it
    shares: dict   # server → the generator's share of its core
    notes: list
    errors: list

    @property
    def advantage(self):
        """How many times better ours is than the peer: the ratio, turned over where less is better."""
        return self.ratio.inverse() if self.ratio and self.lower_is_better else self.ratio


def row(record, names, realtime=False):
    runs, metric = record['runs'], record['metric']
    values, cpu, latency, shares, limited, noisy = {}, {}, {}, {}, [], False
    for name in names:
        value = spread(runs, name, metric)
        if value is None:
            continue
        values[name] = value.times(record['scale'])
        if (cost := spread(runs, name, CPU)) and not record['load'].startswith('idle'):
            cpu[name] = cost
        if share := spread(runs, name, 'cpu_share'):
            shares[name] = share.median
            spins = record['load'].startswith('open') and not realtime  # at 100 % whatever it does
            if not spins and share.median >= GENERATOR_IS_LIMIT:
                limited.append(name)
        others = spread(runs, name, 'others_share')
        noisy = noisy or others is not None and others.median > NOISY
        points = [(fraction, spread(runs, name, key)) for key, fraction in PERCENTILES]
        points = [(fraction, point.median) for fraction, point in points if point]
        if points:
            worst = spread(runs, name, 'max_us')
            latency[name] = points + ([(1.0, worst.median)] if worst else [])
    notes = ['generator is the limit for ' + ', '.join(limited)] if limited else []
    if noisy:
        notes.append('noisy')
    upper, lower = sides(names)
    return Row(record['name'], record['unit'], metric, record['lower_is_better'], values, cpu,
               ratio(runs, metric, upper, lower), ratio(runs, CPU, upper, lower) if cpu else None, latency, shares,
               notes, [f'{run["server"]}: {run["error"]}' for run in runs if 'error' in run])


def rows(report):
    names, realtime = servers_of(report), report['options'].get('realtime', False)
    return [row(record, names, realtime) for record in report['scenarios']]


# ---- aims ----------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Verdict:
    aim: object
    measured: Spread | None  # in the aim's unit
    met: bool | None         # None: not measured


def measure(aim, records):
    record = records.get(aim.scenario)
    if record is None:
        return None
    if aim.what == 'ratio':
        return ratio(record['runs'], aim.metric, 'ours', 'peer')
    own = spread(record['runs'], 'ours', aim.metric)
    if own is None or aim.what == 'own':
        return own and own.times(aim.scale)
    other = records.get(aim.by) and spread(records[aim.by]['runs'], 'ours', aim.metric)
    return own.times(1 / other.median) if other else None


def verdicts(report):
    records = {record['name']: record for record in report['scenarios']}
    found = []
    for aim in AIMS:
        measured = measure(aim, records)
        met = None
        if measured is not None:
            met = measured.median >= aim.bound if aim.at_least else measured.median <= aim.bound
        found.append(Verdict(aim, measured, met))
    return found


# ---- ladder --------------------------------------------------------------------------------------------------------

def behind(run, rate):
    """The server did not keep up with the rate, or the schedule had to be held back."""
    return 'error' in run or bool(run.get('overrun')) or run.get('msgs_per_s', 0) < KEEPS_UP * rate


def fell_behind(runs, rate, server):
    """In half of its rounds or more: a single bad round may be a neighbour's."""
    own = [behind(run, rate) for run in runs if run['server'] == server]
    return bool(own) and 2 * sum(own) >= len(own)


@dataclass(frozen=True)
class Rung:
    rate: int
    behind: dict  # server → bool
    p50_us: dict  # server → Spread
    p99_us: dict
    cpu: dict     # server → Spread, share of a core
    ratios: dict  # 'p50_us', 'p99_us', CPU → Spread


def rungs(report):
    names = servers_of(report)
    found = []
    for record in report.get('ladder', []):
        runs = record['runs']
        each = {metric: {name: value for name in names if (value := spread(runs, name, metric))}
                for metric in ('p50_us', 'p99_us', 'server_cpu_share')}
        upper, lower = sides(names)
        found.append(Rung(record['rate'], {name: fell_behind(runs, record['rate'], name) for name in names},
                          each['p50_us'], each['p99_us'], each['server_cpu_share'],
                          {metric: ratio(runs, metric, upper, lower) for metric in ('p50_us', 'p99_us', CPU)}))
    return found


# ---- text ----------------------------------------------------------------------------------------------------------

def number(value):
    """Three digits that mean something, without an exponent."""
    if value == 0:
        return '0'
    if abs(value) >= 100:
        return f'{value:,.0f}'
    digits = 2 if abs(value) < 10 else 1
    text = f'{value:.{digits}f}'
    return text if float(text) != 0 else f'{value:.1g}'


def with_spread(value, ends=True):
    if value is None:
        return '–'
    if not ends or value.min == value.max:
        return number(value.median)
    return f'{number(value.median)} ({number(value.min)} … {number(value.max)})'


def cpu_text(ns):
    return '–' if ns is None else f'{number(ns)} ns' if ns < 9999 else f'{number(ns / 1000)} µs'
