"""The command `stgcn`: a table of commands, and one place where errors become exit codes."""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from typing import Annotated

import typer

from stgcn_deploy import __version__
from stgcn_deploy.errors import StgcnError

__all__ = ["COMMANDS", "main"]

_HERE = "stgcn_deploy.cli"

# Name, or group and name -> function, in the order of the help page.  Command modules import no runtime.
COMMANDS = {
    "inspect": f"{_HERE}.inspect:inspect",
    "export": f"{_HERE}.export:export",
    "verify": f"{_HERE}.verify:verify",
    "quantize": f"{_HERE}.quantize:quantize",
    "build": f"{_HERE}.build:build",
    "bench": f"{_HERE}.bench:bench",
    "bench-live": f"{_HERE}.bench_live:bench_live",
    "tune": f"{_HERE}.tune:tune",
    "profile": f"{_HERE}.profile:profile",
    "compare": f"{_HERE}.compare:compare",
    "eval": f"{_HERE}.eval:evaluate",
    "predict": f"{_HERE}.predict:predict",
    "live": f"{_HERE}.live:live",
    "ascend run": f"{_HERE}.ascend_run:ascend_run",
    "ascend pack": f"{_HERE}.ascend_pack:ascend_pack",
    "demo": f"{_HERE}.demo:demo",
    "wizard": f"{_HERE}.wizard:wizard",
    "data bins write": f"{_HERE}.data_bins_write:data_bins_write",
    "data bins score": f"{_HERE}.data_bins_score:data_bins_score",
    "data info": f"{_HERE}.data_info:data_info",
    "data convert": f"{_HERE}.data_convert:data_convert",
    "data plot": f"{_HERE}.data_plot:data_plot",
    "data synth": f"{_HERE}.data_synth:data_synth",
    "pose fetch": f"{_HERE}.pose_fetch:pose_fetch",
    "layouts": f"{_HERE}.layouts:layouts",
    "doctor": f"{_HERE}.doctor:doctor",
}
# Group -> its line on the help page.
GROUPS = {
    "ascend": "Run OM files on an Ascend NPU by its own tools, and carry them there.",
    "data": "Look at, convert, draw and make recordings.",
    "data bins": "One raw file for each sample, as Ascend's ais_bench takes and gives them.",
    "pose": "Find people's joints in images.",
}
BUG = 70


def _version(show: bool) -> None:
    if show:
        sys.stdout.write(f"stgcn-deploy {__version__}\n")
        raise typer.Exit


def _openings(group: str) -> list[str]:
    """The group itself after those that it is in: data, then data bins."""
    words = group.split()
    return [" ".join(words[: end + 1]) for end in range(len(words))]


def build_app() -> typer.Typer:
    """The command line with all its commands."""
    app = typer.Typer(
        name="stgcn",
        help="Trained skeleton-action checkpoints to verified, fast, running software.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def top(
        version: Annotated[
            bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
        ] = False,
    ) -> None:
        """Trained skeleton-action checkpoints to verified, fast, running software."""

    groups = {"": app}
    for words, place in COMMANDS.items():
        group, _, name = words.rpartition(" ")
        for name_of in _openings(group):
            if name_of not in groups:
                above, _, last = name_of.rpartition(" ")
                groups[name_of] = typer.Typer(help=GROUPS[name_of], no_args_is_help=True)
                groups[above].add_typer(groups[name_of], name=last)
        module, _, function = place.partition(":")
        groups[group].command(name)(getattr(import_module(module), function))
    return app


def main() -> None:
    """Run the command line; exit codes: 0 ok, 1 a check failed, 2 wrong use, 3 missing, 70 a bug."""
    try:
        build_app()()
    except StgcnError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The reader of a pipe went away (| head); nothing of ours is wrong.
        sys.stderr.close()
        raise SystemExit(0) from None
    except Exception:
        traceback.print_exc()
        sys.stderr.write(
            "\nThis is a bug in stgcn-deploy; please report it with the lines above and the output of "
            "`stgcn doctor --json`.\n"
        )
        raise SystemExit(BUG) from None


if __name__ == "__main__":
    main()
