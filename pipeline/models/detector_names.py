"""Names of detectors: ``<name>`` of what watches between the streams, ``<name>:<stream>`` else.

A stream's own detector has its modality for a name. No torch.
"""

BETWEEN = "between"
"""Each stream predicted from the others, see `pipeline.models.together`."""

JOINT = "joint"
"""One density of all streams, likewise."""

ODD = "odd"
"""A network that tells which stream is from another time, see `pipeline.models.odd`. Its
sub-detectors ``odd/a|b`` judge sets of streams, see `pipeline.models.patterns`."""

THINGS = "things"
"""What stands before the learnt background, see `pipeline.models.objects`."""
