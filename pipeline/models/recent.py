"""What was made of the latest things, so that windows that overlap make it once.

A window is two seconds long and the next begins half a second later: three of four of its
frames are those of the window before. What is made of one frame, or of two in a row, is kept
here until a window comes that has it no more.

A thing is known by being the very same object. Payloads are never written to after they were
handed on (see `pipeline.core.sample.Sample`), so what was made of it then is, to the bit, what
would be made of it now: whatever is kept or was lost, in a restart for one, nothing but the
time it takes depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """What was made of the things of the last call, and of no others."""

    def __init__(self) -> None:
        # The things themselves are held too: while they are, their ids are nobody else's.
        self._held: dict[tuple[int, ...], tuple[tuple[object, ...], T]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def each(self, things: Iterable[tuple[object, ...]], make: Callable[..., T]) -> list[T]:
        """What `make` makes of each thing; not called for those that the last call had too.

        Args:
            things: Arguments of `make`; one may come several times.
            make: Depends on nothing but its arguments.
        """
        return self.at_once(things, lambda *arguments: map(make, *arguments))

    def at_once(
        self, things: Iterable[tuple[object, ...]], make: Callable[..., Iterable[T]]
    ) -> list[T]:
        """As `each`, where `make` takes all first arguments, all second ones, and so on.

        What it makes of a thing must not depend on the others that it is given with it.
        """
        keyed = [(tuple(map(id, thing)), thing) for thing in things]
        new = {key: thing for key, thing in keyed if key not in self._held}
        made = zip(new.items(), make(*zip(*new.values(), strict=True)), strict=True) if new else ()
        known = self._held | {key: (thing, what) for (key, thing), what in made}
        self._held = {key: known[key] for key, _ in keyed}
        return [known[key][1] for key, _ in keyed]
