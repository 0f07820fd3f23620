# SPDX-License-Identifier: Apache-2.0
"""Charts as inline SVG: bars, ratios with their spread, lines on logarithmic axes. Pure functions of figures; colours and
type come from the page's style sheet by class. Every server's marks are drawn alike, whoever is ahead."""

import math
from html import escape

WIDTH = 880
LABEL = 150  # left column
BAR = 13     # height


def text(x, y, content, anchor='start', kind=''):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(content)}</text>'


def line(x1, y1, x2, y2, kind):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def svg(width, height, parts, label):
    return (f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" aria-label="{escape(label)}">'
            + ''.join(parts) + '</svg>')


def bars(groups, label):
    """groups: [(name, [(server, value, text)])]. Each group has a scale of its own: units and sizes differ."""
    parts, y, area = [], 6, WIDTH - LABEL - 170
    for name, values in groups:
        greatest = max((value for _, value, _ in values), default=0) or 1
        parts.append(text(LABEL - 10, y + len(values) * (BAR + 2) / 2 + 4, name, 'end'))
        for server, value, caption in values:
            length = max(area * value / greatest, 1)
            parts.append(f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" rx="1.5" class="fill {server}">'
                         f'<title>{escape(name)}, {server}: {escape(caption)}</title></rect>')
            parts.append(text(LABEL + length + 6, y + BAR - 2.5, caption, kind='small'))
            y += BAR + 2
        y += 9
    return svg(WIDTH, y, parts, label)


def log_ticks(low, high):
    """1, 2, 5 of each decade; only the decades when there are many of those."""
    steps = (1, 2, 5) if math.log10(high / low) < 2.5 else (1,)
    first = math.floor(math.log10(low))
    ticks = [step * 10 ** power for power in range(first, first + 16) for step in steps]
    return [tick for tick in ticks if low <= tick * 1.0001 and tick <= high * 1.0001]


def short(value):
    for size, unit in ((1e6, 'M'), (1e3, 'k')):
        if value >= size:
            return f'{value / size:g}{unit}'
    return f'{value:g}'


def ratios(entries, label):
    """entries: [(name, Spread, aim or None, caption)]. One dot and one span each on a logarithmic axis; 1 is the line."""
    ends = [end for _, spread, aim, _ in entries for end in (spread.min, spread.max, aim or 1) if end > 0]
    low, high = min([0.5, *ends]) / 1.1, max([2, *ends]) * 1.1
    right, top, step = WIDTH - 190, 24, 21
    height = top + step * len(entries) + 6

    def at(value):
        return LABEL + (right - LABEL) * math.log(max(value, low) / low) / math.log(high / low)

    parts = []
    ticks = [2.0 ** power for power in range(-6, 12) if low <= 2.0 ** power <= high]
    for tick in ticks:
        parts.append(line(at(tick), top - 4, at(tick), height - 6, 'one' if tick == 1 else 'grid'))
        parts.append(text(at(tick), top - 9, f'{tick:g}', 'middle', 'small'))
    for index, (name, spread, aim, caption) in enumerate(entries):
        y = top + step * index + step / 2
        parts.append(text(LABEL - 10, y + 4, name, 'end'))
        parts.append(line(at(spread.min), y, at(spread.max), y, 'span'))
        if aim:
            parts.append(line(at(aim), y - 7, at(aim), y + 7, 'aim'))
        parts.append(f'<circle cx="{at(spread.median):.1f}" cy="{y:.1f}" r="4.5" class="fill ours">'
                     f'<title>{escape(name)}: {escape(caption)}</title></circle>')
        parts.append(text(right + 12, y + 4, caption, kind='small'))
    return svg(WIDTH, height, parts, label)


def lines(series, x_ticks, label, y_name, width=430, height=240, y_log=True):
    """series: [(server, [(x, y)])], x_ticks: [(x, text)]; x is linear as given, y logarithmic, or per cent from 0."""
    values = [y for _, points in series for _, y in points if y > 0 or not y_log]
    if not values:
        return ''
    left, right, top, bottom = 52, width - 14, 26, height - 26
    low_x, high_x = x_ticks[0][0], x_ticks[-1][0]
    low, high = (min(values) / 1.3, max(values) * 1.3) if y_log else (0, 100 * max(1, math.ceil(max(values) / 100)))

    def at_x(x):
        return left + (right - left) * (x - low_x) / ((high_x - low_x) or 1)

    def at_y(y):
        part = math.log(max(y, low) / low) / math.log(high / low) if y_log else min(y, high) / high
        return bottom - (bottom - top) * part

    parts = [text(left, 14, y_name, kind='small')]
    y_ticks = log_ticks(low, high) if y_log else [high * part / 4 for part in range(5)]
    for tick in y_ticks:
        parts.append(line(left, at_y(tick), right, at_y(tick), 'grid'))
        parts.append(text(left - 6, at_y(tick) + 4, short(tick), 'end', 'small'))
    for x, name in x_ticks:
        parts.append(line(at_x(x), top, at_x(x), bottom, 'grid'))
        parts.append(text(at_x(x), bottom + 16, name, 'middle', 'small'))
    for server, points in series:
        path = ' '.join(f'{at_x(x):.1f},{at_y(y):.1f}' for x, y in points)
        parts.append(f'<polyline points="{path}" class="stroke {server}"/>')
        for x, y in points:
            parts.append(f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="2.6" class="fill {server}">'
                         f'<title>{server}: {y:.4g}</title></circle>')
    return svg(width, height, parts, label)
