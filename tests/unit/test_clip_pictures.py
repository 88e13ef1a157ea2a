"""Moving pictures of a clip: the page, the GIF, and SVG drawings as PNG."""

from __future__ import annotations

import base64
import io
import json
import re
from typing import Any

import numpy as np
import pytest

from stgcn_deploy.errors import ClipError, UsageError
from stgcn_deploy.skeleton import clip_gif as gif_module
from stgcn_deploy.skeleton import clip_page as page_module
from stgcn_deploy.skeleton.clip_gif import clip_gif
from stgcn_deploy.skeleton.clip_page import clip_page
from stgcn_deploy.skeleton.draw import clip_svg
from stgcn_deploy.skeleton.raster import svg_to_png
from stgcn_deploy.skeleton.scene import Scene, make_scene

Image = pytest.importorskip("PIL.Image")
JOINTS = ("nose", "neck", "left_hand", "right_hand")
EDGES = ((0, 1), (2, 1), (3, 1))


def clip(frames: int = 6, persons: int = 2, channels: int = 3) -> np.ndarray:
    made = np.random.default_rng(0).uniform(1, 5, (persons, frames, 4, channels))
    made[0, -1] = 0
    made[1:, :3] = 0
    return made.astype(np.float32)


def scene(values: np.ndarray | None = None, *, metric: bool = False) -> Scene:
    return make_scene(clip() if values is None else values, JOINTS, EDGES, metric=metric)


def page_data(html: str) -> dict[str, Any]:
    found = re.search(r'(?s)<script type="application/json" id="data">(.*?)</script>', html)
    assert found
    return dict(json.loads(found[1]))


def test_the_page_carries_every_joint_to_a_fraction_of_a_pixel() -> None:
    values = clip()
    values[0, 1, 2] = 0
    found = scene(values)
    html = clip_page(found, title="wave", fps=12.5)
    data = page_data(html)
    assert data["shape"] == [2, 6, 4, 2]
    assert data["fps"] == 12.5
    numbers = np.frombuffer(base64.b64decode(data["points"]), "<i2").reshape(data["shape"])
    missing = (numbers == -32768).all(axis=-1)
    np.testing.assert_array_equal(missing, ~found.present)
    # Back to the clip's units: the picture's scale is alike in x and y, its middle the box's.
    middle = (found.low + found.high) / 2
    size = max(found.high - found.low)
    back = numbers / 30000 * size * 0.75 + middle
    np.testing.assert_allclose(back[found.present], values[..., :2][found.present], atol=1e-3)
    placed = numbers[found.present] * data["scale"]
    assert (np.abs(placed[:, 0]) <= data["width"] / 2).all()
    assert (np.abs(placed[:, 1]) <= data["height"] / 2).all()


def test_metric_data_stand_upright_and_can_be_turned() -> None:
    values = np.zeros((1, 1, 4, 3), np.float32)
    values[0, 0] = [[0, 2, 1], [0, 1, 1], [1, 0.5, 2], [-1, 0.5, 1]]
    found = scene(values, metric=True)
    assert found.points[0, 0, 0, 1] == -2
    html = clip_page(found, title="x", fps=30)
    assert page_data(html)["shape"][-1] == 3
    assert 'id="turn"' in html
    assert 'id="turn"' not in clip_page(scene(), title="x", fps=30)


def test_texts_cannot_leave_their_place_and_the_page_fetches_nothing() -> None:
    html = clip_page(
        scene(),
        title="</title><script>alert(1)</script>@DATA@",
        facts=[("file", "<b>\x00")],
        note="a & b",
    )
    assert "<script>alert" not in html
    assert "<b>" not in html
    assert html.count("</script>") == 2
    assert "played at 25 fps" in html
    assert "http" not in re.sub(r'"http://www.w3.org/2000/svg"', "", html)
    assert not re.search(r"@[A-Z]+@", html.replace("&#64;", ""))


def test_a_page_without_anybody_can_be_made() -> None:
    html = clip_page(scene(np.zeros((1, 3, 4, 3), np.float32)), title="empty", fps=25)
    assert page_data(html)["shape"] == [0, 3, 4, 2]


def test_what_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "MOST_NUMBERS", 10)
    monkeypatch.setattr(gif_module, "MOST_FRAMES", 3)
    with pytest.raises(UsageError, match="a page holds 10"):
        clip_page(scene(), title="x")
    with pytest.raises(UsageError, match="6 frames are too many"):
        clip_gif(scene())
    with pytest.raises(UsageError, match="height is 10"):
        clip_gif(scene(), height=10)


def test_a_gif_has_the_frames_that_show_somebody_in_real_time() -> None:
    values = clip(frames=8, persons=1)
    values[:, :2] = 0
    picture = Image.open(io.BytesIO(clip_gif(scene(values), title="a" * 500, fps=20, height=120)))
    assert (picture.n_frames, picture.height) == (5, 120)
    assert picture.info["duration"] == 50
    seen = set()
    for frame in range(picture.n_frames):
        picture.seek(frame)
        seen.add(picture.convert("RGB").tobytes())
    assert len(seen) == 5
    assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 4


def test_a_fast_recording_leaves_frames_out() -> None:
    values = clip(frames=9, persons=1)[:, :8]
    picture = Image.open(io.BytesIO(clip_gif(scene(values), fps=200, height=100)))
    assert (picture.n_frames, picture.info["duration"]) == (2, 20)


def test_a_drawing_as_png_has_its_colours_where_the_svg_has_them() -> None:
    svg = clip_svg(clip(persons=1), JOINTS, EDGES, frames=2, height=120, title="Ünï <x>")
    picture = Image.open(io.BytesIO(svg_to_png(svg, scale=2)))
    size = re.search(r'width="(\d+)" height="(\d+)"', svg)
    assert size
    assert picture.size == (2 * int(size[1]), 2 * int(size[2]))
    pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
    for wanted in ("#2367df", "#8ab8fb", "#ffffff"):
        colour = [int(wanted[at : at + 2], 16) for at in (1, 3, 5)]
        assert (np.abs(pixels - colour).sum(axis=1) < 6).any(), wanted


def test_strays_do_not_set_the_scale() -> None:
    values = clip(frames=400, persons=1)
    values[0, 7, 2] = [10_000, 10_000, 1]
    found = scene(values)
    assert (found.high < 10).all()
    assert page_data(clip_page(found, title="x", fps=1))["shape"] == [1, 400, 4, 2]


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ClipError, match="expected"):
        scene(np.ones((1, 2, 5, 3)))
    with pytest.raises(UsageError, match="outside"):
        make_scene(clip(), JOINTS, ((0, 9),))
