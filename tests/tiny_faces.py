"""A face detector of 3 KB that has YuNet's inputs and outputs and takes bright squares for faces.

ONNX is protobuf; the few messages that are needed are written by hand, so that no package is.
"""

from __future__ import annotations

import struct

STRIDES = (8, 16, 32)
OUTPUTS = (("cls", 1, 1 / 765), ("obj", 1, 1 / 765), ("bbox", 4, 0.0), ("kps", 10, 0.0))
FLOAT, INTS = 1, 7


def face_detector() -> bytes:
    """The model: per stride, how bright each square is says how surely it is a face."""
    nodes, weights, results = b"", b"", b""
    for s in STRIDES:
        pool = f"pool_{s}"
        window = _ints("kernel_shape", [s, s]) + _ints("strides", [s, s])
        nodes += _node("AveragePool", ["input"], pool, window)
        for name, channels, weight in OUTPUTS:
            weights += _field(5, _weights(f"w_{name}_{s}", channels, weight))
            ones = _ints("kernel_shape", [1, 1])
            nodes += _node("Conv", [pool, f"w_{name}_{s}"], f"c_{name}_{s}", ones)
            last = _ints("perm", [0, 2, 3, 1])
            nodes += _node("Transpose", [f"c_{name}_{s}"], f"{name}_{s}", last)
            results += _field(12, _value(f"{name}_{s}", [1, "h", "w", channels]))
    inputs = _field(11, _value("input", [1, 3, "height", "width"]))
    graph = nodes + _field(2, "tiny") + weights + inputs + results
    return _number(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _number(2, 13))


def _varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, body: bytes | str) -> bytes:
    body = body.encode() if isinstance(body, str) else body
    return _varint(field << 3 | 2) + _varint(len(body)) + body


def _ints(name: str, values: list[int]) -> bytes:
    listed = b"".join(_number(8, value) for value in values)
    return _field(5, _field(1, name) + listed + _number(20, INTS))


def _node(kind: str, inputs: list[str], output: str, attributes: bytes) -> bytes:
    taken = b"".join(_field(1, name) for name in inputs)
    return _field(1, taken + _field(2, output) + _field(4, kind) + attributes)


def _weights(name: str, channels: int, weight: float) -> bytes:
    dims = b"".join(_number(1, size) for size in (channels, 3, 1, 1))
    raw = struct.pack(f"<{3 * channels}f", *[weight] * 3 * channels)
    return dims + _number(2, FLOAT) + _field(8, name) + _field(9, raw)


def _value(name: str, dims: list[int | str]) -> bytes:
    sizes = [_field(2, d) if isinstance(d, str) else _number(1, d) for d in dims]
    shape = _field(2, b"".join(_field(1, size) for size in sizes))
    return _field(1, name) + _field(2, _field(1, _number(1, FLOAT) + shape))
