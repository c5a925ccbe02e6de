import os

import pytest

from pipeline.core.errors import SourceUnavailable
from pipeline.core.ledger import DropReason
from tests.requirements import require_module
from tests.unit.sources import context, read_count

require_module("serial")

from pipeline.sources.fields import ChannelSettings, LineSettings  # noqa: E402
from pipeline.sources.serial_port import SerialPortSettings  # noqa: E402


@pytest.fixture
def wire():
    """A pseudo-terminal: what is written to `controller` arrives at the port."""
    controller, device = os.openpty()
    yield controller, os.ttyname(device)
    for descriptor in (controller, device):
        os.close(descriptor)


def test_json_lines_become_readings_and_broken_ones_are_counted(wire):
    controller, port = wire
    ctx, refusals = context()
    settings = SerialPortSettings(
        port=port, stream="box", channels=[ChannelSettings(name="t", unit="degC")]
    )
    source = settings.build(ctx)
    (info,) = source.open()
    os.write(controller, b'l": 3}\n{"t": 21.5}\nnoise\n{"t": 22}\r\n')
    samples = read_count(source, 2)
    source.close()
    assert info.units == ("degC",)
    assert [float(s.data[0]) for s in samples] == [21.5, 22.0]
    assert refusals == {("box", DropReason.CORRUPT): 1}, "the torn first line is not a fault"


def test_lines_are_read_by_a_regular_expression(wire):
    controller, port = wire
    ctx, _ = context()
    settings = SerialPortSettings(
        port=port,
        stream="box",
        channels=[ChannelSettings(name="h"), ChannelSettings(name="t")],
        line=LineSettings(regex=r"T=(?P<t>[-0-9.]+) H=(?P<h>\d+)"),
    )
    source = settings.build(ctx)
    source.open()
    os.write(controller, b"T=-3.5 H=40\n")
    (sample,) = read_count(source, 1)
    source.close()
    assert list(sample.data) == [40.0, -3.5]


def test_a_device_that_is_not_there_says_what_to_check():
    ctx, _ = context()
    settings = SerialPortSettings(
        port="/dev/ttyNOPE0", stream="box", channels=[ChannelSettings(name="t")]
    )
    with pytest.raises(SourceUnavailable, match="plugged in"):
        settings.build(ctx).open()
