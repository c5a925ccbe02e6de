"""What goes wrong on the way to the aligner, drawn at random."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pipeline.core.sample import Modality, Sample, StreamInfo
from tests.unit.alignment_scenarios import Call, Scenario, calls
from tests.unit.alignment_streams import MS, S

Pairs = list[tuple[int, Sample]]


def mishaps(rng: random.Random, scene: Scenario) -> list[Call]:
    """A scene with lags, delays and some of the mishaps below, as it arrives."""
    lag = {info.name: rng.choice((0, 50 * MS, 2500 * MS)) for info in scene.infos}
    pairs = [
        (s.timestamp_ns + lag[s.stream] + rng.randrange(rng.choice((1, 400 * MS))), s)
        for s in scene.samples
    ]
    for mishap in (_stamps_go_back, _stamps_jump_ahead, _sent_again, _malformed):
        if pairs and rng.random() < 0.4:
            mishap(rng, pairs)
    told = calls(scene, pairs)
    for trouble in (_node_restarts, _stream_changes, _stream_ends):
        if scene.infos and pairs and rng.random() < 0.3:
            told = trouble(rng, scene.infos, told)
    return told


def _stamps_go_back(rng: random.Random, pairs: Pairs) -> None:
    """From some moment on, one stream's stamps are earlier."""
    since, victim = rng.choice(pairs)
    back = rng.choice((50 * MS, S, 10 * S, 3600 * S))
    _change(pairs, victim, since, lambda s: replace(s, timestamp_ns=s.timestamp_ns - back))


def _stamps_jump_ahead(rng: random.Random, pairs: Pairs) -> None:
    """Some samples of one stream, or all from some moment on, lie far in the future."""
    since, victim = rng.choice(pairs)
    ahead = rng.choice((2 * S, 100 * S, 86_400 * S))
    few = rng.choice((1, 4, 8, 10_000))
    _change(pairs, victim, since, lambda s: replace(s, timestamp_ns=s.timestamp_ns + ahead), few)


def _sent_again(rng: random.Random, pairs: Pairs) -> None:
    """Samples come a second time, as after a lost connection."""
    for at, sample in rng.sample(pairs, min(20, len(pairs))):
        pairs.append((at + rng.randrange(6 * S), replace(sample)))


def _malformed(rng: random.Random, pairs: Pairs) -> None:
    """Payloads that do not fit."""
    for place in rng.sample(range(len(pairs)), min(10, len(pairs))):
        at, sample = pairs[place]
        data = rng.choice((b"", "", np.zeros(7), np.zeros((3, 4)), np.zeros(0)))
        pairs[place] = (at, replace(sample, data=data))


def _change(
    pairs: Pairs,
    victim: Sample,
    since: int,
    change: Callable[[Sample], Sample],
    most: int = 1 << 30,
) -> None:
    for place, (at, sample) in enumerate(pairs):
        if sample.stream == victim.stream and at >= since and most > 0:
            pairs[place] = (at, change(sample))
            most -= 1


def _node_restarts(
    rng: random.Random, infos: tuple[StreamInfo, ...], told: list[Call]
) -> list[Call]:
    """A stream is announced anew and counts from zero."""
    info, at = rng.choice(infos), rng.choice(told)[0]
    found, number = list[Call](), 0
    for when, what in told:
        if isinstance(what, Sample) and what.stream == info.name and when > at:
            found.append((when, replace(what, sequence=number)))
            number += 1
        else:
            found.append((when, what))
    return _with(found, [(at, info)])


def _stream_changes(
    rng: random.Random, infos: tuple[StreamInfo, ...], told: list[Call]
) -> list[Call]:
    """A stream is announced anew with another rate or shape; what it gives may not fit then."""
    info, at = rng.choice(infos), rng.choice(told)[0]
    rate = rng.choice((info.rate_hz, None if info.modality is not Modality.AUDIO else 22_050.0))
    shape = rng.choice((info.shape, (3,)))
    names = ("a", "b", "c")[: shape[0]] if info.channels else ()
    return _with(told, [(at, replace(info, rate_hz=rate, shape=shape, channels=names))])


def _stream_ends(rng: random.Random, infos: tuple[StreamInfo, ...], told: list[Call]) -> list[Call]:
    """A stream ends, speaks on all the same, and may be announced anew."""
    info, at = rng.choice(infos), rng.choice(told)[0]
    ends: list[Call] = [(at, info.name)]
    if rng.random() < 0.7:
        ends.append((at + rng.randrange(2 * S), info))
    return _with(told, ends)


def _with(told: list[Call], more: list[Call]) -> list[Call]:
    """More calls, none before its stream was first announced."""
    first = {what.name: when for when, what in reversed(told) if isinstance(what, StreamInfo)}
    late = [(max(at, first[what if isinstance(what, str) else what.name]), what)
            for at, what in more if not isinstance(what, Sample)]  # fmt: skip
    return sorted([*told, *late], key=lambda call: call[0])
