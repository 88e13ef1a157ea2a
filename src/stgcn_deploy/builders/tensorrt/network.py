"""From the ONNX file to TensorRT's network: weights beside the file, and errors with the node's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stgcn_deploy.builders.tensorrt.api import Api
from stgcn_deploy.builders.tensorrt.log import meaning_of
from stgcn_deploy.builders.tensorrt.profiles import Profile
from stgcn_deploy.errors import BuildError

__all__ = ["parse", "parser_errors"]

OTHER = "export with another --graph-form or --opset"
SHOWN = 3


def parse(api: Api, network: Any, logger: Any, model: Path, profile: Profile) -> Any:
    """Fill a network; returns the parser, which has to live as long as the network.

    Args:
        model: the file itself and no bytes of it, so that weights that lie beside it are found.

    Raises:
        BuildError: an operator that this version does not know, or inputs that are not the manifest's.
    """
    parser = api.trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(model.resolve())):
        raise BuildError(
            f"TensorRT {api.version} cannot read the graph of {model}: {parser_errors(api, parser)}"
        )
    found = [network.get_input(index) for index in range(network.num_inputs)]
    names = [tensor.name for tensor in found]
    if sorted(names) != sorted(profile.shapes):
        raise BuildError(
            f"the graph of {model} has the inputs {', '.join(names) or 'none'}, its manifest "
            f"{', '.join(profile.shapes)}; export the bundle again."
        )
    for tensor in found:
        _check_shape(tensor, profile, model)
    return parser


def _check_shape(tensor: Any, profile: Profile, model: Path) -> None:
    """TensorRT's idea of an input must be the manifest's: a size or, where it is open, -1."""
    shape, declared = tuple(tensor.shape), profile.declared[tensor.name]
    if shape != declared:
        raise BuildError(
            f"input {tensor.name!r} of {model} has shape {shape} for TensorRT, and the manifest asks "
            f"for {declared} (-1 is an open axis); export the bundle again."
        )


def parser_errors(api: Api, parser: Any) -> str:
    """The parser's errors: which node, what, and what to try."""
    parts, advice = [], OTHER
    for index in range(min(parser.num_errors, SHOWN)):
        error = parser.get_error(index)
        name, operator = api.onnx_place(error)
        text = " ".join(str(error.desc()).split())
        place = f"{operator} node {name!r}" if name else f"node {error.node()}"
        parts.append(f"{place}: {text}")
        if meaning := meaning_of(text):
            advice = meaning.advice
    more = f" and {parser.num_errors - SHOWN} more" if parser.num_errors > SHOWN else ""
    told = "; ".join(parts) or "it does not say why"
    return f"{told}{more}. What to try: {advice}."
