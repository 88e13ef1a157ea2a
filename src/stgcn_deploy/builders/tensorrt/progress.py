"""How far a build is: by TensorRT's progress monitor where it has one, else by its messages."""

from __future__ import annotations

from typing import Any

from stgcn_deploy.builders.base import Progress
from stgcn_deploy.builders.tensorrt.api import Api
from stgcn_deploy.builders.tensorrt.log import Message, Messages

__all__ = ["Phases", "by_messages", "monitor"]

LINE = 100


class Phases:
    """Phases inside phases, each with a number of steps, as one share.

    Attributes:
        share: of everything that is done, 0 to 1; never falls.
    """

    def __init__(self) -> None:
        self.share = 0.0
        self._open: dict[str, tuple[str | None, int, int]] = {}

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins."""
        self._open[name] = (parent, max(int(steps), 1), 0)

    def step(self, name: str, step: int) -> None:
        """A step of it is done, counted from 0."""
        if name in self._open:
            parent, steps, _ = self._open[name]
            self._open[name] = (parent, steps, min(int(step) + 1, steps))
            self.share = max(self.share, self._share(name))

    def finish(self, name: str) -> None:
        """A phase is over."""
        if self._open.pop(name, None) and not self._open:
            self.share = 1.0

    def _share(self, name: str) -> float:
        """The whole's share: a phase fills one step of the phase that it is in."""
        inner, at = 0.0, name
        # A parent that is its own ancestor would be the vendor's mistake, not an endless loop of ours.
        for _ in range(len(self._open)):
            if at not in self._open:
                break
            parent, steps, done = self._open[at]
            inner = min((done + inner) / steps, 1.0)
            at = parent or ""
        return inner


def monitor(api: Api, messages: Messages, progress: Progress) -> Any:
    """An object for `config.progress_monitor`; None where this version has no such thing.

    An exception in it, also Ctrl-C, cancels the build and is raised when TensorRT has returned.
    """
    base = api.monitor
    if base is None:
        return None
    phases = Phases()

    class Monitor(base):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            base.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            try:
                phases.start(phase_name, parent_phase, num_steps)
                progress(phase_name, phases.share)
            except BaseException as error:
                messages.hold(error)

        def step_complete(self, phase_name: str, step: int) -> bool:
            try:
                phases.step(phase_name, step)
                progress(phase_name, phases.share)
            except BaseException as error:
                messages.hold(error)
            return messages.broken is None

        def phase_finish(self, phase_name: str) -> None:
            try:
                phases.finish(phase_name)
            except BaseException as error:
                messages.hold(error)

    return Monitor()


def by_messages(progress: Progress) -> Any:
    """For Messages.tell: what TensorRT says it does, as progress without a share."""

    def tell(message: Message) -> None:
        if message.severity == "info" and message.text:
            progress(message.text.splitlines()[0][:LINE], None)

    return tell
