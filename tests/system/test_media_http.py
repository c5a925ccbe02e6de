"""The media source over HTTP: a file on a web server, and a camera that pushes JPEG images."""

from __future__ import annotations

import functools
import threading
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from pipeline.core.clock import NodeClock
from pipeline.core.sample import Encoding
from pipeline.sources.media import MediaSettings
from pipeline.sources.runner import SourceRunner
from tests.media_files import picture, write_clip
from tests.outlets import KeptOutlet
from tests.waiting import wait_until

pytestmark = pytest.mark.system


class QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


class JpegPush(BaseHTTPRequestHandler):
    """Sends ten images a second for as long as anybody listens."""

    stop = threading.Event()

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        number = 0
        while not self.stop.wait(0.1):
            image = cv2.imencode(".jpg", picture(number))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + image + b"\r\n")
            except OSError:
                return
            number += 1


@pytest.fixture
def serve():
    servers = []
    JpegPush.stop.clear()

    def start(handler):
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    JpegPush.stop.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def run(url, **more):
    outlet = KeptOutlet()
    runner = SourceRunner("web", MediaSettings(url=url, video="cam", **more), NodeClock(), outlet)
    runner.start()
    return runner, outlet


def test_a_file_on_a_web_server_is_given_in_real_time_and_ends(serve, tmp_path):
    write_clip(tmp_path / "clip.mp4")
    base = serve(functools.partial(QuietFiles, directory=str(tmp_path)))
    runner, outlet = run(f"{base}/clip.mp4", audio="mic")
    wait_until(lambda: outlet.has_ended)
    assert len(outlet.of("cam")) == 20
    assert sum(len(s.data) for s in outlet.of("mic")) >= 32_000
    assert runner.status.restarts == 0
    assert runner.stop(5.0)


def test_images_that_carry_no_time_are_stamped_as_they_arrive(serve):
    runner, outlet = run(serve(JpegPush))
    wait_until(lambda: len(outlet.of("cam")) >= 20)
    now_ns = NodeClock().now_ns()
    frames = outlet.of("cam")
    assert runner.stop(5.0)
    assert outlet.openings[0][0].stamp == "arrival"
    assert {s.encoding for s in frames} == {Encoding.JPEG}
    stamps = np.array([s.timestamp_ns for s in frames])
    assert np.median(np.diff(stamps[-12:])) == pytest.approx(0.1e9, rel=0.3)
    assert 0 <= now_ns - stamps[-1] < 3e9
    assert not outlet.refusals


def test_a_page_that_is_not_there_says_so(serve, tmp_path):
    base = serve(functools.partial(QuietFiles, directory=str(tmp_path)))
    runner, _ = run(f"{base}/nothing.mp4")
    wait_until(lambda: runner.status.restarts >= 1)
    assert "404" in runner.status.last_error
    assert runner.stop(5.0)
