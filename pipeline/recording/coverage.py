"""Which stretches of time were recorded, and pieces of them to be worked on apart.

Time here is time of arrival, where recordings are cut and read, or site time, where it is asked
what was seen then; after an outage they differ. In nanoseconds. Lengths are lengths of recorded
time: what lies between two recordings counts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

Span = tuple[int, int]


class Coverage:
    """Recorded time.

    Attributes:
        spans: Half-open ``[start, end)``, apart from each other, in order.

    Args:
        spans: Of each recording, in any order; they may overlap.
    """

    def __init__(self, spans: Iterable[Span]) -> None:
        merged: list[Span] = []
        for start, end in sorted(spans):
            if end <= start:
                continue
            if merged and start <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(end, merged[-1][1])
            else:
                merged.append((start, end))
        self.spans = tuple(merged)

    @property
    def total_ns(self) -> int:
        """How much was recorded."""
        return sum(end - start for start, end in self.spans)

    def holds(self, start_ns: int, end_ns: int) -> bool:
        """Whether anything of ``[start_ns, end_ns]`` was recorded."""
        return any(start <= end_ns and start_ns < end for start, end in self.spans)

    def shared_ns(self, other: Coverage) -> int:
        """How much of it another holds too."""
        both = self.total_ns + other.total_ns
        return both - Coverage([*self.spans, *other.spans]).total_ns

    def before(self, at_ns: int, length_ns: int) -> int:
        """The time from which on `length_ns` were recorded before `at_ns`, or the beginning."""
        left = length_ns
        for start, end in reversed(self.spans):
            stretch = min(end, at_ns) - start
            if stretch <= 0:
                continue
            if stretch >= left:
                return min(end, at_ns) - left
            left -= stretch
        return self.spans[0][0] if self.spans else at_ns

    def after(self, at_ns: int, length_ns: int) -> int:
        """The time up to which `length_ns` were recorded after `at_ns`, or the end."""
        left = length_ns
        for start, end in self.spans:
            stretch = end - max(start, at_ns)
            if stretch <= 0:
                continue
            if stretch >= left:
                return max(start, at_ns) + left
            left -= stretch
        return self.spans[-1][1] if self.spans else at_ns

    def pieces(self, length_ns: int) -> list[Span]:
        """Cut it: pieces of so much recorded time, and a last one of up to half as much again.

        They touch each other, so that nothing lies between two; none when nothing was recorded.
        """
        if not self.spans:
            return []
        count = max(1, round(self.total_ns / length_ns))
        begin, end = self.spans[0][0], self.spans[-1][1]
        cuts = [self.after(begin, number * length_ns) for number in range(1, count)]
        return list(zip([begin, *cuts], [*cuts, end], strict=True))
