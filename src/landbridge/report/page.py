"""The report as one HTML file. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from landbridge.clock import rfc3339
from landbridge.model.journal import Entry
from landbridge.model.service import Side
from landbridge.report.charts import Line, chart
from landbridge.report.story import Chapter, Story

BLUE, ORANGE, GREY = "#2563eb", "#d9480f", "#868e96"
STYLE = Path(__file__).with_name("style.css").read_text(encoding="utf-8")


def render(story: Story) -> str:
    """The page: what happened to all services, then each one with its charts, decisions and deeds."""
    title = f"{escape(story.source)} → {escape(story.target)}"
    sections = "".join(_chapter(chapter) for chapter in story.chapters if chapter.points or chapter.deeds)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>landbridge: {title}</title><style>{STYLE}</style><body><h1>{title}</h1>"
        f'<p class="dim">landbridge report, made {_time(story.made)}{_span(story)}</p>'
        f"{_facts(story)}{_burn_up(story)}{_overview(story)}<h2>Services</h2>{sections}{_commands(story)}</body></html>"
    )


def _span(story: Story) -> str:
    if story.began is None or story.ended is None:
        return "; nothing has been done yet"
    return f"; from {_time(story.began)} to {_time(story.ended)}"


def _facts(story: Story) -> str:
    moved = [chapter for chapter in story.chapters if chapter.points or chapter.service.name != "*"]
    there = sum(chapter.side is Side.TARGET for chapter in moved)
    failed = story.failed
    facts = (
        ("services on the target", f"{there} of {len(moved)}"),
        ("requests counted", f"{story.requests:,}"),
        (f"failed by {story.source}", f"{failed[Side.SOURCE]:,}"),
        (f"failed by {story.target}", f"{failed[Side.TARGET]:,}"),
        ("rolled back", str(len(story.rolled_back))),
        ("runner resumed", str(story.resumed)),
    )
    cells = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for name, value in facts)
    return f'<div class="facts">{cells}</div>'


def _burn_up(story: Story) -> str:
    """How many services are home on the target over time."""
    if len(story.burn_up) < 2:
        return ""
    points: list[tuple[float, float | None]] = [(at, float(home)) for at, home in story.burn_up]
    if story.ended is not None:
        points.append((story.ended, points[-1][1]))
    line = Line(name=f"of {story.moving}", color=BLUE, points=points, step=True)
    return chart("services home on the target", "", [line], top=float(max(1, story.moving)))


def _overview(story: Story) -> str:
    rows = "".join(_row(chapter, story) for chapter in story.chapters if chapter.service.name != "*")
    words = ("service", "phase", "weight", "side", "requests", "failed on source", "failed on target", "why")
    numbers = {"weight", "requests", "failed on source", "failed on target"}
    head = "".join(f'<th class="n">{word}</th>' if word in numbers else f"<th>{word}</th>" for word in words)
    return f"<h2>All services</h2><table><tr>{head}</tr>{rows}</table>"


def _row(chapter: Chapter, story: Story) -> str:
    state = chapter.state
    failed = chapter.failed
    side = story.target if chapter.side is Side.TARGET else story.source
    numbers = (chapter.requests, failed[Side.SOURCE], failed[Side.TARGET])
    cells = "".join(f'<td class="n">{number:,}</td>' for number in numbers)
    phase = escape(state.phase.value if state else "waiting")
    weight = state.weight if state else 0
    return (
        f'<tr><td><a href="#{_anchor(chapter)}">{escape(str(chapter.service))}</a></td><td><span class="tag">{phase}'
        f'</span></td><td class="n">{weight} %</td><td>{escape(side)}</td>{cells}'
        f"<td>{escape(state.reason if state else '')}</td></tr>"
    )


def _chapter(chapter: Chapter) -> str:
    opened = " open" if chapter.decisions else ""
    return (
        f'<details id="{_anchor(chapter)}"{opened}><summary>{escape(str(chapter.service))}</summary>'
        f'<div class="charts">{_charts(chapter)}</div>{_decisions(chapter.decisions)}'
        f"{_deeds(chapter.deeds)}</details>"
    )


def _charts(chapter: Chapter) -> str:
    points = chapter.points
    weight = [(point.at, float(point.weight)) for point in points]
    share = [(point.at, point.share) for point in points]
    sides = ((Side.SOURCE, BLUE), (Side.TARGET, ORANGE))
    rates = [
        Line(name=side, color=color, points=[(point.at, point.rate(side)) for point in points]) for side, color in sides
    ]
    slow = [
        Line(name=side, color=color, points=[(point.at, point.quantile(side)) for point in points])
        for side, color in sides
    ]
    requests = [
        Line(name=side, color=color, points=[(point.at, float(point.n[side])) for point in points])
        for side, color in sides
    ]
    split = (
        Line(name="weight set", color=GREY, points=weight, step=True, dashed=True),
        Line(name="share seen", color=ORANGE, points=share),
    )
    return "".join(
        (
            chart("target's part", " %", split, top=100.0),
            chart("failed requests", " %", rates),
            chart("99 % are faster than", " ms", slow),
            chart("requests between points", "", requests),
        )
    )


def _decisions(entries: Sequence[Entry]) -> str:
    if not entries:
        return ""
    rows = "".join(
        f"<tr><td>{_time(entry.at)}</td><td>{escape(entry.outcome.value)}</td><td>{escape(entry.act)}</td>"
        f"<td>{_detail(entry.detail)}</td></tr>"
        for entry in entries
    )
    head = "<tr><th>at</th><th>what</th><th>act</th><th>numbers</th></tr>"
    return f'<p class="dim">Decisions</p><table>{head}{rows}</table>'


def _deeds(entries: Sequence[Entry]) -> str:
    rows = "".join(
        f"<tr><td>{_time(entry.at)}</td><td>{escape(entry.act)}</td><td>{escape(entry.outcome.value)}</td>"
        f"<td>{escape(entry.by)}</td><td>{escape(', '.join(sorted({str(r.ref) for r in entry.receipts})))}</td></tr>"
        for entry in entries
    )
    head = "<tr><th>at</th><th>act</th><th>outcome</th><th>by</th><th>objects</th></tr>"
    return f"<details><summary>Who did what</summary><table>{head}{rows}</table></details>" if rows else ""


def _commands(story: Story) -> str:
    if not story.commands:
        return ""
    rows = "".join(
        f"<tr><td>{_time(command.at)}</td><td>{escape(command.by)}</td><td>{escape(command.what.value)}</td>"
        f"<td>{escape(str(command.service or 'all services'))}</td></tr>"
        for command in story.commands
    )
    head = "<tr><th>at</th><th>by</th><th>command</th><th>service</th></tr>"
    return f"<h2>Commands</h2><table>{head}{rows}</table>"


def _detail(detail: Mapping[str, Any]) -> str:
    """Numbers and reasons of one line; nested values (an act, a judge's state) are left to the journal."""
    plain = {key: value for key, value in detail.items() if isinstance(value, str | int | float | bool)}
    if "reason" in plain:
        plain = {"reason": plain.pop("reason"), **plain}
    return "; ".join(f"{escape(key)}: <code>{escape(_short(value))}</code>" for key, value in plain.items())


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _anchor(chapter: Chapter) -> str:
    return escape(str(chapter.service).replace("/", "-").replace("*", "all"), quote=True)


def _time(at: float) -> str:
    return rfc3339(at)[:19].replace("T", " ") + " UTC"
