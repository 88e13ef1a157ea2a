"""atc's command line is the vendor's, and its logs become errors that say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.fake_atc_flags import known_flags
from fakes.place import without_toolkit

from stgcn_deploy.builders.ascend_atc import (
    Refusal,
    convert_argv,
    failure_of,
    list_argv,
    read_log,
)
from stgcn_deploy.builders.ascend_options import MODES, AscendOptions
from stgcn_deploy.builders.tool import ToolRun, public_argv
from stgcn_deploy.errors import (
    BuildError,
    MissingDependencyError,
    StgcnError,
    UnknownNameError,
    UsageError,
)

START = "ATC start working now, please wait for a moment.\n"
FAILED = "ATC run failed, Please check the detail log, Try 'atc --help' for more information\n"
KINETICS = {"input": (4, 3, 300, 18, 2)}


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_toolkit(monkeypatch, tmp_path)
    monkeypatch.setenv("ASCEND_OPP_PATH", "opp")


def _error(log: str, precision: str = "fp16", soc: str = "Ascend310P3") -> StgcnError:
    return failure_of(ToolRun(255, START + FAILED + log, 1.0), precision, soc)


# ---- argv ------------------------------------------------------------------------------------


def test_the_command_is_that_of_the_guide_with_its_errors_put_right() -> None:
    argv = convert_argv(Path("/b/model.onnx"), Path("/s/out"), "Ascend310P3", "fp16", KINETICS)
    assert argv == (
        "atc",
        "--model=/b/model.onnx",
        "--framework=5",
        "--output=/s/out",
        "--input_format=ND",
        "--input_shape=input:4,3,300,18,2",
        "--soc_version=Ascend310P3",
        "--precision_mode=force_fp16",
        "--log=error",
    )


def test_every_input_has_its_shape() -> None:
    shapes = {"points": (1, 3, 30, 14), "motion": (1, 2, 29, 14)}
    argv = convert_argv(Path("m"), Path("o"), "Ascend310", "origin", shapes)
    assert "--input_shape=points:1,3,30,14;motion:1,2,29,14" in argv


@pytest.mark.parametrize(("precision", "mode"), MODES.items())
def test_each_precision_is_a_mode_of_atc(precision: str, mode: str) -> None:
    argv = convert_argv(Path("m"), Path("o"), "Ascend310P3", precision, KINETICS)
    assert f"--precision_mode={mode}" in argv
    assert not any(word.startswith("--precision_mode_v2") for word in argv)


def test_flags_are_flags_of_atc() -> None:
    words = (
        *convert_argv(Path("m"), Path("o"), "Ascend310P3", "fp16", KINETICS)[1:],
        *list_argv(Path("m.om"), Path("m.json"))[1:],
    )
    assert {word.partition("=")[0].removeprefix("--") for word in words} <= known_flags()


def test_the_manifest_gets_the_command_without_folders() -> None:
    argv = convert_argv(Path("/a/b/model.onnx"), Path("/c/out"), "Ascend310P3", "fp16", KINETICS)
    public = public_argv(("/usr/bin/atc", *argv[1:]))
    assert public[:4] == ("atc", "--model=model.onnx", "--framework=5", "--output=out")
    assert not any("/" in word for word in public)


# ---- options ---------------------------------------------------------------------------------


def test_batch_sizes_are_one_or_many() -> None:
    assert AscendOptions("Ascend310P3", batch=4).batches == (4,)
    assert AscendOptions("Ascend310P3", batch=[1, 4]).batches == (1, 4)
    assert AscendOptions("Ascend310P3").batches == ()


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"soc_version": ""}, UsageError, "name that of the NPU host with --soc-version"),
        ({"soc_version": "Ascend310310P3"}, UnknownNameError, "did you mean 'Ascend310P3'"),
        ({"soc_version": "310P3"}, UnknownNameError, "did you mean 'Ascend310P3'"),
        ({"soc_version": "Jetson"}, UnknownNameError, "Known: Ascend310, Ascend310P1"),
        ({"batch": (0,)}, UsageError, "at least 1, got 0"),
        ({"batch": (4, 4)}, UsageError, "given twice: 4, 4"),
        ({"precision": "fp61"}, UnknownNameError, "did you mean 'fp16'"),
        ({"precision": "int8"}, UnknownNameError, "AMCT"),
        ({"timeout": 0}, UsageError, "above 0 seconds, got 0"),
        ({"timeout": float("nan")}, UsageError, "above 0 seconds"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    options: dict[str, object], kind: type[StgcnError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        AscendOptions(**({"soc_version": "Ascend310P3"} | options))  # type: ignore[arg-type]


def test_a_fallback_goes_down_only() -> None:
    assert AscendOptions("Ascend310P3", precision="origin").ladder == ("origin",)
    ladders = {
        name: AscendOptions("Ascend310P3", precision=name, allow_fallback=True).ladder
        for name in MODES
    }
    assert ladders == {
        "origin": ("origin", "mixed", "fp16"),
        "mixed": ("mixed", "fp16"),
        "fp16": ("fp16",),
    }


def test_a_toolkit_knows_chips_that_the_table_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(UnknownNameError):
        AscendOptions("Ascend950PR_9579")
    chips = tmp_path / "toolkit" / "compiler" / "data" / "platform_config"
    chips.mkdir(parents=True)
    (chips / "Ascend950PR_9579.ini").touch()
    monkeypatch.setenv("ASCEND_TOOLKIT_HOME", str(tmp_path / "toolkit"))
    assert AscendOptions("Ascend950PR_9579").soc_version == "Ascend950PR_9579"
    with pytest.raises(UnknownNameError, match="did you mean 'Ascend950PR_9579'"):
        AscendOptions("Ascend950PR_957")


# ---- logs ------------------------------------------------------------------------------------

PARSER = (
    "E19010: No parser is registered for Op [grid_sampler_3140, optype "
    "[ai.onnx::11::grid_sampler]].\n        Model parse to graph failed, graph name:basicvsr."
    "[FUNC:ModelParseToGraph][FILE:onnx_parser.cc][LINE:847]\n"
)
MANY = """\
    E19010: No parser is registered for Op [/down/FindMax, optype [ai.onnx::11::FindMax]].
          Solution: Check the version of the installation package and reinstall the package.
          TraceBack (most recent call last):
          No parser is registered for Op [/down/TomeMerged, optype [ai.onnx::11::TomeMerged]].
          No parser is registered for Op [/down/FindMax, optype [ai.onnx::11::FindMax]].
"""
ENGINE = """\
EZ3003: [PID: 3482331] 2025-02-25-14:07:19.774.362 No supported Ops kernel and engine are found for \
[AddDsl], optype [AddDsl].
        Possible Cause: The operator is not supported by the system.
        Solution: 1. Check that the OPP component is installed properly. 2. Submit an issue.
        TraceBack (most recent call last):
        build graph failed, graph id:0, ret:-1[FUNC:BuildModel][FILE:ge_generator.cc][LINE:148]
"""
KERNEL = """\
EZ3002: Optype [TransData] of Ops kernel [aicpu_ascend_kernel] is unsupported. Reason: groups is 1.
        TraceBack (most recent call last):
        No supported Ops kernel and engine are found for [trans_TransData_0], optype [TransData].
"""


@pytest.mark.parametrize(
    ("log", "code", "refused", "by_engine"),
    [
        (PARSER, "E19010", [Refusal("grid_sampler", "grid_sampler_3140", 11)], False),
        (
            MANY,
            "E19010",
            [
                Refusal("FindMax", "/down/FindMax", 11),
                Refusal("TomeMerged", "/down/TomeMerged", 11),
            ],
            False,
        ),
        (ENGINE, "EZ3003", [Refusal("AddDsl", "AddDsl", None)], True),
        (KERNEL, "EZ3002", [Refusal("TransData", "trans_TransData_0", None)], True),
        (
            "EZ0501: IR for Op [conv_1, optype [MyConv]], is not registered.",
            "EZ0501",
            [Refusal("MyConv", "conv_1", None)],
            False,
        ),
        (
            "E76002: No ONNX parser is registered for optype [ai.onnx::11::Einsum].",
            "E76002",
            [Refusal("Einsum", "", 11)],
            False,
        ),
        (
            "W11001: Op [Abs] does not hit the high-priority operator information library.",
            "",
            [],
            False,
        ),
        ("", "", [], False),
    ],
)
def test_logs_name_the_operators_that_are_refused(
    log: str, code: str, refused: list[Refusal], by_engine: bool
) -> None:
    found = read_log(START + FAILED + log)
    assert (found.code, list(found.refused), found.by_engine) == (code, refused, by_engine)


def test_a_message_loses_its_stamp_and_keeps_its_advice() -> None:
    found = read_log(ENGINE)
    assert found.message.startswith("No supported Ops kernel")
    assert found.solution == "The operator is not supported by the system."
    assert read_log(KERNEL).reason == "groups is 1."


EINSUM = "E19010: No parser is registered for Op [/blocks.0/Einsum, optype [ai.onnx::12::Einsum]]."


@pytest.mark.parametrize(
    ("log", "precision", "kind", "said"),
    [
        (
            EINSUM,
            "fp16",
            BuildError,
            ("Einsum of opset 12 (node /blocks.0/Einsum)", "matmul --opset 11"),
        ),
        (
            "E19010: No parser is registered for Op [d, optype [ai.onnx::18::Div]].",
            "fp16",
            BuildError,
            ("Div of opset 18", "too new for this toolkit", "--opset 11"),
        ),
        # The parser does not care for precision; lowering it would not help.
        (
            EINSUM.replace("Einsum", "Odd").replace("12", "11"),
            "origin",
            BuildError,
            ("other graph forms",),
        ),
        (ENGINE, "origin", BuildError, ("AddDsl (node AddDsl)", "--precision mixed or fp16")),
        (ENGINE, "fp16", BuildError, ("EZ3003", "kernels of this chip")),
        (KERNEL, "fp16", BuildError, ("It says: groups is 1.",)),
        (
            "E10001: Value [Ascend950] for parameter [--soc_version] is invalid. Reason: unknown.",
            "fp16",
            UsageError,
            ("does not know the SoC version 'Ascend950'", "newer toolkit"),
        ),
        (
            "E10001: Value [-1] for parameter [input_2] is invalid. Reason: maybe you should set "
            "input_shape to specify its shape.",
            "fp16",
            BuildError,
            ("E10001: Value [-1] for parameter [input_2]",),
        ),
        (
            "EC0010: [PID: 129520] 2025-07-08-10:25:28.680.962 Failed to import Python module "
            "[ModuleNotFoundError: No module named 'decorator'.].\n        Solution: Check that all",
            "fp16",
            MissingDependencyError,
            ("lacks the module decorator", "pip3 install decorator"),
        ),
        (
            "E40000: Failed to import te.platform.log_util.",
            "fp16",
            MissingDependencyError,
            ("lacks the module te.platform.log_util;",),
        ),
        (
            "atc.bin: error while loading shared libraries: libascend_hal.so: cannot open shared object",
            "fp16",
            MissingDependencyError,
            ("finds no libascend_hal.so", "set_env.sh", "devlib"),
        ),
        (
            "E19999: Inner Error!",
            "fp16",
            BuildError,
            ("atc failed: E19999: Inner Error!", "end of its log"),
        ),
        ("", "fp16", BuildError, ("atc failed: exit code 255", START.strip())),
    ],
)
def test_errors_say_what_to_do(
    log: str, precision: str, kind: type[StgcnError], said: tuple[str, ...]
) -> None:
    error = _error(log, precision)
    assert type(error) is kind
    for part in said:
        assert part in str(error)


def test_long_lists_of_operators_are_cut() -> None:
    log = "".join(
        f"No parser is registered for Op [n{n}, optype [ai.onnx::11::Odd]].\n" for n in range(9)
    )
    assert "and 4 more" in str(_error("E19010: " + log))


def test_an_unknown_failure_without_the_toolkits_environment_is_put_down_to_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ASCEND_OPP_PATH")
    error = _error("E19999: Inner Error!")
    assert isinstance(error, MissingDependencyError)
    assert "source /usr/local/Ascend/ascend-toolkit/set_env.sh" in str(error)
    # What atc says of the graph stays what it is.
    assert isinstance(_error(EINSUM), BuildError)
