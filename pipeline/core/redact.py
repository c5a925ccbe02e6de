"""Taking secrets out of what people may read."""

from __future__ import annotations

import re
from urllib.parse import unquote

# "user:password@" up to the last "@" of the word, as passwords are often not percent-encoded;
# but not "host:8080/path@2x". Without a colon, what stands before "@" ahead of the path.
_USERINFO = re.compile(
    r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]{0,30}://)"
    r"(?:[^\s/?#@:\[]*:(?!\d{1,5}(?:/|\s|$))(?:(?!://)\S)*@|[^\s/?#]*@)"
)
_SECRET = r"[\w-]{0,40}(?:token|key|secret|pass?|passwo?r?d|passwd|pwd|auth|signature|sig)=)[^&\s]+"
_QUERY_SECRET = re.compile(r"(?P<key>[?&]" + _SECRET, re.IGNORECASE)
# Some cameras take the login as a part of the path: "rtsp://host/user=me_password=pw_channel=1".
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]{0,30}://\S+")
_PATH_SECRET = re.compile(r"(?P<key>[/_;]" + _SECRET, re.IGNORECASE)


def url_passwords(text: str) -> list[str]:
    """Passwords in the URLs of a text, as they stand there and as they are meant."""
    found = [match[0].partition("://")[2] for match in _USERINFO.finditer(text)]
    words = [userinfo.removesuffix("@").partition(":")[2] for userinfo in found]
    return [form for word in words if word for form in dict.fromkeys((word, unquote(word)))]


def redact_url(text: str) -> str:
    """`text` with the credentials of every URL in it replaced by ``***``."""
    text = _QUERY_SECRET.sub(r"\g<key>***", _USERINFO.sub(r"\g<scheme>***@", text))
    return _URL.sub(lambda url: _PATH_SECRET.sub(r"\g<key>***", url[0]), text)
