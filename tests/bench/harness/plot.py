"""The plot: one small panel per work, a bar per broker at the median with a whisker from minimum to maximum. Plain SVG text."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from .model import Run, Spread, Work, shortened, spread

# Told apart also without colour vision (Okabe and Ito), FlyMQ first.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#999999", "#cc79a7")
COLUMNS = 3
PANEL_WIDTH = 330
BAR = 20
GAP = 8
LABEL_WIDTH = 100
BAR_ROOM = 110
HEADER = 34
MARGIN = 16


def svg(works: list[Work], runs: list[Run], peers: dict[str, str]) -> str:
    """The whole picture; each panel has its own scale from zero."""
    height = HEADER + len(peers) * (BAR + GAP) + MARGIN
    rows = -(-len(works) // COLUMNS)
    size = (2 * MARGIN + COLUMNS * PANEL_WIDTH, 2 * MARGIN + rows * height)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" viewBox="0 0 {size[0]} {size[1]}" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        "<title>FlyMQ and its peers: medians, minimum to maximum</title>",
        f'<rect width="{size[0]}" height="{size[1]}" fill="#fff"/>',
    ]
    for at, work in enumerate(works):
        left, top = MARGIN + at % COLUMNS * PANEL_WIDTH, MARGIN + at // COLUMNS * height
        lines.append(f'<g transform="translate({left},{top})">')
        lines.extend(_panel(work, runs, peers))
        lines.append("</g>")
    return "\n".join([*lines, "</svg>", ""])


def _panel(work: Work, runs: list[Run], peers: dict[str, str]) -> Iterator[str]:
    figure, unit = ("p50_us", "µs, bar p50, less is better") if work.by_latency else ("msgs_per_s", "messages a second")
    yield f'<text y="12" font-weight="bold">{escape(work.title)}</text>'
    yield f'<text y="26" font-size="10" fill="#666">{unit}</text>'
    found = {peer: spread(runs, peer, work.name, figure) for peer in peers}
    most = max((some.high for some in found.values() if some), default=1.0) or 1.0
    for at, (peer, title) in enumerate(peers.items()):
        yield f'<g transform="translate(0,{HEADER + at * (BAR + GAP)})">'
        yield f'<text y="14" fill="#444">{escape(title)}</text>'
        yield from _bar(found[peer], most, COLOURS[at % len(COLOURS)])
        tail = spread(runs, peer, work.name, "p99_us") if work.by_latency else None
        if tail:
            yield f'<text x="{PANEL_WIDTH - MARGIN}" y="14" text-anchor="end" fill="#666">p99 {shortened(tail.median)}</text>'
        yield "</g>"


def _bar(some: Spread | None, most: float, colour: str) -> Iterator[str]:
    if some is None:
        yield f'<text x="{LABEL_WIDTH}" y="14" fill="#999">no figure</text>'
        return
    low, middle, high = (LABEL_WIDTH + value / most * BAR_ROOM for value in (some.low, some.median, some.high))
    yield f'<rect x="{LABEL_WIDTH}" width="{max(1.0, middle - LABEL_WIDTH):.1f}" height="{BAR}" fill="{colour}"/>'
    whisker = f"M{low:.1f} {BAR / 2}H{high:.1f}M{low:.1f} 6V{BAR - 6}M{high:.1f} 6V{BAR - 6}"
    yield f'<path d="{whisker}" stroke="#222" stroke-width="1.5" fill="none"/>'
    yield f'<text x="{high + 6:.1f}" y="14">{shortened(some.median)}</text>'
