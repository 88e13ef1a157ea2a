"""npu-smi, as far as `stgcn` asks it: `info`, and `info -t board -i NPU -c CHIP`.

FAKE_NPU names the chips: "310P3,310P3" (two cards), "310P3+310P3" (two chips on one), "Ascend910:9391" (a
series that tells its chip on the board only), "310P3!Warning" (its health); empty: none.
FAKE_NPU_FAULT=driver fails as without a driver.  The tables are those that guide 004 and the
vendor's pages print.
"""

from __future__ import annotations

import os
import sys

RULE = (
    "+-------------------+-----------------+------------------------------------------------------+"
)
DOUBLE = RULE.replace("-", "=")
HEAD = f"""\
+--------------------------------------------------------------------------------------------+
| npu-smi 23.0.0                       Version: 23.0.0                                       |
{RULE}
| NPU     Name      | Health          | Power(W)     Temp(C)           Hugepages-Usage(page) |
| Chip    Device    | Bus-Id          | AICore(%)    Memory-Usage(MB)                        |
{DOUBLE}"""
PROCESSES = f"""\
{RULE}
| NPU     Chip      | Process id      | Process name             | Process memory(MB)        |
{DOUBLE}
| No running processes found in NPU 0                                                        |
{DOUBLE}"""


def _chips() -> list[tuple[int, int, str, str, str]]:
    """(npu, chip, name, name on the board, health)."""
    found = []
    cards = os.environ.get("FAKE_NPU", "310P3")
    for npu, card in enumerate(filter(None, cards.split(","))):
        for chip, text in enumerate(card.split("+")):
            named, _, health = text.partition("!")
            name, _, board = named.partition(":")
            found.append((npu, chip, name, board, health or "OK"))
    return found


def _table() -> None:
    print(HEAD)
    for device, (npu, chip, name, _, health) in enumerate(_chips()):
        print(
            f"| {npu:<8}{name:<10}| {health:<16}| {'15.8':<13}{'42':<18}{'0    / 0':<22}|\n"
            f"| {chip:<8}{device:<10}| {f'0000:{82 + device}:00.0':<16}| {'0':<13}{'1074 / 21534':<40}|\n"
            f"{DOUBLE}"
        )
    print(PROCESSES)


def _board(npu: str, chip: str) -> None:
    for one, number, name, board, _ in _chips():
        if (str(one), str(number)) == (npu, chip):
            print(f"        NPU ID                         : {npu}")
            print("        Software Version               : 23.0.0")
            if board:
                print(f"        Chip Name                      : {name}")
                print(f"        NPU Name                       : {board}")
            return
    print(f"Error parameter of -i {npu} -c {chip}.")
    sys.exit(1)


def main() -> None:
    """Answer, or fail as the tool does."""
    if os.environ.get("FAKE_NPU_FAULT") == "driver":
        print("dcmi module initialize failed. ret is -8005")
        sys.exit(255)
    match sys.argv[1:]:
        case ["info"]:
            _table()
        case ["info", "-t", "board", "-i", npu, "-c", chip]:
            _board(npu, chip)
        case other:
            print(f"Error parameter of {' '.join(other)}; Usage: npu-smi info [Options...]")
            sys.exit(1)
