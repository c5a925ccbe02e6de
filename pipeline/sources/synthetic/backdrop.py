"""The empty room, drawn once per place and size: one picture per source of light.

A frame starts as the weighted sum of these pictures in linear light, so any mix of daylight,
sun and lamps costs the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from pipeline.sources.synthetic.irradiance import LAYERS, irradiance
from pipeline.sources.synthetic.light import Light
from pipeline.sources.synthetic.perspective import Camera
from pipeline.sources.synthetic.place import make_place
from pipeline.sources.synthetic.raycast import CORRIDOR, GLASS, Hits, Singles, cast
from pipeline.sources.synthetic.surfaces import reflectance


@dataclass(frozen=True, slots=True)
class Backdrop:
    """The empty room.

    Attributes:
        layers: Linear light ``(H, W, 3)`` per source, in the order of `LAYERS`.
        glass: Share of each pixel that is window pane ``(H, W)``.
        doorway: Share of each pixel that is doorway ``(H, W)``.
    """

    layers: tuple[Singles, ...]
    glass: Singles
    doorway: Singles

    def lit(self, light: Light) -> Singles:
        """Linear light of the room ``(H, W, 3)``; 1 is white."""
        total = self.layers[0] * np.float32(light.sky)
        for layer, strength in zip(self.layers[1:], weights(light)[1:], strict=True):
            if strength > 0:
                cv2.scaleAdd(layer, strength, total, dst=total)
        return total


def weights(light: Light) -> tuple[float, ...]:
    """Strength per source in the order of `LAYERS`."""
    return tuple(float(getattr(light, name)) for name in LAYERS)


@lru_cache(maxsize=4)
def backdrop(number: int, width: int, height: int) -> Backdrop:
    """The empty room of place `number` at a size."""
    place = make_place(number)
    camera, size = Camera(place.view, width, height), (width, height)
    hits = cast(place, camera, factor=2)
    colour = _shrink(reflectance(place, hits), size)
    light = irradiance(place, cast(place, camera, factor=1))
    layers = tuple(colour * light[name] for name in LAYERS)
    return Backdrop(layers, _shrink(_mask(hits, GLASS), size), _shrink(_mask(hits, CORRIDOR), size))


def _mask(hits: Hits, material: int) -> Singles:
    mask: Singles = (hits.material == material).astype(np.float32)
    return mask


def _shrink(picture: Singles, size: tuple[int, int]) -> Singles:
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
