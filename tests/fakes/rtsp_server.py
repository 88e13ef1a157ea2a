"""A real RTSP camera by GStreamer, for the system's Python: rtsp_server.py PORT [USER PASSWORD].

Prints the port when it serves rtsp://127.0.0.1:PORT/cam; --check only says whether it could.
"""

from __future__ import annotations

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

ENCODERS = (
    ("x264enc", "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph264pay"),
    ("jpegenc", "jpegenc ! rtpjpegpay"),
)


def pipeline() -> str:
    """A picture that moves, 25 times a second."""
    for name, encode in ENCODERS:
        if Gst.ElementFactory.find(name):
            form = "video/x-raw,width=64,height=48,framerate=25/1"
            return f"( videotestsrc is-live=true pattern=ball ! {form} ! {encode} name=pay0 pt=96 )"
    raise SystemExit("no encoder")


def protect(
    server: GstRtspServer.RTSPServer,
    factory: GstRtspServer.RTSPMediaFactory,
    user: str,
    password: str,
) -> None:
    """Let in whoever knows the password."""
    auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    allowed = GstRtspServer.RTSPPermissions()
    for right in ("media.factory.access", "media.factory.construct"):
        allowed.add_permission_for_role("viewer", right, True)
    factory.set_permissions(allowed)


def main() -> None:
    """Serve until killed."""
    Gst.init(None)
    launch = pipeline()
    if sys.argv[1] == "--check":
        return
    server, factory = GstRtspServer.RTSPServer(), GstRtspServer.RTSPMediaFactory()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1])
    factory.set_launch(launch)
    factory.set_shared(True)
    if len(sys.argv) > 2:
        protect(server, factory, *sys.argv[2:4])
    server.get_mount_points().add_factory("/cam", factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


main()
