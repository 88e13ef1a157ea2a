"""stgcn export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from stgcn_deploy.cli.console import print_json, progress, say
from stgcn_deploy.cli.options import AsJson, Config, Force, Frames, LayoutName, Persons, int_list
from stgcn_deploy.cli.verify import print_report

__all__ = ["export"]


def export(
    checkpoint: Annotated[
        Path | None, typer.Argument(help="Checkpoint file, or a folder of them.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Directory of the bundle.")] = Path(
        "bundle"
    ),
    stream: Annotated[
        list[str] | None,
        typer.Option(
            help="What CHECKPOINT was trained on (bone, ...); or, repeated without one, an ensemble: "
            "joint=J.pt, bone=B.pt:1.0."
        ),
    ] = None,
    fusion: Annotated[
        Literal["logits", "probabilities"] | None,
        typer.Option(help="Where an ensemble adds scores; by default as its codebase."),
    ] = None,
    preset: Annotated[
        str, typer.Option(help="realtime (50..200 frames), batch (of 8), development, custom.")
    ] = "custom",
    persons: Persons = None,
    frames: Frames = None,
    batch: Annotated[int | None, typer.Option(help="N, clips in one call.")] = None,
    dynamic: Annotated[
        str | None, typer.Option(help="Axes left open: batch,frames,persons.")
    ] = None,
    graph_form: Annotated[
        str, typer.Option(help="auto (measured here), aggregate, einsum, matmul, reference.")
    ] = "auto",
    opset: Annotated[int, typer.Option(help="11 to 20; Einsum needs 12.")] = 18,
    logits: Annotated[bool, typer.Option("--logits", help="Raw scores, no softmax.")] = False,
    external_data: Annotated[
        bool, typer.Option("--external-data", help="Weights in a file beside the graph.")
    ] = False,
    skip_absent: Annotated[
        bool, typer.Option(help="Run only person slots that hold somebody; same output.")
    ] = False,
    labels: Annotated[Path | None, typer.Option(help="Class names, one a line.")] = None,
    layout: LayoutName = None,
    fps: Annotated[float | None, typer.Option(help="Frames per second in training.")] = None,
    contract: Annotated[
        Path | None,
        typer.Option(
            help="Steps from a recording to a clip, if not the codebase's: .json, or a bundle's."
        ),
    ] = None,
    config: Config = None,
    motion: Annotated[
        Literal["first_difference", "second_difference"] | None,
        typer.Option(help="Motion stream of a two-stream network."),
    ] = None,
    strides: Annotated[
        str | None, typer.Option(help="Stride of each block: 1,1,1,1,2,1,1,2,1,1.")
    ] = None,
    adjacency: Annotated[
        Literal["importance", "offset"] | None, typer.Option(help="What a PYSKL PA does to A.")
    ] = None,
    verify: Annotated[bool, typer.Option(help="Compare with the reference form.")] = True,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Turn a checkpoint into a verified bundle."""
    from stgcn_deploy import api

    with progress() as report:
        made = api.export(
            checkpoint,
            output,
            stream=stream or (),
            fusion=fusion,
            preset=preset,
            persons=persons,
            frames=frames,
            batch=batch,
            dynamic=dynamic,
            graph_form=graph_form,
            opset=opset,
            logits=logits,
            external_data=external_data,
            skip_absent=skip_absent,
            labels=labels,
            layout=layout,
            fps=fps,
            contract=contract,
            config=config,
            motion=motion,
            strides=int_list(strides, "--strides"),
            adjacency=adjacency,
            verify=verify,
            force=force,
            progress=report,
        )
    manifest = made.bundle.manifest
    if as_json:
        verdict = made.report.as_dict() if made.report else None
        print_json({"manifest": manifest.model_dump(mode="json"), "verify": verdict})
        return
    if made.form_ms:
        times = ", ".join(f"{form} {ms:.1f} ms" for form, ms in made.form_ms.items())
        say(f"graph form: {manifest.graph_form} (measured here: {times})")
    if made.report:
        print_report(made.report)
    else:
        say("NOT verified (--no-verify); check it with: stgcn verify " + str(output))
    size = sum(record.bytes for record in manifest.files.values()) / 1e6
    shapes = "; ".join(
        f"{name} ({', '.join(map(str, shape))})" for name, shape in manifest.input_shapes.items()
    )
    say(f"{output}: {manifest.family} {manifest.precision.actual}, {shapes} = {manifest.axes}, "
        f"opset {manifest.opset}, {size:.1f} MB")  # fmt: skip
    say(f"next: stgcn bench {output}   or   stgcn predict {output} clip.npy")
