"""Taking secrets out of what people may read."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)[^/@\s]+@")
_QUERY_SECRET = re.compile(
    r"(?P<key>[?&](?:token|key|secret|password|passwd|auth|signature)=)[^&\s]+", re.IGNORECASE
)


def redact_url(text: str) -> str:
    """`text` with the credentials of every URL in it replaced by ``***``."""
    return _QUERY_SECRET.sub(r"\g<key>***", _USERINFO.sub(r"\g<scheme>***@", text))
