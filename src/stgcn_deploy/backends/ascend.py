"""Ascend NPUs: OM files, run through pyACL, the Python binding that CANN brings along.

Arrays are float32 on both sides; where the file has inputs or outputs in half precision they are
converted here.  What was not run on an NPU is told in docs/ascend-session.md.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.backends.ascend_acl import PROCESS, AclModel, AclTensor
from stgcn_deploy.backends.base import OpenOptions, Session, TensorSpec
from stgcn_deploy.backends.built import built_for, refuse_changes
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import BackendError, ClipError, StgcnError, requires

__all__ = ["BACKEND", "AscendBackend"]

# What our graphs call their output.
OUTPUT = "output"
# Set by CANN's set_env.sh; the second by older versions.
HOMES = ("ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH")
VERSIONS = "*/ascend_toolkit_install.info"


def _output_name(found: str, *, alone: bool) -> str:
    """ATC's name of an output is "node:place:name of the graph", without the last part in older files."""
    parts = found.split(":", 2)
    if len(parts) == 3 and parts[2]:
        return parts[2]
    return OUTPUT if alone else found


def _spec(model: AclModel, tensor: AclTensor, name: str) -> TensorSpec:
    """Float32, whatever the file has: it is converted."""
    rows: int | str = "batch" if model.gears else tensor.rows
    return TensorSpec(name, "float32", (rows, *tensor.shape[1:]))


class AscendSession(Session):
    """An OM file with its memory; calls of several threads wait for each other."""

    def __init__(self, model: AclModel) -> None:
        alone = len(model.outputs) == 1
        super().__init__(
            tuple(_spec(model, tensor, tensor.name) for tensor in model.inputs),
            tuple(
                _spec(model, tensor, _output_name(tensor.name, alone=alone))
                for tensor in model.outputs
            ),
        )
        self._model = model
        self.gears = model.gears

    def _run(self, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        arrays = [feed[spec.name] for spec in self.inputs]
        counts = {len(array) for array in arrays}
        if len(counts) > 1 or not min(counts):
            raise ClipError(
                f"inputs have {sorted(counts)} clips, expected the same number, at least 1."
            )
        (rows,) = counts
        most = self.gears[-1] if self.gears else rows
        parts = [
            self._model.run([array[start : start + most] for array in arrays])
            for start in range(0, rows, most)
        ]
        names = [spec.name for spec in self.outputs]
        whole = (
            parts[0]
            if len(parts) == 1
            else [np.concatenate(one) for one in zip(*parts, strict=True)]
        )
        return dict(zip(names, whole, strict=True))

    def _close(self) -> None:
        self._model.close()


class AscendBackend:
    """See Backend."""

    name = "ascend"
    install = (
        "install the CANN toolkit and the driver of the NPU (hiascend.com/cann), then in each shell: "
        "source /usr/local/Ascend/ascend-toolkit/set_env.sh"
    )
    taps = False

    def version(self) -> str | None:
        """See Backend.version; CANN's, which pyACL is part of."""
        if importlib.util.find_spec("acl") is None:
            return None
        for home in filter(None, map(os.environ.get, HOMES)):
            for file in sorted(Path(home).glob(VERSIONS)):
                lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
                for line in lines:
                    name, _, value = line.partition("=")
                    if name.strip() == "version" and value.strip():
                        return f"CANN {value.strip()}"
        return "CANN of unknown version"

    def available(self) -> str | None:
        """See Backend.available; initialises ACL, which ends with the process."""
        try:
            acl = PROCESS.use()
            count, code = acl.rt.get_device_count()
        except ImportError as error:
            return f"pyACL (module acl) does not load: {error}; {self.install}"
        except StgcnError as error:
            return str(error)
        except Exception as error:  # another module called acl, or a driver that breaks
            return (
                f"the module acl that is found here is not a working pyACL: {error}; {self.install}"
            )
        if code or not count:
            return f"ACL sees no NPU here (error {code}); see: npu-smi info"
        return None

    def model_of(self, bundle: Bundle, batch: int = 1) -> Path:
        """See Backend.model_of."""
        return built_for(bundle, self.name, batch, f"--soc-version SOC --batch {batch}")

    def open(self, model: Path, options: OpenOptions) -> Session:
        """See Backend.open.

        `options.threads` says nothing to an NPU.

        Raises:
            MissingDependencyError: pyACL is absent.
            BackendError: an inner tensor or another precision was asked for, or a call of ACL failed.
        """
        with requires("running an OM file", self.install):
            import acl  # noqa: F401
        refuse_changes(model, options, self.name)
        if not model.is_file():
            raise BackendError(f"{model} does not exist.")
        return AscendSession(AclModel(model))


BACKEND = AscendBackend()
