"""Addresses in a deployment: are they well formed, do they leave this machine?"""

from __future__ import annotations

import ipaddress
import os
import re

from pipeline.core.errors import ConfigError

_TCP = re.compile(r"tcp://(?P<host>\[[0-9a-fA-F:.]+\]|[^:/\s\[\]]+):(?P<port>[0-9]{1,5})")
_LOCAL_SCHEMES = ("ipc://", "inproc://")
MAX_SOCKET_PATH = 107
WILDCARDS = frozenset({"*", "0.0.0.0", "::"})


def fault_of(address: str) -> str:
    """What is wrong with a ZeroMQ address; empty when nothing is."""
    if address.startswith(_LOCAL_SCHEMES):
        name = address.partition("://")[2]
        if address.startswith("ipc://") and len(os.fsencode(name)) > MAX_SOCKET_PATH:
            return f"names a file whose path is longer than {MAX_SOCKET_PATH} bytes"
        return "" if name else "has no name after '://'"
    found = _TCP.fullmatch(address)
    if found is None:
        return "is not an address"
    return "" if 0 < int(found["port"]) < 65536 else "has a port that is not 1 to 65535"


def host_of(address: str) -> str:
    """Host of a ``tcp://`` address without brackets; empty for any other."""
    found = _TCP.fullmatch(address)
    return found["host"].strip("[]") if found else ""


def is_this_machine(address: str) -> bool:
    """Whether traffic on this address never leaves the machine."""
    if address.startswith(_LOCAL_SCHEMES):
        return True
    return is_loopback(host_of(address))


def is_loopback(host: str) -> bool:
    """Whether a host name or IP address is the machine's own loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_wildcard(address: str) -> bool:
    """Whether the address means every interface, so that nobody can connect to it as it is."""
    return host_of(address) in WILDCARDS


def http_address(text: str) -> tuple[str, int]:
    """Host and port of an HTTP address such as ``127.0.0.1:0``; port 0 means any free one.

    Raises:
        ConfigError: Not ``HOST:PORT``.
    """
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"{text!r} is not HOST:PORT", fix="write for example 127.0.0.1:9100")
    return ("" if host == "*" else host), int(port)


def require_guard(text: str) -> ConfigError:
    """The error for an HTTP address that others can reach, without `security.http`."""
    port = text.rpartition(":")[2]
    return ConfigError(
        f"{text!r} can be reached from other machines, which needs a token and TLS",
        fix=f"write 127.0.0.1:{port}, or give security.http a token, a certificate and its key",
    )
