"""Anything as one self-contained HTML page.

The page asks nothing of the network and runs no script; its own content policy forbids both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from xml.etree import ElementTree as ET

import numpy as np

from stgcn_deploy.errors import UsageError
from stgcn_deploy.measure.bench import BenchReport, Row
from stgcn_deploy.measure.report import (
    BENCH_HEADER,
    NONE,
    TIMES,
    axis_limit,
    batch_title,
    bench_cells,
    environment_pairs,
    failure,
    method_text,
    number_text,
    ratio_text,
    rows_by_batch,
    speedup,
)

if TYPE_CHECKING:
    from stgcn_deploy.measure.parity import CaseError, ParityReport
    from stgcn_deploy.measure.verify import VerifyReport
    from stgcn_deploy.runtime import Prediction

__all__ = [
    "BenchSection",
    "PredictionSection",
    "Section",
    "SvgSection",
    "TableSection",
    "TextSection",
    "VerifySection",
    "html_report",
]


_DRAWN = frozenset({
    "svg", "g", "path", "rect", "line", "circle", "ellipse", "polyline", "polygon", "text", "tspan",
    "title", "desc",
})  # fmt: skip


def _inline_svg(svg: str) -> str:
    """A drawing made safe to stand inside a page, where scripts and styles would reach beyond it.

    Raises:
        UsageError: it is no SVG, or holds anything but shapes and text.
    """
    try:
        if "<!" in svg or "<?" in svg:
            raise UsageError("the SVG has a prolog, doctype or comment; give the element alone.")
        # Entities, the danger of XML, need a doctype.
        for element in ET.fromstring(svg).iter():  # noqa: S314
            tag = str(element.tag).rpartition("}")[2]
            active = [
                name
                for name, value in element.attrib.items()
                if re.match("on|.*href$", name.lower()) or "url(" in value.lower()
            ]
            if tag not in _DRAWN or active:
                raise UsageError(f"the SVG holds <{tag}> {' '.join(active)}: shapes and text only.")
    except ET.ParseError as error:
        raise UsageError(f"the SVG is not well-formed: {error}.") from None
    # A page knows the namespace by itself; a file of its own needs it.
    return svg.replace(' xmlns="http://www.w3.org/2000/svg"', "", 1)


_NUMERIC = re.compile(
    rf"[-+<>]?[\d.,]*\d(e[-+]?\d+)?\s?(%|{TIMES}|ms|s|MiB)?( ± .*)?|{NONE}|failed|yes|no|"
)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], marked: Iterable[int] = ()) -> str:
    """A table whose numeric columns are set flush right; `marked` rows stand out as failed."""
    if any(len(row) != len(header) for row in rows):
        raise UsageError(f"a table row has another length than its header, {len(header)}.")
    bad = set(marked)
    right = [
        bool(rows) and all(_NUMERIC.fullmatch(row[column]) for row in rows)
        for column in range(len(header))
    ]
    kinds = [' class="num"' if number else "" for number in right]
    head = "".join(f"<th{k}>{escape(t)}</th>" for k, t in zip(kinds, header, strict=True))
    body = ""
    for index, row in enumerate(rows):
        cells = "".join(f"<td{k}>{escape(t)}</td>" for k, t in zip(kinds, row, strict=True))
        body += f'<tr class="bad">{cells}</tr>' if index in bad else f"<tr>{cells}</tr>"
    head = f"<thead><tr>{head}</tr></thead>"
    return f'<div class="wide"><table>{head}<tbody>{body}</tbody></table></div>'


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>' if text else ""


def _badge(good: bool, text: str) -> str:
    return f'<span class="badge {"good" if good else "wrong"}">{escape(text)}</span>'


# ---- HTML: sections --------------------------------------------------------------------------


class Section(Protocol):
    """A part of a page: a heading and what stands under it."""

    @property
    def title(self) -> str:
        """Plain text."""

    def html(self) -> str:
        """Markup without the heading; everything that is not ours is escaped."""


@dataclass(frozen=True)
class TextSection:
    """Paragraphs of plain text."""

    title: str
    paragraphs: Sequence[str]

    def html(self) -> str:
        """See Section."""
        return "".join(f"<p>{escape(text)}</p>" for text in self.paragraphs)


@dataclass(frozen=True)
class TableSection:
    """A table of plain text with a note under it; a wrong row length raises UsageError."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def html(self) -> str:
        """See Section."""
        return _table(self.header, self.rows) + _note(self.note)


@dataclass(frozen=True)
class SvgSection:
    """A drawing, shapes and text only (else UsageError), with a caption."""

    title: str
    svg: str
    caption: str = ""

    def html(self) -> str:
        """See Section."""
        caption = f"<figcaption>{escape(self.caption)}</figcaption>" if self.caption else ""
        return f'<figure><div class="wide">{_inline_svg(self.svg)}</div>{caption}</figure>'


@dataclass(frozen=True)
class VerifySection:
    """The checks of a bundle, and every parity case."""

    report: VerifyReport

    @property
    def title(self) -> str:
        """With the verdict, so that the table of contents says it."""
        return f"Verification: {'passed' if self.report.passed else 'FAILED'}"

    def html(self) -> str:
        """See Section."""
        report = self.report
        checks = "".join(
            f"<li>{_badge(check.passed, 'pass' if check.passed else 'fail')}"
            f"<div><b>{escape(check.name)}</b><br><small>{escape(check.detail)}</small></div></li>"
            for check in report.checks
        )
        parts = [_note(f"{report.bundle} on {report.backend}"), f'<ul class="checks">{checks}</ul>']
        parts.append(_parity("Against the recorded reference", report.golden))
        if report.reference is not None:
            parts.append(_parity("Against the checkpoint's reference form", report.reference))
        if report.inert:
            parts.append(_note(f"Without effect on the output: {', '.join(report.inert)}."))
        return "".join(parts)


def _parity(title: str, report: ParityReport) -> str:
    if not report.cases:
        return f"<h3>{escape(title)}</h3>{_note('No case was compared.')}"

    def within(case: CaseError) -> bool:
        allowed = report.tolerance + report.absolute / case.scale
        return case.finite and case.max_error <= allowed and case.same_top1

    rows = [
        (
            case.name,
            *(f"{v:.1e}" for v in (case.max_error, case.p99_error, case.mean_error)),
            "yes" if case.same_top1 else "no",
            f"{case.margin:.1e}",
        )
        for case in report.cases
    ]
    header = ("case", "max error", "p99", "mean", "same top-1", "margin")
    note = (
        f"Largest error {report.max_error:.1e}, allowed {report.tolerance:.0e}; same top-1 in "
        f"{report.top1_agreement:.0%}, required {report.top1_required:.0%}. Errors and margin "
        "(first logit over the second) are in units of the case's largest logit, or of 1."
    )
    bad = [index for index, case in enumerate(report.cases) if not within(case)]
    return f"<h3>{escape(title)}</h3>{_table(header, rows, bad)}{_note(note)}"


@dataclass(frozen=True)
class BenchSection:
    """Bars and tables of a benchmark."""

    report: BenchReport
    title: str = "Speed"

    def html(self) -> str:
        """See Section."""
        parts = [_note(method_text(self.report))]
        for batch, rows in rows_by_batch(self.report).items():
            cells = [bench_cells(row, rows[0]) for row in rows]
            bad = [index for index, row in enumerate(rows) if failure(row) is not None]
            parts.append(f"<h3>{escape(batch_title(batch, rows))}</h3>{_bars(rows)}")
            parts.append(_table(BENCH_HEADER, cells, bad))
        facts = "".join(
            f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
            for name, value in environment_pairs(self.report)
        )
        return "".join(parts) + f"<h3>Measured on</h3><dl>{facts}</dl>"


def _bars(rows: Sequence[Row]) -> str:
    limit = axis_limit(rows)
    lines = []
    for row in rows:
        name = f'<span class="name">{escape(row.name)}</span>'
        reason = failure(row)
        if reason is not None:
            lines.append(f'<div class="bar off">{name}<em>failed: {escape(reason)}</em></div>')
            continue
        ratio = ratio_text(speedup(row, rows[0]))
        lines.append(
            f'<div class="bar{" base" if row is rows[0] else ""}">{name}{_bar(row, limit)}'
            f'<span class="value"><b>{ratio}</b> {number_text(row.percentile(50))} ms</span></div>'
        )
    beyond = sum(value > limit for row in rows for value in row.samples_ms)
    note = f"Bar: median; line: up to p90; ticks: single calls; full width: {number_text(limit)} ms"
    note += f"; {beyond} slower calls lie beyond it." if beyond else "."
    return f'<div class="bars">{"".join(lines)}</div>{_note(note)}'


def _bar(row: Row, limit: float) -> str:
    """One stretchable bar, 1000 units wide: text stands outside, or it would be stretched too."""
    p50, p90 = (1000 * row.percentile(q) / limit for q in (50, 90))
    # Quantiles instead of thousands of samples look alike and keep the page small.
    shown = np.quantile(row.samples_ms, np.linspace(0, 1, min(120, len(row.samples_ms))))
    ticks = "".join(f"M{1000 * value / limit:.0f} 6v8" for value in shown if value <= limit)
    label = f"{row.name}: median {number_text(row.percentile(50))} ms"
    return (
        f'<svg viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}"><rect y="2" width="{p50:.0f}" height="16" class="fill"/>'
        f'<path d="{ticks}" class="ticks"/>'
        f'<path d="M{p50:.0f} 10H{p90:.0f}M{p90:.0f} 5v10" class="whisker"/></svg>'
    )


@dataclass(frozen=True)
class PredictionSection:
    """A clip's film strip with the best classes beside it; `truth` is its label, where known."""

    title: str
    svg: str
    prediction: Prediction
    truth: str | None = None

    def html(self) -> str:
        """See Section."""
        right = self.truth == self.prediction.label
        verdict = ""
        if self.truth is not None:
            verdict = _badge(right, "correct" if right else f"expected {self.truth}")
        return (
            f'<div class="prediction"><figure><div class="wide">{_inline_svg(self.svg)}</div>'
            f'</figure><div class="classes"><p>{verdict}</p>{self._classes()}</div></div>'
        )

    def _classes(self) -> str:
        scores = self.prediction.scores
        # Logits have no common zero: their bars start at the lowest class.
        chances = bool(scores.min() >= 0 and abs(float(scores.sum()) - 1) < 0.01)
        low = 0.0 if chances else float(scores.min())
        top = 1.0 if chances else max(float(scores.max()), low + 1e-9)
        lines = []
        for place, action in enumerate(self.prediction.top):
            share = float(np.clip((action.score - low) / (top - low), 0, 1))
            text = f"{action.score:.1%}" if chances else f"{action.score:.2f}"
            kind = "best" if place == 0 else ""
            mark = " ✓" if action.label == self.truth else ""
            lines.append(
                f'<div class="class {kind}"><span>{escape(action.label)}{mark}</span>'
                f'<span class="num">{text}</span><i style="width:{100 * share:.1f}%"></i></div>'
            )
        return "".join(lines) + ("" if chances else _note("Scores are logits."))


# ---- HTML: the page --------------------------------------------------------------------------

_STYLE = Path(__file__).with_name("page.css")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def html_report(
    sections: Sequence[Section], *, title: str, next_commands: Sequence[str] = ()
) -> str:
    """One self-contained page: contents, sections, and the commands to go on with.

    Raises:
        UsageError: no sections, or a section whose table or drawing is malformed.
    """
    if not sections:
        raise UsageError("a report needs at least one section.")
    parts = [(section.title, section.html()) for section in sections]
    if next_commands:
        lines = "".join(f"<pre><code>{escape(line)}</code></pre>" for line in next_commands)
        parts.append(("Next", lines))
    contents = "".join(
        f'<li><a href="#section-{index}">{escape(heading)}</a></li>'
        for index, (heading, _) in enumerate(parts, start=1)
    )
    body = "".join(
        f'<section id="section-{index}"><h2>{escape(heading)}</h2>{inside}</section>'
        for index, (heading, inside) in enumerate(parts, start=1)
    )
    style = _STYLE.read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f'</title><meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><style>{style}</style>'
        f'</head><body><div class="page"><h1>{escape(title)}</h1><div class="body">'
        f'<nav aria-label="Contents"><ol>{contents}</ol></nav><main>{body}</main></div></div>'
        f"</body></html>\n"
    )
