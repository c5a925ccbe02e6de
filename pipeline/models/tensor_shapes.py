"""Which shapes the tensors of a scene's model file must have, so that no window meets a misfit.

A hash says that a file is as it was written, not that it was written right. Sizes are named:
what has one name has one size within a stream, or among the relations of a scene. Those that
what the model is for dictates are given (``P`` places, ``d`` columns, ``e`` numbers of an item);
the first tensor with another name says how large it is. ``P*d`` is a product, ``E0+E1`` a sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import prod

from torch import Tensor

from pipeline.core.errors import ModelFileError

_DENSITY = {
    "places.mean": "P d",
    "places.whiten": "P d d",
    "places.memory": "P M d",
    "places.alive": "P",
    "items.mean": "e",
    "items.whiten": "e e",
    "items.memory": "Mi e",
    "level.column": "",
    "level.mean": "P",
    "level.whiten": "P P",
    "level.tolerance": "P",
    "running.usual": "P",
    "running.last": "P",
    "running.fastest": "P",
    "running.last_s": "",
    "running.reach": "2 P",
    "objects.background.colours": "K H W 3",
    "objects.background.middle": "H W 3",
    "objects.background.usual": "H W",
    "objects.background.fullest": "",
    "objects.things.mean": "t",
    "objects.things.whiten": "t t",
    "objects.things.memory": "Mt t",
    "objects.moves.mean": "m",
    "objects.moves.whiten": "m m",
    "objects.moves.memory": "Mm m",
    "axes.mean": "P*d",
    "axes.project": "P*d A",
    "normaliser.floor": "P d",
    "normaliser.centre": "P d",
    "normaliser.scale": "P d",
    "normaliser.common": "c",
    "normaliser.unrest": "c",
    "normaliser.modes": "P*c q",
    "normaliser.cycle.period_s": "",
    "normaliser.cycle.profile": "Kc P d",
    "normaliser.wander.slow": "P d",
    "normaliser.wander.learnt_s": "2",
    "normaliser.wander.longest_s": "",
}
_POOLED = {
    "mean": "D",
    "project": "D E",
    "basis": "D E",
    "rest": "",
    "memory": "Mp E",
}
_TAILS = {"start": "P", "scale": "P", "shape": ""}
_STREAM = {
    **{f"density.{name}": dims for name, dims in _DENSITY.items()},
    **{f"density.pooled.{name}": dims.replace("D", "P*d") for name, dims in _POOLED.items()},
    **{f"{side}.{name}": dims for side in ("far", "near") for name, dims in _TAILS.items()},
    "far.levels": "P Qf",
    "near.levels": "P Qn",
    "usual": "2 P d",
    "limits": "L",
    "view.edges": "2 h w",
}


def require_stream_shapes(
    prefix: str, tensors: Mapping[str, Tensor], given: dict[str, int]
) -> None:
    """See that all tensors of a stream fit what it is and each other.

    Args:
        prefix: What their names begin with.
        tensors: All tensors of the file.
        given: Sizes that are known, by name.

    Raises:
        ModelFileError: One does not; it says which.
    """
    _require(((f"{prefix}.{name}", dims) for name, dims in _STREAM.items()), tensors, given)


def require_scene_shapes(
    relations: Mapping[str, tuple[int, tuple[int, ...]]], tensors: Mapping[str, Tensor]
) -> None:
    """See that what a model knows between its streams, and of its scores, fits each other.

    Args:
        relations: Which stream is told from which others, by the name of its tensors.
        tensors: All tensors of the file.

    Raises:
        ModelFileError: One does not; it says which.
    """
    rules = [("held.scores", "n S"), ("held.end_ns", "n"), ("learnt.end_ns", "k")]
    rules += [(f"joint.{name}", dims) for name, dims in _POOLED.items()]
    rules += [(f"{name}.target_mean", f"E{of}") for name, (of, _) in relations.items()]
    for name, (of, others) in relations.items():
        rules += _of_relation(name, f"E{of}", "+".join(f"E{other}" for other in others))
    _require(rules, tensors, {})


def _of_relation(name: str, own: str, others: str) -> Iterator[tuple[str, str]]:
    yield f"{name}.source_mean", others
    yield f"{name}.weights", f"{others} {own}"
    yield f"{name}.own", f"{own} {own}"
    yield f"{name}.given", f"{own} {own}"
    yield f"{name}.gain", ""


def _require(
    rules: Iterable[tuple[str, str]], tensors: Mapping[str, Tensor], given: dict[str, int]
) -> None:
    """Compare every tensor that is there with its rule; a size that is new is learnt from it."""
    sizes = dict(given)
    for name, dims in rules:
        if name not in tensors:
            continue
        found, wanted = tuple(tensors[name].shape), dims.split()
        expected = [_size(dim, sizes) for dim in wanted]
        fits = len(found) == len(expected) and all(
            size in (None, is_) for size, is_ in zip(expected, found, strict=True)
        )
        if not fits:
            told = ", ".join("any" if size is None else str(size) for size in expected)
            raise ModelFileError(
                f"the shape of {name!r} is {_told(found)}, expected ({told})",
                fix="make it again with `fusewatch commission`",
            )
        sizes |= {dim: is_ for dim, is_ in zip(wanted, found, strict=True) if dim.isalnum()}


def _size(dim: str, sizes: Mapping[str, int]) -> int | None:
    """What a size must be; None: anything."""
    if dim.isdecimal():
        return int(dim)
    for sign, of in (("*", prod), ("+", sum)):
        if sign in dim:
            parts = [sizes.get(part) for part in dim.split(sign)]
            return None if None in parts else of(part for part in parts if part is not None)
    return sizes.get(dim)


def _told(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"
