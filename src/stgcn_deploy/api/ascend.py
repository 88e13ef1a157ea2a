"""ascend_run and ascend_pack: a bundle's OM file on an Ascend host, from samples to scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stgcn_deploy.api.bins import plan_bins
from stgcn_deploy.api.common import Progress, quiet
from stgcn_deploy.errors import DataError, UsageError

if TYPE_CHECKING:
    from stgcn_deploy.ascend.om import OmFile
    from stgcn_deploy.ascend.report import AscendRun
    from stgcn_deploy.ascend.run import Stage
    from stgcn_deploy.ascend.summary import Timing
    from stgcn_deploy.bundle import Bundle
    from stgcn_deploy.data.bins import BinPlan
    from stgcn_deploy.data.dataset import ReadOptions

__all__ = ["ascend_pack", "ascend_run"]


def ascend_run(
    bundle: str | Path,
    data: str | Path,
    work: str | Path,
    *,
    tool: Literal["ais_bench", "msame"] = "ais_bench",
    batch: int | None = None,
    om: str | None = None,
    device: int = 0,
    loop: int | None = None,
    split: str | None = None,
    limit: int | None = None,
    fit: Literal["exact", "pad", "resample"] = "exact",
    data_format: str | None = None,
    read: ReadOptions | None = None,
    dry_run: bool = False,
    force: bool = False,
    count: Callable[[int, int], None] | None = None,
    progress: Progress = quiet,
) -> AscendRun:
    """Run an OM file of a bundle on labelled recordings by Ascend's own tool, and score the results.

    Writes each record as a raw file, starts the tool, checks that every result is there, whole and of
    its record, and reads the times that it measured.  What an earlier call did is not done again.

    Args:
        data: labelled recordings, prepared by the bundle's steps; see data_bins_write.
        work: folder for samples and results.
        tool: ais_bench, or the older msame (batch size 1 only).
        batch: of the OM; without it the smallest there is.
        om: name of the OM file, where several have that batch size.
        device: number of the NPU.
        loop: besides, time so many calls on zeros, without reading files.
        split: of the data; limit: only the first so many records.
        fit: for another number of frames than the bundle's.
        data_format, read: what the data is and what it does not say itself.
        dry_run: only say how, as a shell script; needs neither tool nor data.
        force: write samples and run again over what is there.
        count: called with the samples written and in all.

    Raises:
        BundleError: no OM file was built; MissingDependencyError: the tool is not here.
        BackendError: the tool failed, or ended well without results.
        StgcnError: a sample or result is missing, cut short, there twice or of no record; it is named.
    """
    from stgcn_deploy.ascend.om import choose_om
    from stgcn_deploy.ascend.report import AscendRun
    from stgcn_deploy.ascend.run import Stage, perform
    from stgcn_deploy.ascend.tools import RESULTS, Job, tool_of
    from stgcn_deploy.bundle import Bundle
    from stgcn_deploy.data.bins import read_bin_labels, write_bins
    from stgcn_deploy.measure.scoring import score_results

    opened = Bundle(Path(bundle).resolve())
    chosen, runner, place = choose_om(opened, batch, om), tool_of(tool), Path(work).resolve()
    folder = place / f"{chosen.name}_{tool}"
    names = _input_folders(opened)
    job = Job(chosen.path, tuple(place / "bins" / name for name in names), chosen.batch, device)
    runner.check(job)
    if loop is not None:
        runner.check(Job(chosen.path, (), chosen.batch, device, loop))
    if read is not None and read.labels is not None:
        # The samples' record knows its label file by this name, from whichever folder it is run.
        read = replace(read, labels=read.labels.resolve())
    if dry_run:
        options = _options(split, limit, fit, data_format, read)
        labels = read.labels if read else None
        text = _script(
            opened, Path(data), labels, place, chosen, tool, names, device, loop, options
        )
        return AscendRun(chosen, tool, folder, text)
    plan, sample = plan_bins(
        data, bundle=bundle, split=split, limit=limit, fit=fit, data_format=data_format, read=read
    )
    _check_samples(opened, chosen, plan)
    bins = place / "bins"
    write_bins(bins, plan, sample, force=force, count=count)
    classes = opened.manifest.num_classes
    stage = Stage(folder, chosen, runner, job, bins)
    ran = perform(
        stage, partial(_checked, stage, plan.count, classes), force=force, progress=progress
    )
    timing, notes = _checked(stage, plan.count, classes, folder)
    accuracy = score_results(
        folder / RESULTS, read_bin_labels(bins), where=str(bins), classes=classes
    )
    pure = None
    if loop is not None:
        pure = _pure(stage, loop, force, progress)
    return AscendRun(
        chosen, tool, folder, None, plan.count, ran, accuracy, timing, pure, tuple(notes)
    )


def _input_folders(bundle: Bundle) -> tuple[str, ...]:
    """As plan_bins calls them, in the order of the graph's inputs."""
    from stgcn_deploy.data.bins import DATA

    names = [spec.name for spec in bundle.manifest.input_specs]
    return (DATA,) if len(names) == 1 else tuple(f"{DATA}_{name}" for name in names)


def _check_samples(bundle: Bundle, om: OmFile, plan: BinPlan) -> None:
    """That a batch of samples is the OM's input, before they are written.

    Raises:
        DataError: it is not.
    """
    names = [spec.name for spec in bundle.manifest.input_specs]
    for name, (folder, shape) in zip(names, plan.inputs.items(), strict=True):
        wanted = (1, *om.shapes[name][1:])
        if shape != wanted:
            raise DataError(
                f"samples for {folder} are {shape}, and {om.path.name} takes {wanted}; build an OM for "
                "this size, or say --fit pad or resample."
            )


def _checked(
    stage: Stage, count: int, classes: int, folder: Path
) -> tuple[Timing, tuple[str, ...]]:
    from stgcn_deploy.ascend.checks import check_run
    from stgcn_deploy.ascend.summary import read_timing
    from stgcn_deploy.ascend.tools import RESULTS

    timing = read_timing(stage.tool.name, folder, stage.om.batch)
    return timing, check_run(folder / RESULTS, count, classes, timing)


def _pure(stage: Stage, loop: int, force: bool, progress: Progress) -> Timing:
    """Times of `loop` calls on zeros."""
    from stgcn_deploy.ascend.run import Stage, perform
    from stgcn_deploy.ascend.summary import read_timing
    from stgcn_deploy.ascend.tools import Job

    job = Job(stage.om.path, (), stage.om.batch, stage.job.device, loop)
    folder = stage.folder.with_name(f"{stage.folder.name}_loop{loop}")
    pure = Stage(folder, stage.om, stage.tool, job, None)

    def timing_of(made: Path) -> Timing:
        found = read_timing(stage.tool.name, made, stage.om.batch)
        if found.calls is not None and found.calls != loop:
            raise DataError(
                f"{stage.tool.name} timed {found.calls} calls, {loop} were asked for; see {folder}.log"
            )
        return found

    perform(pure, timing_of, force=force, progress=progress)
    return timing_of(folder)


def _options(
    split: str | None,
    limit: int | None,
    fit: str,
    data_format: str | None,
    read: ReadOptions | None,
) -> tuple[str, ...]:
    """The same on a command line."""
    size = read.image_size if read and read.image_size else None
    if read and (read.layout or read.fps):
        raise UsageError(
            "a script has no options for the layout or fps of the data; convert it first."
        )
    said = {
        "--split": split,
        "--limit": limit,
        "--fit": None if fit == "exact" else fit,
        "--format": data_format,
        "--axes": read.axes if read else None,
        "--image-size": f"{size[0]}x{size[1]}" if size else None,
    }
    return tuple(
        word for option, value in said.items() if value is not None for word in (option, str(value))
    )


def _script(
    bundle: Bundle,
    data: Path,
    labels: Path | None,
    work: Path,
    om: OmFile,
    tool: str,
    inputs: tuple[str, ...],
    device: int,
    loop: int | None,
    options: tuple[str, ...],
) -> str:
    from stgcn_deploy.ascend.script import RunScript
    from stgcn_deploy.ascend.tools import tool_of

    script = RunScript(
        bundle.path,
        data.resolve(),
        labels,
        work,
        om,
        tool_of(tool),
        inputs,
        device,
        loop,
        options,
    )
    return script.text()


def ascend_pack(
    bundle: str | Path,
    output: str | Path,
    *,
    tool: Literal["ais_bench", "msame"] = "ais_bench",
    force: bool = False,
) -> dict[str, Any]:
    """Pack a bundle's OM files and the scripts that run and score them into one .tar.gz.

    The host needs Python, numpy and the tool; of a bundle without OM files the graph goes along, and is
    built there by ATC.  Nothing outside the bundle and this package is packed; the same bundle gives
    the same bytes.

    Args:
        output: the .tar.gz.
        tool: what the script in it starts.
        force: replace an existing file.

    Returns:
        file, bytes, sha256, folder (its one folder), files (name -> bytes).

    Raises:
        StgcnError: the bundle is damaged, or cannot be packed; see ascend.pack.
    """
    from stgcn_deploy.ascend.pack import write_pack
    from stgcn_deploy.ascend.tools import tool_of
    from stgcn_deploy.bundle import Bundle

    return write_pack(Bundle(bundle), Path(output), tool_of(tool), force=force)
