"""When the pictures are shown that leave a decoder one after the other."""

from __future__ import annotations


class PictureTimes:
    """Chooses between the two times of each picture.

    A container such as AVI stores no time of showing. Where pictures build on later ones, what a
    demuxer works out goes back and forth, though the decoder gives the pictures in the order in
    which they are shown; the times of decoding, which grow, are right then. So that of both is
    taken that has gone back less often so far, as FFmpeg's own player does (libavcodec, "best
    effort timestamp"). The last pictures, which leave the decoder when nothing more goes in, have
    no time of decoding: they follow then as the one before did.
    """

    def __init__(self) -> None:
        self._shown = _Row()
        self._decoded = _Row()
        self._told = self._step = 0

    def of(self, pts: int | None, dts: int | None) -> int | None:
        """Time of the next picture, ticks; None when it has none.

        Args:
            pts: When it is to be shown, ticks.
            dts: When it was to be decoded.
        """
        self._shown.see(pts)
        self._decoded.see(dts)
        trusted = self._shown.back <= self._decoded.back or not self._decoded.seen
        if pts is not None and trusted:
            ticks = pts
        elif dts is not None:
            ticks = dts
        elif pts is not None:
            ticks = self._told + self._step
        else:
            return None
        self._step = ticks - self._told
        self._told = ticks
        return ticks


class CountedTimes:
    """Times of the pictures of a raw file, whose packets have none but what they are counted to.

    They are counted in the order of decoding. Pictures leave the decoder in the order in which they
    are shown, one for each packet that goes in, and the first tells how long each is held back.
    """

    def __init__(self) -> None:
        self._held: int | None = None
        self._told = self._step = 0

    def of(self, pts: int | None, dts: int | None) -> int | None:
        """Time of the next picture, ticks; None when it has none.

        Args:
            pts: Count of its own packet.
            dts: Count of the packet that went in as it came out; None: nothing more went in.
        """
        if pts is None:
            return None
        if self._held is None:
            self._held = 0 if dts is None else dts - pts
        ticks = self._told + self._step if dts is None else dts - self._held
        self._step = ticks - self._told
        self._told = ticks
        return ticks


class _Row:
    """Times that should grow."""

    def __init__(self) -> None:
        self.back = 0
        self._last: int | None = None

    @property
    def seen(self) -> bool:
        """Whether there was any."""
        return self._last is not None

    def see(self, ticks: int | None) -> None:
        """Count a time that went back."""
        if ticks is None:
            return
        self.back += self._last is not None and ticks <= self._last
        self._last = ticks
