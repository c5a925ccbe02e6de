"""One registry for everything that comes in kinds.

A kind is a file: ``pipeline/sources/camera.py`` is the kind ``camera`` of the family
``sources``, and its ``PLUGIN`` attribute is the settings class whose ``build()`` makes the
runtime object. Third parties add a kind by an entry point of the group
``fusewatch.<family>`` that points at such a settings class. Only the named kind is imported,
so a missing optional library hurts nobody who does not use it.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from pipeline.core.errors import DependencyMissing, PluginError
from pipeline.core.extras import installing_module
from pipeline.core.settings import Settings


@dataclass(frozen=True, slots=True)
class Family:
    """A family of plug-ins.

    Attributes:
        name: Name of the family, and of its entry-point group after ``fusewatch.``.
        package: Package whose modules are the built-in kinds.
        base: Settings class that every kind derives from.
        support: Modules of the package that are not kinds.
    """

    name: str
    package: str
    base: type[Settings]
    support: frozenset[str] = frozenset({"base"})

    def kinds(self) -> tuple[str, ...]:
        """Every kind that can be named, built-in and third-party, sorted."""
        return tuple(sorted({*self._builtin(), *self._foreign()}))

    def settings(self, kind: str) -> type[Settings]:
        """The settings class of a kind; imports that kind's module only.

        Raises:
            PluginError: No such kind, or it does not derive from the family's base.
            DependencyMissing: The kind needs an extra that is not installed.
        """
        if kind in self._builtin():
            found = _load_module(f"{self.package}.{kind}", kind, self.name)
        elif kind in (foreign := self._foreign()):
            found = _load_foreign(foreign[kind], self.name)
        else:
            raise PluginError(f"no {self.name} of type {kind!r}", fix=self._suggest(kind))
        if not (isinstance(found, type) and issubclass(found, self.base)):
            raise PluginError(
                f"{self.name} type {kind!r} is not a {self.base.__name__}",
                fix="let its entry point name a settings class derived from it",
            )
        return found

    def _builtin(self) -> frozenset[str]:
        package = importlib.import_module(self.package)
        names = {m.name for m in pkgutil.iter_modules(package.__path__) if not m.ispkg}
        return frozenset(names - self.support)

    def _foreign(self) -> dict[str, EntryPoint]:
        return {e.name: e for e in entry_points(group=f"fusewatch.{self.name}")}

    def _suggest(self, kind: str) -> str:
        close = difflib.get_close_matches(kind, self.kinds(), n=1)
        if close:
            return f"did you mean {close[0]!r}?"
        return f"write one of: {', '.join(self.kinds())}"


def _load_module(path: str, kind: str, family: str) -> object:
    try:
        return getattr(importlib.import_module(path), "PLUGIN", None)
    except ModuleNotFoundError as error:
        raise DependencyMissing(
            f"{family} type {kind!r} needs the Python package {error.name!r}",
            fix=installing_module(error.name or ""),
        ) from error


def _load_foreign(entry: EntryPoint, family: str) -> object:
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        package = entry.dist.name if entry.dist else entry.value
        raise PluginError(
            f"{family} type {entry.name!r} of package {package!r} cannot be loaded: {error}",
            fix=f"repair it, or remove it with: pip uninstall {package}",
        ) from error
