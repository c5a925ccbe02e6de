"""Drawing people: an articulated figure in three dimensions, limbs as lit strokes."""

from __future__ import annotations

import math

import numpy as np

from pipeline.sources.synthetic.brush import Blob, Frame, disc, display, ellipse, polygon, stroke
from pipeline.sources.synthetic.chance import Floats
from pipeline.sources.synthetic.people import Pose
from pipeline.sources.synthetic.perspective import Camera
from pipeline.sources.synthetic.place import as_row

_LIMBS = ("hip", "knee", "ankle", "toe", "shoulder", "elbow", "hand")
_TRUNK = ("pelvis", "neck", "head")
_UP = np.array([0.0, 1.0, 0.0])


def skeleton(pose: Pose) -> dict[str, Floats]:
    """Joints of the body as points (x, y, z); limbs carry ``_l`` or ``_r``."""
    tall = pose.person.height_m
    ahead = np.array([math.sin(pose.heading_rad), 0.0, math.cos(pose.heading_rad)])
    right = np.array([ahead[2], 0.0, -ahead[0]])
    root = np.array([pose.x_m, 0.0, pose.z_m])
    joints: dict[str, Floats] = {}
    lowest = tall
    for name, side, shift in (("l", -1.0, 0.0), ("r", 1.0, math.pi)):
        hip = root + _UP * (0.51 * tall) + right * (side * 0.055 * tall)
        lowest = min(lowest, _leg(joints, name, hip, ahead, tall, pose, shift))
        shoulder = root + _UP * (0.81 * tall) + right * (side * 0.105 * tall * pose.person.build)
        _arm(joints, name, shoulder, ahead, tall, pose, shift)
    joints["pelvis"] = root + _UP * (0.52 * tall)
    joints["neck"] = root + _UP * (0.85 * tall) + ahead * 0.01 * tall
    joints["head"] = root + _UP * (0.925 * tall) + ahead * 0.025 * tall
    drop = _UP * (lowest - 0.022 * tall)
    return {name: point - drop for name, point in joints.items()}


def _leg(
    joints: dict[str, Floats],
    name: str,
    hip: Floats,
    ahead: Floats,
    tall: float,
    pose: Pose,
    shift: float,
) -> float:
    phase = pose.phase_rad + shift
    swing = 0.46 * pose.walking * math.sin(phase)
    bend = 0.85 * pose.walking * max(0.0, math.cos(phase)) + 0.06
    knee = hip + 0.245 * tall * (math.sin(swing) * ahead - math.cos(swing) * _UP)
    shin = swing - bend
    ankle = knee + 0.235 * tall * (math.sin(shin) * ahead - math.cos(shin) * _UP)
    joints[f"hip_{name}"], joints[f"knee_{name}"], joints[f"ankle_{name}"] = hip, knee, ankle
    lift = 0.5 * min(0.0, shin)
    joints[f"toe_{name}"] = ankle + 0.1 * tall * (math.cos(lift) * ahead + math.sin(lift) * _UP)
    return float(ankle[1])


def _arm(
    joints: dict[str, Floats],
    name: str,
    shoulder: Floats,
    ahead: Floats,
    tall: float,
    pose: Pose,
    shift: float,
) -> None:
    swing = -0.42 * pose.walking * math.sin(pose.phase_rad + shift)
    reach = pose.working * (0.75 + 0.25 * math.sin(pose.hands_rad + shift))
    if pose.person.cart:
        reach, swing = 0.7, 0.0
    upper = swing + reach
    lower = upper + 0.25 + 0.55 * reach
    elbow = shoulder + 0.16 * tall * (math.sin(upper) * ahead - math.cos(upper) * _UP)
    joints[f"shoulder_{name}"], joints[f"elbow_{name}"] = shoulder, elbow
    joints[f"hand_{name}"] = elbow + 0.15 * tall * (math.sin(lower) * ahead - math.cos(lower) * _UP)


class Figures:
    """Draws people.

    Args:
        camera: Projects them.
        blob: For their shadows.
        away: Direction on the floor in which shadows fall, (x, z).
    """

    def __init__(self, camera: Camera, blob: Blob, away: tuple[float, float]) -> None:
        self._camera = camera
        self._blob = blob
        self._away = away

    def shadow(self, frame: Frame, pose: Pose, strength: float) -> None:
        """Lay the shadow: dark under the feet, leaning away from the light."""
        at = np.array([pose.x_m, 0.0, pose.z_m])
        reach = np.array([self._away[0], 0.0, self._away[1]]) * 0.95
        points = self._camera.project(np.stack([at, at + reach]))
        scale = self._camera.scale(*at)
        (fx, fy), (tx, ty) = points
        black = (4.0, 3.0, 3.0)
        self._blob.lay(frame, points[0], (0.46 * scale, 0.15 * scale), black, 0.95 * strength)
        high = max(abs(ty - fy) / 2, 2.0)
        middle = np.array([(fx + tx) / 2, (fy + ty) / 2])
        slant = (tx - fx) / (ty - fy) if abs(ty - fy) > 1.0 else 0.0
        wide = 0.3 * scale
        self._blob.lay(frame, middle, (wide, high * 1.3), black, 0.34 * strength, slant)

    def draw(self, frame: Frame, pose: Pose, light: Floats) -> None:
        """Draw somebody in `light`, linear ``(3,)``."""
        joints = skeleton(pose)
        names = list(joints)
        pixels = dict(
            zip(names, self._camera.project(np.stack(list(joints.values()))), strict=True)
        )
        scale = self._camera.scale(pose.x_m, 1.0, pose.z_m)
        eye = self._camera.eye
        reach = {s: np.sum((joints[f"shoulder_{s}"] - eye) ** 2) for s in "lr"}
        far, near = ("l", "r") if reach["l"] > reach["r"] else ("r", "l")
        if pose.person.cart and math.cos(pose.heading_rad) > 0.2:
            self._cart(frame, pose, light)
        self._limbs(frame, pixels, far, pose, light * 0.62, scale)
        self._legs(frame, pixels, near, pose, light, scale)
        self._trunk(frame, pixels, pose, light, scale)
        self._arms(frame, pixels, near, pose, light, scale)
        if pose.person.cart and math.cos(pose.heading_rad) <= 0.2:
            self._cart(frame, pose, light)

    def _limbs(
        self, frame: Frame, px: dict[str, Floats], s: str, pose: Pose, light: Floats, scale: float
    ) -> None:
        self._arms(frame, px, s, pose, light, scale)
        self._legs(frame, px, s, pose, light, scale)

    def _legs(
        self, frame: Frame, px: dict[str, Floats], s: str, pose: Pose, light: Floats, scale: float
    ) -> None:
        cloth, build = as_row(pose.person.trousers) * light, pose.person.build * scale
        shoe = display(light * 0.04)
        stroke(frame, px[f"ankle_{s}"], px[f"toe_{s}"], shoe, 0.085 * build)
        _lit(frame, px[f"knee_{s}"], px[f"ankle_{s}"], cloth, 0.105 * build)
        _lit(frame, px[f"hip_{s}"], px[f"knee_{s}"], cloth, 0.145 * build)

    def _arms(
        self, frame: Frame, px: dict[str, Floats], s: str, pose: Pose, light: Floats, scale: float
    ) -> None:
        cloth, build = as_row(pose.person.shirt) * light * 0.9, pose.person.build * scale
        _lit(frame, px[f"shoulder_{s}"], px[f"elbow_{s}"], cloth, 0.09 * build)
        _lit(frame, px[f"elbow_{s}"], px[f"hand_{s}"], cloth, 0.075 * build)
        disc(frame, px[f"hand_{s}"], 0.042 * scale, display(as_row(pose.person.skin) * light))

    def _trunk(
        self, frame: Frame, px: dict[str, Floats], pose: Pose, light: Floats, scale: float
    ) -> None:
        person = pose.person
        cloth, build = as_row(person.shirt) * light, person.build * scale
        shoulders = (px["shoulder_l"] + px["shoulder_r"]) / 2
        breadth = abs(float(px["shoulder_r"][0] - px["shoulder_l"][0])) / 2
        chest, waist = max(breadth, 0.105 * build), max(0.82 * breadth, 0.1 * build)
        top, low = shoulders[1] - 0.03 * scale, px["pelvis"][1] + 0.03 * scale
        cx, px_hip = shoulders[0], px["pelvis"][0]
        body = [(cx - chest, top + 0.05 * scale), (cx - 0.6 * chest, top), (cx + 0.6 * chest, top)]
        body += [(cx + chest, top + 0.05 * scale), (px_hip + waist, low), (px_hip - waist, low)]
        outline_px = np.array(body)
        polygon(frame, outline_px, display(cloth))
        lit = outline_px * (0.55, 1.0) + (0.45 * cx - 0.12 * chest, 0.0)
        polygon(frame, lit, display(cloth * 1.25))
        skin, hair = as_row(person.skin) * light, as_row(person.hair) * light
        stroke(frame, px["neck"], px["head"], display(skin * 0.75), 0.1 * scale)
        size = 0.066 * person.height_m * scale
        ellipse(frame, px["head"], (size * 0.86, size * 1.08), display(skin))
        behind = math.cos(pose.heading_rad)
        shift = np.array([-math.sin(pose.heading_rad) * 0.25 * size, -0.32 * size])
        high = size * (0.95 if behind > 0.2 else 0.72)
        ellipse(frame, px["head"] + shift, (size * 0.88, high), display(hair))

    def _cart(self, frame: Frame, pose: Pose, light: Floats) -> None:
        ahead = np.array([math.sin(pose.heading_rad), 0.0, math.cos(pose.heading_rad)])
        right = np.array([ahead[2], 0.0, -ahead[0]])
        middle = np.array([pose.x_m, 0.0, pose.z_m]) + 0.85 * ahead
        for low, high, half, tone in (
            (0.14, 0.24, 0.46, (0.10, 0.10, 0.11)),
            (0.24, 0.72, 0.40, (0.10, 0.26, 0.44)),
        ):
            self._block(frame, middle, ahead * half, right * 0.3, (low, high), light * tone)
        for along in (-0.34, 0.34):
            wheel = middle + along * ahead + 0.07 * _UP
            scale = self._camera.scale(*wheel)
            disc(frame, self._camera.project(wheel[None])[0], 0.07 * scale, display(light * 0.03))

    def _block(
        self,
        frame: Frame,
        middle: Floats,
        along: Floats,
        across: Floats,
        span: tuple[float, float],
        tone: Floats,
    ) -> None:
        ring = [middle + a * along + b * across for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))]
        low = self._camera.project(np.stack([p + span[0] * _UP for p in ring]))
        high = self._camera.project(np.stack([p + span[1] * _UP for p in ring]))
        order = sorted(range(4), key=lambda i: -float(ring[i][2] + ring[(i + 1) % 4][2]))
        for i in order[2:]:
            j = (i + 1) % 4
            slope = abs(float((ring[i] - ring[j])[0])) / 1.0
            face = np.stack([low[i], low[j], high[j], high[i]])
            polygon(frame, face, display(tone * (0.65 + 0.35 * min(slope, 1.0))))
        polygon(frame, high, display(tone * 1.35))


def _lit(frame: Frame, a: Floats, b: Floats, tone: Floats, wide_px: float) -> None:
    """A limb: a stroke with a lighter core."""
    stroke(frame, a, b, display(tone * 0.8), wide_px)
    if wide_px > 3:
        shift = np.array([-0.16 * wide_px, 0.0])
        stroke(frame, a + shift, b + shift, display(tone * 1.12), 0.42 * wide_px)
