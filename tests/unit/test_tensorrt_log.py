"""What TensorRT says is kept, its errors name the layer and what to try, and progress never falls."""

from __future__ import annotations

import pytest

from stgcn_deploy.builders.tensorrt.log import MEANINGS, Message, Messages, meaning_of
from stgcn_deploy.builders.tensorrt.progress import Phases, by_messages


def _diagnosis(*errors: str) -> str:
    messages = Messages()
    for text in errors:
        messages.add("ERROR", text)
    return messages.diagnosis()


def test_a_failed_build_names_the_layer_and_what_to_try() -> None:
    told = _diagnosis(
        "10: [optimizer.cpp::computeCosts::3869] Error Code 10: Internal Error (Could not find any "
        "implementation for node {ForeignNode[/network/blocks.0/gcn/MatMul.../Softmax]}.)"
    )
    assert "at layer '{ForeignNode[/network/blocks.0/gcn/MatMul.../Softmax]}'" in told
    assert "--workspace" in told
    assert "--graph-form" in told
    assert "optimizer.cpp" not in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("In node 3 (parseGraph): No importer registered for op: Einsum", "'Einsum'"),
        ("Failed to open file: model.onnx.data", "model.onnx.data"),
        ("CUDA initialization failure with error: 35", "nvidia-smi"),
        ("Error Code 1: Cuda Runtime (out of memory)", "less --workspace"),
        ("Requested amount of GPU memory (17179869184 bytes) could not be allocated.", "memory"),
        ("Some tactics do not have sufficient workspace memory to run.", "give more --workspace"),
        ("Error Code 4: Internal Error (Internal error: calibration failure occurred)", "--calib"),
        ("input: kMIN dimensions in profile 0 are [1,3] but input has static dimensions", "--profile"),
        ("Error Code 1: Serialization (Version tag does not match)", "build it again"),
        ("Target GPU SM 53 is not supported by this TensorRT release.", "support matrix"),
        ("Unsupported SM: 0x503", "support matrix"),
    ],
)  # fmt: skip
def test_known_errors_have_advice(text: str, told: str) -> None:
    assert told in _diagnosis(text)


def test_the_error_that_means_something_is_told_and_not_its_echo() -> None:
    told = _diagnosis(
        "2: [builder.cpp::buildSerializedNetwork::609] Error Code 2: Internal Error (Assertion engine)",
        "Cuda Runtime (out of memory)",
    )
    assert "out of memory" in told


def test_an_error_that_nobody_knows_is_told_as_it_is() -> None:
    assert "TensorRT says: 42 is odd. " in _diagnosis("42 is odd.")
    assert "gives no reason" in _diagnosis()


def test_every_meaning_has_advice() -> None:
    assert all(one.advice for one in MEANINGS)
    assert meaning_of("all is well") is None


def test_messages_are_kept_by_severity_and_are_not_endless() -> None:
    messages = Messages()
    messages.add("WARNING", "w")
    for number in range(10_000):
        messages.add("VERBOSE", str(number))
    messages.add("INTERNAL_ERROR", "e")
    assert messages.errors == ("e",)
    assert len(messages.kept) < 5000
    assert messages.kept[-2].text == "9999"


def test_what_our_code_raises_is_held_until_tensorrt_has_returned() -> None:
    def tell(_: Message) -> None:
        raise KeyboardInterrupt

    messages = Messages(tell)
    messages.add("INFO", "first")
    messages.add("INFO", "second")
    assert len(messages.kept) == 2
    with pytest.raises(KeyboardInterrupt):
        messages.raise_held()
    messages.raise_held()


def test_info_lines_are_progress() -> None:
    seen: list[tuple[str, float | None]] = []
    tell = by_messages(lambda text, share: seen.append((text, share)))
    for severity, text in (
        ("info", "Global timing cache in use.\nmore"),
        ("verbose", "v"),
        ("info", ""),
    ):
        tell(Message(severity, text))
    assert seen == [("Global timing cache in use.", None)]


def test_phases_inside_phases_are_one_share() -> None:
    phases, shares = Phases(), []
    phases.start("all", None, 2)
    phases.start("inner", "all", 4)
    for step in range(4):
        phases.step("inner", step)
        shares.append(phases.share)
    phases.finish("inner")
    phases.step("all", 0)
    phases.step("all", 1)
    shares.append(phases.share)
    phases.finish("all")
    assert shares == [0.125, 0.25, 0.375, 0.5, 1.0]
    assert phases.share == 1.0


def test_strange_phases_do_no_harm() -> None:
    phases = Phases()
    phases.step("never begun", 3)
    phases.finish("never begun")
    assert phases.share == 0
    phases.start("a", "b", 0)
    phases.start("b", "a", 1)
    phases.step("a", 7)
    assert 0 <= phases.share <= 1
