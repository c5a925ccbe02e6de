"""What of a channel is unusual, in the same words wherever it is told."""

from __future__ import annotations

import json
import re
from importlib.resources import files

from pipeline.core.channel_words import OF_CHANNEL, of_channel
from pipeline.models.sensor_features import SensorFeatures


def test_the_page_says_it_in_the_same_words() -> None:
    script = (files("nodes.dashboard") / "static" / "event.js").read_text()
    (said,) = re.findall(r"^const OF_CHANNEL = (\{.*\});$", script, re.M)
    assert json.loads(re.sub(r"(?<=[{ ])(\w+):", r'"\1":', said)) == OF_CHANNEL


def test_every_name_stands_for_what_is_measured_of_a_channel() -> None:
    assert OF_CHANNEL.keys() <= set(SensorFeatures.columns)
    assert of_channel("slow vibration") == "slow vibration"
