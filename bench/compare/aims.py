# SPDX-License-Identifier: Apache-2.0
"""What we want to reach against nats-server 2.15.2, scenario by scenario. docs/performance.md shows each beside what was
measured, met or not."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Aim:
    scenario: str
    what: str     # 'ratio': ours by the peer's; 'own': our figure alone; 'by': ours by our own in scenario `by`
    metric: str
    bound: float
    at_least: bool = True
    scale: float = 1
    unit: str = ''
    by: str = ''

    def text(self):
        return f'{"≥" if self.at_least else "≤"} {self.bound:g}{" " + self.unit if self.unit else ""}'


def _rate(scenario, bound, metric='deliveries_per_s'):
    return Aim(scenario, 'ratio', metric, bound)


def _cost(scenario, metric, bound):
    return Aim(scenario, 'ratio', metric, bound, at_least=False)


CPU = 'server_ns_per_op'

AIMS = [
    _rate('pub-16', 4, 'msgs_per_s'),
    _rate('1x1-16', 7),
    _rate('1x1-128', 4.5),
    _rate('1x1-1k', 1.8),
    _rate('1x1-64k', 1.2),
    _rate('headers-128', 4.5),
    _rate('1x8-16', 6),
    _rate('1x8-128', 5),
    _rate('1x1000-128', 3),
    _rate('4x4-128', 5),
    _rate('subjects-1k', 5),
    _rate('subjects-100k', 8),
    Aim('subjects-100k', 'by', 'deliveries_per_s', 0.6, by='1x1-128'),
    _rate('queue8-128', 4),
    _cost('request-1', 'p50_us', 0.65),
    _cost('request-1', 'p99_us', 0.65),
    _cost('request-1', CPU, 1),
    _cost('request-1-nospin', CPU, 0.5),
    _rate('request-64', 2.5, 'msgs_per_s'),
    _cost('open-100k', 'p50_us', 1),
    _cost('open-100k', 'p99_us', 0.5),
    _cost('open-100k', CPU, 0.7),
    _cost('open-100k-batch', CPU, 0.3),
    Aim('open-100k-batch', 'own', 'p50_us', 200, at_least=False, unit='µs'),
    Aim('open-100k-batch', 'own', 'p99_us', 200, at_least=False, unit='µs'),
    Aim('fair-8', 'own', 'p99_us', 2000, at_least=False, unit='µs'),
    Aim('1x8-128-slow', 'by', 'deliveries_per_s', 0.95, by='1x8-128'),
    _rate('churn', 3, 'pairs_per_s'),
    _rate('connect', 2, 'conns_per_s'),
    Aim('idle-10k', 'own', 'rss_kib_per_conn', 1.5, at_least=False, unit='KiB'),
    Aim('idle-10k', 'own', 'rss_before_kib', 20, at_least=False, scale=1 / 1024, unit='MiB'),
    # "0 %": what top would show as 0.0.
    Aim('idle-cpu-8k', 'own', 'server_cpu_share', 0.05, at_least=False, scale=100, unit='%'),
]

METRIC_WORDS = {
    'deliveries_per_s': 'deliveries/s', 'msgs_per_s': 'messages/s', 'pairs_per_s': 'pairs/s', 'conns_per_s': 'connections/s',
    'p50_us': 'p50', 'p99_us': 'p99', CPU: 'CPU per operation', 'rss_kib_per_conn': 'memory per connection',
    'rss_before_kib': 'memory without connections', 'server_cpu_share': 'CPU',
}
