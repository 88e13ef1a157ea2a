"""One .tar.gz that an NPU host works with: OM files or the graph, scripts, hashes.

NAME-ascend/
    README.txt run.sh pack.json SHA256SUMS
    bundle/           manifest.json, labels.txt, and the OM files or model.onnx
    host/stgcn_deploy the few modules that write samples and score, which need numpy alone
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import stgcn_deploy
from stgcn_deploy import __version__
from stgcn_deploy.ascend.om import OmFile, om_files
from stgcn_deploy.ascend.script import FAIL, one_line, stage_lines
from stgcn_deploy.ascend.tools import TOOLKIT, Tool
from stgcn_deploy.bundle import Bundle, sha256_of
from stgcn_deploy.data.bins import DATA
from stgcn_deploy.errors import BundleError, UsageError
from stgcn_deploy.files import fresh_file
from stgcn_deploy.manifest import LABELS, MANIFEST, MODEL

__all__ = ["PACKED", "write_pack"]

# All that ascend/host.py imports of this package; tests run it with these and numpy alone.
PACKED = (
    "__init__.py",
    "errors.py",
    "files.py",
    "registry.py",
    "ascend/__init__.py",
    "ascend/checks.py",
    "ascend/host.py",
    "ascend/summary.py",
    "data/__init__.py",
    "data/bins.py",
    "data/dataset.py",
    "data/formats/__init__.py",
    "data/formats/jsonfile.py",
    "data/labelfile.py",
    "data/npyfile.py",
    "data/recording.py",
    "data/safe_pickle.py",
    "measure/__init__.py",
    "measure/accuracy.py",
    "measure/scoring.py",
)
SUMS = "SHA256SUMS"
# Forms that have a node which ATC does not know.
WITHOUT_ATC = ("einsum", "reference")
NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
OM_DIR = "$WORK/om"


def write_pack(bundle: Bundle, output: Path, tool: Tool, *, force: bool = False) -> dict[str, Any]:
    """Write the pack; see api.ascend_pack.

    Raises:
        UsageError: the name has another ending, or the graph is in a form that ATC does not take.
        BundleError: an OM's record contradicts the bundle.
        OutputExistsError: see files.fresh_file.
    """
    if not output.name.endswith((".tar.gz", ".tgz")):
        raise UsageError(f"{output}: a pack is a .tar.gz; name it so.")
    folder = f"{NO_NAME.sub('-', bundle.path.resolve().name).strip('-.') or 'bundle'}-ascend"
    files = _files(bundle, tool)
    sums = "".join(f"{_sha256(content)}  {name}\n" for name, content in sorted(files.items()))
    files[SUMS] = sums.encode()
    with fresh_file(output, force=force) as partial:
        _write_tar(partial, folder, files)
        digest, size = sha256_of(partial), partial.stat().st_size
    return {
        "file": str(output),
        "bytes": size,
        "sha256": digest,
        "folder": folder,
        "files": {name: _size(content) for name, content in sorted(files.items())},
    }


def _sha256(content: bytes | Path) -> str:
    return sha256_of(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()


def _size(content: bytes | Path) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _files(bundle: Bundle, tool: Tool) -> dict[str, bytes | Path]:
    """Place in the pack -> content, or the file that it is copied of."""
    oms = om_files(bundle)
    if tool.name == "msame":
        oms = tuple(om for om in oms if om.batch == 1) or oms
    found: dict[str, bytes | Path] = {
        f"bundle/{name}": bundle.path / name for name in (MANIFEST, LABELS)
    }
    if oms:
        found |= {f"bundle/{om.path.name}": om.path for om in oms}
        run = _run_text(bundle, tool, [(om, f"$HERE/bundle/{om.path.name}") for om in oms], "")
    else:
        found |= {f"bundle/{name}": bundle.path / name for name in _graph_files(bundle)}
        om = _future_om(bundle)
        run = _run_text(bundle, tool, [(om, f"{OM_DIR}/{om.path.name}")], _atc_lines(om))
    package = Path(stgcn_deploy.__file__).parent
    found |= {f"host/stgcn_deploy/{name}": package / name for name in PACKED}
    found["run.sh"] = run.encode()
    found["pack.json"] = (json.dumps(_facts(bundle), indent=1) + "\n").encode()
    found["README.txt"] = _readme(bundle, tool, built=bool(oms)).encode()
    return found


def _graph_files(bundle: Bundle) -> list[str]:
    """The graph and its weights, where ATC can take it.

    Raises:
        UsageError: it cannot.
    """
    manifest = bundle.manifest
    if manifest.graph_form in WITHOUT_ATC:
        raise UsageError(
            f"{bundle.path} has no OM file, and its graph is in the form {manifest.graph_form}, whose "
            "Einsum ATC does not know; export it with --graph-form matmul or aggregate, --opset 11."
        )
    return [name for name in manifest.files if name == MODEL or name.startswith(f"{MODEL}.")]


def _future_om(bundle: Bundle) -> OmFile:
    """What ATC will make on the host: of the batch size that the graph has, 1 where it is open."""
    clip = bundle.manifest.clip
    batch = 1 if "N" in clip.dynamic else clip.batch
    shapes = {name: tuple(shape) for name, shape in bundle.manifest.shapes_at(batch).items()}
    name = f"model_b{batch}_fp16.om"
    return OmFile(Path(name), bundle.manifest.files[MODEL].sha256, batch, shapes, "", "fp16")


def _facts(bundle: Bundle) -> dict[str, Any]:
    """pack.json: what writing and scoring must know."""
    manifest = bundle.manifest
    shapes = manifest.shapes_at(1)
    names = list(shapes)
    folders = [DATA] if len(names) == 1 else [f"{DATA}_{name}" for name in names]
    return {
        "format": "stgcn-ascend-pack",
        "version": __version__,
        "classes": manifest.num_classes,
        "axes": manifest.axes,
        "inputs": dict(zip(folders, shapes.values(), strict=True)),
        "manifest_sha256": sha256_of(bundle.path / MANIFEST),
    }


def _atc_lines(om: OmFile) -> str:
    """ATC in a folder of its own, since it drops kernel_meta/ and more where it stands."""
    shapes = ";".join(f"{name}:{','.join(map(str, shape))}" for name, shape in om.shapes.items())
    return f"""
# The graph becomes an OM here, once for each SoC.
if [ ! -f "{OM_DIR}/{om.path.name}" ]; then
    [ -n "${{SOC_VERSION:-}}" ] ||
        fail 'say for which SoC, "Ascend" and the Name of npu-smi info: SOC_VERSION=Ascend310P3 sh run.sh'
    rm -rf "{OM_DIR}.attempt"
    mkdir -p "{OM_DIR}.attempt"
    (cd "{OM_DIR}.attempt" && atc --model="$HERE/bundle/{MODEL}" --framework=5 \\
        --output="{OM_DIR}.attempt/{om.name}" --input_format=ND \\
        --input_shape="{shapes}" --soc_version="$SOC_VERSION" \\
        --precision_mode=force_fp16 --log=error) > "{OM_DIR}.log" 2>&1 || {{
        tail -n 15 "{OM_DIR}.log" >&2
        fail "atc failed; its log is {OM_DIR}.log"
    }}
    [ -s "{OM_DIR}.attempt/{om.path.name}" ] ||
        fail "atc ended well and wrote no OM; its log is {OM_DIR}.log"
    mkdir -p "{OM_DIR}"
    mv "{OM_DIR}.attempt/{om.path.name}" "{OM_DIR}/{om.path.name}"
    rm -rf "{OM_DIR}.attempt"
fi
"""


def _run_text(bundle: Bundle, tool: Tool, oms: list[tuple[OmFile, str]], before: str) -> str:
    inputs = tuple(_facts(bundle)["inputs"])
    parts = []
    for om, place in oms:
        parts.append(
            f"printf '%s\\n' '{om.path.name}, batch {om.batch}' >&2\n"
            + stage_lines(om, tool, inputs, place, "$DEVICE")
            + f'\nhost score --pack "$HERE/pack.json" --run "$RUN" --bins "$WORK/bins" \\\n'
            f"    --batch {om.batch} --tool {tool.name}\n"
        )
    default = ': "${MSAME:=msame}"' if tool.name == "msame" else ""
    return f"""\
#!/bin/sh
# {one_line(bundle.manifest.name)}: samples, {tool.name}, scores; see README.txt.
# Written by stgcn-deploy {__version__}.
#
#     {TOOLKIT}
#     sh run.sh WORK [VAL_DATA.npy [VAL_LABEL.pkl]]
#
# WORK holds samples and results; a run that was stopped and is started again goes on.  Without data,
# the samples must be in WORK/bins.  DEVICE=1 takes another NPU, PYTHON=... another python3 for the tool,
# HOST_PYTHON=... one for samples and scores.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
: "${{PYTHON:=python3}}"
: "${{HOST_PYTHON:=$PYTHON}}"
: "${{DEVICE:=0}}"
{default}

{FAIL}

host() {{
    PYTHONPATH="$HERE/host${{PYTHONPATH:+:$PYTHONPATH}}" "$HOST_PYTHON" -m stgcn_deploy.ascend.host "$@"
}}

[ "$#" -ge 1 ] && [ "$#" -le 3 ] || fail 'expected: sh run.sh WORK [VAL_DATA.npy [VAL_LABEL.pkl]]'
mkdir -p "$1"
WORK=$(cd "$1" && pwd)
(cd "$HERE" && sha256sum -c {SUMS} > /dev/null) ||
    fail "$HERE is not the pack that was written; unpack it again"

if [ "$#" -ge 2 ]; then
    if [ "$#" -eq 3 ]; then
        host write --pack "$HERE/pack.json" --data "$2" --labels "$3" -o "$WORK/bins"
    else
        host write --pack "$HERE/pack.json" --data "$2" -o "$WORK/bins"
    fi
elif [ ! -f "$WORK/bins/bins.json" ]; then
    fail "$WORK/bins holds no samples; name the data, or bring them"
fi
{before}
{chr(10).join(parts)}"""


def _readme(bundle: Bundle, tool: Tool, *, built: bool) -> str:
    build = (
        ""
        if built
        else """
There is no OM in this pack: run.sh makes one with ATC (FP16, as ATC does unless told otherwise), and wants
to know for which SoC:
    SOC_VERSION=Ascend310P3 sh run.sh WORK val_data.npy val_label.pkl
"""
    )
    return f"""\
{one_line(bundle.manifest.name)}, for an Ascend host.  Written by stgcn-deploy {__version__}.

Unpack where nothing of this name is yet, and look before you run:
    tar -tzf PACK.tar.gz                 (every name begins with this folder's)
    tar -xzf PACK.tar.gz --no-same-owner
    cd THIS_FOLDER && sha256sum -c {SUMS}

Needed here: sh, sha256sum, {tool.name} and its toolkit, and Python 3.10 or newer with numpy 1.24 or newer
(where the tool lives in an older Python, name a newer one: HOST_PYTHON=python3.10 sh run.sh ...):
    {TOOLKIT}

    sh run.sh WORK val_data.npy val_label.pkl
{build}
WORK then holds the samples, and a folder for each OM with results, the tool's summary and its log.  It may
be carried home and scored there again:
    stgcn data bins score --results WORK/RUN/results --labels WORK/bins --bundle BUNDLE

Prepared arrays (N, C, T, V, M) are written as samples here.  Anything else is written where the whole
package is (stgcn data bins write --bundle BUNDLE -o bins), brought as WORK/bins, and run without data:
    sh run.sh WORK
"""


def _write_tar(path: Path, folder: str, files: dict[str, bytes | Path]) -> None:
    """Members in order of their names, without times, owners or folders of this machine."""
    with (
        path.open("wb") as raw,
        # A name or time in the header would be another one each time.
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = _size(content)
            member.mode = 0o755 if name.endswith(".sh") else 0o644
            if isinstance(content, Path):
                if content.is_symlink():
                    raise BundleError(f"{content} is a link, which may lead outside; refused.")
                with content.open("rb") as source:
                    tar.addfile(member, source)
            else:
                tar.addfile(member, io.BytesIO(content))
