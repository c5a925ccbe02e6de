"""Odd one out: does one stream of a window come from another time?

A network sees what all streams show in a few windows in a row, and tells which stream, if
any, was swapped in from another time of the same scene. It needs normal recordings alone: the
swaps are made of them. What it learns is the ratio of two densities, streams as they happen
together against streams that have nothing to do with each other (Gutmann and Hyvaerinen 2010,
"Noise-contrastive estimation"; telling which of several was replaced follows Fernando et al.
2017, "Self-Supervised Video Representation Learning With Odd-One-Out Networks"):

    score of stream i = log P(i was swapped | window) - log P(none was | window)

It finds what prediction by a linear map does not: a person who walks and is not heard.

The network sees the leading principal components of each stream, as the stream's own detector
has them. On pictures and spectra themselves it took ten times the processor time to see
anything at all, and was no better.

While streams are away, *spares* judge what is left: networks that learnt from runs with streams
left out, see `pipeline.training.odd_runs`. (One network for both was tried: it told swaps among
all streams less well.) A set of streams sees nothing but its own, and says nothing unless they
were there in all windows that are looked back on: so its score means the same while another
stream comes and goes, and is calibrated by held-out scores of the very same kind. A network that
saw a stream appear among others that had been there would call it the odd one.

A few networks each learn all but one part of the normal. The mean of all is the score; those
that have not seen a part judge it, which calibrates (cross-conformal prediction, Vovk 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from pipeline.models.detector_names import ODD
from pipeline.models.odd_ensemble import OddEnsemble
from pipeline.models.odd_network import OddNetwork, bent
from pipeline.models.odd_settings import OddSettings
from pipeline.models.past import Past
from pipeline.models.patterns import Pattern, patterns_of
from pipeline.models.products import each_alone
from pipeline.models.together import relation_name


@dataclass(frozen=True, slots=True)
class OddOneOut:
    """The networks of a scene, ready to judge.

    Attributes:
        settings: What they are made of and how they were learnt.
        widths: Components of each stream.
        networks: `OddSettings.members` for each part of the normal, which they have not seen.
        spares: Likewise those for when streams are missing; none: then it is silent.
        spares_always: Whether they judge where nothing is missing, too, as what calibrates them
            needs; live nobody would listen.
        whole: The networks side by side.
    """

    settings: OddSettings
    widths: tuple[int, ...]
    networks: tuple[OddNetwork, ...]
    spares: tuple[OddNetwork, ...] = ()
    spares_always: bool = False
    whole: OddEnsemble = field(init=False, repr=False, compare=False)
    _fewer: OddEnsemble | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "whole", OddEnsemble.of(self.networks))
        object.__setattr__(self, "_fewer", OddEnsemble.of(self.spares) if self.spares else None)

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """Sets of streams that are judged, all first; see `patterns_of`."""
        every = patterns_of(len(self.widths))
        return every if self.spares else every[:1]

    def names(self, streams: Sequence[str]) -> tuple[str, ...]:
        """Its sub-detectors for streams of these names: ``odd/a`` given all others, ``odd/a|b``."""
        return tuple(
            f"{ODD}/{relation_name(of, [other for other in pattern if other != of], streams)}"
            for pattern in self.patterns
            for of in pattern
        )

    def needs(self) -> tuple[Pattern, ...]:
        """Positions of the streams that each of `names` needs."""
        return tuple(pattern for pattern in self.patterns for _ in pattern)

    def past(self) -> Past:
        """An empty memory of the windows before the one that is judged."""
        return Past(self.settings.windows, self.widths)

    def scores(
        self, embeddings: Sequence[Tensor], seen: Tensor, indices: Sequence[int], past: Past
    ) -> Tensor:
        """Scores of windows, float64 ``(B, D)`` in the order of `names`.

        NaN where the streams of the pattern were not all seen, now and before; of the smaller
        sets also where all streams were, unless `spares_always`.

        Args:
            embeddings: Per stream ``(B, E)``; anything where not seen.
            seen: Which streams each window shows, bool ``(B, M)``.
            indices: Index of each window on the scene's grid, growing ``(B,)``.
            past: The windows before them; takes them in.
        """
        rows, shown = past.extend(indices, leading(embeddings, self.widths), seen)
        every, *fewer = self.patterns
        whole = shown.flatten(1).all(dim=1)  # (B,)
        size = len(seen), len(self.needs())
        table = torch.full(size, torch.nan, dtype=torch.float64, device=seen.device)
        if whole.any():
            told = _mean_scores(self.whole, rows, shown, whole, [every])
            table[whole, : len(every)] = told
        lacking = torch.ones_like(whole) if self.spares_always else ~whole
        if self._fewer is not None and lacking.any():
            told = _mean_scores(self._fewer, rows, shown, lacking, fewer)
            table[lacking, len(every) :] = told
        return table

    def to(self, device: torch.device) -> OddOneOut:
        """The same on `device`."""
        networks, spares = (
            tuple(deepcopy(network).to(device).eval() for network in group)
            for group in (self.networks, self.spares)
        )
        return replace(self, networks=networks, spares=spares)


@torch.no_grad()
def _mean_scores(
    networks: OddEnsemble,
    components: Sequence[Tensor],
    seen: Tensor,
    chosen: Tensor,
    patterns: Sequence[Pattern],
) -> Tensor:
    """Mean of what networks say of the chosen rows ``(B,)``, float64 ``(chosen, D)``."""
    rows = [seen[chosen], *(one[chosen] for one in components)]
    each = zip(*(torch.split(one, 1) for one in rows), strict=True)
    parts = each if each_alone(rows[0]) else [rows]
    return torch.cat([_mean_of(networks, part, here, patterns) for here, *part in parts])


def _mean_of(
    networks: OddEnsemble, rows: Sequence[Tensor], seen: Tensor, patterns: Sequence[Pattern]
) -> Tensor:
    """As `_mean_scores`, of all rows at once."""
    present = _asked(patterns, seen)  # (P, B, T, M)
    z = networks.embed(bent([one.flatten(0, 1) for one in rows]))  # (N, B * T, M, Z)
    each = z.reshape(len(z), 1, *seen.shape, -1).expand(-1, len(patterns), -1, -1, -1, -1)
    logits = networks.logits(each.flatten(1, 2), present.flatten(0, 1)).mean(dim=0)
    return _odds(logits, seen, patterns).double()


@torch.no_grad()
def odd_scores(
    network: OddNetwork, components: Sequence[Tensor], seen: Tensor, patterns: Sequence[Pattern]
) -> Tensor:
    """Log odds of each stream of each pattern against none, in the last window of each row.

    Args:
        network: The network, in ``eval()``.
        components: Per stream ``(B, T, E)``.
        seen: bool ``(B, T, M)``.
        patterns: Sets of streams, ``(P,)``.

    Returns:
        ``(B, D)``, the streams of one pattern after those of the other; NaN where one of them
        was not seen in all windows of the row.
    """
    z = network.embed([one.flatten(0, 1) for one in components]).reshape(*seen.shape, -1)
    present = _asked(patterns, seen)  # (P, B, T, M)
    logits = network(z.expand(len(patterns), *z.shape).flatten(0, 1), present.flatten(0, 1))
    return _odds(logits, seen, patterns)


def _asked(patterns: Sequence[Pattern], seen: Tensor) -> Tensor:
    """The streams of each pattern alone as those that are there, bool ``(P, B, T, M)``."""
    member = torch.zeros(len(patterns), seen.shape[-1], dtype=torch.bool, device=seen.device)
    for number, pattern in enumerate(patterns):
        member[number, list(pattern)] = True
    return member[:, None, None].expand(-1, *seen.shape)


def _odds(logits: Tensor, seen: Tensor, patterns: Sequence[Pattern]) -> Tensor:
    """What `odd_scores` returns, of logits ``(P * B, T, 1 + M)``."""
    last = logits[:, -1].reshape(len(patterns), len(seen), -1)
    odds = last[..., 1:] - last[..., :1]  # (P, B, M)
    found = []
    for odd, pattern in zip(odds, patterns, strict=True):
        whole = seen[..., list(pattern)].all(dim=-1).all(dim=-1)  # (B,)
        found.append(torch.where(whole[:, None], odd[:, list(pattern)], torch.nan))
    return torch.cat(found, dim=1)


def widths_of(settings: OddSettings, sizes: Sequence[int]) -> tuple[int, ...]:
    """Components that are looked at of streams with embeddings of these sizes."""
    return tuple(min(settings.dims, size) for size in sizes)


def leading(embeddings: Sequence[Tensor], widths: Sequence[int]) -> list[Tensor]:
    """The last, leading, `widths` components of embeddings ``(B, E)``, float32."""
    pairs = zip(embeddings, widths, strict=True)
    return [whole[:, whole.shape[1] - width :].float() for whole, width in pairs]
