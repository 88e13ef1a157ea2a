"""From a torch module to an ONNX file with the opset that was asked for.

The TorchScript exporter is used for every opset: it is the only one that writes 11 to 17, it is ten
times quicker than the dynamo one here, and with shapes that are Python constants its graphs hold the
same operators (docs/design/0002-exporter.md has the numbers).  The opset of the file is read back,
because exporters are known to write another one than asked for.
"""

from __future__ import annotations

import warnings
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from stgcn_deploy import __version__
from stgcn_deploy.errors import ExportError
from stgcn_deploy.exporter.presets import ExportOptions
from stgcn_deploy.models.shape import DYNAMIC_AXES, InputShape
from stgcn_deploy.skeleton.axes import named_shape

__all__ = ["EXPORTER", "example_input", "write_onnx"]

EXPORTER = "torchscript"
INPUT, LOGITS, OUTPUT = "input", "logits", "output"


class _Probabilities(nn.Module):
    """Softmax behind a network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Native input -> probabilities (N, classes)."""
        return torch.softmax(self.network(x), dim=1)


def example_input(axes: str, shape: InputShape, num_joints: int, channels: int) -> Tensor:
    """A random native batch of the traced size."""
    sizes = {
        "N": shape.batch,
        "M": shape.persons,
        "T": shape.frames,
        "V": num_joints,
        "C": channels,
    }
    generator = torch.Generator().manual_seed(0)
    return torch.randn(named_shape(axes, sizes), generator=generator)


def write_onnx(
    network: nn.Module,
    path: Path,
    *,
    axes: str,
    example: Tensor,
    options: ExportOptions,
) -> onnx.ModelProto:
    """Write the graph; inputs ["input"], outputs ["output"], the pre-softmax tensor "logits".

    Raises:
        ExportError: the exporter failed, or wrote another opset.
    """
    whole = network if options.logits else _Probabilities(network)
    dynamic = {axes.index(letter): DYNAMIC_AXES[letter] for letter in sorted(options.dynamic)}
    named = {INPUT: dynamic, OUTPUT: {0: "batch"}} if "N" in options.dynamic else {INPUT: dynamic}
    try:
        # A failing exporter prints its whole graph, on stdout, where results belong.
        with torch.no_grad(), warnings.catch_warnings(), redirect_stdout(StringIO()):
            # The exporter announces its deprecation and every size that is read while tracing; sizes
            # are constants on purpose here, and the result is verified on both ends of open axes.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                whole.eval(),
                (example,),
                str(path),
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=options.opset,
                dynamic_axes=named if dynamic else None,
                dynamo=False,
            )
    except Exception as error:
        raise ExportError(
            f"torch {torch.__version__} could not export this network at opset {options.opset}: "
            f"{str(error).strip().splitlines()[0]}"
        ) from error
    model = onnx.load(str(path))
    _tidy(model, options)
    _check_opset(model, options.opset)
    _save(model, path, external=options.external_data)
    return model


def _tidy(model: onnx.ModelProto, options: ExportOptions) -> None:
    """Name the logits, name the producer, and leave no other trace of how the file came about."""
    graph = model.graph
    final = graph.node[-1]
    if options.logits:
        # The output is the logits; the tap of that name is an alias of it.
        graph.node.append(onnx.helper.make_node("Identity", [LOGITS], [OUTPUT], name="to_output"))
        final.output[0] = LOGITS
    else:
        if final.op_type != "Softmax":
            raise ExportError(f"the graph ends in {final.op_type}, expected Softmax.")
        old = final.input[0]
        final.input[0] = LOGITS
        for node in graph.node[:-1]:
            for index, name in enumerate(node.output):
                if name == old:
                    node.output[index] = LOGITS
    model.producer_name, model.producer_version = "stgcn-deploy", __version__
    model.doc_string = ""
    for node in graph.node:
        node.doc_string = ""


def _check_opset(model: onnx.ModelProto, asked: int) -> None:
    written = {entry.domain: entry.version for entry in model.opset_import}
    if written != {"": asked}:
        raise ExportError(
            f"asked for opset {asked}, torch {torch.__version__} wrote {written}; give another "
            "--opset, or another torch."
        )


def _save(model: onnx.ModelProto, path: Path, *, external: bool) -> None:
    if external:
        onnx.save_model(
            model,
            str(path),
            save_as_external_data=True,
            all_tensors_to_one_file=True,
            location=f"{path.name}.data",
            size_threshold=1024,
        )
    else:
        onnx.save_model(model, str(path))
