"""Reports: right ratios, reasons for failures, foreign text stays text, files whole or absent."""

from __future__ import annotations

import csv
import re
import struct
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from stgcn_deploy.errors import MissingDependencyError, OutputExistsError, UsageError
from stgcn_deploy.files import fresh_file, write_text
from stgcn_deploy.measure.bench import BenchReport, Row
from stgcn_deploy.measure.page import (
    BenchSection,
    PredictionSection,
    SvgSection,
    TableSection,
    TextSection,
    VerifySection,
    html_report,
)
from stgcn_deploy.measure.parity import ParityReport, compare
from stgcn_deploy.measure.plots import plot_bench
from stgcn_deploy.measure.report import (
    axis_limit,
    bench_markdown,
    number_text,
    speedup,
    write_csv,
)
from stgcn_deploy.measure.verify import Check, VerifyReport
from stgcn_deploy.runtime import Action, Prediction
from stgcn_deploy.skeleton.draw import clip_svg

TIMES, NONE = "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"
EVIL = '<script>alert("x")</script> & | `y` [z](javascript:1)'
REASON = "MissingDependencyError: opening an engine needs tensorrt"
ENVIRONMENT = {
    "time": "2026-01-02T03:04:05Z",
    "cpu": "Test CPU 9000",
    "cpu_features": ["avx2"],
    "cores": 2,
    "system": "Linux 6",
    "load_average": [0.5, 0.25, 0.125],
    "versions": {"numpy": "2.0.0"},
}


def _row(name: str, median: float, batch: int = 1, count: int = 21) -> Row:
    samples = median * np.linspace(0.9, 1.1, count)
    return Row(name, batch, 2, tuple(samples), load_ms=12.0, peak_rss_mb=345.0, macs=10**9)


def _report(*rows: Row) -> BenchReport:
    rows = rows or (
        _row("eager", 100),
        _row("bundle", 40),
        Row("tensorrt", 1, 0, error=REASON),
        _row("eager", 800, batch=8),
        _row("bundle", 200, batch=8),
    )
    return BenchReport(rows, ENVIRONMENT, rounds=5)


def _svg(title: str = "") -> str:
    pose = np.array([[0.5, 0.1], [0.9, 0.4], [0.1, 0.4]])
    joints = ("head", "left_hand", "right_hand")
    return clip_svg(np.tile(pose, (1, 3, 1, 1)), joints, ((1, 0), (2, 0)), title=title)


class _Page(HTMLParser):
    """Tags with attributes, and the text of a page; checks that tags nest."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data + "\n"


def _page(*sections: object, **options: object) -> _Page:
    return _Page(html_report(sections, title="a report", **options))  # type: ignore[arg-type]


# ---- numbers ---------------------------------------------------------------------------------


def test_speed_is_the_first_median_over_the_rows_median() -> None:
    first, fast = _row("first", 100), _row("fast", 25)
    assert speedup(fast, first) == pytest.approx(4)
    assert speedup(first, fast) == pytest.approx(0.25)
    failed = Row("none", 1, 0, error="x")
    assert np.isnan(speedup(failed, first))
    assert np.isnan(speedup(fast, failed))
    assert np.isnan(speedup(Row("silent", 1, 2), first))


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.5, "1234"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.01234, "0.0123"),
     (0.0, "0"), (float("nan"), NONE), (float("inf"), NONE)],
)  # fmt: skip
def test_numbers_keep_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert number_text(value) == text


def test_one_hiccup_does_not_stretch_the_axis_and_whiskers_fit() -> None:
    calm = Row("calm", 1, 2, (*[10.0] * 99, 5000.0))
    assert 10 < axis_limit([calm]) < 20
    assert axis_limit([_row("a", 100), _row("b", 10)]) >= _row("a", 100).percentile(90)
    assert axis_limit([Row("none", 1, 0, error="x")]) > 0


# ---- Markdown and CSV ------------------------------------------------------------------------


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_markdown_has_a_table_per_batch_with_ratios_against_its_own_first_row() -> None:
    text = bench_markdown(_report())
    rows = [_cells(line) for line in text.splitlines() if line.startswith("|")]
    speed = rows[0].index("speed")
    assert text.count("## Batch") == 2
    assert {len(row) for row in rows} == {len(rows[0])}
    measured = [(row[0], row[speed]) for row in rows if row[speed].endswith(TIMES)]
    ratios = [("eager", "1.00"), ("bundle", "2.50"), ("eager", "1.00"), ("bundle", "4.00")]
    assert measured == [(name, ratio + TIMES) for name, ratio in ratios]
    bundle = next(row for row in rows if row[0] == "bundle")
    assert bundle[1] == "40.0"
    assert bundle[-1] == "21"


def test_markdown_gives_machine_method_and_reasons() -> None:
    text = bench_markdown(_report())
    for part in ("Test CPU 9000", "numpy 2.0.0", "2 threads", "5 rounds", "alone", "pinned"):
        assert part in text
    failed = [line for line in text.splitlines() if "tensorrt" in line]
    assert len(failed) == 2
    assert "failed" in failed[0]
    assert REASON in failed[1]


def test_no_ratio_where_the_first_row_failed() -> None:
    text = bench_markdown(_report(Row("first", 1, 0, error="gone"), _row("second", 5)))
    assert TIMES not in text
    assert "gone" in text


def test_a_row_without_samples_counts_as_failed() -> None:
    assert "no sample" in bench_markdown(_report(_row("a", 5), Row("silent", 1, 2)))


def test_markdown_keeps_foreign_text_in_its_cell() -> None:
    text = bench_markdown(_report(_row(EVIL + "\nline", 5), Row(EVIL, 1, 0, error=EVIL)))
    assert "<script" not in text
    rows = [_cells(line) for line in text.splitlines() if line.startswith("|")]
    assert {len(row) for row in rows} == {len(rows[0])}
    assert r"\[z\]" in text


def test_csv_has_numbers_ratios_and_reasons(tmp_path: Path) -> None:
    path = write_csv(_report(), tmp_path / "out.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["eager", "bundle", "tensorrt", "eager", "bundle"]
    assert float(rows[1]["p50_ms"]) == pytest.approx(40)
    assert float(rows[4]["speed"]) == pytest.approx(4)
    assert rows[2]["error"] == REASON
    assert {rows[2][key] for key in ("p50_ms", "clips_per_s", "speed", "load_ms")} == {""}


# ---- files -----------------------------------------------------------------------------------


def test_a_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.md"
    assert write_text(path, "one é\n") == path
    with pytest.raises(OutputExistsError, match="--force"):
        write_text(path, "two\n")
    assert path.read_bytes() == "one é\n".encode()
    write_text(path, "two\n", force=True)
    assert path.read_text(encoding="utf-8") == "two\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [file.name for file in path.parent.iterdir()] == ["report.md"]


def test_csv_and_plot_refuse_to_overwrite_too(tmp_path: Path) -> None:
    path = write_text(tmp_path / "mine", "precious")
    with pytest.raises(OutputExistsError):
        write_csv(_report(), path)
    try:
        with pytest.raises(OutputExistsError):
            plot_bench(_report(), path)
    except MissingDependencyError:
        pass  # without matplotlib nothing is written either
    assert path.read_text(encoding="utf-8") == "precious"


def test_a_write_that_breaks_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = write_text(tmp_path / "report.md", "old")

    def break_off() -> None:
        with fresh_file(path, force=True) as partial:
            partial.write_text("half", encoding="utf-8")
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        break_off()
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_who_reads_while_it_is_replaced_reads_one_whole_file(tmp_path: Path) -> None:
    path = write_text(tmp_path / "report.md", "old and whole")
    with path.open(encoding="utf-8") as reader:
        write_text(path, "new", force=True)
        assert reader.read() == "old and whole"


def test_a_directory_and_an_impossible_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputExistsError, match="directory"):
        write_text(tmp_path, "x", force=True)
    file = write_text(tmp_path / "file", "x")
    with pytest.raises(UsageError, match="cannot write"):
        write_text(file / "below", "x")


# ---- HTML ------------------------------------------------------------------------------------


def _prediction(label: str = "wave") -> Prediction:
    top = (Action(label, 1, 0.75), Action("jump", 0, 0.2))
    return Prediction(top, np.array([0.2, 0.75, 0.05], np.float32))


def _verify(*, broken: bool = False, name: str = "random") -> VerifyReport:
    wanted = np.array([[1.0, 2.0, 8.0]])
    cases = (compare("zeros", wanted, wanted), compare(name, wanted, wanted + broken * 0.1))
    checks = (Check("opset", True, "17"), Check("parity", not broken, "two cases"))
    return VerifyReport("out/bundle", "onnxruntime", checks, ParityReport(cases, 1e-5, 1.0))


def _everything(text: str = "text") -> tuple[object, ...]:
    return (
        TextSection(text, [text]),
        TableSection(text, ("a", text), [("1", text)], text),
        SvgSection(text, _svg(text), text),
        PredictionSection(text, _svg(text), _prediction(text), text + "!"),
        VerifySection(_verify(name=text)),
        BenchSection(_report(_row(text, 5), Row("b", 1, 0, error=text)), text),
    )


def test_a_page_is_self_contained_and_runs_nothing() -> None:
    page = html_report(_everything(), title="t", next_commands=["stgcn verify b"])  # type: ignore[arg-type]
    assert not re.search(r"https?://", page)
    assert not re.search(r"@import|url\(", page)
    parsed = _Page(page)
    names = {tag for tag, _ in parsed.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "form"}
    for _, attributes in parsed.tags:
        assert not [key for key in attributes if key.startswith("on") or key == "src"]
        assert (attributes.get("href") or "#").startswith("#")
    policy = [a["content"] for t, a in parsed.tags if a.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert "prefers-color-scheme" in page
    assert ("meta", {"name": "viewport", "content": "width=device-width,initial-scale=1"}) in (
        parsed.tags
    )


def test_foreign_text_is_text_everywhere() -> None:
    page = html_report(_everything(EVIL), title=EVIL, next_commands=[EVIL])  # type: ignore[arg-type]
    parsed = _Page(page)
    assert "script" not in {tag for tag, _ in parsed.tags}
    assert "<script" not in page.lower()
    # Twice in each heading and once or more in what stands under it.
    assert parsed.text.count("<script>") >= 20


def test_contents_lead_to_every_section() -> None:
    page = _page(TextSection("One", []), TextSection("Two", []), next_commands=["stgcn demo"])
    targets = [a["href"] for t, a in page.tags if t == "a"]
    assert targets == [f"#{a['id']}" for t, a in page.tags if t == "section"]
    assert len(targets) == 3
    assert "stgcn demo" in page.text
    assert "Next" not in _page(TextSection("One", [])).text


def test_verification_shows_checks_cases_and_verdict() -> None:
    good, bad = _page(VerifySection(_verify())), _page(VerifySection(_verify(broken=True)))
    assert "Verification: passed" in good.text
    assert "Verification: FAILED" in bad.text
    marked = [a for t, a in bad.tags if t == "tr" and a.get("class") == "bad"]
    assert len(marked) == 1
    assert not [a for t, a in good.tags if t == "tr" and a.get("class") == "bad"]
    assert "1.2e-02" in bad.text  # 0.1 over the largest logit, 8
    assert bad.text.count("\nfail\n") == 1
    empty = VerifyReport("b", "o", (), ParityReport((), 1e-5, 1.0))
    assert "No case was compared" in _page(VerifySection(empty)).text


def test_benchmark_section_shows_ratios_and_reasons() -> None:
    page = _page(BenchSection(_report()))
    assert page.text.count(f"2.50{TIMES}") == 2  # bar and table
    assert page.text.count(f"4.00{TIMES}") == 2
    assert f"failed: {REASON}" in page.text
    assert "Test CPU 9000" in page.text
    widths = [float(a["width"] or 0) for t, a in page.tags if t == "rect"]
    assert widths[0] == pytest.approx(2.5 * widths[1], rel=0.02)
    assert widths[2] == pytest.approx(4 * widths[3], rel=0.02)


def test_a_benchmark_with_thousands_of_samples_stays_small() -> None:
    assert len(BenchSection(_report(_row("many", 5, count=20_000))).html()) < 10_000


def test_predictions_say_whether_they_are_right() -> None:
    right = _page(PredictionSection("p", _svg(), _prediction(), "wave")).text
    wrong = _page(PredictionSection("p", _svg(), _prediction(), "jump")).text
    unknown = _page(PredictionSection("p", _svg(), _prediction())).text
    assert "correct" in right
    assert "expected jump" in wrong
    assert "correct" not in unknown
    assert "expected" not in unknown
    assert "75.0%" in unknown


def test_bars_of_probabilities_start_at_zero_and_those_of_logits_at_the_lowest() -> None:
    bars = [a["style"] for t, a in _page(PredictionSection("p", _svg(), _prediction())).tags
            if t == "i"]  # fmt: skip
    assert bars == ["width:75.0%", "width:20.0%"]
    logits = Prediction(
        (Action("a", 0, 6.0), Action("b", 1, 1.0)), np.array([6, 1, -4], np.float32)
    )
    page = _page(PredictionSection("p", _svg(), logits))
    assert [a["style"] for t, a in page.tags if t == "i"] == ["width:100.0%", "width:50.0%"]
    assert "logits" in page.text
    assert "%" not in page.text


@pytest.mark.parametrize(
    "svg",
    [
        "<svg><script>alert(1)</script></svg>",
        '<svg onload="alert(1)"></svg>',
        '<svg ONLOAD="alert(1)"></svg>',
        "<svg><foreignObject/></svg>",
        '<svg><image href="x.png"/></svg>',
        '<svg><rect style="fill:url(x)"/></svg>',
        "<svg><style>*{display:none}</style></svg>",
        '<!DOCTYPE svg [<!ENTITY a "b">]><svg>&a;</svg>',
        "<svg><rect></svg>",
        "<p>no drawing</p>",
        "no markup",
    ],
)
def test_a_drawing_that_could_act_is_refused(svg: str) -> None:
    with pytest.raises(UsageError, match="SVG"):
        SvgSection("s", svg).html()


def test_malformed_reports_are_refused() -> None:
    with pytest.raises(UsageError, match="at least one section"):
        html_report([], title="t")
    with pytest.raises(UsageError, match="another length"):
        TableSection("t", ("a", "b"), [("1",)]).html()


# ---- plots -----------------------------------------------------------------------------------


def _png_size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def test_a_plot_is_a_picture_that_grows_with_its_rows(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib (extra plots) is not installed")
    small = plot_bench(_report(_row("only $one$", 5)), tmp_path / "one.png")
    rows = [_row(f"contender {i} {EVIL}", 10.0 + i) for i in range(11)]
    large = plot_bench(_report(*rows, Row("x", 1, 0, error=REASON)), tmp_path / "twelve.png")
    mixed = plot_bench(_report(), tmp_path / "mixed.png")
    assert _png_size(small)[0] == _png_size(large)[0] == _png_size(mixed)[0] > 1000
    assert 200 < _png_size(small)[1] < _png_size(mixed)[1] < _png_size(large)[1] < 2000
    assert 5_000 < mixed.stat().st_size < 500_000
    assert len(list(tmp_path.iterdir())) == 3


def test_a_plot_of_nothing_but_failures_shows_them_and_of_nothing_is_refused(
    tmp_path: Path,
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib (extra plots) is not installed")
    plot_bench(_report(Row("x", 1, 0, error=REASON)), tmp_path / "failed.png")
    with pytest.raises(UsageError, match="no rows"):
        plot_bench(BenchReport((), {}, 1), tmp_path / "none.png")


def test_drawing_and_reporting_load_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys; import stgcn_deploy.skeleton.draw, stgcn_deploy.measure.page, "
        "stgcn_deploy.measure.plots; print([m for m in ('torch','matplotlib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
