"""stgcn eval."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stgcn_deploy.cli.console import counter, note, print_json, print_table, say
from stgcn_deploy.cli.options import (
    AsJson,
    Axes,
    Config,
    DataFormat,
    DataLabels,
    Force,
    Fps,
    Frames,
    ImageSize,
    LayoutName,
    Persons,
    int_list,
    read_options,
)

if TYPE_CHECKING:
    from stgcn_deploy.measure.evaluation import Evaluation, Row

__all__ = ["evaluate"]

# Classes of a table on a terminal; of more, the worst are shown.
SHOWN = 20


def evaluate(
    targets: Annotated[list[Path], typer.Argument(help="Bundles and checkpoints, first the norm.")],
    data: Annotated[Path, typer.Option(help="Labelled recordings; see `stgcn data info`.")],
    split: Annotated[str | None, typer.Option(help="Split of the data: test1, xsub_val.")] = None,
    backend: Annotated[
        list[str] | None, typer.Option(help="Runtime of bundles; repeat for several.")
    ] = None,
    topk: Annotated[str, typer.Option(help="Places that count: 1,5.")] = "1,5",
    clips: Annotated[
        int | None, typer.Option(help="Clips of a recording to average; as its codebase tests.")
    ] = None,
    fit: Annotated[
        Literal["exact", "pad", "resample"],
        typer.Option(help="For another number of frames: refuse, pad with zeros, resample."),
    ] = "exact",
    raw: Annotated[
        bool, typer.Option("--raw", help="Take the numbers as a pose estimator's.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(help="Only so many records, spread over the split.")
    ] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="Points of top-1 that later ones may lose; else exit 1.")
    ] = None,
    min_top1: Annotated[
        float | None, typer.Option(help="Share, 0 to 1, that each must reach; else exit 1.")
    ] = None,
    confusion: Annotated[
        Path | None, typer.Option(help="Write who is taken for whom: .csv or .png.")
    ] = None,
    save_scores: Annotated[
        Path | None, typer.Option(help="Write scores, labels and names: .npz.")
    ] = None,
    per_class: Annotated[
        bool, typer.Option("--per-class", help="Every class, not only the worst.")
    ] = False,
    data_format: DataFormat = None,
    data_labels: DataLabels = None,
    axes: Axes = None,
    image_size: ImageSize = None,
    fps: Fps = None,
    layout: LayoutName = None,
    contract: Annotated[
        Path | None, typer.Option(help="Steps of checkpoints, as for export.")
    ] = None,
    config: Config = None,
    persons: Persons = None,
    frames: Frames = None,
    resume: Annotated[bool, typer.Option(help="Go on where a stopped run of the same was.")] = True,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Measure the accuracy of bundles and checkpoints, side by side."""
    from stgcn_deploy import api
    from stgcn_deploy.measure.evaluation_files import check_outputs, write_outputs

    places = int_list(topk, "--topk") or (1,)
    outputs = [file for file in (confusion, save_scores) if file is not None]
    check_outputs(outputs, force=force)
    with counter("evaluating") as count:
        found = api.evaluate(
            targets,
            data,
            split=split,
            backend=backend or ("onnxruntime",),
            topk=places,
            clips=clips,
            fit=fit,
            raw=raw,
            limit=limit,
            max_drop=max_drop,
            min_top1=min_top1,
            data_format=data_format,
            read=read_options(data_labels, None, axes, image_size, fps),
            layout=layout,
            contract=contract,
            config=config,
            persons=persons,
            frames=frames,
            resume=resume,
            count=count,
            note=note,
        )
    written = write_outputs(found, outputs, force=force)
    if as_json:
        print_json(found.as_dict())
    else:
        _show(found, per_class)
        for file in written:
            say(f"written: {file}")
    for failure in found.failures:
        note(f"FAILED: {failure}")
    raise typer.Exit(0 if found.ok else 1)


def _show(found: Evaluation, per_class: bool) -> None:
    data = found.data
    split = f", split {data['split']}" if data["split"] else ""
    print_table(
        ("", "form", *(f"top-{k}" for k in found.topk), "95 % interval", "mean class",
         "points lost", "same answer"),
        [_row(found, row) for row in found.rows],
        f"{data['file']}{split}: {data['records']:,} of {data['of']:,} records",
    )  # fmt: skip
    _show_classes(found, per_class)
    mistakes = found.mistakes(found.rows[-1])
    if mistakes:
        texts = ", ".join(f"{truth} taken for {said} {n}x" for truth, said, n in mistakes)
        say(f"most frequent mistakes of {found.rows[-1].name}: {texts}")
    for text in found.notes:
        say(f"note: {text}")
    if found.max_drop is not None and found.ok:
        say(f"no one loses more than {found.max_drop:g} points of top-1")


def _row(found: Evaluation, row: Row) -> list[str]:
    low, high = row.accuracy.interval
    drop = row.drop
    return [
        row.name,
        row.form,
        *(f"{row.accuracy.top(k):.2%}" for k in found.topk),
        f"{low:.1%} to {high:.1%}",
        f"{row.accuracy.mean_class:.2%}",
        f"{drop.points:.2f} ± {drop.margin:.2f}" if drop else "-",
        f"{drop.agreement:.2%}" if drop else "-",
    ]


def _show_classes(found: Evaluation, every: bool) -> None:
    first = found.rows[0]
    totals = first.accuracy.confusion.sum(axis=1)
    present = [index for index in range(len(totals)) if totals[index]]
    shown = present
    if not every and len(present) > SHOWN:
        shown = sorted(present, key=lambda index: first.accuracy.per_class[index])[:SHOWN]
    rows: list[list[Any]] = [
        [
            first.classes[index],
            str(totals[index]),
            *(f"{row.accuracy.per_class[index]:.1%}" for row in found.rows),
        ]
        for index in shown
    ]
    left_out = len(present) - len(shown)
    title = "recall of each class" + (
        f" (the {len(shown)} worst; {left_out} more with --per-class)" if left_out else ""
    )
    print_table(("class", "records", *(row.name for row in found.rows)), rows, title)
