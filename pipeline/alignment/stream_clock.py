"""From the stamps a source gives to the times things happened, on the capture node.

Rules:

* A stream whose stamps are ``exact`` passes untouched.
* The device's known latency is subtracted from every other stamp.
* Streams of a nominal rate are de-jittered: samples are counted (sound by its own sample
  counter, frames and readings by the periods that passed), a rate and a phase are fitted to
  the stamps (`rate_fit`), and the sample gets the fitted time. ``uncertainty_ns`` grows by
  twice the usual residual, because what looks like jitter of stamps may be true unevenness,
  and by more while few residuals are known.
* The fit begins anew after a gap, when stamps go back, when sound's counter goes back, on a new
  epoch, and when residuals stay on one side (the phase moved). When frames or readings come
  evenly but at another rate than announced, that rate is taken; when they do not come evenly
  at all, their stamps are left as they are.
* Frames held up and delivered in a bunch get their places in line back; none is given a time
  before the one handed out last.
* A sample with the same stamp as the one before, where no period is left for it, came twice:
  it is put right behind the other and the fit does not move. One with an earlier stamp is taken
  for the next in line. ``uncertainty_ns`` of both reaches back to their own stamps.
* Times handed out grow, except where the source's own stamps go back by more than the gap
  limit: that is passed on, for the aligner to refuse.
* Whatever is done beyond smoothing is counted by its reason, see `Correction`.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from pydantic import Field

from pipeline.alignment.rate_fit import RateFit
from pipeline.core.sample import Modality, Sample, StreamInfo
from pipeline.core.settings import Settings

_GAP_PERIODS = 3  # of frames or readings, where that is longer
_STRIKES = 8
_LOOK_BACK = 32
_UNEVEN = 0.2  # spread over period from which stamps are left alone
_EVEN = 0.1  # and below which they are fitted again


class Correction(StrEnum):
    """What a stream's stamps needed beyond smoothing; each is counted once per sample."""

    GAP = "gap"  # longer silence than the gap limit: the fit began anew
    BACK = "back"  # a stamp before the one before it
    REPEATED = "repeated"  # the same stamp again
    EPOCH = "epoch"  # the source began anew, and so did the fit
    COUNTER = "counter"  # sound's sample counter went back: the fit began anew
    PHASE = "phase"  # stamps stayed on one side of the fit, which began anew
    RATE = "rate"  # another rate than announced was taken
    UNEVEN = "uneven"  # no steady rate: the stamp was left as it was
    HELD_UP = "held_up"  # came in a bunch and got its place in line back


class StreamClockSettings(Settings):
    """How one stream's stamps are corrected."""

    latency_ns: int = 0
    """The device's known delay between event and stamp, ns."""

    dejitter: bool = True
    """Fit a rate and a phase (streams of a nominal rate only)."""

    memory_s: float = Field(default=20.0, gt=0)
    """Stamps older than this hardly count any more, seconds."""

    max_gap_s: float = Field(default=1.0, gt=0)
    """After a longer silence, and one of more than three periods, the phase is found anew,
    seconds."""

    def build(self, info: StreamInfo) -> StreamClock:
        """Make the clock of a stream."""
        return StreamClock(self, info)


class StreamClock:
    """Corrects the stamps of one stream; see the module for the rules.

    Args:
        settings: What to correct.
        info: The stream.

    Attributes:
        counts: How often each correction was needed.
    """

    def __init__(self, settings: StreamClockSettings, info: StreamInfo) -> None:
        self.counts = dict.fromkeys(Correction, 0)
        self._settings = settings
        self._exact = info.stamp == "exact"
        self._counted = info.modality is Modality.AUDIO
        self._gap_ns = round(settings.max_gap_s * 1e9)
        if info.rate_hz:
            self._gap_ns = max(self._gap_ns, round(_GAP_PERIODS * 1e9 / info.rate_hz))
        self._fit: RateFit | None = None
        if settings.dejitter and info.rate_hz:
            self._fit = RateFit(1e9 / info.rate_hz, settings.memory_s * 1e9)
        self._begun = False
        self._epoch = 0
        self._position = 0
        self._spare = 0  # periods counted as lost that may yet turn out as held up
        self._guessed = False  # the last sample's place was a guess
        self._uneven = False
        self._raw_ns: int | None = None
        self._last_ns: int | None = None
        self._steps: deque[int] = deque(maxlen=_LOOK_BACK)

    @property
    def spread_ns(self) -> float:
        """Usual residual of the stamps around the fit; 0 where there is none."""
        return 0.0 if self._fit is None else self._fit.spread_ns

    @property
    def rate_error_ppm(self) -> float:
        """How much slower than nominal the device runs, parts per million."""
        return 0.0 if self._fit is None else (self._fit.stretch - 1.0) * 1e6

    def correct(self, sample: Sample) -> Sample:
        """The sample with the time it happened and how sure that is."""
        if self._exact:
            return sample
        raw_ns = sample.timestamp_ns - self._settings.latency_ns
        step_ns = 0 if self._raw_ns is None else raw_ns - self._raw_ns
        self._note_step(step_ns)
        fitted_ns = raw_ns if self._fit is None else self._fitted(self._fit, sample, raw_ns)
        if self._uneven:
            self.counts[Correction.UNEVEN] += 1
            fitted_ns = raw_ns
        time_ns = fitted_ns
        if self._last_ns is not None and step_ns >= -self._gap_ns:
            time_ns = max(fitted_ns, self._last_ns + 1)
        self._raw_ns, self._last_ns = raw_ns, time_ns
        doubt_ns = time_ns - fitted_ns
        if self._fit is not None:
            doubt_ns += 0 if self._uneven else round(self._fit.doubt_ns)
        if step_ns <= 0:
            doubt_ns = max(doubt_ns, time_ns - raw_ns)
        return Sample(
            sample.stream,
            sample.sequence,
            time_ns,
            sample.data,
            sample.encoding,
            sample.uncertainty_ns + doubt_ns,
            sample.epoch,
            sample.position,
        )

    def _note_step(self, step_ns: int) -> None:
        if self._raw_ns is None:
            return
        if step_ns < 0:
            self.counts[Correction.BACK] += 1
        elif step_ns == 0:
            self.counts[Correction.REPEATED] += 1
        elif step_ns > self._gap_ns and self._fit is not None:
            self.counts[Correction.GAP] += 1

    def _fitted(self, fit: RateFit, sample: Sample, raw_ns: int) -> int:
        step_ns = 0 if self._raw_ns is None else raw_ns - self._raw_ns
        fresh = not self._begun
        if self._begun and sample.epoch != self._epoch:
            fresh = True
            self.counts[Correction.EPOCH] += 1
        counts, held_up = self._counts(fit, sample, raw_ns, step_ns)
        self._begun, self._epoch, self._position = True, sample.epoch, sample.position
        if fresh or counts is None or abs(step_ns) > self._gap_ns:
            self.counts[Correction.COUNTER] += counts is None and not fresh
            self._steps.clear()
            return self._begin(fit, raw_ns)
        if held_up:
            self.counts[Correction.HELD_UP] += step_ns > 0
            fit.move(counts)
            return fit.phase_ns
        residual = fit.follow(counts, raw_ns)
        if abs(fit.strikes) >= _STRIKES or abs(residual) > self._gap_ns:
            self.counts[Correction.PHASE] += 1
            return self._begin(fit, raw_ns)
        if not self._counted:
            self._steps.append(step_ns)
            self._judge(fit)
        return fit.phase_ns

    def _begin(self, fit: RateFit, raw_ns: int) -> int:
        fit.begin(raw_ns)
        self._spare = 0
        return raw_ns

    def _counts(
        self, fit: RateFit, sample: Sample, raw_ns: int, step_ns: int
    ) -> tuple[int | None, bool]:
        """Counts since the last sample, None when it cannot be said; and whether it was held up.

        A sample within half a period of the one before was held up together with it: no
        period was lost between them, nor were those that seemed lost before. Where none
        seemed lost, one with the same stamp has the same place; one with an earlier stamp is
        guessed to be the next, until the one after it claims that place.
        """
        if self._counted:
            counts = sample.position - self._position
            again = counts == 0 and step_ns <= 0
            return (counts if counts > 0 or again else None), again
        counts = fit.counts_to(raw_ns)
        guessed, self._guessed = self._guessed, False
        if step_ns <= 0 and not self._spare and counts < 1:
            self._guessed = step_ns < 0
            return int(self._guessed), True
        if guessed and counts == 0:
            return 0, False
        if 2 * step_ns < fit.period_ns:
            back, self._spare = self._spare, 0
            return 1 - back, back > 0 or counts > 1
        self._spare = counts - 1 if counts > 1 else max(0, self._spare - 1)
        return max(1, counts), False

    def _judge(self, fit: RateFit) -> None:
        """See whether samples come at a steady rate, and take another rate than announced."""
        limit = _EVEN if self._uneven else _UNEVEN
        self._uneven = fit.spread_ns > limit * fit.period_ns
        if not self._uneven or len(self._steps) < _LOOK_BACK // 2:
            return
        steps = sorted(self._steps)
        middle = steps[len(steps) // 2]
        spread = sorted(abs(step - middle) for step in steps)[len(steps) // 2]
        if spread < 0.1 * middle and abs(middle - fit.period_ns) > 0.02 * middle:
            self._adopt(steps[len(steps) // 4 : -len(steps) // 4])

    def _adopt(self, steps: list[int]) -> None:
        self.counts[Correction.RATE] += 1
        self._fit = RateFit(sum(steps) / len(steps), self._settings.memory_s * 1e9)
        self._begun = False
