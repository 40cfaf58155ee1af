"""Charts as inline SVG: no script, no font and no network needed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from statistics import median

WIDTH, HEIGHT = 640.0, 150.0
LEFT, RIGHT, TOP, BOTTOM = 48.0, 8.0, 10.0, 22.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One series: `(seconds, value)`, None where nothing was seen; `step` holds a value until the next point."""

    name: str
    color: str
    points: Sequence[tuple[float, float | None]]
    step: bool = False
    dashed: bool = False


def chart(title: str, unit: str, lines: Sequence[Line], *, top: float | None = None) -> str:
    """One chart over time, in seconds since the first point; an empty text when there is nothing to show."""
    times = [at for line in lines for at, value in line.points if value is not None]
    if not times:
        return ""
    begin, end = min(times), max(times)
    values = [value for line in lines for _, value in line.points if value is not None]
    high = top if top is not None else nice(max(values, default=0.0))
    scale = _Scale(begin=begin, end=max(end, begin + 1), high=high)
    body = "".join((_axes(scale, unit), *(_draw(line, scale) for line in lines)))
    legend = "".join(
        f'<span class="key"><i style="background:{line.color}"></i>{escape(line.name)}</span>' for line in lines
    )
    label = escape(title, quote=True)
    return (
        f'<figure><figcaption>{escape(title)} {legend}</figcaption><svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" '
        f'role="img" aria-label="{label}">{body}</svg></figure>'
    )


def nice(value: float) -> float:
    """The next round number (1, 2, 5 times a power of ten) that is not below `value`."""
    if value <= 0:
        return 1.0
    power = 1.0
    while power > value:
        power /= 10
    while power * 10 <= value:
        power *= 10
    return next((power * factor for factor in (1, 2, 5) if power * factor >= value), power * 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    begin: float
    end: float
    high: float

    def x(self, at: float) -> float:
        return LEFT + (at - self.begin) / (self.end - self.begin) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        part = min(max(value / self.high, 0.0), 1.0)
        return TOP + (1 - part) * (HEIGHT - TOP - BOTTOM)


def _axes(scale: _Scale, unit: str) -> str:
    parts = []
    for part in (0.0, 0.5, 1.0):
        y = scale.y(scale.high * part)
        text = f"{scale.high * part:g}{unit}"
        parts.append(f'<path class="grid" d="M{LEFT:g} {y:.1f}H{WIDTH - RIGHT:g}"/>')
        parts.append(f'<text x="{LEFT - 5:g}" y="{y + 3.5:.1f}" text-anchor="end">{escape(text)}</text>')
    for part in (0.0, 0.25, 0.5, 0.75, 1.0):
        at = scale.begin + (scale.end - scale.begin) * part
        anchor = "start" if part == 0 else "end" if part == 1 else "middle"
        parts.append(
            f'<text x="{scale.x(at):.1f}" y="{HEIGHT - 6:g}" text-anchor="{anchor}">{_elapsed(at - scale.begin)}</text>'
        )
    return "".join(parts)


def _elapsed(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _draw(line: Line, scale: _Scale) -> str:
    dash = ' stroke-dasharray="4 3"' if line.dashed else ""
    return "".join(
        f'<path class="line" stroke="{line.color}"{dash} d="{_path(run, scale, step=line.step)}"/>'
        for run in _runs(line.points, float("inf") if line.step else _gap(line.points))
    )


def _gap(points: Sequence[tuple[float, float | None]]) -> float:
    """Seconds without a point after which nobody was looking: a line across them would tell what nobody saw."""
    steps = [after[0] - before[0] for before, after in pairwise(points)]
    return max(15.0, 5 * median(steps)) if steps else 15.0


def _runs(points: Sequence[tuple[float, float | None]], gap: float) -> list[list[tuple[float, float]]]:
    """The points without the gaps, as one list per stretch."""
    runs: list[list[tuple[float, float]]] = [[]]
    for at, value in points:
        if runs[-1] and at - runs[-1][-1][0] > gap:
            runs.append([])
        if value is not None:
            runs[-1].append((at, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _path(run: Sequence[tuple[float, float]], scale: _Scale, *, step: bool) -> str:
    first, value = run[0]
    path = [f"M{scale.x(first):.1f} {scale.y(value):.1f}"]
    for _, (at, value) in pairwise(run):
        x, y = scale.x(at), scale.y(value)
        path.append(f"H{x:.1f}V{y:.1f}" if step else f"L{x:.1f} {y:.1f}")
    if len(run) == 1:  # a dot, so that a single look is seen
        path.append("h1.5")
    return "".join(path)
