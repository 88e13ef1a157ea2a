"""stgcn build --to ascend, by a strict stand-in of atc: what it makes, refuses, and leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from checkpoints import edit_model, save, stgcn
from fakes.om import read_om
from fakes.place import OLD, OPTIONS, SOC, nothing_left
from unit.test_tsstg import tsstg

from stgcn_deploy import api
from stgcn_deploy.bundle import Bundle
from stgcn_deploy.errors import (
    BuildError,
    UsageError,
)

Cli = Callable[..., Any]


# ---- what is made ----------------------------------------------------------------------------


def test_a_build_is_a_bundle_with_an_om_for_each_batch(
    cli: Cli, bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    finished = cli(
        "build", bundle, "-o", tmp_path / "out", "--to", "ascend", *SOC, "--batch", "1,4"
    )
    assert finished.code == 0, finished.err
    assert "model_b1_fp16.om" in finished.out
    assert "Ascend310P3" in finished.out
    assert "25 fp16, 1 fp32" in finished.out
    assert "atc: batch 4, fp16" in finished.err
    built = Bundle(tmp_path / "out")
    assert sorted(built.manifest.files) == [
        "golden.npz", "labels.txt", "model.onnx", "model_b1_fp16.om", "model_b4_fp16.om",
    ]  # fmt: skip
    base = Bundle(bundle)
    for name in base.manifest.files:
        assert built.manifest.files[name] == base.manifest.files[name]
    kept = {"name", "builds", "files", "versions", "command"}
    assert built.manifest.model_dump(exclude=kept) == base.manifest.model_dump(exclude=kept)
    assert built.manifest.name == "out"
    one, four = built.manifest.builds
    assert (one.target, one.file, one.device) == ("ascend", "model_b1_fp16.om", "Ascend310P3")
    assert (one.requested, one.actual) == ("fp16", "fp16")
    assert [(a.precision, a.outcome) for a in one.attempts] == [("fp16", "built")]
    assert one.layers == {"fp16": 25, "fp32": 1}
    assert one.shapes == {"input": ((1, 3, 20, 18, 2),)}
    assert four.shapes == {"input": ((4, 3, 20, 18, 2),)}
    assert four.command[:4] == (
        "atc", "--model=model.onnx", "--framework=5", "--output=model_b4_fp16",
    )  # fmt: skip
    assert not any(str(tmp_path) in word for word in four.command)
    assert one.tools == {"CANN": "version not found"}
    assert list((tmp_path / "scratch").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "calls",
        "out",
        "scratch",
        "toolkit",
    ]


def test_atc_is_given_absolute_paths_and_a_folder_of_its_own(
    bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    atc.chdir(bundle.parent)
    found = api.build(bundle.name, tmp_path / "out", **OPTIONS, batch=2)
    assert found.bundle is not None
    calls = [
        dict(word.removeprefix("--").split("=", 1) for word in json.loads(line)[1:])
        for line in (tmp_path / "calls").read_text(encoding="utf-8").splitlines()
    ]
    convert, listed = calls
    assert convert["model"] == str((bundle / "model.onnx").resolve())
    assert Path(convert["output"]).is_absolute()
    assert Path(convert["output"]).parent.parent.parent == tmp_path / "scratch"
    assert convert["input_shape"] == "input:2,3,20,18,2"
    assert listed["mode"] == "1"
    # Droppings fell into the scratch folder, and nothing beside the bundle.
    assert sorted(path.name for path in bundle.iterdir()) == sorted(
        [*Bundle(bundle).manifest.files, "manifest.json"]
    )


def test_what_is_built_is_in_the_result_and_as_json(
    cli: Cli, bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    finished = cli("build", bundle, "-o", tmp_path / "out", "--to", "om", *SOC, "--json")
    assert finished.code == 0, finished.err
    said = json.loads(finished.out)
    assert said["target"] == "ascend"
    assert said["fell_back"] is False
    assert [one["file"] for one in said["builds"]] == ["model_b1_fp16.om"]
    assert said["bundle"] == str(tmp_path / "out")


def test_a_fixed_graph_gives_its_own_batch(
    example: Callable[..., Any], atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = example(**OLD, batch=3).bundle
    found = api.build(made, tmp_path / "out", **OPTIONS)
    assert [one.file for one in found.builds] == ["model_b3_fp16.om"]
    with pytest.raises(UsageError, match="fixed to batch 3"):
        api.build(made, tmp_path / "other", **OPTIONS, batch=(1,))


def test_every_input_of_a_network_is_given(atc: pytest.MonkeyPatch, tmp_path: Path) -> None:
    checkpoint = save(tsstg(), tmp_path / "tsstg.pt")
    api.export(checkpoint, tmp_path / "base", **OLD)
    found = api.build(tmp_path / "base", tmp_path / "out", **OPTIONS)
    (record,) = found.builds
    assert set(record.shapes) == {"points", "motion"}
    _, meta = read_om(tmp_path / "out" / record.file)
    assert {name: tuple(shape) for name, shape in meta["inputs"].items()} == {
        name: shapes[0] for name, shapes in record.shapes.items()
    }


def test_weights_beside_the_graph_are_found_and_kept(
    example: Callable[..., Any], atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = example(**OLD, external_data=True).bundle
    found = api.build(made, tmp_path / "out", **OPTIONS)
    assert (tmp_path / "out" / "model.onnx.data").is_file()
    assert found.builds[0].actual == "fp16"


def test_an_fp16_bundle_keeps_its_precision_as_origin(
    bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    api.quantize(bundle, tmp_path / "half", to="fp16", gate=False, latency=False)
    found = api.build(tmp_path / "half", tmp_path / "out", **OPTIONS, precision="origin")
    assert (found.builds[0].actual, found.builds[0].file) == ("origin", "model_b1_origin.om")


def test_the_toolkits_version_is_recorded(
    bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    info = tmp_path / "toolkit" / "x86_64-linux" / "ascend_toolkit_install.info"
    info.parent.mkdir()
    info.write_text(
        "package_name=Ascend-cann-toolkit\nversion=8.0.0\narch=x86_64\n", encoding="utf-8"
    )
    found = api.build(bundle, tmp_path / "out", **OPTIONS)
    assert found.builds[0].tools == {"CANN": "8.0.0"}


def test_a_host_in_the_name_that_atc_gives_is_taken_off(
    bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    atc.setenv("FAKE_ATC_FAULT", "suffix")
    found = api.build(bundle, tmp_path / "out", **OPTIONS)
    assert [one.file for one in found.builds] == ["model_b1_fp16.om"]


# ---- the OM computes what the bundle computes ------------------------------------------------


def _parity(built: Bundle, batch: int, seed: int) -> float:
    """Largest difference of the scores of an OM's graph and the bundle's, on noise."""
    (record,) = (one for one in built.manifest.builds if f"_b{batch}_" in one.file)
    data, meta = read_om(built.path / record.file)
    graph = onnx.load_from_string(data)
    onnx.checker.check_model(graph, full_check=True)
    assert graph.opset_import[0].version == 11
    assert meta["batch"] == batch
    rng = np.random.default_rng(seed)
    feed = {
        name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in meta["inputs"].items()
    }
    import onnxruntime

    providers = ["CPUExecutionProvider"]
    om = onnxruntime.InferenceSession(data, providers=providers)
    assert [list(value.shape) for value in om.get_inputs()] == list(meta["inputs"].values())
    whole = onnxruntime.InferenceSession(str(built.model_path), providers=providers)
    got, want = om.run(None, feed)[0], whole.run(None, feed)[0]
    assert got.shape == (batch, built.manifest.num_classes)
    other = whole.run(None, {name: array * 2 for name, array in feed.items()})[0]
    assert np.abs(other - want).max() > 1e-2, "scores that do not depend on the input prove nothing"
    return float(np.abs(got - want).max() / max(1.0, np.abs(want).max()))


@pytest.fixture(scope="module")
def kinetics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Slim networks with the shapes of guide 004: (N, 3, 300, 18, 2), by graph form; with a head of 5."""
    folder = tmp_path_factory.mktemp("kinetics")
    checkpoint = save(stgcn(widths=(4, 4, 8)), folder / "st_gcn.kinetics.pth")
    made = {}
    for form in ("matmul", "aggregate"):
        made[form] = folder / form
        api.export(checkpoint, made[form], graph_form=form, opset=11, dynamic="batch", logits=True)
    return made


@pytest.mark.parametrize("form", ["matmul", "aggregate"])
@pytest.mark.parametrize(
    "batch",
    [
        1,
        4,
        8,
        16,
        pytest.param(32, marks=pytest.mark.slow),
        pytest.param(64, marks=pytest.mark.slow),
    ],
)
def test_kinetics_shapes_have_parity(
    kinetics: dict[str, Path], atc: pytest.MonkeyPatch, tmp_path: Path, form: str, batch: int
) -> None:
    found = api.build(kinetics[form], tmp_path / "out", **OPTIONS, batch=batch)
    assert found.bundle is not None
    (record,) = found.builds
    assert record.shapes == {"input": ((batch, 3, 300, 18, 2),)}
    assert _parity(found.bundle, batch, seed=batch) < 1e-5


def test_the_parity_check_would_notice_one_changed_tensor(
    kinetics: dict[str, Path], atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def change(model: onnx.ModelProto) -> None:
        weights = max(model.graph.initializer, key=lambda one: len(one.raw_data))
        values = onnx.numpy_helper.to_array(weights) * np.float32(1.01)
        weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))

    found = api.build(kinetics["matmul"], tmp_path / "out", **OPTIONS)
    assert found.bundle is not None
    edit_model(found.bundle.path, change)
    assert _parity(found.bundle, 1, seed=1) > 1e-5


# ---- precision -------------------------------------------------------------------------------


def test_each_precision_is_built_where_the_chip_has_it(
    bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    layers = {}
    for precision in ("fp16", "mixed", "origin"):
        found = api.build(
            bundle,
            tmp_path / precision,
            to="ascend",
            soc_version="Ascend910B3",
            precision=precision,
        )
        (record,) = found.builds
        assert (record.requested, record.actual) == (precision, precision)
        assert record.file == f"model_b1_{precision}.om"
        layers[precision] = record.layers
    assert layers["fp16"]["fp16"] > layers["mixed"]["fp16"] > layers["origin"].get("fp16", 0)


def test_a_chip_without_float_convolutions_refuses_origin(
    cli: Cli, bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    finished = cli(
        "build", bundle, "-o", tmp_path / "out", "--to", "ascend", *SOC, "--precision", "origin"
    )
    assert finished.code == 1
    assert "Conv2D (node " in finished.err
    assert "--precision mixed or fp16" in finished.err
    assert nothing_left(tmp_path)


def test_a_fallback_is_taken_when_allowed_and_told_everywhere(
    cli: Cli, bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    finished = cli(
        "build", bundle, "-o", tmp_path / "out", "--to", "ascend", *SOC, "--precision", "origin",
        "--allow-fallback",
    )  # fmt: skip
    assert finished.code == 0, finished.err
    assert "WARNING: model_b1_mixed.om is mixed, asked for was origin" in finished.err
    (record,) = Bundle(tmp_path / "out").manifest.builds
    assert (record.requested, record.actual, record.file) == (
        "origin",
        "mixed",
        "model_b1_mixed.om",
    )
    assert [one.precision for one in record.attempts] == ["origin", "mixed"]
    assert "Conv2D" in record.attempts[0].outcome
    assert record.attempts[1].outcome == "built"
    assert "--precision_mode=allow_mix_precision" in record.command


def test_a_fallback_is_not_for_other_failures(
    bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    atc.setenv("FAKE_ATC_FAULT", "inner")
    with pytest.raises(BuildError, match="E19999"):
        api.build(bundle, tmp_path / "out", **OPTIONS, precision="origin", allow_fallback=True)
    assert len((tmp_path / "calls").read_text(encoding="utf-8").splitlines()) == 1


def test_when_no_precision_can_be_had_the_last_refusal_is_told(
    bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    atc.setenv("FAKE_ATC_FAULT", "no-kernels")
    with pytest.raises(BuildError, match="kernels of this chip"):
        api.build(bundle, tmp_path / "out", **OPTIONS, precision="mixed", allow_fallback=True)
    assert nothing_left(tmp_path)


@pytest.mark.parametrize(
    ("fault", "asked", "actual"), [("float", "fp16", "origin"), ("half", "origin", "fp16")]
)
def test_another_precision_than_asked_for_is_found_in_the_layers(
    bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path, fault: str, asked: str, actual: str
) -> None:
    atc.setenv("FAKE_ATC_FAULT", fault)
    options = {"to": "ascend", "soc_version": "Ascend910B3", "precision": asked}
    with pytest.raises(BuildError, match=f"asked for {asked} and built {actual}"):
        api.build(bundle, tmp_path / "out", **options)
    assert nothing_left(tmp_path)
    found = api.build(bundle, tmp_path / "out", **options, allow_fallback=True)
    (record,) = found.builds
    assert (record.requested, record.actual) == (asked, actual)
    assert record.file == f"model_b1_{actual}.om"
    assert f"built as {actual}" in record.attempts[0].outcome
    assert found.fell_back


@pytest.mark.parametrize(
    ("fault", "why"), [("no-list", "exit code 255"), ("bad-list", "its list is unreadable")]
)
def test_layers_that_cannot_be_listed_are_said_not_to_be_known(
    cli: Cli, bundle: Path, atc: pytest.MonkeyPatch, tmp_path: Path, fault: str, why: str
) -> None:
    atc.setenv("FAKE_ATC_FAULT", fault)
    finished = cli("build", bundle, "-o", tmp_path / "out", "--to", "ascend", *SOC)
    assert finished.code == 0, finished.err
    assert "not listed" in finished.out
    assert "its layers could not be listed" in finished.err
    (record,) = Bundle(tmp_path / "out").manifest.builds
    assert record.layers == {}
    assert why in record.attempts[0].outcome
