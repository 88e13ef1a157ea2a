"""Training configs: what is read out of them, what is refused, and that they never run."""

from __future__ import annotations

import runpy
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stgcn_deploy.checkpoints.base import Hints
from stgcn_deploy.checkpoints.mmconfig import (
    ConfigHints,
    MMConfig,
    Unknown,
    contradictions,
    hints_from_config,
    parse_config_text,
    read_config,
    to_hints,
)
from stgcn_deploy.errors import (
    CheckpointError,
    FileUnreadableError,
    StgcnError,
    UnsupportedCheckpointError,
)
from stgcn_deploy.models.spec import BlockSpec, BranchSpec, NetworkSpec
from stgcn_deploy.skeleton.layouts import LAYOUTS

CONFIGS = Path(__file__).parents[1] / "data" / "configs"
MODEL = "model = dict(type='RecognizerGCN', backbone=dict(type='STGCN'{}))\n"
USUAL_BRANCHES = ((3, 1), (3, 2), (3, 3), (3, 4), ("max", 3), "1x1")


def _parse(text: str) -> MMConfig:
    return parse_config_text(text, "a text")


def _value(text: str, name: str = "x") -> Any:
    return _parse(text).values[name]


def _hints(text: str = "", backbone: str = "") -> ConfigHints:
    return hints_from_config(_parse(MODEL.format(f", {backbone}" if backbone else "") + text))


def _read(name: str) -> ConfigHints:
    return hints_from_config(read_config(CONFIGS / name))


def _write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder / "top.py"


# ---- real kinds of configs -------------------------------------------------------------------


def test_pyskl_stgcnpp_config_is_read_whole() -> None:
    hints = _read("pyskl_stgcnpp_coco.py")
    assert (hints.layout, hints.frames, hints.persons) == ("coco17", 100, 2)
    assert (hints.num_classes, hints.in_channels, hints.data_bn_type) == (60, 3, "VC")
    assert (hints.gcn_adaptive, hints.gcn_with_res, hints.tcn_type) == ("init", True, "mstcn")
    assert hints.tcn_ms_cfg == USUAL_BRANCHES
    assert hints.strides == (1, 1, 1, 1, 2, 1, 1, 2, 1, 1)
    assert hints.channels == (64,) * 4 + (128,) * 3 + (256,) * 3


def test_notes_name_the_line() -> None:
    source = CONFIGS / "pyskl_stgcnpp_coco.py"
    line = next(
        number
        for number, text in enumerate(source.read_text().splitlines(), 1)
        if "num_clips=10" in text
    )
    notes = hints_from_config(read_config(source)).notes
    assert f"frames 100: clip_len, {source}, line {line}" in notes
    assert any("codebase's defaults: in_channels 3, base_channels 64" in note for note in notes)


def test_vanilla_config_is_read_through_item_assignment_and_defaults() -> None:
    hints = _read("pyskl_vanilla_ntu.py")
    assert (hints.layout, hints.frames, hints.persons) == ("ntu25", 300, 2)
    assert (hints.gcn_adaptive, hints.gcn_with_res) == ("importance", False)
    assert (hints.tcn_type, hints.tcn_ms_cfg) == ("unit_tcn", None)


def test_gesture_config_is_read_whole() -> None:
    hints = _read("gesture.py")
    assert (hints.layout, hints.frames, hints.persons, hints.fps) == ("handmp21", 10, 1, 30)
    assert (hints.in_channels, hints.num_classes) == (2, 40)
    assert hints.strides == (1, 1, 1, 1, 1, 2)
    assert hints.channels == (64, 64, 64, 64, 64, 128)


def test_mmaction2_config_inherits_from_its_base_files() -> None:
    config = read_config(CONFIGS / "mmaction2" / "stgcnpp" / "bone_motion_2d.py")
    assert config.skipped == ()
    assert config.values["ann_file"] == "data/skeleton/bodies_2d.pkl"
    assert config.values["default_hooks"]["timer"] == {"type": "OwnTimer"}
    assert config.values["model"]["cls_head"]["in_channels"] == 256
    hints = hints_from_config(config)
    assert (hints.num_classes, hints.frames, hints.layout) == (120, 64, "coco17")


def _agrees(read: object, real: object) -> bool:
    """Whether what was read is what running gives, wherever it is known."""
    if isinstance(read, Unknown):
        return True
    if isinstance(read, dict) and isinstance(real, dict):
        return read.keys() == real.keys() and all(_agrees(read[k], real[k]) for k in real)
    if isinstance(read, (list, tuple)) and type(read) is type(real):
        return len(read) == len(real) and all(map(_agrees, read, real))
    return read == real


@pytest.mark.parametrize("name", ["pyskl_stgcnpp_coco", "pyskl_vanilla_ntu", "gesture"])
def test_values_are_those_that_running_the_config_gives(name: str) -> None:
    path = CONFIGS / f"{name}.py"
    values = read_config(path).values
    ran = {k: v for k, v in runpy.run_path(str(path)).items() if not k.startswith("__")}
    assert _agrees(dict(values), ran)


def test_the_same_text_from_a_checkpoint_reads_the_same() -> None:
    path = CONFIGS / "gesture.py"
    by_text = hints_from_config(parse_config_text(path.read_text(), str(path)))
    assert by_text == _read("gesture.py")


# ---- evaluation ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = -3 + 2 * 4", 5),
        ("x = 7 / 2 - 3", 0.5),
        ("a = 2\nx = [a, (a, 'b'), {'c': a}]", [2, (2, "b"), {"c": 2}]),
        ("a = dict(b=1)\nx = dict(**a, c=2)", {"b": 1, "c": 2}),
        ("a = [1]\nx = [*a, 2] + [3]", [1, 2, 3]),
        ("a = 'b'\nx = a + '_c'", "b_c"),
        ("a = dict(b=[1, 2, 3])\nx = a['b'][-1]", 3),
        ("a = dict(b=1)\na['b'] = 2\na['c'] = 3\nx = a", {"b": 2, "c": 3}),
        ("a = dict(b=1)\nd = dict(b=a)\na['b'] = 2\nx = d", {"b": {"b": 2}}),
        ("x = y = [True, None]", [True, None]),
        ("\ufeffx = '\\d'", "\\d"),
        ("#\rx = 1\r\n", 1),
    ],
)
def test_plain_values_are_evaluated(text: str, expected: object) -> None:
    assert _value(text) == expected
    assert _parse(text).skipped == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = f(1)", "a call of f"),
        ("import os\nx = dict(**os.path.join('a', 'b'))['c']", "a call of os.path.join"),
        ("x = (1).c", "kind Attribute"),
        ("x = [i for i in 'ab']", "kind ListComp"),
        ("x = 1 if True else 2", "kind IfExp"),
        ("x = unseen", "the name 'unseen'"),
        ("x = 2 ** 3", "an operation"),
        ("x = 1 / 0", "an operation"),
        ("x = [0] * 3", "an operation"),
        ("x = '%d' % 1", "an operation"),
        ("x = f'{1}'", "kind JoinedStr"),
        ("x = [1, 2][:1]", "kind Slice"),
        ("a = dict()\nx = a['b']", "an item that is not there"),
        ("x = {{fileDirname}}", "the name 'fileDirname'"),
        ("x = '{{_base_.y}}'", "a name of a base file"),
        ("x = dict([('a', 1)])", "a call of dict"),
        ("def dict(**k): pass\nx = dict(a=1)", "a call of dict"),
        ("x = b'bytes'", "a constant of another kind"),
        ("x, y = 1, 2", "an unpacking"),
        ("x = [1]\nx += [2]", "AugAssign"),
    ],
)
def test_anything_else_is_unknown_and_listed(text: str, why: str) -> None:
    config = _parse(text)
    assert isinstance(config.values["x"], Unknown)
    last = text.count("\n") + 1
    assert any(skip.line == last and why in skip.reason for skip in config.skipped)
    assert f"line {last}" in str(config.skipped[-1])


@pytest.mark.parametrize(
    "change",
    [
        "p.append(1)",
        "p += steps()",
        "p[0].update(a=2)",
        "p[0]['a'] = 2 if q else 3",
        "p[i]['a'] = 2",
        "p.a = 2",
        "del p[0]",
        "for q in (p, []):\n    q[0]['a'] = 2",
        "qs = [p]\nfor q in qs:\n    q[0]['a'] = 2",
        "ys = [q.update(a=2) for q in p]",
        "if True:\n    p = [dict(a=2)]",
        "with f() as p:\n    pass",
        "import p",
        "from a import *",
        "change(p)",
        "y = p.pop()",
        "y = (p := 2)",
        "def change():\n    p[0]['a'] = 2",
        "def p():\n    pass",
        "class A:\n    p.clear()",
    ],
)
def test_what_unevaluated_code_may_change_is_unknown(change: str) -> None:
    text = f"i = unknown\np = [dict(a=1)]\n{change}\nx = p[0]['a']"
    assert isinstance(_value(text), Unknown)


def test_what_may_change_under_one_name_is_unknown_under_all() -> None:
    text = "p = [dict(a=1)]\ndata = dict(p=p)\nfor q in (p,):\n    q[0]['a'] = 2"
    assert isinstance(_parse(text).values["data"]["p"][0], Unknown)


def test_forgotten_lists_have_no_length() -> None:
    values = _parse("p = [1, 2]\nd = dict(p=p)\np.append(3)\nd['p'][0] = 4\nx = [*d, 5][0]").values
    assert isinstance(values["d"], Unknown)
    assert isinstance(values["x"], Unknown)


def test_what_only_reads_changes_nothing() -> None:
    config = _parse("x = [1]\nprint(x)\nn = len(x)\ny = copy.deepcopy(x)\nz = x if n else [*x]")
    assert config.values["x"] == [1]
    assert isinstance(config.values["n"], Unknown)


_words = st.text(alphabet="ab'\"\\\n{é%", max_size=5)
_literals = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.floats(-1e6, 1e6) | _words,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(_words, inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=20, deadline=None)
@given(_literals)
def test_literals_are_read_as_python_reads_them(literal: object) -> None:
    assert _value(f"x = {literal!r}") == literal


@settings(max_examples=30, deadline=None)
@given(st.text(alphabet="xy=()[]{}'\"%*+-.,:;#\\\n\t 019adefilmort_", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(StgcnError):
        hints_from_config(_parse(MODEL.format("") + text))


# ---- base files ------------------------------------------------------------------------------


def test_dicts_merge_deeply_and_delete_replaces(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        base="a = dict(b=dict(c=1, d=2), e=[1, 2])\nkept = 5",
        top="_base_ = './base.py'\na = dict(b=dict(c=3), e=[4])\nf = dict(_delete_=True, g=1)",
    )
    values = read_config(path).values
    assert values["a"] == {"b": {"c": 3, "d": 2}, "e": [4]}
    assert values["f"] == {"g": 1}
    assert values["kept"] == 5
    again = _write(tmp_path, top="_base_ = 'base.py'\na = dict(b=dict(_delete_=True, c=3))")
    assert read_config(again).values["a"] == {"b": {"c": 3}, "e": [1, 2]}


@pytest.mark.parametrize("spelling", ["{{_base_.a.b}}", "_base_.a['b']", "_base_.a.b"])
def test_base_templates_are_resolved(tmp_path: Path, spelling: str) -> None:
    path = _write(tmp_path, base="a = dict(b=[7])", top=f"_base_ = ['base.py']\nx = {spelling}")
    assert read_config(path).values["x"] == [7]


@pytest.mark.parametrize(
    "entry", ["gone.py", "/etc/passwd", "mmaction::a.py", "gone.yaml", "..", "a\0b.py", "x" * 999]
)
def test_base_file_that_is_not_there_is_recorded_and_hides_defaults(
    tmp_path: Path, entry: str
) -> None:
    text = f"_base_ = [{entry!r}]\n" + MODEL.format(", num_stages=4")
    if "\0" in entry:
        text = text.replace("\0", "\\0")
    config = read_config(_write(tmp_path, top=text))
    assert [skip.line for skip in config.skipped] == [1]
    assert "base file" in config.skipped[0].reason
    hints = hints_from_config(config)
    # The base file may have said anything of what this one leaves open.
    assert (hints.in_channels, hints.tcn_type, hints.strides) == (None, None, None)
    assert any("base file" in note for note in hints.notes)


def test_runtime_settings_left_behind_hide_nothing(tmp_path: Path) -> None:
    text = "_base_ = '../../_base_/default_runtime.py'\n" + MODEL.format("")
    config = read_config(_write(tmp_path, top=text))
    assert len(config.skipped) == 1
    assert hints_from_config(config).in_channels == 3


def test_model_in_a_missing_base_file_is_partly_read(tmp_path: Path) -> None:
    top = "_base_ = ['gone.py', name]\nmodel = dict(cls_head=dict(num_classes=7))"
    hints = hints_from_config(read_config(_write(tmp_path, top=top)))
    assert (hints.num_classes, hints.strides) == (7, None)
    with pytest.raises(CheckpointError, match=r"gone\.py"):
        hints_from_config(read_config(_write(tmp_path, top="_base_ = 'gone.py'\nx = 1")))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"top": "_base_ = 'top.py'"}, "circle"),
        ({"top": "_base_ = 'a.py'", "a": "_base_ = ['top.py']"}, r"circle \(top.py -> a.py -> top"),
        ({"top": f"_base_ = {['a.py'] * 40}", "a": ""}, "base files; give one merged"),
        ({"top": "_base_ = 'a.py'", "a": "x = ("}, "a.py, line"),
        (
            {f"b{i}": f"_base_ = 'b{i + 1}.py'" for i in range(40)} | {"top": "_base_ = 'b0.py'"},
            "base files; give one merged",
        ),
    ],
)
def test_base_files_that_do_not_end_are_refused(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_config(_write(tmp_path, **files))


def test_merging_is_bounded(tmp_path: Path) -> None:
    dag = "a = dict(x=1)\n" + "a = dict(p=a, q=a)\n" * 60
    with pytest.raises(CheckpointError, match="computes or merges"):
        read_config(_write(tmp_path, base=dag, top="_base_ = 'base.py'\n" + dag))


# ---- hostile files ---------------------------------------------------------------------------


def test_code_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = read_config(CONFIGS / "malicious" / "runs_code.py")
    hints = hints_from_config(config)
    assert list(tmp_path.iterdir()) == []
    assert hints.layout == "coco17"
    assert (hints.num_classes, hints.frames) == (None, None)
    assert "a call of os.system" in [skip.reason for skip in config.skipped]


def test_bombs_do_not_go_off() -> None:
    values = read_config(CONFIGS / "malicious" / "bombs.py").values
    for name in ("power", "shift", "digits", "many", "long", "text", "wide", "wider", "division"):
        assert isinstance(values[name], Unknown), name
    assert len(values["full"]) == 10_000
    assert isinstance(values["over"], Unknown)


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 5000 + "]" * 5000,
        "x = " + "dict(a=" * 500 + "1" + ")" * 500,
        "x = " + "-" * 5000 + "1",
        "# \rx = " + "-" * 5000 + "1",
        "x = " + "1 + " * 5000 + "1",
        "x = a" + ".b" * 5000,
        "x = a" + "[0]" * 5000,
        "x = " + "lambda: " * 5000 + "1",
        "x = " + "9" * 5000,
        "if a: pass\n" + "elif a: pass\n" * 5000,
        "x = f'{" + "-" * 5000 + "1}'",
        f"a = {[0] * 9000}\n" + "b = a + []\n" * 300,
        f"a = {dict.fromkeys(range(9000), 1)}\n" + "b = dict(**a)\n" * 150,
        "a = dict()\na['a'] = a",
        "x = 1\0",
    ],
)
def test_texts_that_would_exhaust_something_are_refused(text: str) -> None:
    with pytest.raises(CheckpointError):
        _parse(text)


def test_lists_that_hold_themselves_are_harmless() -> None:
    values = _parse("a = [1]\na[0] = a\nb = dict(c=a)\na.append(b)\nd = a").values
    assert isinstance(values["b"], Unknown)
    assert isinstance(values["d"], Unknown)


# ---- files that are no configs ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("gone.py", None, FileUnreadableError, "does not exist"),
        ("a.yaml", b"model:\n  a: 1", CheckpointError, "line 1: not Python"),
        ("a.py", b"\x80\x02}", FileUnreadableError, "not UTF-8 text"),
        ("a.py", b"x" * 300_001, FileUnreadableError, "300,001 bytes"),
        ("a.py", b"x = 1\nmodel = dict(\n", CheckpointError, "not Python"),
        ("a.py", b"x = 1\nmodel is dict(;)\n", CheckpointError, "line 2: not Python"),
    ],
)
def test_unreadable_files_are_refused(
    tmp_path: Path, name: str, content: bytes | None, error: type[StgcnError], message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        read_config(tmp_path / name)
    with pytest.raises(FileUnreadableError, match="not a file"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("x = 1", CheckpointError, "has no 'model'; expected"),
        ("model = 3", CheckpointError, "has 3 as 'model'"),
        ("model = build()", CheckpointError, r"'model' depends on a call of build \(.*line 1"),
        ("model = dict(type='Recognizer3D')", CheckpointError, "not the skeleton recogniser"),
        ("model = dict(type=f())", CheckpointError, "not the skeleton recogniser"),
        ("model = dict(a=1)", CheckpointError, r"model type \(none\)"),
        ("model = dict(type='SkeletonGCN')", CheckpointError, "not the skeleton recogniser"),
        ("model = dict(type='RecognizerGCN')", CheckpointError, "no 'backbone'"),
        (MODEL.format("").replace("STGCN", "CTRGCN"), UnsupportedCheckpointError, "'CTRGCN'"),
        (MODEL.format("").replace("'STGCN'", "f()"), UnsupportedCheckpointError, "a call of f"),
    ],
)
def test_configs_of_other_networks_are_refused(
    text: str, error: type[StgcnError], message: str
) -> None:
    with pytest.raises(error, match=message):
        hints_from_config(_parse(text))


def test_registry_scopes_are_no_part_of_names() -> None:
    text = MODEL.format("").replace("'Rec", "'mmaction.Rec").replace("'STGCN", "'mmaction.STGCN")
    assert hints_from_config(_parse(text)).tcn_type == "unit_tcn"


# ---- hints -----------------------------------------------------------------------------------

_SAMPLE = "dict(type='UniformSample', clip_len={})"


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        ("clip_len = 40", 40),
        (f"train_pipeline = [{_SAMPLE.format(50)}]\nclip_len = 40", 50),
        (f"val_pipeline = [{_SAMPLE.format(60)}]\ntrain_pipeline = [{_SAMPLE.format(50)}]", 60),
        (f"test_pipeline = [{_SAMPLE.format(70)}]\nval_pipeline = [{_SAMPLE.format(60)}]", 70),
        (
            f"test_pipeline = [{_SAMPLE.format(70)}]\n"
            f"data = dict(test=dict(dataset=dict(pipeline=[{_SAMPLE.format(80)}])))",
            80,
        ),
        (
            "test_dataloader = dict(dataset=dict(dataset=dict(pipeline="
            f"[dict(type='PadTo', length=9), {_SAMPLE.format(90)}])))",
            90,
        ),
        (f"test_pipeline = f()\ntrain_pipeline = [f(), {_SAMPLE.format(50)}]", 50),
        (f"test_pipeline = [{_SAMPLE.format('f()')}]", None),
        (f"test_pipeline = [{_SAMPLE.format(0)}]", None),
        ("", None),
    ],
)
def test_frames_come_from_the_pipeline_nearest_to_testing(text: str, frames: int | None) -> None:
    assert _hints(text).frames == frames


def test_persons_are_two_where_the_formatter_does_not_say() -> None:
    assert _hints("test_pipeline = [dict(type='FormatGCNInput')]").persons == 2
    assert _hints("test_pipeline = [dict(type='FormatGCNInput', num_person=1)]").persons == 1
    assert _hints("test_pipeline = []").persons is None


@pytest.mark.parametrize(
    ("backbone", "strides", "channels"),
    [
        ("num_stages=3, down_stages=[2], inflate_stages=[3]", (1, 2, 1), (64, 64, 128)),
        ("num_stages=3, down_stages=[1, 3], inflate_stages=[]", (1, 1, 2), (64, 64, 64)),
        # With equal channels the first block is dropped, its stage number is not.
        ("in_channels=64, num_stages=3, down_stages=[2], inflate_stages=[3]", (2, 1), (64, 128)),
        ("num_stages=2, ch_ratio=1.5, inflate_stages=(2,)", (1, 1), (64, 96)),
        ("num_stages=3, down_stages=later()", None, None),
        ("num_stages=100_000_000", None, None),
        ("num_stages=100, ch_ratio=1e300", (1,) * 4 + (2, 1, 1, 2) + (1,) * 92, None),
        ("num_stages=2, inflate_stages='all'", (1, 1), None),
    ],
)
def test_strides_follow_the_stage_plan(
    backbone: str, strides: tuple[int, ...] | None, channels: tuple[int, ...] | None
) -> None:
    hints = _hints(backbone=backbone)
    assert (hints.strides, hints.channels) == (strides, channels)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("'coco'", "coco17"),
        ("'nturgb+d'", "ntu25"),
        ("'openpose'", "openpose18"),
        ("'handmp'", "handmp21"),
        ("'nw-ucla'", "ucla20"),
        ("'kinect-v9'", None),
        ("dict(num_node=3)", None),
    ],
)
def test_layouts_get_our_names(name: str, ours: str | None) -> None:
    other = "test_pipeline = [dict(type='GenSkeFeat', dataset='coco')]"
    hints = _hints(other, f"graph_cfg=dict(layout={name})")
    assert hints.layout == ours
    assert ours or any("layout: " in note and "line 1" in note for note in hints.notes)


def test_layout_of_the_features_serves_where_the_graph_says_none() -> None:
    assert _hints("val_pipeline = [dict(type='GenSkeFeat', dataset='coco')]").layout == "coco17"


@pytest.mark.parametrize(
    ("said", "ours"),
    [("None", "none"), ("'offset'", "offset"), ("'other'", None), ("f()", None)],
)
def test_adaptive_kinds(said: str, ours: str | None) -> None:
    assert _hints(backbone=f"gcn_adaptive={said}").gcn_adaptive == ours


def test_branches_are_read_with_their_dilations() -> None:
    said = "tcn_type='mstcn', tcn_ms_cfg=[(3, 1), [5, 2], ('max', 5), '1x1']"
    assert _hints(backbone=said).tcn_ms_cfg == ((3, 1), (5, 2), ("max", 5), "1x1")
    assert _hints(backbone="tcn_type='mstcn', tcn_ms_cfg=['2x2']").tcn_ms_cfg is None


# ---- use -------------------------------------------------------------------------------------


def test_options_win_over_the_config_and_origins_tell() -> None:
    given_hints = Hints(frames=32, origins={"frames": "option"})
    merged = to_hints(_read("gesture.py"), given_hints)
    assert (merged.frames, merged.persons, merged.fps) == (32, 1, 30)
    assert merged.layout is LAYOUTS["handmp21"]
    assert merged.strides == (1, 1, 1, 1, 1, 2)
    assert merged.adjacency is None
    assert (merged.origin("frames"), merged.origin("persons")) == ("option", "config")
    assert merged.origin("motion") == "option"


@pytest.mark.parametrize(
    ("adaptive", "adjacency"),
    [("importance", "importance"), ("offset", "offset"), ("init", None), ("none", None)],
)
def test_only_what_the_hints_can_hold_is_passed_on(adaptive: Any, adjacency: str | None) -> None:
    merged = to_hints(ConfigHints("a config", gcn_adaptive=adaptive), Hints())
    assert merged.adjacency == adjacency
    assert "layout" not in merged.origins


def _branches(channels: int) -> tuple[BranchSpec, ...]:
    kinds = [BranchSpec("conv", channels, 3, dilation) for dilation in (1, 2, 3, 4)]
    return (*kinds, BranchSpec("max", channels, 3), BranchSpec("1x1", channels, 1))


def _block(before: int, after: int, **other: Any) -> BlockSpec:
    # The shapes alone give stride 2 where channels change; block 1 has no residual.
    changes = before != after
    usual: dict[str, Any] = {
        "residual": "none" if before == 2 else "conv" if changes else "identity",
        "graph_residual": "conv" if changes else "identity",
        "branches": _branches(10),
    }
    return BlockSpec(before, after, **(usual | other))


def _gesture_spec() -> NetworkSpec:
    return NetworkSpec(
        family="stgcnpp",
        axes="NMTVC",
        in_channels=2,
        num_joints=21,
        num_subsets=3,
        num_classes=40,
        blocks=(_block(2, 64), *[_block(64, 64)] * 4, _block(64, 128)),
    )


def test_config_of_its_own_checkpoint_contradicts_nothing() -> None:
    assert contradictions(_read("gesture.py"), _gesture_spec()) == []
    assert contradictions(ConfigHints("says nothing"), _gesture_spec()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": 60}, "num_classes: 60 by the config, 40 in the file"),
        ({"in_channels": 3}, "in_channels: 3"),
        ({"layout": "coco17"}, "layout coco17, V: 17 by the config, 21"),
        ({"tcn_type": "unit_tcn"}, "family: stgcn by the config, stgcnpp"),
        ({"strides": (1,) * 9}, "number of blocks: 9 by the config, 6"),
        ({"channels": (64,) * 6}, "channels of the blocks"),
        ({"strides": (1, 2, 1, 1, 1, 2)}, "block 2, stride 2, residual: conv by the config, ident"),
        ({"gcn_adaptive": "offset"}, "gcn_adaptive offset, a PA: True by the config, False in"),
        ({"gcn_with_res": False}, "gcn_with_res: False by the config, True"),
        ({"data_bn_type": "none"}, "data_bn_type none, per: none by the config, joint"),
        ({"tcn_ms_cfg": ((3, 1), (3, 2), (3, 4), (3, 8), ("max", 3), "1x1")}, "shows no dilations"),
    ],
)
def test_each_contradiction_is_found_alone(change: dict[str, Any], message: str) -> None:
    found = contradictions(replace(_read("gesture.py"), **change), _gesture_spec())
    assert len(found) == 1
    assert message in found[0]


def test_fixed_persons_and_stored_masks_are_compared() -> None:
    blocks = tuple(replace(block, adjacency="importance") for block in _gesture_spec().blocks)
    spec = replace(_gesture_spec(), blocks=blocks, input_norm="person", num_persons=2)
    found = contradictions(_read("gesture.py"), spec)
    assert [text.split()[0] for text in found] == ["persons", "gcn_adaptive", "data_bn_type"]
    # Which kind of mask it is, the config knows better than the file.
    believed = replace(_read("gesture.py"), gcn_adaptive="offset", data_bn_type="MVC", persons=2)
    assert contradictions(believed, spec) == []
