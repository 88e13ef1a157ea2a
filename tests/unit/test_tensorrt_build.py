"""Every branch of a build, on a strict fake of every version; nothing of NVIDIA's runs here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorrt_doubles import FIXED, OPEN, VERSIONS, Site, inspection

from stgcn_deploy.builders.tensorrt.api import Api
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import BuildError, MissingDependencyError, UsageError

pytestmark = pytest.mark.shared
STRONG = ("10.0", "10.3", "10.13", "10.16", "11.0", "11.4")
WEAK = ("8.5", "8.6", "10.3", "10.16")


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Site]:
    return lambda version, shape=FIXED, **returns: Site(version, tmp_path, shape, **returns)


# ---- one path for all versions -------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_fp32_everywhere(
    version: str, site: Callable[..., Site], tensorrt_world: dict[str, Path]
) -> None:
    here = site(version)
    record = here.build(tensorrt_world["fp32"], workspace="1GiB")
    assert (record.file, record.actual, record.device) == ("model_fp32.engine", "fp32", "sm_87")
    assert record.tools == {"tensorrt": here.fake.trt.__version__}
    assert [one.model_dump() for one in record.attempts] == [
        {"precision": "fp32", "outcome": "built"}
    ]
    assert record.shapes == {"input": ((1, 2, 32, 17, 1),)}
    bits = {"8": 1, "10": 2, "11": 1}[version.partition(".")[0]]
    assert here.fake.calls("Builder.create_network") == [(bits,)]
    assert here.fake.calls("IBuilderConfig.set_flag") == []
    ((flag,),) = here.fake.calls("IBuilderConfig.clear_flag")
    assert flag.name == "TF32"
    ((pool, size),) = here.fake.calls("IBuilderConfig.set_memory_pool_limit")
    assert (pool.name, size) == ("WORKSPACE", 1 << 30)
    assert "TF32 off" in record.command


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_precision_in_the_graph_everywhere(
    version: str, precision: str, site: Callable[..., Site], tensorrt_world: dict[str, Path]
) -> None:
    here = site(version)
    here.fake.inspections = [inspection({precision: 8, "fp32": 1})]
    record = here.build(tensorrt_world[precision])
    assert (record.file, record.requested) == (f"model_{precision}.engine", precision)
    assert record.layers == {precision: 8, "fp32": 1}
    flags = [flag.name for (flag,) in here.fake.calls("IBuilderConfig.set_flag")]
    assert flags == ([] if version in STRONG else [precision.upper()])
    assert ("strongly typed" in record.command) is (version in STRONG)


@pytest.mark.parametrize("version", WEAK)
def test_fp16_by_flag_where_there_is_one(
    version: str, site: Callable[..., Site], tensorrt_world: dict[str, Path]
) -> None:
    here = site(version)
    here.fake.inspections = [inspection({"fp16": 9})]
    assert here.build(tensorrt_world["fp32"], precision="fp16").actual == "fp16"
    assert here.fake.calls("Builder.create_network") == [(1 if version in ("8.5", "8.6") else 0,)]


@pytest.mark.parametrize("version", ["11.0", "11.4"])
def test_no_flag_no_engine(
    version: str, site: Callable[..., Site], tensorrt_world: dict[str, Path]
) -> None:
    here = site(version)
    told = (
        r"no fp16 engine: TensorRT 11.* has no BuilderFlag.FP16.*stgcn quantize .*--to fp16 --for"
    )
    with pytest.raises(BuildError, match=told):
        here.build(tensorrt_world["fp32"], precision="fp16")
    assert list(here.folder.glob("*.engine")) == []
    record = here.build(tensorrt_world["fp32"], precision="fp16", allow_fallback=True)
    assert (record.requested, record.actual) == ("fp16", "fp32")
    assert [one.precision for one in record.attempts] == ["fp16", "fp32"]


# ---- the ladder ----------------------------------------------------------------------------------


def test_an_fp16_build_that_gives_nothing_stops_or_falls_back(
    site: Callable[..., Site], tensorrt_world: dict[str, Path]
) -> None:
    here = site("10.3")
    broken = here.fake.failing("Could not find any implementation for node /network/Conv.")
    here.fake.plans = [broken]
    with pytest.raises(
        BuildError, match=r"'/network/Conv'.*go on with fp32, give --allow-fallback"
    ):
        here.build(tensorrt_world["fp32"], precision="fp16")
    here.fake.plans = [broken, b"plan"]
    record = here.build(tensorrt_world["fp32"], precision="fp16", allow_fallback=True)
    assert (record.file, record.requested) == ("model_fp32.engine", "fp16")
    first, second = record.attempts
    assert (first.precision, second.outcome) == ("fp16", "built")
    assert "'/network/Conv'" in first.outcome
    # The FP32 engine is built anew, as what it is, and not with the flag that did not help.
    flags = [flag.name for (flag,) in here.fake.calls("IBuilderConfig.set_flag")]
    assert flags == ["FP16", "FP16"]


def test_an_engine_that_says_fp16_and_is_fp32_is_no_fp16_engine(
    site: Callable[..., Site], tensorrt_world: dict[str, Path]
) -> None:
    here = site("8.6")
    here.fake.inspections = [inspection({"fp32": 9})]
    with pytest.raises(BuildError, match=r"asked for fp16, but it computes in fp32 \(of 9 layers"):
        here.build(tensorrt_world["fp32"], precision="fp16")
    assert list(here.folder.glob("*.engine")) == []
    record = here.build(tensorrt_world["fp32"], precision="fp16", allow_fallback=True)
    assert (record.file, record.actual) == ("model_fp32.engine", "fp32")
    assert [one.name for one in here.folder.glob("*.engine")] == ["model_fp32.engine"]
    assert "computes in fp32" in record.attempts[0].outcome


def test_int8_to_fp16_to_fp32(site: Callable[..., Site], tensorrt_world: dict[str, Path]) -> None:
    here = site("10.3")
    here.fake.inspections = [inspection({"fp16": 9}), inspection({"fp32": 9})]
    record = here.build(
        tensorrt_world["fp32"], precision="int8", allow_fallback=True,
        calib=tensorrt_world["data"], calib_samples=16,
    )  # fmt: skip
    assert record.file == "model_fp32.engine"
    assert [one.precision for one in record.attempts] == ["int8", "fp16", "fp32"]
    assert "computes in fp16" in record.attempts[0].outcome
    assert "computes in fp32" in record.attempts[1].outcome


def test_a_graph_with_its_precision_is_taken_as_what_it_became_or_not_at_all(
    site: Callable[..., Site], tensorrt_world: dict[str, Path]
) -> None:
    here = site("11.4")
    with pytest.raises(BuildError, match="To take it as fp32, give --allow-fallback"):
        here.build(tensorrt_world["fp16"])
    record = here.build(tensorrt_world["fp16"], allow_fallback=True)
    assert (record.requested, record.actual, record.file) == ("fp16", "fp32", "model_fp32.engine")
    assert "computes in fp32" in record.attempts[0].outcome
    here.fake.plans = [None]
    with pytest.raises(
        BuildError, match=r"no engine of any precision\. fp16: TensorRT gives no reason"
    ):
        here.build(tensorrt_world["fp16"], allow_fallback=True)


def test_a_gpu_without_fast_fp16_is_told(
    site: Callable[..., Site], tensorrt_world: dict[str, Path]
) -> None:
    here = site("10.3", Builder__platform_has_fast_fp16=False)
    with pytest.raises(BuildError, match="this GPU has no fast fp16"):
        here.build(tensorrt_world["fp32"], precision="fp16")


def test_an_audit_that_sees_nothing_is_no_success(
    site: Callable[..., Site], tensorrt_world: dict[str, Path]
) -> None:
    here = site("10.3")
    here.fake.inspections = ['{"Layers": ["Conv_0"]}']
    with pytest.raises(BuildError, match="nobody knows what this engine computes in"):
        here.build(tensorrt_world["fp32"])


# ---- what can break ------------------------------------------------------------------------------


def test_a_plan_that_does_not_open(
    site: Callable[..., Site], tensorrt_world: dict[str, Path]
) -> None:
    here = site("10.3", Runtime__deserialize_cuda_engine=lambda *_: None)
    with pytest.raises(BuildError, match="cannot open the engine that it just built"):
        here.build(tensorrt_world["fp32"])


def test_out_of_memory(site: Callable[..., Site], tensorrt_world: dict[str, Path]) -> None:
    here = site("8.6")
    here.fake.plans = [here.fake.failing("Error Code 1: Cuda Runtime (out of memory)")]
    with pytest.raises(BuildError, match=r"out of memory.*less --workspace"):
        here.build(tensorrt_world["fp32"])


def test_no_gpu_is_a_missing_device(
    site: Callable[..., Site], tensorrt_world: dict[str, Path]
) -> None:
    here = site("10.3")

    def none(logger: Any) -> None:
        logger.log(here.fake.trt.Logger.ERROR, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    here.fake.trt.Builder = none
    with pytest.raises(MissingDependencyError, match=r"cannot start on this machine.*nvidia-smi"):
        here.build(tensorrt_world["fp32"])


def test_an_operator_that_the_parser_does_not_know(
    site: Callable[..., Site], tensorrt_world: dict[str, Path]
) -> None:
    answers = {
        "OnnxParser__parse_from_file": lambda *_: False,
        "OnnxParser__num_errors": 5,
        "OnnxParser__get_error": lambda parser, _: here.fake.trt.ParserError._fake(),
        "ParserError__desc": "No importer registered for op: Einsum",
        "ParserError__node": 7,
        "ParserError__node_name": "/network/gcn/Einsum",
        "ParserError__node_operator": "Einsum",
    }
    here = site("10.3", **answers)
    with pytest.raises(BuildError) as caught:
        here.build(tensorrt_world["fp32"])
    told = str(caught.value)
    assert "Einsum node '/network/gcn/Einsum': No importer registered for op: Einsum" in told
    assert "and 2 more" in told
    assert "--graph-form" in told
    here = site("8.6", **answers)
    with pytest.raises(BuildError, match="node 7: No importer"):
        here.build(tensorrt_world["fp32"])


def test_inputs_that_are_not_the_manifests(
    site: Callable[..., Site], tensorrt_world: dict[str, Path]
) -> None:
    with pytest.raises(BuildError, match="has the inputs points, its manifest input"):
        site("10.3", ITensor__name="points").build(tensorrt_world["fp32"])
    for shape in (OPEN, (1, 2, 32, 17), (1, 3, 32, 17, 1)):
        with pytest.raises(BuildError, match="the manifest asks for"):
            site("10.3", shape).build(tensorrt_world["fp32"])
    with pytest.raises(BuildError, match="the manifest asks for"):
        site("10.3", FIXED).build(tensorrt_world["open"])


def test_the_parser_gets_the_file_and_so_finds_weights_beside_it(
    site: Callable[..., Site], tensorrt_world: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tensorrt_world["fp32"].parent)
    here = site("8.5")
    here.build(Path("fp32"))
    ((path,),) = here.fake.calls("OnnxParser.parse_from_file")
    assert Path(path).is_absolute()
    assert Path(path) == (tensorrt_world["fp32"] / "model.onnx").resolve()


def test_a_profile_that_tensorrt_refuses(
    site: Callable[..., Site], tensorrt_world: dict[str, Path]
) -> None:
    here = site("10.3", OPEN, IBuilderConfig__add_optimization_profile=-1)
    with pytest.raises(UsageError, match=r"refuses the profile \(batch 1 to 8"):
        here.build(tensorrt_world["open"])
    here = site("10.3", OPEN)
    record = here.build(tensorrt_world["open"], profile="2:4:6")
    assert here.fake.calls("IOptimizationProfile.set_shape") == [
        ("input", (2, 2, 32, 17, 1), (4, 2, 32, 17, 1), (6, 2, 32, 17, 1))
    ]
    assert record.shapes["input"][1] == (4, 2, 32, 17, 1)
    assert here.fake.calls("IExecutionContext.set_input_shape") == [("input", (4, 2, 32, 17, 1))]


def test_the_audit_does_without_a_context_where_there_is_no_memory_for_one(
    site: Callable[..., Site], tensorrt_world: dict[str, Path]
) -> None:
    for refusal in (
        {"ICudaEngine__create_execution_context": lambda *_: None},
        {"IExecutionContext__set_input_shape": lambda *_: False},
    ):
        here = site("8.6", OPEN, **refusal)
        here.fake.inspections = [inspection({"fp32": 9}, dynamic=True)]
        assert here.build(tensorrt_world["open"]).layers == {"fp32": 9}
        assert here.fake.calls("EngineInspector.execution_context=") == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"opt_level": 5}, "no optimisation levels; leave out --opt-level"),
        ({"hardware_compatible": True}, "leave out --hardware-compatible"),
        ({"version_compatible": True}, "leave out --version-compatible"),
    ],
)
def test_what_85_does_not_have(
    options: dict[str, Any],
    told: str,
    site: Callable[..., Site],
    tensorrt_world: dict[str, Path],
) -> None:
    with pytest.raises(UsageError, match=told):
        site("8.5").build(tensorrt_world["fp32"], **options)
    record = site("8.6").build(tensorrt_world["fp32"], **options)
    assert record.device == ("sm_80+" if "hardware_compatible" in options else "sm_87")


def test_a_version_before_85_is_refused(site: Callable[..., Site]) -> None:
    here = site("8.6")
    here.fake.trt.__version__ = "8.4.1"
    with pytest.raises(MissingDependencyError, match=r"8\.4\.1 is older than 8\.5"):
        Api(here.fake.trt)


# ---- timings -------------------------------------------------------------------------------------


def test_timings_are_read_and_written(
    site: Callable[..., Site], tensorrt_world: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "some" / "timing.cache"
    here = site("10.3")
    here.build(tensorrt_world["fp32"], timing_cache=path)
    assert path.read_bytes() == b"timings"
    here.build(tensorrt_world["fp32"], timing_cache=path)
    assert here.fake.calls("IBuilderConfig.create_timing_cache") == [(b"",), (b"timings",)]
    # A mismatch is to be said, not to be passed over.
    assert [strict for _, strict in here.fake.calls("IBuilderConfig.set_timing_cache")] == [
        False
    ] * 2


@pytest.mark.parametrize(
    "refusal",
    [
        {"IBuilderConfig__create_timing_cache": lambda *_: None},
        {"IBuilderConfig__set_timing_cache": lambda *_: False},
    ],
)
def test_timings_of_another_version_are_refused_and_not_overwritten(
    refusal: dict[str, Any],
    site: Callable[..., Site],
    tensorrt_world: dict[str, Path],
    tmp_path: Path,
) -> None:
    path = tmp_path / "timing.cache"
    path.write_bytes(b"of another version")
    with pytest.raises(UsageError, match=r"no timing cache of TensorRT 10\.3.* on this GPU"):
        site("10.3", **refusal).build(tensorrt_world["fp32"], timing_cache=path)
    assert path.read_bytes() == b"of another version"


# ---- progress and Ctrl-C -------------------------------------------------------------------------


def test_progress_by_the_monitor_or_by_messages(
    site: Callable[..., Site], tensorrt_world: dict[str, Path]
) -> None:
    for version in ("8.6", "10.3"):
        here, seen = site(version), []

        def plan(here: Site = here) -> bytes:
            here.fake.say("INFO", "Graph optimization time: 0.4 seconds.")
            for (watch,) in here.fake.calls("IBuilderConfig.progress_monitor="):
                watch.phase_start("Building Engine", None, 2)
                assert watch.step_complete("Building Engine", 0) is True
                watch.phase_finish("Building Engine")
            return b"plan"

        here.fake.plans = [plan]
        here.builder.build(
            Bundle(tensorrt_world["fp32"]),
            here.builder.options(),
            here.folder,
            lambda text, share, seen=seen: seen.append((text, share)),
        )
        assert ("Graph optimization time: 0.4 seconds.", None) in seen
        assert (("Building Engine", 0.5) in seen) is (version == "10.3")


def test_ctrl_c_in_a_callback_ends_the_build_when_tensorrt_has_returned(
    site: Callable[..., Site], tensorrt_world: dict[str, Path]
) -> None:
    here = site("10.3")

    def plan() -> None:
        ((watch,),) = here.fake.calls("IBuilderConfig.progress_monitor=")
        watch.phase_start("Building Engine", None, 2)
        assert watch.step_complete("Building Engine", 0) is False

    def progress(text: str, _: float | None) -> None:
        if text == "Building Engine":
            raise KeyboardInterrupt

    here.fake.plans = [plan]
    with pytest.raises(KeyboardInterrupt):
        here.builder.build(
            Bundle(tensorrt_world["fp32"]), here.builder.options(), here.folder, progress
        )
    assert list(here.folder.glob("*.engine")) == []
