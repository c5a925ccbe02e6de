"""The ``fusewatch`` command: one lazy subcommand per file of `nodes.commands`.

A command file has ``register(app)``, which adds its command or group to the Typer app it is
given. Only the file of the command that was typed is imported, so ``fusewatch capture``
starts without torch and ``--help`` is instant.

Exit codes: 0, 64 wrong usage, 69 something needed is not available, 70 internal, 78
configuration.
"""

from __future__ import annotations
