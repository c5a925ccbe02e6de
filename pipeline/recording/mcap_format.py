"""The byte layout of MCAP records that come by the thousand: chunks, messages, indexes.

Rare records (schemas, channels, metadata, statistics) are read and written by the `mcap`
package. Source: mcap.dev/spec.
"""

from __future__ import annotations

import struct

try:
    from isal.isal_zlib import crc32  # thirty times faster than zlib's
except ModuleNotFoundError:
    from zlib import crc32

__all__ = [
    "CHUNK",
    "CHUNK_INDEX",
    "CHUNK_OPCODE",
    "FOOTER_BYTES",
    "HEAD",
    "MAGIC",
    "MESSAGE",
    "MESSAGE_OPCODE",
    "crc32",
]

MAGIC = b"\x89MCAP0\r\n"

MESSAGE_OPCODE = 0x05
CHUNK_OPCODE = 0x06
MESSAGE_INDEX_OPCODE = 0x07
CHUNK_INDEX_OPCODE = 0x08

HEAD = struct.Struct("<BQ")
"""Opcode and length of what follows, before every record."""

MESSAGE = struct.Struct("<BQHIQQ")
"""Head, channel, sequence, log time, publish time; the body follows."""

CHUNK = struct.Struct("<BQQQQI")
"""Head, first and last log time, uncompressed size, CRC; compression and records follow."""

MESSAGE_INDEX = struct.Struct("<BQHI")
"""Head, channel, bytes of entries; entries (log time, offset) follow."""

CHUNK_INDEX = struct.Struct("<BQQQQQI")
"""Head, first and last log time, chunk offset and length, bytes of the per-channel map."""

FOOTER_BYTES = HEAD.size + 20
"""Size of the footer record, which stands right before the closing magic."""

MESSAGE_HEAD_BYTES = MESSAGE.size - HEAD.size
