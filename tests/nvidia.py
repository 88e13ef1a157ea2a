"""NVIDIA's own Python bindings without a GPU: wheels from the package index, and stubs of their libraries.

Wheels are proprietary: they are downloaded into the user's cache folder and never committed.  Without an
index, a fitting wheel or a C++ compiler, tests that need them skip, and say so.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from stgcn_deploy.files import cache_folder

# Version -> requirement; TensorRT 8.6.1 has wheels up to Python 3.11, 10.3 up to 3.12.
TENSORRT = {
    "8.6": "tensorrt-bindings==8.6.1",
    "10.3": "tensorrt-cu12-bindings==10.3.0",
    "10.13": "tensorrt-cu12-bindings==10.13.*",
    "11.4": "tensorrt-cu13-bindings==11.4.*",
}
CUDA_BINDINGS = {
    "12": ("cuda-bindings>=12.9,<13", "cuda-pathfinder"),
    "13": ("cuda-bindings>=13,<14", "cuda-pathfinder"),
}
CUDART = {
    "11": ("nvidia-cuda-runtime-cu11",),
    "12": ("nvidia-cuda-runtime-cu12",),
    "13": ("nvidia-cuda-runtime>=13",),
}
LIBRARIES = {"8": ("nvinfer", "nvonnxparser", "nvparsers", "nvinfer_plugin")}
NEWER = ("nvinfer", "nvonnxparser", "nvinfer_plugin")
# What the bindings import from those libraries.  The object behind them has a method in every slot, which
# gives the object itself: so calls pass the bindings' own checks of arguments, and returns mean nothing.
STUB = """
#include <new>
#include <sys/mman.h>
struct Object {{ {declarations} void* implementation[64]; }};
static Object* made() {{
  const int rights = PROT_READ | PROT_WRITE, kind = MAP_PRIVATE | MAP_ANONYMOUS;
  void* memory = mmap((void*)0x20000000, 1 << 16, rights, kind, -1, 0);
  Object* object = new ((char*)memory + 8) Object;
  for (auto& slot : object->implementation) slot = object;
  return object;
}}
static void* given() {{ static Object* object = made(); return object; }}
{definitions}
extern "C" {{
{entries}
int getNvOnnxParserVersion() {{ return 0; }}
bool initLibNvInferPlugins(void*, const char*) {{ return true; }}
void _ZN14nvcaffeparser123shutdownProtobufLibraryEv() {{}}
void _ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi() {{}}
}}
"""
ENTRIES = (
    "createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
    "createNvOnnxParser_INTERNAL", "createNvOnnxParserRefitter_INTERNAL", "getBuilderPluginRegistry",
    "getPluginRegistry", "_ZN11nvuffparser15createUffParserEv", "_ZN14nvcaffeparser117createCaffeParserEv",
)  # fmt: skip
SLOTS = 700


def unpacked(*requirements: str) -> Path:
    """A folder with what these wheels hold; skips the test where they cannot be had."""
    name = "+".join(requirements)
    for sign in "=<>,*":
        name = name.replace(sign, "_")
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    folder = cache_folder() / "test-wheels" / f"{name}-{python}"
    if (folder / "complete").is_file():
        return folder
    for requirement in requirements:
        argv = [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
            "--retries", "1", "--timeout", "20", "--dest", str(folder / "wheels"), requirement,
        ]  # fmt: skip
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
            pytest.skip(f"no wheel of {requirement} for this Python: {last[:200]}")
    for wheel in (folder / "wheels").glob("*.whl"):
        with zipfile.ZipFile(wheel) as file:
            file.extractall(folder)
        wheel.unlink()
    (folder / "complete").touch()
    return folder


def stub_libraries(folder: Path, version: str) -> list[Path]:
    """libnvinfer and its kin for one major version; skips the test where there is no C++ compiler."""
    import shutil

    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler here to build stubs of TensorRT's libraries")
    major = version.partition(".")[0]
    source = folder / "stub.cpp"
    numbers = range(SLOTS)
    source.write_text(
        STUB.format(
            declarations=" ".join(f"virtual void* f{n}();" for n in numbers),
            definitions="\n".join(f"void* Object::f{n}() {{ return given(); }}" for n in numbers),
            entries="\n".join(
                f"void* {name}(void*, int) {{ return given(); }}" for name in ENTRIES
            ),
        ),
        encoding="utf-8",
    )
    (folder / "empty.cpp").write_text("", encoding="utf-8")
    made = []
    for name in LIBRARIES.get(major, NEWER):
        made.append(folder / f"lib{name}.so.{major}")
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", f"-Wl,-soname,{made[-1].name}", "-o", str(made[-1]),
             str(source if name == "nvinfer" else folder / "empty.cpp")],
            check=True, capture_output=True, timeout=300,
        )  # fmt: skip
    return made
