"""Cameras in the network: RTSP, RTMP, HTTP (MPEG-TS, HLS, MJPEG), SRT."""

from __future__ import annotations

from collections.abc import Iterator

from stgcn_deploy.live.frames import Reading
from stgcn_deploy.live.redact import redact
from stgcn_deploy.live.settings import CameraSettings
from stgcn_deploy.live.sources.base import SourceError
from stgcn_deploy.live.sources.sockets import OwnSockets
from stgcn_deploy.live.sources.video import Decoder, VideoSource

__all__ = ["VideoStream", "ffmpeg_options"]

# A playlist from the network must not name files of this machine.
PROTOCOLS = "rtsp,rtp,rtmp,rtmps,rtmpt,srt,udp,tcp,tls,http,https,httpproxy,crypto,data"


def ffmpeg_options(url: str, timeout: float) -> dict[str, str]:
    """FFmpeg's options for an address.

    Not among them: `fflags=nobuffer`, which loses the pictures before the second key frame, and the
    `timeout` of PyAV, which takes the interpreter's lock several times for each packet.
    """
    scheme = url.partition("://")[0].lower()
    wait = str(int(timeout * 1e6))
    options = {"protocol_whitelist": PROTOCOLS}
    if scheme in ("rtsp", "rtsps"):
        # UDP loses packets, and the pictures with them.
        return {**options, "rtsp_transport": "tcp", "timeout": wait}
    # RTMP would take `timeout` for the wish to be a server.
    return {**options, "rw_timeout": wait}


class VideoStream(VideoSource):
    """A stream that goes on for ever: its end is a disconnect."""

    def __init__(self, settings: CameraSettings) -> None:
        super().__init__(redact(settings.source), live=True, timeout=settings.timeout)
        self._url = settings.source
        self._options = ffmpeg_options(self._url, settings.timeout)
        self._sockets = OwnSockets(self._url)

    def _decoders(self) -> Iterator[Decoder]:
        self._sockets.resolve(self.name)
        with self._sockets:
            decoder = Decoder(self.name, self._url, options=self._options)
        yield decoder

    def _read_one(self, decoder: Decoder) -> Reading:
        reading = super()._read_one(decoder)
        if reading is None:
            raise SourceError(f"{self.name}: the other side ended the stream.", "ended")
        return reading

    def _interrupt(self) -> None:
        self._sockets.shut()
