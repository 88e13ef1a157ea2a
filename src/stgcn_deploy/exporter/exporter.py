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
from stgcn_deploy.models.shape import InputShape
from stgcn_deploy.models.spec import Activation, NetworkSpec
from stgcn_deploy.skeleton.inputs import OPEN_AXES

__all__ = ["EXPORTER", "example_inputs", "write_onnx"]

EXPORTER = "torchscript"
LOGITS, OUTPUT = "logits", "output"
# The axis of the person slots that run, in graphs that skip absent persons.
OCCUPIED = "occupied"


class _Probabilities(nn.Module):
    """The activation behind a network."""

    def __init__(self, network: nn.Module, activation: Activation) -> None:
        super().__init__()
        self.network = network
        self.activation = activation

    def forward(self, *inputs: Tensor) -> Tensor:
        """Native inputs -> probabilities (N, classes)."""
        logits = self.network(*inputs)
        return torch.sigmoid(logits) if self.activation == "sigmoid" else torch.softmax(logits, 1)


def example_inputs(spec: NetworkSpec, shape: InputShape) -> tuple[Tensor, ...]:
    """Random native inputs of the traced size."""
    generator = torch.Generator().manual_seed(0)
    sizes = shape.sizes(spec.num_joints)
    return tuple(
        torch.randn([int(n) for n in one.shape(sizes)], generator=generator) for one in spec.inputs
    )


def write_onnx(
    network: nn.Module, path: Path, *, spec: NetworkSpec, shape: InputShape, options: ExportOptions
) -> onnx.ModelProto:
    """Write the graph; outputs ["output"], the tensor before the activation is called "logits".

    Raises:
        ExportError: the exporter failed, or wrote another opset.
    """
    whole = network if options.logits else _Probabilities(network, spec.activation)
    named = shape.sizes(spec.num_joints, named=True)
    dynamic: dict[str, dict[int, str]] = (
        {OUTPUT: {0: OPEN_AXES["N"]}} if "N" in shape.dynamic else {}
    )
    for one in spec.inputs:
        open_axes = {i: n for i, n in enumerate(one.shape(named)) if isinstance(n, str)}
        dynamic |= {one.name: open_axes} if open_axes else {}
    try:
        # A failing exporter prints its whole graph, on stdout, where results belong.
        with torch.no_grad(), warnings.catch_warnings(), redirect_stdout(StringIO()):
            # The exporter announces its deprecation and every size that is read while tracing; sizes
            # are constants on purpose here, and the result is verified on both ends of open axes.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                whole.eval(),
                example_inputs(spec, shape),
                str(path),
                input_names=[one.name for one in spec.inputs],
                output_names=[OUTPUT],
                opset_version=options.opset,
                dynamic_axes=dynamic or None,
                dynamo=False,
            )
    except Exception as error:
        raise ExportError(
            f"torch {torch.__version__} could not export this network at opset {options.opset}: "
            f"{str(error).strip().splitlines()[0]}"
        ) from error
    model = onnx.load(str(path))
    _tidy(model, options)
    _name_occupied(model)
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
        if final.op_type not in ("Softmax", "Sigmoid"):
            raise ExportError(f"the graph ends in {final.op_type}, expected its activation.")
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


def _name_occupied(model: onnx.ModelProto) -> None:
    """Give the number of occupied person slots a name that shape inference carries along.

    ONNX Runtime joins a residual's sum and ReLU with the convolution before it only where both have
    the same shape, and two nameless sizes are never the same.
    """
    for node in model.graph.node:
        if node.op_type == "NonZero":
            found = onnx.helper.make_tensor_value_info(
                node.output[0], onnx.TensorProto.INT64, [1, OCCUPIED]
            )
            model.graph.value_info.append(found)


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
