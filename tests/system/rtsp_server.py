"""Serves one Matroska file (H.264 and PCM) over RTSP, as H.264 and A-law.

Each client gets it from its beginning. Run under the system's Python, which has the bindings:
``/usr/bin/python3 rtsp_server.py PORT FILE``. Prints ``ready`` when it listens.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

LAUNCH = (
    '( filesrc location="{file}" ! matroskademux name=d '
    "d. ! queue ! video/x-h264 ! rtph264pay config-interval=1 name=pay0 pt=96 "
    "d. ! queue ! audio/x-raw ! audioconvert ! alawenc ! rtppcmapay name=pay1 pt=8 )"
)


def main() -> None:
    """Serve until killed."""
    port, file = sys.argv[1:3]
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(LAUNCH.format(file=file))
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        sys.exit(f"port {port} is taken")
    print("ready", flush=True)
    GLib.MainLoop().run()


main()
