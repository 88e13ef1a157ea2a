"""The threads around the sources: each opens one camera, reads it, and opens it again when it is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from threading import Condition, Thread, current_thread

from stgcn_deploy.errors import StgcnError
from stgcn_deploy.live.anchor import TimeAnchor
from stgcn_deploy.live.camera import CameraMachine
from stgcn_deploy.live.frames import Frame, Reading
from stgcn_deploy.live.observer import CameraState, FrameDrop, Observer
from stgcn_deploy.live.rate import RateLimit
from stgcn_deploy.live.redact import redact
from stgcn_deploy.live.settings import CameraSettings
from stgcn_deploy.live.slots import Intake
from stgcn_deploy.live.sources.base import Source, SourceError
from stgcn_deploy.live.sources.missing import Missing
from stgcn_deploy.live.sources.registry import open_source

__all__ = ["Capture"]

# A live frame that is so much later than usual is not converted: what was held up comes all at once.
LATE = 0.5
# Threads of one camera that may hang in a library or driver before no more are started.
MAX_STUCK = 3
# A thread that was told to let go has so long after the next try was due.
GRACE = 0.5


class _Session:
    """One source, from opening to its end.

    Attributes:
        asks: whether the source asks which frames are wanted, before it converts them.
        lost: given up: whatever it still gives counts no more.
        dropped: why the source left the last frame out.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.asks = hasattr(source, "wanted")
        self.lost = False
        self.dropped: FrameDrop = "skipped"


class Capture:
    """One camera's thread.

    Args:
        settings: of the camera; its place in `intake` is made here.
        make: gives the source, anew for each try.
        on_open: called in the camera's thread with the source that was opened; may refuse it by a
            StgcnError (key points of a layout that the network cannot use).
        clock: monotonic, the same as everybody's.
        random: of the machine's jitter; None: another one in every process.

    Attributes:
        live: see Source.
        error: what went wrong last, in words.

    Raises:
        UsageError: the settings name no source.
    """

    def __init__(
        self,
        settings: CameraSettings,
        intake: Intake,
        observer: Observer,
        *,
        make: Callable[[CameraSettings], Source] = open_source,
        on_open: Callable[[Source], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        self.settings = settings
        self.name = settings.name
        self.error = ""
        self._make = make
        self._intake = intake
        self._observer = observer
        self._on_open = on_open
        self._clock = clock
        self._rate = RateLimit(settings.fps)
        first = make(settings)
        self.live = first.live
        self._source = first
        self._next: Source | None = first
        jitter = Random() if random is None else random  # noqa: S311 - jitter is no secret
        self._machine = CameraMachine(jitter, live=first.live, timeout=settings.timeout)
        self._anchor: TimeAnchor | None = None
        # Guards all that follows and the machine; the camera's thread waits here for its next try.
        self._changed = Condition()
        self._session: _Session | None = None
        self._thread: Thread | None = None
        self._stuck: list[Thread] = []
        self._stopping = False
        self._told: tuple[CameraState, str] = ("init", "")
        intake.add(settings.name, live=first.live, priority=settings.priority)

    @property
    def state(self) -> CameraState:
        """Of the camera."""
        return self._told[0]

    @property
    def source(self) -> Source:
        """The source that is open now, was last, or will be first."""
        return self._source

    @property
    def over(self) -> bool:
        """Whether no more frames will come."""
        return self._machine.over

    def limit(self, fps: float | None) -> None:
        """Look at so many frames a second at most, and at no more than the settings say; None: those."""
        most = self.settings.fps
        wanted = most if fps is None else fps if most is None else min(fps, most)
        self._rate.set(wanted)

    def start(self) -> None:
        """Start the thread."""
        with self._changed:
            if not self._stopping and self._thread is None:
                self._start_thread()

    def stop(self, timeout: float = 1.0) -> bool:
        """End it; whether its thread ended within `timeout` seconds.

        One that hangs in a driver is left behind, and gives nothing any more.
        """
        with self._changed:
            self._stopping = True
            self._machine.finished("stopped")
            self._tell()
            session, unused = self._session, self._next
            if session is not None:
                session.lost = True
            self._next = None
            threads = [*self._stuck, *([self._thread] if self._thread else [])]
            self._changed.notify_all()
        self._intake.remove(self.name)
        if unused is not None:
            unused.close()
        end = self._clock() + timeout
        while True:
            # Again and again: a connection that is only being made cannot be ended yet.
            if session is not None:
                session.source.close()
            left = [thread for thread in threads if thread.is_alive()]
            wait = min(0.1, end - self._clock())
            if not left or wait <= 0:
                return not left
            left[0].join(wait)

    def give_up(self, why: str) -> None:
        """End it for good, where its frames break whoever looks at them."""
        with self._changed:
            self.error = why
            self._machine.disable()
            self._tell()
            session = self._session
            if session is not None:
                session.lost = True
            self._changed.notify_all()
        if session is not None:
            session.source.close()

    def tick(self, now: float) -> None:
        """Look after the thread: end a read that takes too long, replace a thread that hangs."""
        close: Source | None = None
        with self._changed:
            if self._stopping:
                return
            session = self._session
            order = self._machine.tick(now)
            self._tell()
            if session is not None and order == "close":
                session.lost = True
                self.error = (
                    f"{session.source.name}: {self._machine.reason}; closed, to be opened again."
                )
            if session is not None and session.lost:
                # More than once: a connection that is only being made cannot be ended yet.
                close = session.source
                if order == "open" and now - (self._machine.retry_at or now) > GRACE:
                    self._replace()
        if close is not None:
            close.close()

    def _replace(self) -> None:
        """Leave the thread that hangs to itself, and go on with another."""
        self._stuck = [thread for thread in self._stuck if thread.is_alive()]
        if self._thread is not None and len(self._stuck) < MAX_STUCK:
            self._stuck.append(self._thread)
            self._session = None
            self._start_thread()

    def _start_thread(self) -> None:
        self._thread = Thread(target=self._work, name=f"capture {self.name}", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        """The thread: try after try, until the end of all or until another took its place."""
        while True:
            session = self._wait_for_turn()
            if session is None:
                return
            error = self._try(session)
            with self._changed:
                if session is not self._session:
                    return
                self._session = None
                if session.lost:
                    continue
                self.error = "" if error is None else str(error)
                if error is None:
                    self._machine.finished()
                else:
                    self._machine.failed(self._clock(), error.reason, lasting=error.lasting)
                self._tell()

    def _try(self, session: _Session) -> SourceError | None:
        """Run a session to its end; None, or why it came so soon."""
        source = session.source
        try:
            self._run(session)
        except SourceError as error:
            return error
        except StgcnError as error:
            return SourceError(str(error), "unreadable", lasting=True)
        except Exception as error:
            # Ours or a library's: the other cameras go on, and this one too.
            text = redact(f"{source.name}: {type(error).__name__} ({error}) while reading it.")
            return SourceError(text, "broken")
        finally:
            source.close()
        return None

    def _wait_for_turn(self) -> _Session | None:
        """A source to open, at the time when it is to be opened; None when there is nothing more to do."""
        me = current_thread()
        with self._changed:
            while True:
                if self._stopping or self._machine.over or self._thread is not me:
                    return None
                now = self._clock()
                if self._machine.tick(now) == "open":
                    break
                due = self._machine.retry_at
                self._changed.wait(None if due is None else max(0.0, due - now))
            self._machine.opening(now)
            self._tell()
            source, self._next = self._next, None
            try:
                session = _Session(self._make(self.settings) if source is None else source)
            except StgcnError as error:
                session = _Session(Missing(self.name, error, live=self.live))
            self._session, self._source = session, session.source
            return session

    def _run(self, session: _Session) -> None:
        """Open, read to the end, close.

        Raises:
            StgcnError: it broke.
        """
        source = session.source
        if session.asks:
            source.wanted = lambda pts: self._wanted(session, pts)  # type: ignore[attr-defined]
        source.open()
        if self._on_open is not None:
            self._on_open(source)
        if not self._opened(session):
            return
        while True:
            reading = source.read()
            now = self._clock()
            if reading is None or not self._alive(session, now):
                return
            self._observer.stage("decode", getattr(source, "spent", 0.0))
            self._take(session, reading, now)

    def _opened(self, session: _Session) -> bool:
        with self._changed:
            if session.lost or session is not self._session:
                return False
            self._machine.opened(self._clock(), session.source.fps)
            if self._anchor is None:
                interval = 1.0 / (session.source.fps or 25.0)
                self._anchor = TimeAnchor(live=self.live, interval=interval)
            else:
                self._anchor.restart()
            return True

    def _alive(self, session: _Session, now: float) -> bool:
        """Note that something came; whether it still counts."""
        with self._changed:
            if session.lost or session is not self._session:
                return False
            self._machine.frame(now)
            self._tell()
            return True

    def _wanted(self, session: _Session, pts: float | None) -> bool:
        """Whether a frame is worth converting."""
        now = self._clock()
        if self._anchor is not None and self._anchor.lag(pts, now) > LATE:
            session.dropped = "stale"
            return False
        session.dropped = "skipped"
        return self._rate.admit(now if pts is None else pts)

    def _take(self, session: _Session, reading: Reading, now: float) -> None:
        assert self._anchor is not None
        t, epoch = self._anchor.place(reading.pts, now)
        frame = Frame(
            camera=self.name,
            t=t,
            arrived=now,
            image=reading.image,
            persons=reading.persons,
            size=reading.size,
            corrupt=reading.corrupt,
            epoch=epoch,
        )
        self._observer.frame(frame)
        reason: FrameDrop | None = None
        if reading.corrupt:
            reason = "corrupt"
        elif reading.image is None and reading.persons is None:
            reason = session.dropped
        elif not (session.asks or self._rate.admit(t)):
            reason = "skipped"
        if reason is not None:
            self._observer.frame_dropped(self.name, reason)
        else:
            self._intake.put(frame)

    def _tell(self) -> None:
        """Tell of the machine's state, if it is another one than was told last."""
        now = (self._machine.state, self._machine.reason)
        if now != self._told:
            self._told = now
            self._observer.camera(self.name, *now)
