"""Every setting as Markdown tables, made from the models themselves, so that none is forgotten.

A settings class is one table, headed by the keys under which it stands in a file. What a class
inherits from its family is told once, under the family.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.config.fields import Holding, nested
from pipeline.config.settings_words import default_of, kind_of, sentence
from pipeline.core.settings import Settings

_AFTER = {Holding.ONE: "", Holding.LIST: "[]", Holding.MAPPING: ".NAME"}
_HEAD = ("", "| key | may be | default | what it is |", "|---|---|---|---|")


@dataclass(frozen=True, slots=True)
class Group:
    """Settings classes that are told together.

    Attributes:
        title: Heading.
        intro: What to know before the tables.
        roots: Settings classes by what to call them.
        base: What all of them inherit, told once; None: nothing.
    """

    title: str
    intro: str
    roots: Mapping[str, type[Settings]]
    base: type[Settings] | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """A settings class with the heading of its table.

    Attributes:
        heading: Keys under which it stands, as Markdown.
        settings: The class.
        left_out: Fields that are told elsewhere.
    """

    heading: str
    settings: type[Settings]
    left_out: frozenset[str] = frozenset()


def settings_tables(groups: Sequence[Group]) -> Iterator[str]:
    """The tables of all groups, line by line."""
    bases = {group.base: group.title for group in groups if group.base is not None}
    links = {base: f"[{title.lower()}](#{anchor(title)})" for base, title in bases.items()}
    told: dict[type[Settings], str] = dict(links)
    for group in groups:
        places = list(_places(group, told))
        told |= {p.settings: f"[keys](#{anchor(p.heading)})" for p in places}
        yield from ("", f"## {group.title}", "", group.intro)
        if group.base is not None:
            yield from _table(_Place("", group.base), told)
        for place in places:
            yield from ("", f"### {place.heading}", "", _about(place.settings))
            yield from _table(place, told)


def anchor(heading: str) -> str:
    """What GitHub makes of a heading, to link to it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _places(group: Group, told: Mapping[type[Settings], str]) -> Iterator[_Place]:
    """A group's classes that are not told yet: each root, then what stands under it."""
    seen = set(told)
    known: frozenset[str] = frozenset()
    if group.base is not None:
        yield from _under(group.base, "", known, seen)
        known = frozenset(group.base.model_fields) - {"type"}
    for name, root in group.roots.items():
        if root not in seen:
            seen.add(root)
            yield _Place(name, root, known)
            yield from _under(root, f"{name}: " if group.base else "", known, seen)


def _under(
    root: type[Settings], before: str, left_out: frozenset[str], seen: set[type[Settings]]
) -> Iterator[_Place]:
    for settings, keys in _held(root, left_out, seen).items():
        seen.add(settings)
        yield _Place(before + ", ".join(f"`{key}`" for key in keys), settings)


def _held(
    root: type[Settings], left_out: frozenset[str], seen: set[type[Settings]]
) -> dict[type[Settings], list[str]]:
    """Classes under a root, nearest first, each with all the keys under which it stands."""
    found: dict[type[Settings], list[str]] = {}
    queue: list[tuple[type[Settings], str, frozenset[str]]] = [(root, "", left_out)]
    while queue:
        owner, path, without = queue.pop(0)
        for name, info in owner.model_fields.items():
            held = () if name in without else nested(info.annotation)
            for how, settings in held:
                key = f"{path}{name}{_AFTER[how]}"
                if settings in seen:
                    continue
                if settings not in found:
                    queue.append((settings, f"{key}.", frozenset()))
                found.setdefault(settings, []).append(key)
    return {settings: list(dict.fromkeys(keys)) for settings, keys in found.items()}


def _table(place: _Place, links: Mapping[type[Settings], str]) -> Iterable[str]:
    fields = place.settings.model_fields.items()
    rows = [
        f"| `{name}` | {kind_of(info, links)} | {default_of(info)} | {sentence(info.description)} |"
        for name, info in fields
        if name != "type" and name not in place.left_out
    ]
    return (
        ["", "| key | may be | default | what it is |", "|---|---|---|---|", *rows] if rows else []
    )


def _about(settings: type[Settings]) -> str:
    own = settings.__doc__ if "__doc__" in vars(settings) else ""
    return sentence((own or "").partition("\n\n")[0])
