"""What ACL's error numbers mean, and what to do; from Huawei's list (aclError), in our words."""

from __future__ import annotations

__all__ = ["advice"]

_REBUILD = "it was built by another CANN version or for another chip; run stgcn build on this host"
_NO_DEVICE = "no such NPU; see npu-smi info, and ASCEND_RT_VISIBLE_DEVICES if it is set"
_MEMORY = "memory ran out; close sessions, or take a file of a smaller batch"
_FREE = "see what else uses the NPU: npu-smi info"

KNOWN = {
    100000: "a wrong argument",
    100001: "ACL is not initialised",
    100002: "ACL is initialised already",
    100003: "the file cannot be read",
    100011: "no such model is loaded",
    100012: f"the file cannot be read as a model: {_REBUILD}",
    100013: f"the file cannot be read as a model: {_REBUILD}",
    100014: "the file cannot be read; see its permissions",
    100015: "the file is cut short; copy it again",
    100016: f"the file lacks something: {_REBUILD}",
    100017: "inputs do not fit the model",
    100018: "outputs do not fit the model",
    100019: "the model has no gears",
    100037: "ACL was ended already",
    100039: "LD_LIBRARY_PATH leads to CANN's stubs; source set_env.sh of the toolkit in a new shell",
    107000: "a wrong argument",
    107001: _NO_DEVICE,
    107002: "no context is set in this thread",
    107004: "the model belongs to another context",
    145002: "the file cannot be read; see its path and permissions",
    145003: "no such model is loaded",
    145006: "the file is cut short; copy it again",
    145011: "the input of the gears is wrong",
    145012: "the input of the gears is wrong",
    145013: "the model has no such gear",
    148049: "ASCEND_OPP_PATH is wrong; source set_env.sh of the toolkit",
    200000: _MEMORY,
    207000: "this chip cannot do that",
    207001: f"{_MEMORY}; {_FREE}",
    207004: _NO_DEVICE,
    207005: f"{_MEMORY}; {_FREE}",
    207006: "the user may not use the NPU; add them to the group HwHiAiUser",
    207018: f"{_MEMORY}; {_FREE}",
    245000: f"{_MEMORY}; {_FREE}",
    245002: f"{_MEMORY}; {_FREE}",
    507011: "the model failed on the NPU; the log under ~/ascend/log names the operator",
    507014: "an operator took too long",
    507015: "an operator failed; the log under ~/ascend/log names it",
    507033: "the NPU did not start; see npu-smi info",
    507899: "the driver failed; see npu-smi info, and whether its version fits CANN's",
    545001: f"the model cannot be loaded: {_REBUILD}",
    545601: "the model took too long",
}
RULES = {
    1: "a call or an environment that is wrong",
    2: "a resource that is short or not there; see npu-smi info",
    3: "a queue or service that failed",
    5: "an error inside CANN; its log lies under ~/ascend/log",
}


def advice(code: object) -> str:
    """What an error number means and what to do, in brackets; a full stop where it is none."""
    if not isinstance(code, int):
        return "."
    text = KNOWN.get(code) or RULES.get(code // 100_000)
    return f" ({text})." if text else "."
