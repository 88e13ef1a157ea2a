"""stgcn data synth."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from stgcn_deploy.cli.console import counter, print_json, print_table, say
from stgcn_deploy.cli.options import AsJson, Force

__all__ = ["data_synth"]

# A range; the minus of 1e-3 is none.
AMOUNT = re.compile(r"([\d.]+(?:e-?\d+)?)-([\d.]+(?:e-?\d+)?)")


def data_synth(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="FILE.pkl (raw), .npy (prepared) or .jsonl.")
    ],
    layout: Annotated[str, typer.Option(help="Joints; see `stgcn layouts`.")] = "mediapipe33",
    clips: Annotated[
        int | None, typer.Option(help="How many; 100 clips or 1 sequence without.")
    ] = None,
    frames: Annotated[int, typer.Option(help="T, frames of one clip.")] = 150,
    persons: Annotated[int, typer.Option(help="M, all doing the same.")] = 1,
    fps: Annotated[float, typer.Option(help="Frames per second.")] = 25.0,
    seed: Annotated[int, typer.Option(help="Another one, other clips.")] = 0,
    actions: Annotated[
        str | None, typer.Option(help="Classes, in the order of labels: walk,fall.")
    ] = None,
    channels: Annotated[
        Literal["xyv", "xyz"] | None,
        typer.Option(help="Image points and visibility, or metres; as the layout is used without."),
    ] = None,
    noise: Annotated[
        str, typer.Option(help="Standard deviation in image widths, or a range 0.002-0.01.")
    ] = "0.004",
    missing: Annotated[str, typer.Option(help="Share of joints lost, or a range.")] = "0.03",
    occlusion: Annotated[
        str, typer.Option(help="Share of the people that something stands before, or a range.")
    ] = "0",
    sequence: Annotated[
        str | None,
        typer.Option(help="One continuous recording: 120s at random, or walk:10,fall:4 seconds."),
    ] = None,
    unique: Annotated[
        int | None,
        typer.Option(help="Only so many performances, again and again with fresh noise."),
    ] = None,
    test_share: Annotated[
        float | None, typer.Option(help="Share of the clips in a split `test`; .pkl only.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Make labelled synthetic motion, for calibration, load tests and demonstrations."""
    from stgcn_deploy import api

    with counter("sequences" if sequence is not None else "clips") as count:
        made = api.data_synth(
            output,
            layout=layout,
            clips=clips,
            frames=frames,
            persons=persons,
            fps=fps,
            seed=seed,
            actions=[name.strip() for name in actions.split(",")] if actions is not None else None,
            channels=channels,
            noise=_amount(noise, "--noise"),
            missing=_amount(missing, "--missing"),
            occlusion=_amount(occlusion, "--occlusion"),
            sequence=_script(sequence) if sequence is not None else None,
            unique=unique,
            test_share=test_share,
            force=force,
            count=count,
        )
    if as_json:
        print_json(made)
    else:
        _print(made)


def _amount(text: str, option: str) -> float | tuple[float, float]:
    """The number of "0.1", or the range of "0.1-0.3".

    Raises:
        UsageError: neither.
    """
    from stgcn_deploy.errors import UsageError

    found = AMOUNT.fullmatch(text.strip())
    try:
        if found is None:
            return float(text)
        return float(found[1]), float(found[2])
    except ValueError:
        raise UsageError(
            f"{option} takes a number like 0.01 or a range like 0.002-0.01; got {text!r}."
        ) from None


def _script(text: str) -> float | list[tuple[str, float]]:
    """The seconds of "120s", or the steps of "walk:10,fall:4".

    Raises:
        UsageError: neither.
    """
    from stgcn_deploy.errors import UsageError

    try:
        if ":" not in text:
            return float(text.strip().removesuffix("s"))
        steps = [step.rpartition(":") for step in text.split(",")]
        return [
            (name.strip(), float(length.strip().removesuffix("s"))) for name, _, length in steps
        ]
    except ValueError:
        raise UsageError(
            f"--sequence takes seconds like 120s, or actions with theirs like walk:10,fall:4; got "
            f"{text!r}."
        ) from None


def _print(made: dict[str, Any]) -> None:
    settings, written = made["settings"], made["written"]
    classes = ", ".join(made["classes"])
    if "sequences" in made:
        for one in made["sequences"]:
            rows = [
                (
                    segment["action"],
                    *(f"{segment[key]:.2f}" for key in ("start", "settled", "onset", "offset")),
                )
                for segment in one["segments"]
            ]
            print_table(("action", "from s", "labelled s", "begins s", "done s"), rows, one["name"])
        what = f"{written['records']:,} sequence(s), {written['frames']:,} frames"
    else:
        shape = f"{settings['persons']} person(s), {settings['frames']} frames"
        what = f"{made['clips']:,} clips, {shape} each"
    say(f"{what}, {settings['layout']} {settings['channels']}, seed {made['seed']}: {made['file']}")
    if made.get("unique"):
        say(f"only {made['unique']:,} of them are distinct performances; for load tests")
    for split, count in made.get("splits", {}).items():
        say(f"split {split}: {count:,}")
    say(f"labels 0 to {len(made['classes']) - 1}: {classes}")
    for name, size in written["files"].items():
        say(f"  {name}: {size / 2**20:.1f} MiB")
