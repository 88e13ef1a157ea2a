"""Configuration files are read as they are meant, and mistakes are told without telling secrets."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

pytest.importorskip("yaml", reason="configuration files need PyYAML")

from hypothesis import given
from hypothesis import strategies as st

from stgcn_deploy.errors import FileUnreadableError, StgcnError, UsageError
from stgcn_deploy.live import yamlfile
from stgcn_deploy.live.config import changed, describe, from_options, read_config
from stgcn_deploy.live.settings import (
    JsonlSettings,
    LiveSettings,
    MqttSettings,
    PageSettings,
    WebhookSettings,
)

ROOT = Path(__file__).resolve().parents[2]
SECRET = "hunter2-very-secret"
BASE = "bundle: fall\ncameras:\n  - name: door\n    source: door.mp4\n"

Read = Callable[..., LiveSettings]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    path = tmp_path / "cameras.yaml"

    def run(text: str | bytes, **environ: str) -> LiveSettings:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_config(path, environ=environ)

    return run


def refused(read: Read, text: str | bytes, **environ: str) -> str:
    with pytest.raises(StgcnError) as error:
        read(text, **environ)
    assert SECRET not in str(error.value)
    assert error.value.__cause__ is None
    return str(error.value)


# ---- what is read ----------------------------------------------------------------------------


def test_the_example_of_the_pages_loads() -> None:
    settings = read_config(
        ROOT / "docs" / "examples" / "cameras.yaml", environ={"DOOR_PASSWORD": SECRET}
    )
    assert [camera.name for camera in settings.cameras] == ["door", "hall", "yard"]
    assert settings.cameras[0].source == f"rtsp://viewer:{SECRET}@192.0.2.10:554/stream1"
    assert settings.cameras[1].source == "0"
    assert isinstance(settings.sinks[1], WebhookSettings)
    assert settings.sinks[1].secret is None
    # What it shows as a default is one.
    usual = LiveSettings(bundle="x", cameras=settings.cameras)
    for name in ("stale", "pose", "track", "windows", "batch", "ladder", "video"):
        assert getattr(settings, name) == getattr(usual, name), name
    assert settings.decide == usual.decide.model_copy(update={"ignore": ("stand", "walk")})
    assert settings.page == PageSettings()


def test_the_example_names_every_setting() -> None:
    text = (ROOT / "docs" / "examples" / "cameras.yaml").read_text(encoding="utf-8")
    schema = LiveSettings.model_json_schema()
    parts = [schema, *schema["$defs"].values()]
    names = {name for part in parts for name in part.get("properties", {})}
    # What hardly anybody sets.
    rare = {"loop", "near", "realtime", "layout", "tls", "spool_mb"}
    assert {name for name in names - rare if f"{name}:" not in text} == set()


def test_relative_paths_begin_at_the_file(read: Read, tmp_path: Path) -> None:
    settings = read(
        "bundle: nets/fall\n"
        "cameras:\n"
        "  - {name: a, source: clips/a.mp4, save: out/a.mp4}\n"
        "  - {name: b, source: rtsp://host/b}\n"
        "  - {name: c, source: 0}\n"
        "  - {name: d, source: '-'}\n"
        "  - {name: e, source: /dev/video0}\n"
        "pose: {model: nets/pose.onnx, detector: hog}\n"
        "sinks: [{kind: jsonl, path: e.jsonl}, {kind: jsonl, path: '-'},"
        " {kind: webhook, url: 'http://x/', spool: s}]\n"
    )
    assert settings.bundle == str(tmp_path / "nets" / "fall")
    sources = [camera.source for camera in settings.cameras]
    assert sources == [str(tmp_path / "clips" / "a.mp4"), "rtsp://host/b", "0", "-", "/dev/video0"]
    assert settings.cameras[0].save == str(tmp_path / "out" / "a.mp4")
    assert settings.cameras[1].save is None
    assert settings.pose.model == str(tmp_path / "nets" / "pose.onnx")
    assert settings.pose.detector == "hog"
    events, shown, hook = settings.sinks
    assert isinstance(events, JsonlSettings)
    assert isinstance(shown, JsonlSettings)
    assert isinstance(hook, WebhookSettings)
    assert (events.path, shown.path) == (str(tmp_path / "e.jsonl"), "-")
    assert hook.spool == str(tmp_path / "s")
    assert read(BASE + "pose: {detector: nets/yolox.onnx}\n").pose.detector == str(
        tmp_path / "nets" / "yolox.onnx"
    )


def test_the_environment_fills_strings_and_only_strings(read: Read) -> None:
    settings = read(
        "bundle: ${WHERE}/fall\n"
        "cameras: [{name: door, source: 'rtsp://${USER}:${PASS}@h/'}]\n"
        "page: {port: '${PORT:-9000}', token: '${TOKEN:-}'}\n"
        "windows: {stride: '${STRIDE:-2.5}'}\n"
        "decide: {ignore: ['$${no}', '${A:-x}${A:-y}', '$5']}\n",
        WHERE="/nets", USER="me", PASS="${A}", PORT="",
    )  # fmt: skip
    assert settings.bundle == "/nets/fall"
    # What comes from the environment is not looked at again.
    assert settings.cameras[0].source == "rtsp://me:${A}@h/"
    assert settings.page == PageSettings(port=9000)
    assert settings.windows.stride == 2.5
    assert settings.decide.ignore == ("${no}", "xy", "$5")


def test_aliases_and_merged_keys_work(read: Read) -> None:
    settings = read(
        "bundle: fall\ncameras:\n"
        "  - &usual {name: a, source: 0, priority: low}\n"
        "  - {<<: *usual, name: b, source: 1}\n"
        "  - {<<: [*usual, {fps: 10}], name: c, source: 2}\n"
    )
    assert [camera.priority for camera in settings.cameras] == ["low"] * 3
    assert [camera.fps for camera in settings.cameras] == [None, None, 10.0]


def test_a_byte_order_mark_is_passed_over(read: Read) -> None:
    assert read(b"\xef\xbb\xbf" + BASE.encode()).cameras[0].name == "door"


# ruff: noqa: E501 -- a line for each mistake
# ---- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("windows: {strid: 2}\n", "line 5: windows: unknown key 'strid'; did you mean 'stride'? Known: stride, min_fill"),
        ("window: {stride: 2}\n", "line 5: unknown key 'window'; did you mean 'windows'?"),
        ("windows: {stride: fast}\n", 'line 5: windows.stride is "fast", expected a number.'),
        ("windows: {stride: 0}\n", "windows.stride is 0, expected a number above 0"),
        ("windows: {stride: .inf}\n", "windows.stride is inf, expected a finite number"),
        ("windows: {stride: .nan}\n", "windows.stride is nan, expected a finite number"),
        ("windows: {stride: yes}\n", "windows: stride is true, expected something else"),
        ("windows: {mode: persons}\n", "windows.mode is \"persons\", expected 'person' or 'scene'"),
        ("windows: 3\n", "windows is 3, expected a mapping of settings"),
        ("windows: [a]\n", "windows is a list, expected a mapping"),
        (f"windows: {SECRET}\n", "windows is a text, expected a mapping"),
        ("batch: {max: 2.5}\n", "batch.max is 2.5, expected a whole number"),
        ("pose: {score: 1.5}\n", "pose.score is 1.5, expected a number up to 1"),
        ("pose: {score: -1}\n", "pose.score is -1, expected a number from 0 on"),
        ("pose: {name: 2024-01-01}\n", "pose.name is a date, expected a text; put it in quotes"),
        ("pose: {name: 5}\n", "pose.name is 5, expected a text; put it in quotes"),
        ("pose: {name: }\n", "pose.name is empty, expected a text"),
        ("decide: {leave: 0.9}\n", "decide: leave is 0.9, expected at most enter, 0.6"),
        ("decide: {ignore: stand}\n", "decide.ignore is a text, expected a list"),
        ("ladder: {low: 0.5}\n", "ladder: low is 0.5, expected less than high, 0.12"),
        ("ladder: {enabled: 3}\n", "ladder.enabled is 3, expected true or false"),
        ("sinks: [{kind: kafka}]\n", 'sinks[0].kind is "kafka", expected one of "jsonl", "webhook", "mqtt"'),
        ("sinks: [{path: a}]\n", "sinks[0].kind is missing, expected one of \"jsonl\""),
        ("sinks: [{kind: mqtt}]\n", "sinks[0].host is missing"),
        ("sinks: [{kind: mqtt, mqtt: 1}]\n", "sinks[0]: unknown key 'mqtt'"),
        ("sinks: [{kind: mqtt, host: h, port: 0}]\n", "sinks[0].port is 0, expected a number from 1"),
        ("sinks: [{kind: jsonl, path: '-'}, {kind: jsonl, path: '-'}]\n", "'-' is written to twice"),
        ("page: {host: 0.0.0.0}\n", "page: host is 0.0.0.0, which others can reach, and there is no token"),
        ("page: {host: example.org}\n", "there is no token"),
        ("page: {port: 99999}\n", "page.port is 99999, expected a number up to 65535"),
        ("video: {crf: 90}\n", "video.crf is 90, expected a number up to 51"),
    ],
)  # fmt: skip
def test_mistakes_say_where_what_and_what_else(read: Read, text: str, says: str) -> None:
    assert says in refused(read, BASE + text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cameras: [{name: a, source: x}]\n", "bundle is missing"),
        ("bundle: b\n", "cameras is missing"),
        ("bundle: b\ncameras: []\n", "cameras is a list, expected 1 or more"),
        ("bundle: b\ncameras: [{name: a}]\n", "line 2: cameras[0].source is missing"),
        ("bundle: b\ncameras: [{name: a, sauce: 1}]\n", "did you mean 'source'?"),
        ("bundle: b\ncameras: [{name: a b, source: 1}]\n", 'is "a b", expected 1 to 64 characters without blanks'),
        ("bundle: b\ncameras: [{name: a/b, source: 1}]\n", "without blanks, /, # and +"),
        ("bundle: b\ncameras: [{name: a, source: 1}, {name: a, source: 2}]\n", "two cameras are called 'a'"),
        ("bundle: b\ncameras: [{name: a, source: '-'}, {name: b, source: '-'}]\n", "read standard input"),
        ("bundle: b\ncameras: [{name: a, source: 0, save: a.mp4}, {name: b, source: 1, save: a.mp4}]\n",
         "written to twice"),
        ("bundle: b\ncameras: [{name: a, source: 0, save: a.avi}]\n", "expected a file name that ends in .mp4"),
        ("bundle: b\ncameras: [{name: a, source: 1, priority: urgent}]\n",
         "is \"urgent\", expected 'low', 'normal' or 'high'"),
    ],
)  # fmt: skip
def test_mistakes_of_cameras(read: Read, text: str, says: str) -> None:
    assert says in refused(read, text)


def test_several_mistakes_are_told_together(read: Read) -> None:
    said = refused(read, BASE + "windows: {stride: 0}\npose: {scor: 1}\ntrack: {confirm: x}\n")
    assert "cameras.yaml: 3 mistakes" in said
    told = [line.split(":")[0].strip() for line in said.splitlines()[1:]]
    assert sorted(told) == ["line 5", "line 6", "line 7"]
    wrong = refused(read, "bundle: b\ncameras: [{name: a}, {source: 1}]\n")
    assert "2 mistakes" in wrong
    many = "".join(f"x{index}: 1\n" for index in range(20))
    assert "and 12 more" in refused(read, BASE + many)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("- a\n", "is no mapping"),
        ("just words\n", "is no mapping"),
        (f"bundle: [{SECRET}\n", "this is no YAML"),
        (f"page: {{token: *{SECRET}}}\n", "line 1: this is no YAML: found undefined alias."),
        ("page: {token: ${TOKEN}}\n", "expected ',' or '}', but got '{'"),
        (f"page: {{token: !{SECRET} x}}\n", "this is no YAML"),
        ("a: !!python/object/apply:os.system [echo]\n", "this is no YAML"),
        (f"token: '{SECRET}\n", "this is no YAML"),
        ("a: 1\n---\nb: 2\n", "this is no YAML"),
        (b"a: \xff\xfe\n", "is no UTF-8 text"),
        ("a: \x00\n", "control characters"),
        ("bundle: a\nbundle: b\n", "line 2: bundle is set twice, first in line 1"),
        (BASE + "windows:\n  stride: 1\n  stride: 2\n", "line 7: windows.stride is set twice, first in line 6"),
        ("bundle: b\ncameras: [{name: a, name: b}]\n", "cameras[0].name is set twice"),
        ("1: a\n", "line 1: a key is no text"),
        ("no: a\n", "a key is no text"),
        ("[a, b]: a\n", "a key is no text"),
        ("a: 2024-99-99\n", "a number or a date that is none"),
        ("a: &a [*a]\n", "an alias of itself"),
        ("a: " + "[" * 50 + "]" * 50 + "\n", "nested deeper than"),
        ("a: " + "[" * 100_000 + "\n", "nested deeper than"),
    ],
)  # fmt: skip
def test_what_is_no_configuration_is_refused(read: Read, text: str | bytes, says: str) -> None:
    assert says in refused(read, text)


def test_aliases_that_stand_for_billions_are_refused(read: Read) -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True):
        bomb += f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    assert "aliases written out" in refused(read, bomb)
    merged = "a: &a {x: 1}\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True):
        merged += f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 9)}]}}\n"
    assert "aliases written out" in refused(read, merged)


def test_a_file_that_is_too_large_or_absent_is_refused(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yamlfile, "MAX_BYTES", 1000)
    with pytest.raises(FileUnreadableError, match="larger"):
        read(BASE + "#" * 1000)
    with pytest.raises(FileUnreadableError, match="cannot read"):
        read_config(tmp_path / "none.yaml", environ={})
    with pytest.raises(FileUnreadableError, match="cannot read"):
        read_config(tmp_path, environ={})


def test_variables_that_are_missing_are_all_named(read: Read) -> None:
    said = refused(
        read,
        "bundle: ${NETS}/fall\ncameras:\n  - {name: a, source: 0}\n  - {name: b, source: 1}\n"
        "  - name: c\n    source: rtsp://u:${C_PASS}@h/\n",
        OTHER=SECRET,
    )
    assert "bundle (line 1) needs the environment variable NETS, which is not set" in said
    assert "cameras[2].source (line 6) needs the environment variable C_PASS" in said


@pytest.mark.parametrize("text", ["${}", "${", "${9}", "${a b}", "x${A:-", "${A-b}"])
def test_a_reference_without_a_name_is_refused(read: Read, text: str) -> None:
    said = refused(read, BASE + f"backend: '{text}'\n", A="x")
    assert "backend (line 5) has a ${ without a name" in said


# ---- secrets ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        f"page: {{token: {SECRET}, port: x}}\n",
        f"page: {{tokn: {SECRET}}}\n",
        f"page: {SECRET}\n",
        f"page: {{token: [{SECRET}]}}\n",
        f"page: {{token: {{{SECRET}: }}}}\n",
        f"sinks: [{{kind: mqtt, password: {SECRET}}}]\n",
        f"sinks: [{{kind: mqtt, host: h, username: u, password: {{a: {SECRET}}}}}]\n",
        f"sinks: [{{kind: webhook, url: [{SECRET}]}}]\n",
        f"sinks: [{{kind: webhook, url: 'http://h/', secret: [{SECRET}]}}]\n",
        f"sinks: {SECRET}\n",
        f"sinks: [{SECRET}]\n",
        f"backend: ['rtsp://u:{SECRET}@h/']\n",
        f"windows: {{stride: 'rtsp://u:{SECRET}@h/'}}\n",
        f"'rtsp://u:{SECRET}@h/': 1\n",
        "windows: {stride: '${S}'}\n",
        "windows: {mode: 'x${S}'}\n",
    ],
)
def test_secrets_are_in_no_message(read: Read, text: str) -> None:
    refused(read, BASE + text, S=SECRET)


def test_a_short_token_is_told_without_it(read: Read) -> None:
    said = refused(read, BASE + "page: {token: abc}\n")
    assert "page.token is a text, expected 8 or more characters" in said
    assert "abc" not in said


def test_secrets_are_not_printed(read: Read) -> None:
    settings = read(
        "bundle: b\n"
        f"cameras: [{{name: a, source: 'rtsp://u:{SECRET}@host:554/live?x=1'}}]\n"
        "sinks:\n"
        f"  - {{kind: mqtt, host: h, username: u, password: {SECRET}}}\n"
        f"  - {{kind: webhook, url: 'https://u:{SECRET}@h/?token={SECRET}', secret: {SECRET}}}\n"
        f"page: {{host: 0.0.0.0, token: {SECRET}}}\n"
    )
    rows = describe(settings)
    for text in (repr(settings), str(settings), repr(settings.cameras), str(rows)):
        assert SECRET not in text
    shown = dict(rows)["camera a"]
    assert shown.startswith("source rtsp://***@host:554/live?x=1, priority normal")
    assert "password ***" in dict(rows)["sink 1"]
    assert isinstance(settings.sinks[0], MqttSettings)
    assert settings.sinks[0].password == SECRET


def test_settings_made_in_python_do_not_tell_secrets_either() -> None:
    with pytest.raises(ValueError, match="8 characters") as error:
        PageSettings(token="abc")
    assert "abc" not in str(error.value)


# ---- options and descriptions ----------------------------------------------------------------


def test_options_make_settings() -> None:
    settings = from_options(
        "fall",
        ["a.mp4", "door=rtsp://h/x?a=b", "rtsp://h/y?c=d", "./a=b.mp4", "0"],
        camera={"realtime": True, "fps": None},
        windows={"stride": 2.0, "fps": None},
        backend=None,
        page=PageSettings(port=0),
        save="out",
    )
    named = [(camera.name, camera.source) for camera in settings.cameras]
    assert named == [
        ("cam1", "a.mp4"),
        ("door", "rtsp://h/x?a=b"),
        ("cam3", "rtsp://h/y?c=d"),
        ("cam4", "./a=b.mp4"),
        ("cam5", "0"),
    ]
    assert all(camera.realtime and camera.fps is None for camera in settings.cameras)
    assert [camera.save for camera in settings.cameras[:2]] == ["out/cam1.mp4", "out/door.mp4"]
    assert settings.windows.stride == 2.0
    assert settings.page == PageSettings(port=0)


@pytest.mark.parametrize(
    ("sources", "options", "says"),
    [
        ([], {}, "cameras is a list, expected 1 or more."),
        (["cam2=a", "b"], {}, "two cameras are called 'cam2'"),
        (["a"], {"windows": {"stride": -1}}, "windows.stride is -1, expected a number above 0."),
        (["a"], {"backnd": "x"}, "unknown key 'backnd'; did you mean 'backend'?"),
        ([f"rtsp://u:{SECRET}@h/"], {"stale": 0}, "stale is 0"),
    ],
)
def test_wrong_options_are_refused(sources: list[str], options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as error:
        from_options("fall", sources, **options)
    assert says in str(error.value)
    assert SECRET not in str(error.value)


def test_options_change_what_a_file_says(read: Read) -> None:
    settings = read(BASE + "windows: {stride: 2, max_gap: 1}\nsinks: [{kind: jsonl, path: '-'}]\n")
    other = changed(settings, windows={"stride": 3.0, "fps": None}, backend="onnxruntime")
    assert (other.windows.stride, other.windows.max_gap) == (3.0, 1.0)
    assert other.backend == "onnxruntime"
    assert (other.cameras, other.sinks) == (settings.cameras, settings.sinks)
    assert changed(settings) == settings
    assert changed(settings, bundle=None, page={}).page == PageSettings()
    with pytest.raises(UsageError, match=r"windows\.stride"):
        changed(settings, windows={"stride": 0})


def test_a_description_has_every_part() -> None:
    rows = dict(describe(from_options("fall", ["a.mp4"], decide={"ignore": ["stand", "sit"]})))
    assert rows["bundle"] == "fall"
    assert "stride 1, min_fill 0.5" in rows["windows"]
    assert "ignore stand sit" in rows["decide"]
    assert "enabled true" in rows["ladder"]
    assert "page" not in rows


# ---- anything --------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [*sorted(set(LiveSettings.model_fields) - {"bundle"}), "name", "source", "kind", "${", "<<"]
)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_whatever_a_file_holds_the_error_is_one_of_ours(value: dict[str, Any]) -> None:
    with contextlib.suppress(UsageError):
        from_options("b", ["x"], **value)


@given(value=st.dictionaries(KEYS, VALUES, max_size=5), tail=st.binary(max_size=20))
def test_whatever_bytes_a_file_holds_the_error_is_one_of_ours(
    value: dict[str, Any], tail: bytes
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "c.yaml")
        path.write_bytes(json.dumps(value).encode() + tail)
        with contextlib.suppress(StgcnError):
            read_config(path, environ={})
