"""The microphone source on a real sound server. One that is killed: see `tests.system.faults`."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from pipeline.core.clock import NodeClock
from pipeline.core.sample import Encoding, Modality
from pipeline.sources.runner import SourceRunner, SourceState
from tests.media_files import dominant_hz, tone
from tests.outlets import KeptOutlet
from tests.requirements import require_command, require_module, shared_data
from tests.system.pulse import SoundServer
from tests.system.time_code import TimeCodeSource, time_code, told_number
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.alone]

RATE_HZ = 16_000
SECOND_NS = 1_000_000_000
HONEST_NS = 30_000_000


@pytest.fixture
def sound(tmp_path, monkeypatch):
    with SoundServer(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def listen(sound):
    require_module("sounddevice")
    from pipeline.sources.microphone import MicrophoneSettings

    runners = []

    def start(**more):
        outlet = KeptOutlet()
        own = MicrophoneSettings(stream="mic", **{"device": "pulse", "hz": RATE_HZ, **more})
        runner = SourceRunner("mic", own, NodeClock(), outlet)
        runner.start()
        runners.append(runner)
        return runner, outlet

    yield start
    for runner in runners:
        assert runner.stop(5.0)


def last_second(samples):
    return np.concatenate([s.data[:, 0] for s in samples[-25:]]).astype(float)


def hears(outlet, frequency_hz, epoch):
    samples = outlet.of("mic", epoch)
    if len(samples) < 25 or last_second(samples).std() < 1000:
        return False
    return abs(dominant_hz(last_second(samples), RATE_HZ) - frequency_hz) < 5


def test_a_tone_played_is_heard_with_counted_samples_and_steady_stamps(sound, listen):
    sound.play(tone(RATE_HZ, 30, 880.0), RATE_HZ)
    runner, outlet = listen()
    wait_until(lambda: hears(outlet, 880.0, 0))
    wait_until(lambda: len(outlet.of("mic")) >= 75)
    (info,) = outlet.openings[0]
    assert (info.modality, info.rate_hz, info.stamp) == (Modality.AUDIO, RATE_HZ, "adc")
    samples = outlet.of("mic")
    assert all(s.encoding is Encoding.PCM and s.data.shape == (640, 1) for s in samples)
    assert [s.position for s in samples] == [640 * n for n in range(len(samples))]
    stamps = np.array([s.timestamp_ns for s in samples])
    assert stamps[-1] < NodeClock().now_ns()
    line = stamps - np.array([s.position for s in samples]) * SECOND_NS // RATE_HZ
    assert np.abs(line[-25:] - np.median(line[-25:])).max() < 0.1 * SECOND_NS
    assert all(s.uncertainty_ns > 0 for s in samples)
    assert runner.status.restarts == 0


def test_blocks_are_stamped_with_when_their_sound_was_made(sound, listen, monkeypatch, tmp_path):
    voice = TimeCodeSource(sound, tmp_path / "voice", NodeClock())
    monkeypatch.setenv("PULSE_SOURCE", "pipe")
    runner, outlet = listen()
    wait_until(lambda: runner.status.state is SourceState.RUNNING)
    with voice:  # only now: what is made before anybody listens would wait in the pipe
        wait_until(lambda: len(outlet.of("mic", 0)) >= 50)
    blocks = outlet.of("mic", 0)
    off_ns = np.array([s.timestamp_ns - voice.made_ns(s.data[0, 0]) for s in blocks])
    honest_ns = HONEST_NS + voice.latest_ns  # nobody can know that it was said late
    assert abs(off_ns[0]) < honest_ns
    assert np.quantile(np.abs(off_ns), 0.9) < honest_ns


def audible(outlet):
    return [s for s in outlet.of("mic") if s.data.min() > 0]


def stamps_less_told_ns(blocks):
    """Stamps of blocks of a time code less the time they tell by their middle."""
    middles = [s.timestamp_ns + len(s.data) // 2 * SECOND_NS // RATE_HZ for s in blocks]
    told = [told_number(np.median(s.data[:, 0])) * SECOND_NS / RATE_HZ for s in blocks]
    return np.array(middles) - np.array(told)


def test_the_first_blocks_of_a_sink_already_playing_are_stamped_as_the_later_ones(sound, listen):
    sound.play(time_code(0, 60 * RATE_HZ), RATE_HZ)
    _, outlet = listen()
    wait_until(lambda: len(audible(outlet)) >= 100)
    off_ns = stamps_less_told_ns(audible(outlet)[:100])
    assert np.abs(off_ns - np.median(off_ns[75:])).max() < HONEST_NS


def test_the_first_blocks_of_a_sink_that_was_idle_are_stamped_as_the_later_ones(sound, listen):
    _, outlet = listen()
    wait_until(lambda: len(outlet.of("mic")) >= 100)
    blocks = outlet.of("mic")[:100]
    assert [s.position for s in blocks] == [640 * n for n in range(100)]
    counted = np.array([s.timestamp_ns - s.position * SECOND_NS // RATE_HZ for s in blocks])
    assert np.abs(counted - np.median(counted[75:])).max() < HONEST_NS
    assert not outlet.refusals


def test_an_input_that_is_not_there_is_named_with_those_that_are(listen):
    runner, _ = listen(device="Rauschkugel 3000")
    wait_until(lambda: runner.status.state is SourceState.WAITING)
    assert "Rauschkugel 3000" in runner.status.last_error
    assert "pulse" in runner.status.last_error


def test_the_doctor_lists_the_input(sound):
    command = [sys.executable, "-P", "-m", "nodes.cli", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = {finding["about"]: finding for finding in json.loads(done.stdout)}
    inputs = [f["text"] for about, f in found.items() if about.startswith("sound input ")]
    assert any(text.startswith("pulse,") for text in inputs)
    assert "h264" in found["decoders"]["text"]
    assert "ALSA" not in done.stderr


def test_ambience_played_is_heard(sound, listen, tmp_path):
    require_command("ffmpeg")
    source = shared_data("ambience_blanket/city.ogg")
    wav = tmp_path / "city.wav"
    command = ["ffmpeg", "-v", "error", "-t", "20", "-i", str(source), "-ac", "1", str(wav)]
    subprocess.run(command, check=True)
    sound.play_file(wav)
    _, outlet = listen()
    wait_until(lambda: len(outlet.of("mic")) > 50 and last_second(outlet.of("mic")).std() > 30)
