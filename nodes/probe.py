"""Asks nodes of this machine whether they live, or are ready; the exit code says so.

For what can only start a command: a container's health check, a probe of Kubernetes, a script. The
port is read from the run file of the node, so it need not be fixed. It starts every few seconds
beside each node, therefore it imports the standard library only.

::

    fusewatch-probe livez|readyz DATA [NODE [CHECK]...]

With checks named, such as ``scenes``, only they count: a capture node that is lost makes a fusion
node not ready, but is no reason to keep it from coming back.

Exit codes: 0 yes, 1 no (what is wrong is printed), 64 wrong usage.
"""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from nodes.run_files import RunFile, read_run_file, read_run_files

YES, NO, USAGE = 0, 1, 64
PAGES = ("livez", "readyz")
TIMEOUT_S = 4.0
"""Shorter than what waits for the probe, so that it is this that tells what happened."""


def main() -> None:
    """Answer what was asked on the command line, and exit with the code."""
    raise SystemExit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Ask, print what is wrong; the exit code.

    Args:
        arguments: The page, the data folder of the deployment, which node (without one all that run
            there, of which there must be one), and the checks that count (none: all).
    """
    if len(arguments) < 2 or arguments[0] not in PAGES:
        print("usage: fusewatch-probe livez|readyz DATA [NODE [CHECK]...]", file=sys.stderr)
        return USAGE
    page, data, *rest = arguments
    wrong = list(faults(page, Path(data), rest[0] if rest else None, rest[1:]))
    print("\n".join(wrong) if wrong else "ok")
    return NO if wrong else YES


def faults(
    page: str, data: Path, node: str | None = None, wanted: Sequence[str] = ()
) -> Iterator[str]:
    """What is wrong, a line each.

    A node that is named is asked without looking for its process: its id may be one of another
    container.

    Args:
        page: ``livez`` or ``readyz``.
        data: Data folder.
        node: Name of the process; None: all that run there.
        wanted: Checks that count; one that the node does not tell counts as wrong. Empty: all.
    """
    if node is None:
        found = read_run_files(data)
    else:
        named = read_run_file(data / "run" / f"{node}.json")
        found = [] if named is None else [named]
    if not found:
        yield f"{node or 'nothing'}: has not started in {data}"
    for one in found:
        yield from _faults(page, one, wanted)


def _faults(page: str, one: RunFile, wanted: Sequence[str]) -> Iterator[str]:
    if one.http is None:
        return  # switched off: that it runs is all there is to know
    try:
        checks = _asked(page, one.http)
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        yield f"{one.name}: no answer on port {one.http}: {error}"
        return
    for name in wanted or checks:
        ok, detail = checks.get(name, (False, "not told"))
        if not ok:
            yield f"{one.name}: {name}: {detail}"


def _asked(page: str, port: int) -> dict[str, tuple[bool, str]]:
    """Checks of a page by name: is it so, and details."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        line.request("GET", f"/{page}")
        checks = json.loads(line.getresponse().read())["checks"]
        return {name: (check["ok"], check["detail"]) for name, check in checks.items()}
    finally:
        line.close()


if __name__ == "__main__":
    main()
