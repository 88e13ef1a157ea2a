"""Ascend OM files, by atc, the compiler of the CANN toolkit: one for each batch size.

Which commands, and what their logs say, is in ascend_atc; no NPU is needed to build.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stgcn_deploy.builders.ascend_atc import convert_argv, failure_of, list_argv, read_log
from stgcn_deploy.builders.ascend_graph import batches_of, check_graph, graph_precision
from stgcn_deploy.builders.ascend_layers import Layers, precision_of, read_layers
from stgcn_deploy.builders.ascend_options import AscendOptions
from stgcn_deploy.builders.ascend_toolkit import ATC, INSTALL, cann_version, missing
from stgcn_deploy.builders.base import BuildPlan, Built, Progress
from stgcn_deploy.builders.tool import ToolRun, public_argv, run_tool
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import BuildError, MissingDependencyError
from stgcn_deploy.manifest import AttemptRecord, BuildRecord

__all__ = ["BUILDER", "AscendBuilder", "om_name"]

BUILT = "built"


def om_name(batch: int, precision: str) -> str:
    """Name of an OM file in a bundle."""
    return f"model_b{batch}_{precision}.om"


@dataclass(frozen=True)
class _Conversion:
    """One OM to make.

    Attributes:
        shapes: by input, native.
    """

    model: Path
    batch: int
    shapes: Mapping[str, tuple[int, ...]]
    soc_version: str

    def argv(self, folder: Path, precision: str) -> tuple[str, ...]:
        """The command that makes it in `folder`."""
        output = folder / om_name(self.batch, precision).removesuffix(".om")
        return convert_argv(self.model, output, self.soc_version, precision, self.shapes)

    def list_argv(self, folder: Path, precision: str) -> tuple[str, ...]:
        """The command that lists its layers."""
        om = folder / om_name(self.batch, precision)
        return list_argv(om, om.with_suffix(".json"))


def _conversions(
    bundle: Bundle, options: AscendOptions
) -> tuple[tuple[_Conversion, ...], tuple[str, ...]]:
    """All OMs that are asked for, and notes.

    Raises:
        UsageError: the graph or the batch sizes do not fit atc.
    """
    notes = check_graph(bundle)
    batches, more = batches_of(bundle.manifest, options.batches)
    model = bundle.model_path.resolve()
    return tuple(
        _Conversion(
            model,
            batch,
            {name: tuple(shape) for name, shape in bundle.manifest.shapes_at(batch).items()},
            options.soc_version,
        )
        for batch in batches
    ), notes + more


class AscendBuilder:
    """See Builder."""

    name = "ascend"
    install = INSTALL
    options = AscendOptions

    def available(self) -> str | None:
        """See Builder.available."""
        return missing()

    def plan(self, bundle: Bundle, options: AscendOptions) -> BuildPlan:
        """See Builder.plan."""
        conversions, notes = _conversions(bundle, options)
        # The real one gets a name of its own; these lines can be copied as they are.
        scratch = Path(tempfile.gettempdir()) / "stgcn-build"
        commands: list[tuple[str, ...]] = []
        for one in conversions:
            folder = scratch / f"b{one.batch}_{options.precision}"
            commands += [
                ("mkdir", "-p", str(folder)),
                ("cd", str(folder)),
                one.argv(folder, options.precision),
                one.list_argv(folder, options.precision),
            ]
        fallback = ", then ".join(options.ladder[1:])
        return BuildPlan(
            files=tuple(om_name(one.batch, options.precision) for one in conversions),
            commands=tuple(commands),
            steps=(
                *(
                    f"compile for {one.soc_version}, batch {one.batch}, in {options.precision}"
                    + (f"; where the chip lacks a layer in it: {fallback}" if fallback else "")
                    for one in conversions
                ),
                "list the layers of each OM, and compare what they compute in with what was asked for",
            ),
            notes=notes,
            missing=missing(),
        )

    def build(
        self, bundle: Bundle, options: AscendOptions, scratch: Path, progress: Progress
    ) -> tuple[Built, ...]:
        """See Builder.build.

        Raises:
            UsageError: the graph or the options do not fit atc.
            MissingDependencyError: atc is not here, or its toolkit lacks something.
            BuildError: atc failed, took too long, or wrote no OM or another precision.
        """
        conversions, _ = _conversions(bundle, options)
        absent = missing()
        if absent is not None:
            raise MissingDependencyError(f"cannot build for Ascend: {absent}")
        graph = graph_precision(bundle)
        built = []
        for number, one in enumerate(conversions):
            share = number / len(conversions)
            built.append(_Job(one, options, scratch, graph, progress, share).run())
        progress("done", 1.0)
        return tuple(built)


@dataclass(frozen=True)
class _Job:
    """One conversion on its way."""

    conversion: _Conversion
    options: AscendOptions
    scratch: Path
    graph: str
    progress: Progress
    share: float

    def run(self) -> Built:
        """Try the precisions in order until one is built."""
        attempts: list[AttemptRecord] = []
        ladder = self.options.ladder
        for precision in ladder:
            folder = self.scratch / f"b{self.conversion.batch}_{precision}"
            folder.mkdir()
            argv = self.conversion.argv(folder, precision)
            run = self._tool(argv, folder, f"{ATC}: batch {self.conversion.batch}, {precision}")
            if run.code == 0:
                return self._finish(folder, precision, run, attempts)
            failure = failure_of(run, precision, self.conversion.soc_version)
            if not read_log(run.log).by_engine or precision == ladder[-1]:
                raise failure
            attempts.append(AttemptRecord(precision=precision, outcome=str(failure)))
        raise AssertionError("a ladder has at least one step")

    def _tool(self, argv: tuple[str, ...], folder: Path, text: str) -> ToolRun:
        return run_tool(
            argv, folder, self.options.timeout, lambda _: self.progress(text, self.share)
        )

    def _finish(
        self, folder: Path, precision: str, run: ToolRun, attempts: list[AttemptRecord]
    ) -> Built:
        """The OM that was made, under the name of the precision that it really has."""
        one, asked = self.conversion, self.options.precision
        path = self._made(folder, precision, run)
        layers = self._layers(path, folder, precision)
        actual = precision
        outcome = f"{BUILT}; its layers could not be listed: {layers}"
        if isinstance(layers, Layers):
            actual = precision_of(layers, precision, self.graph)
            outcome = BUILT if actual == precision else f"{BUILT} as {actual}: {layers}"
        if actual != asked and not self.options.allow_fallback:
            raise BuildError(
                f"{ATC} was asked for {asked} and built {actual} ({layers} layers) for "
                f"{one.soc_version}; no bundle is written. Ask for --precision {actual}, or take it "
                "with --allow-fallback."
            )
        named = path.rename(folder / om_name(one.batch, actual))
        return Built(
            named,
            BuildRecord(
                target=BUILDER.name,
                file=named.name,
                requested=asked,
                actual=actual,
                attempts=(*attempts, AttemptRecord(precision=precision, outcome=outcome)),
                shapes={name: (shape,) for name, shape in one.shapes.items()},
                device=one.soc_version,
                layers=layers.all if isinstance(layers, Layers) else {},
                tools={"CANN": cann_version() or "version not found"},
                command=public_argv(one.argv(folder, precision)),
            ),
        )

    def _made(self, folder: Path, precision: str, run: ToolRun) -> Path:
        """The file that atc wrote; newer ones may put the host's system into its name.

        Raises:
            BuildError: none, an empty one, or several.
        """
        stem = om_name(self.conversion.batch, precision).removesuffix(".om")
        found = [path for path in folder.glob(f"{stem}*.om") if path.stat().st_size]
        if len(found) != 1:
            what = "several OM files" if found else "no OM file"
            raise BuildError(
                f"{ATC} ended with exit code 0, yet wrote {what}. Its log ends with:\n{run.tail()}\n"
                "Is the disk full, or is this atc a wrapper that runs it elsewhere?"
            )
        return found[0].rename(folder / f"{stem}.om")

    def _layers(self, path: Path, folder: Path, precision: str) -> Layers | str:
        """What is in the OM, or why nobody knows."""
        text = f"{ATC}: layers of batch {self.conversion.batch}"
        argv = self.conversion.list_argv(folder, precision)
        try:
            run = self._tool(argv, folder, text)
        except BuildError as error:
            return str(error)
        if run.code != 0:
            return f"`{ATC} --mode=1` failed with exit code {run.code}"
        return read_layers(path.with_suffix(".json"))


BUILDER = AscendBuilder()
