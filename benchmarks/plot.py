"""The comparison as a picture: one row a side, one column a measure, a bar and its figure where they meet.

Written by hand as SVG, because a plotting library would bring a hundred times its lines, and no way to follow the
reader's light or dark mode within one file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, MARGIN = 880, 24
LABELS = 132
HEAD, ROW, NOTE = 86, 50, 18
GAP = 20
BAR = 8

STYLE = """
  svg { font: 13px system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif }
  .paper { fill: #ffffff; stroke: #d0d7de }
  text { fill: #1f2328 }
  .quiet { fill: #59636e; font-size: 12px }
  .strong { font-weight: 600 }
  .track { fill: #eff2f5 }
  .bar { fill: #9aa4af }
  .ours { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117; stroke: #3d444d }
    text { fill: #f0f6fc }
    .quiet { fill: #9198a1 }
    .track { fill: #1c2128 }
    .bar { fill: #656c76 }
    .ours { fill: #4493f8 }
  }
"""


@dataclass(frozen=True)
class Measure:
    """A column: the figures' key, and how people read them."""

    key: str
    title: str
    better: str
    form: str


MEASURES = (
    Measure("requests_per_second", "Requests/s", "more is better", "{:,.0f}"),
    Measure("p50_ms", "50th percentile", "less is better", "{:.1f} ms"),
    Measure("p99_ms", "99th percentile", "less is better", "{:.1f} ms"),
    Measure("resident_mb", "Resident memory", "less is better", "{:.0f} MB"),
    Measure("start_seconds", "Start", "less is better", "{:.2f} s"),
)


def svg(figures: dict[str, dict[str, float]], *, ours: str, title: str, notes: Sequence[str]) -> str:
    """The picture of *figures* by side, the side *ours* in a colour, and *notes* below, a line each."""
    foot = HEAD + ROW * len(figures) + NOTE
    height = foot + NOTE * len(notes)
    elements = [
        f'<rect class="paper" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>',
        _text(MARGIN, 32, title, "strong"),
        *(element for column in range(len(MEASURES)) for element in _column(column, figures, ours)),
        *(_text(MARGIN, _row(row) + 12, side, "strong" if side == ours else "") for row, side in enumerate(figures)),
        *(_text(MARGIN, foot + NOTE * line, note, "quiet") for line, note in enumerate(notes)),
    ]
    body = "\n".join(f"  {element}" for element in elements)
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n'
        f"  <title>{escape(title)}</title>\n  <style>{STYLE}  </style>\n{body}\n</svg>\n"
    )


def _column(column: int, figures: dict[str, dict[str, float]], ours: str) -> list[str]:
    measure = MEASURES[column]
    pitch = (WIDTH - 2 * MARGIN - LABELS + GAP) / len(MEASURES)
    x, width = MARGIN + LABELS + column * pitch, pitch - GAP
    most = max(figure[measure.key] for figure in figures.values())
    elements = [_text(x, 58, measure.title), _text(x, 74, measure.better, "quiet")]
    for row, (side, figure) in enumerate(figures.items()):
        value, y = figure[measure.key], _row(row)
        kind = "ours" if side == ours else "bar"
        elements += [
            _text(x, y + 12, measure.form.format(value), "strong" if side == ours else ""),
            _bar(x, y + 19, width, "track"),
            _bar(x, y + 19, width * value / most, kind),
        ]
    return elements


def _row(row: int) -> int:
    return HEAD + row * ROW + 6


def _bar(x: float, y: float, width: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BAR}" rx="2"/>'


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    attribute = f'class="{kind}" ' if kind else ""
    return f'<text {attribute}x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
