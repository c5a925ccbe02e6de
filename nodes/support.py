"""What somebody who helps from afar needs to know of a deployment, in one file without secrets.

In it are the deployment as it was understood, what is wrong with its file, versions and devices
of the machine, what each process says of itself, what is kept and how old, and, when given, the
end of a log. Not in it are pictures, sound, readings, the text of events, models and keys. Every
text goes through the redaction of the logs (`nodes.logs.Redact`) with all secrets of the
deployment, and settings that may hold any (headers, options of a decoder) are taken out whole.
While the deployment file cannot be read, its secrets are not known: then only URLs are cleaned.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from nodes.doctor import Finding, examine
from nodes.doctor_machine import clock
from nodes.doctor_site import examine_site
from nodes.logs import Redact
from nodes.places import spool_folder
from nodes.retention import kept_here, report_on
from nodes.spool_report import look_at
from nodes.stores import report_on as store_report
from nodes.stores import stores_here
from nodes.top_reading import places, read_all
from pipeline.config import Report, check_file
from pipeline.config.deployment import Deployment
from pipeline.core.errors import FusewatchError
from pipeline.core.timestamps import format_iso

LOG_BYTES = 4 << 20
"""So much of the end of a log."""
_WHOLE = frozenset({"headers", "options", "will_topic"})

ABOUT = """\
Made by `fusewatch support bundle`. Passwords, tokens and keys are taken out, and so are headers
and options of decoders as a whole; pictures, sound, readings and the text of events are not in it.
Names of streams, scenes, hosts and topics are: look it through before you hand it on, all the more
when config-check.json tells of problems: secrets of a file that cannot be read are not known.
"""


def bundle(config: Path, log: Path | None, now_ns: int, target: Path) -> list[str]:
    """Write the file.

    Args:
        config: The deployment file.
        log: A log to take the end of; None: none.
        now_ns: Node time.
        target: ZIP file to write, with mode 0600.

    Returns:
        Names of what is in it.

    Raises:
        ConfigError: The deployment file cannot be read at all.
        OSError: The log cannot be read, or the target not be written.
    """
    report = check_file(config)
    redact = Redact(report.loaded.secrets if report.loaded else ())
    parts = {name: redact.clean(text) for name, text in _parts(report, log, now_ns)}
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(handle, 0o600)  # it may have been there
    with (
        os.fdopen(handle, "wb") as opened,
        zipfile.ZipFile(opened, "w", zipfile.ZIP_DEFLATED) as file,
    ):
        for name, text in parts.items():
            file.writestr(name, text)
    return list(parts)


def _parts(report: Report, log: Path | None, now_ns: int) -> Iterator[tuple[str, str]]:
    yield "about.txt", ABOUT + f"At {format_iso(now_ns)}.\n"
    yield "machine.json", _json(_machine())
    yield "findings.json", _json([asdict(finding) for finding in _findings(report)])
    problems = [str(one) for one in (*report.problems, *report.warnings)]
    yield "config-check.json", _json(problems)
    if report.loaded is not None:
        yield from _of_deployment(report.loaded.deployment, now_ns)
    if log is not None:
        yield "log.txt", _end_of(log)


def _findings(report: Report) -> Iterator[Finding]:
    """What `fusewatch doctor CONFIG` says."""
    yield from examine(everywhere=report.loaded is None)
    yield from clock()
    if report.loaded is not None:
        yield from examine_site(report.loaded.deployment)


def _of_deployment(deployment: Deployment, now_ns: int) -> Iterator[tuple[str, str]]:
    yield "deployment.json", _json(_masked(deployment.model_dump(mode="json")))
    yield "disk.json", _json(_disk(deployment.data))
    for name, reading in read_all(places(deployment)).items():
        yield f"processes/{name}.json", _json(asdict(reading))
    yield "kept.json", _tried(lambda: _kept(deployment, now_ns))
    yield "stores.json", _tried(lambda: [asdict(store_report(k)) for k in stores_here(deployment)])
    spools = {name: spool_folder(deployment, name) for name in deployment.nodes}
    yield "spools.json", _tried(lambda: [look_at(*one).as_data() for one in spools.items()])


def _machine() -> dict[str, Any]:
    """Where it runs; versions of all Python packages, which decide more than ours does."""
    packages = {one.metadata["Name"]: one.version for one in metadata.distributions()}
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "load": os.getloadavg(),
        "packages": dict(sorted(packages.items())),
    }


def _disk(folder: Path) -> dict[str, int]:
    there = next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))
    return shutil.disk_usage(there)._asdict()


def _kept(deployment: Deployment, now_ns: int) -> list[dict[str, Any]]:
    with ExitStack() as stack:
        reports = [report_on(kept, now_ns) for kept in kept_here(deployment, stack)]
    return [{**asdict(one), "overdue": len(one.overdue)} for one in reports]


def _tried(look: Callable[[], object]) -> str:
    """What a look gives, or why it gave nothing: a broken store is what help is asked for."""
    try:
        return _json(look())
    except (FusewatchError, OSError) as error:
        return _json({"error": str(error)})


def _masked(value: Any) -> Any:  # noqa: ANN401 - plain data
    """Plain data without settings in which anything may stand."""
    if isinstance(value, Mapping):
        return {
            key: "***" if key in _WHOLE and item else _masked(item) for key, item in value.items()
        }
    return [_masked(item) for item in value] if isinstance(value, list) else value


def _end_of(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES))
        return file.read().decode("utf-8", "replace")


def _json(value: object) -> str:
    return json.dumps(value, indent=1, default=str) + "\n"
