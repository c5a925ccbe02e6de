"""Pieces of YAML that deployment files are written of."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pipeline.config.yaml_reader import plain_value

_PLAIN = re.compile(r"[./]?[a-z_]+[./-][a-zA-Z0-9_./-]*|data")
"""What YAML takes for text without quotes, whatever it says: it holds a dot, slash or hyphen."""

BUDGET = """
budget: {budget}          # false alarms you can live with, for each scene
"""
_WINDOWS = """\
    window_s: {window_s:<14g}  # long enough for what is read, or taken, so seldom
    hop_s: {hop_s:g}
"""


def yaml_value(value: str | Path) -> str:
    """A text as YAML reads it, whatever it says; without quotes where none are needed."""
    text = str(value)
    if _PLAIN.fullmatch(text):
        return text
    quoted = json.dumps(text.replace("${", "$${"), ensure_ascii=False)
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in quoted)


def yaml_name(name: str) -> str:
    """A name of `pipeline.config.deployment.NAME`; with quotes where YAML takes it for no text."""
    return name if name[0].isalpha() and isinstance(plain_value(name), str) else f'"{name}"'


def window_lines(window_s: float, hop_s: float) -> str:
    """Windows of a scene of slow readings, as they stand in it."""
    return _WINDOWS.format(window_s=window_s, hop_s=hop_s)
