"""Verbs on recordings: what a file holds, another format or layout of it, a picture of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stgcn_deploy.api.common import layout_of
from stgcn_deploy.errors import FileUnreadableError, UsageError

if TYPE_CHECKING:
    from stgcn_deploy.data.dataset import Dataset, ReadOptions
    from stgcn_deploy.data.recording import Recording
    from stgcn_deploy.skeleton.layout import Layout

__all__ = ["data_convert", "data_info", "data_plot", "data_synth"]

Count = Callable[[int, int], None]
# A number, or a range that one is drawn from for each clip.
Amount = float | tuple[float, float]
CLIPS = 100
KINDS = (".svg", ".png", ".gif", ".html")
MAX_NAMES = 1 << 20


def _uncounted(_done: int, _total: int) -> None:
    """No progress."""


def data_info(
    path: str | Path,
    *,
    split: str | None = None,
    limit: int | None = None,
    classes: str | Path | None = None,
    data_format: str | None = None,
    read: ReadOptions | None = None,
    count: Count = _uncounted,
) -> dict[str, Any]:
    """Read recordings and say what they are, and which of them cannot be used.

    Args:
        split: only its records.
        limit: only the first so many of them.
        classes: a file of class names, one a line, where the recordings have none.
        data_format: name of the format, where it is not recognised.
        read: what the file does not say itself; its layout may be a .toml or .json file.
        count: told (records done, in all).

    Returns:
        Plain values; "ok" is whether all records can be used, "problems" names those that cannot.

    Raises:
        StgcnError: the file as a whole cannot be read.
    """
    from stgcn_deploy.data.describe import describe

    data, layout = _open(path, data_format, read)
    if classes is not None and not data.classes:
        data.classes = _names(Path(classes))
    return describe(data, layout=layout, split=split, limit=limit, count=count)


def data_convert(
    path: str | Path,
    output: str | Path,
    *,
    to: str | None = None,
    to_layout: str | None = None,
    near: bool = False,
    absent: bool = False,
    frames: int | None = None,
    fit: Literal["pad", "resample", "loop"] = "pad",
    persons: int | None = None,
    prepared: bool = False,
    split: str | None = None,
    limit: int | None = None,
    record: int | None = None,
    classes: str | Path | None = None,
    data_format: str | None = None,
    read: ReadOptions | None = None,
    force: bool = False,
    count: Count = _uncounted,
) -> dict[str, Any]:
    """Write recordings in another format, and say what that format cannot hold.

    Args:
        to: pyskl, kinetics-npy, keypoints-jsonl, clip; by default as the name of `output` ends.
        to_layout: turn the joints into this layout.
        near: take stand-ins for joints that it has and the recordings have not (the nose for the
            head).
        absent: leave such joints absent, all zero.
        frames: T of all of them.
        fit: how: empty frames at the end or cut there, linearly, or from the start again.
        persons: M of all of them; of more, those that are seen most stay.
        prepared: the numbers are what a network sees, and go through no more steps.
        split, limit, record: which recordings.
        classes: a file of class names, one a line, where the recordings have none.
        data_format, read, count: as for data_info.
        force: replace what exists.

    Returns:
        What was written, "changed" and "lost".

    Raises:
        StgcnError: a recording cannot be read, or does not go into the format; nothing is written.
    """
    from stgcn_deploy.data.convert import Changes, convert

    changes = Changes(
        to_layout=layout_of(to_layout),
        near=near,
        absent=absent,
        frames=frames,
        fit=fit,
        persons=persons,
        prepared=prepared,
    )
    data, changes.layout = _open(path, data_format, read)
    return convert(
        data,
        Path(output),
        changes,
        to=to,
        split=split,
        limit=limit,
        record=record,
        classes=_names(Path(classes)) if classes is not None else (),
        force=force,
        count=count,
    )


def data_plot(
    path: str | Path,
    output: str | Path,
    *,
    record: int | None = None,
    frames: int = 6,
    height: int | None = None,
    classes: str | Path | None = None,
    data_format: str | None = None,
    read: ReadOptions | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Draw one recording: a film strip (.svg, .png), an animation (.gif), or a page that plays (.html).

    Args:
        record: which one of many.
        frames: poses of a film strip.
        height: in pixels, of a film strip or a GIF.
        classes: a file of class names, one a line, where the recordings have none.
        data_format, read: as for data_info.
        force: replace what exists.

    Returns:
        What was drawn: record, layout, plane, file.

    Raises:
        StgcnError: no such record, joints of no known layout, or a place that cannot be written.
    """
    target = Path(output)
    kind = target.suffix.lower()
    if kind not in KINDS:
        raise UsageError(f"{target}: a drawing of a recording is one of {', '.join(KINDS)}.")
    from stgcn_deploy.files import fresh_file

    data, given = _open(path, data_format, read)
    if classes is not None and not data.classes:
        data.classes = _names(Path(classes))
    if record is None and len(data) != 1:
        raise UsageError(
            f"{path} holds {len(data)} recordings; choose one: --record 0 to {len(data) - 1}."
        )
    index = record or 0
    one = data[index]
    layout = _drawable(data.where(index), one, given)
    # The place is tried first: drawing a long recording takes a while.
    with fresh_file(target, force=force) as partial:
        partial.write_bytes(_drawn(kind, data, index, one, layout, frames, height))
    metric = layout.dimensions == 3
    return {
        "file": str(target),
        "record": index,
        "name": one.name,
        "layout": layout.name,
        "shape": list(one.clip.shape),
        "plane": "x to the right, y up" if metric else "x to the right, y down",
    }


def data_synth(
    output: str | Path,
    *,
    layout: str = "mediapipe33",
    clips: int | None = None,
    frames: int = 150,
    persons: int = 1,
    fps: float = 25.0,
    seed: int = 0,
    actions: Sequence[str] | None = None,
    channels: Literal["xyv", "xyz"] | None = None,
    noise: Amount = 0.004,
    missing: Amount = 0.03,
    occlusion: Amount = 0.0,
    sequence: float | Sequence[tuple[str, float]] | None = None,
    unique: int | None = None,
    test_share: float | None = None,
    force: bool = False,
    count: Count = _uncounted,
) -> dict[str, Any]:
    """Write labelled synthetic motion, for calibration, load tests and demonstrations.

    Args:
        output: FILE.pkl (PYSKL, raw), FILE.npy (prepared, with its labels) or FILE.jsonl (our stream).
        layout: joints; every layout is known.
        clips: how many; without, 100 clips or 1 sequence.
        frames, persons: T and M; all persons of a clip do the same.
        seed: another one gives other clips.
        actions: classes, in the order of labels; by default all that the layout has.
        channels: image points and visibility, or metres; by default as the layout is used.
        noise: standard deviation in image widths; a pair is a range to draw from for each clip.
        missing: share of joints lost; occlusion: share of the people that something stands before.
        sequence: instead of clips one continuous recording, of so many seconds at random or of
            (action, seconds) in turn; only as FILE.jsonl.
        unique: only so many performances, again and again with fresh noise, for tests of load.
        test_share: share of the clips in a split "test"; only as FILE.pkl.
        force: replace what exists.
        count: told (clips done, in all).

    Returns:
        What was written, with the settings.

    Raises:
        UsageError: a name or number that makes no sense, or a format that cannot hold it.
        OutputExistsError: the file is there, and `force` is not given.
    """
    from stgcn_deploy.data.synthetic.clips import ClipSettings
    from stgcn_deploy.data.synthetic.files import write_clips, write_sequences
    from stgcn_deploy.skeleton.layouts import LAYOUTS

    settings = ClipSettings(
        layout=layout,
        frames=frames,
        fps=fps,
        persons=persons,
        channels=channels or {2: "xyv", 3: "xyz"}[LAYOUTS[layout].dimensions],
        noise=noise,
        missing=missing,
        occlusion=occlusion,
    )
    common: dict[str, Any] = {
        "seed": seed,
        "settings": settings,
        "actions": actions,
        "force": force,
        "progress": count,
    }
    if sequence is None:
        number = CLIPS if clips is None else clips
        return write_clips(Path(output), number, unique=unique, test_share=test_share, **common)
    if unique is not None or test_share is not None:
        raise UsageError("--unique and --test-share are for clips, and --sequence makes none.")
    number = 1 if clips is None else clips
    return write_sequences(Path(output), sequence, number, **common)


def _open(
    path: str | Path, data_format: str | None, read: ReadOptions | None
) -> tuple[Dataset, Layout | None]:
    """The recordings, and the layout that was given."""
    from stgcn_deploy.data.dataset import ReadOptions
    from stgcn_deploy.data.formats import open_dataset

    options = read or ReadOptions()
    layout = layout_of(options.layout)
    if layout is not None:
        options = replace(options, layout=layout.name)
    return open_dataset(path, options, format=data_format), layout


def _names(path: Path) -> tuple[str, ...]:
    """Class names, one a line."""
    try:
        if path.stat().st_size > MAX_NAMES:
            raise FileUnreadableError(f"{path} is too large for a list of names.")
        found = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeError) as error:
        raise FileUnreadableError(f"cannot read the class names in {path}: {error}.") from None
    if not found or not all(found):
        raise FileUnreadableError(f"{path}: expected one class name a line, and no empty line.")
    return found


def _drawable(where: str, one: Recording, given: Layout | None) -> Layout:
    """The layout to draw with."""
    from stgcn_deploy.skeleton.layouts import LAYOUTS

    joints = one.clip.shape[2]
    layout = given
    if one.layout is not None and (given is None or given.name != one.layout):
        layout = LAYOUTS[one.layout]
    if layout is None:
        fitting = [name for name in LAYOUTS if LAYOUTS[name].num_joints == joints]
        advice = f"; {joints} joints have {', '.join(fitting)}" if fitting else ""
        raise UsageError(
            f"{where}: which joints these are is not known; say it with --layout{advice}."
        )
    if layout.num_joints != joints:
        raise UsageError(
            f"{where}: {joints} joints, and layout {layout.name} has {layout.num_joints}; name the "
            "one it is of with --layout."
        )
    return layout


def _drawn(
    kind: str,
    data: Dataset,
    index: int,
    one: Recording,
    layout: Layout,
    frames: int,
    height: int | None,
) -> bytes:
    """The picture as a file's bytes."""
    from stgcn_deploy.skeleton.clip_gif import clip_gif
    from stgcn_deploy.skeleton.clip_page import clip_page
    from stgcn_deploy.skeleton.draw import clip_svg
    from stgcn_deploy.skeleton.raster import svg_to_png
    from stgcn_deploy.skeleton.scene import make_scene

    metric = layout.dimensions == 3
    action = data.classes[one.label] if 0 <= one.label < len(data.classes) else ""
    title = f"{one.name}: {action}" if action else one.name
    if kind in (".svg", ".png"):
        svg = clip_svg(
            one.clip,
            layout.joints,
            layout.edges,
            frames=frames,
            height=height or 220,
            title=title,
            y_up=metric,
        )
        return svg.encode() if kind == ".svg" else svg_to_png(svg)
    scene = make_scene(one.clip, layout.joints, layout.edges, metric=metric)
    if kind == ".gif":
        return clip_gif(scene, title=title, fps=one.fps, height=height or 320)
    return clip_page(
        scene,
        title=title,
        fps=one.fps,
        facts=_facts(data, index, one, layout, action),
        note="x to the right, y up; depth (z) is seen when turned." if metric else "",
    ).encode()


def _facts(
    data: Dataset, index: int, one: Recording, layout: Layout, action: str
) -> list[tuple[str, str]]:
    """What stands under the title of a page."""
    persons, frames, _, channels = one.clip.shape
    found = [
        ("file", f"{data.path.name}, record {index} of {len(data)}"),
        ("layout", layout.name),
        ("frames", str(frames)),
        ("persons", str(persons)),
        ("channels", str(channels)),
    ]
    if one.label >= 0:
        found.append(("label", f"{one.label} {action}".strip()))
    if one.fps:
        found.append(("fps", f"{one.fps:g}"))
    if one.image_size:
        found.append(("image", f"{one.image_size[0]} x {one.image_size[1]}"))
    return found
