"""Render ``flower.jpg``, the picture that the README, the tests and the benchmarks share.

A daisy in soft light in front of a blurred meadow, drawn from formulas: petals are bent strips
with a normal at every sample, the disc is a phyllotaxis of florets, the background is grass and
points of light out of focus. Lengths are in output pixels, x to the right and y down; colours
are linear light until the very end. The same versions of NumPy and Pillow give the same bytes.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from canvas import HEIGHT, WIDTH, Array, Layer, Point, blurred, merged, over, rgb, smooth
from numpy.typing import NDArray
from PIL import Image

SUPERSAMPLING = 3
SEED = 11
MIN_COLORS = 25_000
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))

LIGHT = np.array([-0.46, -0.62, 0.64], np.float32)
SUN = np.array([1.02, 0.95, 0.83], np.float32)
SKY = np.array([0.30, 0.36, 0.40], np.float32)


@dataclass(frozen=True)
class Flower:
    """Where a daisy stands, how large it is and how far it leans away from us."""

    center: Point
    radius: float
    lean: float
    squash: float
    petals: int

    def to_plane(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return picture coordinates as coordinates in the flower's own plane."""
        cos, sin = np.cos(self.lean), np.sin(self.lean)
        dx, dy = x - self.center[0], y - self.center[1]
        return cos * dx + sin * dy, (cos * dy - sin * dx) / self.squash

    def to_picture(self, px: float, py: float) -> Point:
        """Return a point of the flower's plane in picture coordinates."""
        cos, sin = np.cos(self.lean), np.sin(self.lean)
        py = py * self.squash
        return self.center[0] + cos * px - sin * py, self.center[1] + sin * px + cos * py


@dataclass(frozen=True)
class Petal:
    """One petal: its place in the flower's plane and the shape of its strip."""

    angle: float
    length: float
    half_width: float
    bend: float
    lift: float
    curl: float
    twist: float
    blush: float
    softness: float
    phases: NDArray[np.float64]


def _shade(target: Array, darkness: Array) -> None:
    """Darken what a window already shows, blue least: shadows see the sky."""
    target[..., :3] *= 1 - darkness[..., None] * np.array([0.62, 0.52, 0.50], np.float32)


def _lit(slope_x: Array, slope_y: Array) -> Array:
    """Return the share of sunlight that a surface with these slopes receives."""
    facing = LIGHT[2] - slope_x * LIGHT[0] - slope_y * LIGHT[1]
    return np.clip(facing / np.sqrt(1 + slope_x**2 + slope_y**2), 0, None)


def _grow_petals(flower: Flower, rng: np.random.Generator) -> Iterator[Petal]:
    """Yield the petals from the hindmost: a long back row, then the front row in the gaps."""
    for row, (reach, slimness) in enumerate([(1.0, 1.0), (0.92, 0.94)]):
        turns = rng.permutation(flower.petals)
        for turn in turns:
            step = 2 * np.pi / flower.petals
            yield Petal(
                angle=step * (turn + 0.5 * row) + rng.normal(0, 0.16) * step,
                length=flower.radius * reach * rng.uniform(0.93, 1.04),
                half_width=flower.radius * 0.118 * slimness * rng.uniform(0.86, 1.14),
                bend=rng.normal(0, 0.07),
                lift=rng.uniform(0.20, 0.55) - 0.10 * (1 - row),
                curl=rng.uniform(0.65, 1.35),
                twist=rng.normal(0, 0.38),
                blush=rng.uniform(0.15, 1.0) * (1.0 - 0.4 * row),
                softness=(1.5 - 0.9 * row) * flower.radius / 165,
                phases=rng.uniform(0, 2 * np.pi, 6),
            )


def _strip(petal: Petal, px: Array, py: Array) -> tuple[Array, Array, Array]:
    """Return u along a petal (0 base, 1 tip), v across it (edges ±1), and the depth inside."""
    cos, sin = np.cos(petal.angle), np.sin(petal.angle)
    along, across = cos * px + sin * py, cos * py - sin * px
    u = along / petal.length
    across = across - petal.bend * petal.length * np.clip(u, 0, 1.2) ** 2
    v = across / petal.half_width
    dent = np.exp(-(((v - 0.25 * np.sin(petal.phases[0])) / 0.20) ** 2))
    u = u + 0.028 * dent * smooth(0.5, 1.0, u)
    inside = np.clip(u, 1e-4, 0.9999)
    outline = (0.40 + 0.60 * smooth(0.05, 0.66, inside)) * np.sqrt(1 - inside**8)
    outline = outline * (1 + 0.03 * np.sin(9 * inside + petal.phases[1]))
    half_width = petal.half_width * np.where((u > 0) & (u < 1), outline, 1e-3)
    depth = np.minimum(half_width - np.abs(across), petal.length * np.minimum(u, 1 - u))
    return u, across / half_width, depth


def _petal_color(petal: Petal, u: Array, v: Array, lean: float) -> Array:
    """Return the linear colour of a petal's surface."""
    wobble = 0.5 * np.sin(5 * u + petal.phases[2]) + 0.3 * np.sin(11 * u + petal.phases[3])
    vein = np.cos(2 * np.pi * 4.5 * v + wobble) * smooth(1.0, 0.55, np.abs(v))
    furrow = np.sin(2 * np.pi * 1.1 * v + 0.4 * wobble)
    along = petal.lift - petal.curl * u - 0.9 * smooth(0.80, 1.0, u)
    across = -0.42 * v + 0.20 * furrow + 0.095 * vein + petal.twist * (u - 0.45)
    cos, sin = np.cos(petal.angle + lean), np.sin(petal.angle + lean)
    sun = _lit(cos * along - sin * across, sin * along + cos * across)

    albedo = np.full((*u.shape, 3), rgb("fbf9f3"), np.float32)
    base = smooth(0.46, 0.16, u)[..., None]
    tip = (petal.blush * 0.42 * smooth(0.62, 1.02, u + 0.10 * np.abs(v) - 0.03 * vein))[..., None]
    albedo = albedo * (1 - 0.42 * base) + rgb("d9dc8a") * 0.42 * base
    albedo = albedo * (1 - tip) + rgb("f0b9c4") * tip
    albedo = albedo * (1 + 0.022 * vein - 0.02 * np.cos(16 * np.pi * v))[..., None]
    through = (0.16 * (1 - sun) * (0.4 + 0.6 * u))[..., None] * np.array([0.96, 1.0, 0.72])
    return (albedo * (sun[..., None] * SUN * 0.93 + SKY * 0.76) + through * 0.62).astype(np.float32)


def _draw_petal(layer: Layer, flower: Flower, petal: Petal) -> None:
    """Lay one petal and its soft shadow on the layer."""
    middle = flower.to_picture(
        0.52 * petal.length * np.cos(petal.angle), 0.52 * petal.length * np.sin(petal.angle)
    )
    x, y, target = layer.window(middle, 0.68 * petal.length)
    drop = flower.radius / 165
    *_, inside = _strip(petal, *flower.to_plane(x - 3.5 * drop, y - 6.0 * drop))
    _shade(target, 0.78 * smooth(-7.0 * drop, 6.0 * drop, inside))

    u, v, inside = _strip(petal, *flower.to_plane(x, y))
    edge = smooth(-0.5 * petal.softness, 0.5 * petal.softness, inside)
    opacity = edge * (0.90 + 0.08 * smooth(0.0, 5.0, inside))
    color = _petal_color(petal, np.clip(u, 0, 1), np.clip(v, -1, 1), flower.lean)
    over(target, color, opacity)


def _shade_under_disc(layer: Layer, flower: Flower) -> None:
    """Darken the petals where the disc keeps the light away."""
    size = 0.265 * flower.radius
    x, y, target = layer.window(flower.center, 3 * size)
    px, py = flower.to_plane(x - 0.10 * size, y - 0.16 * size)
    _shade(target, 0.88 * smooth(1.70, 0.86, np.hypot(px, py) / size))


def _floret_color(age: float, bump: Array, ring: Array, sun: Array, tone: float) -> Array:
    """Return the colour of one floret: green and closed when young, golden and open when old."""
    young, old, deep = rgb("d3c22e"), rgb("ffb914"), rgb("b85a06")
    mix = float(smooth(0.12, 0.62, np.asarray(age)))
    color = (young * (1 - mix) + old * mix) * tone
    pit = (ring * (0.25 + 0.55 * mix))[..., None]
    color = color * (1 - pit) + deep * pit
    light = (0.30 + 0.70 * bump)[..., None] * (sun[..., None] * SUN * 1.30 + SKY * 0.60)
    return (color * light).astype(np.float32)


def _draw_disc(layer: Layer, flower: Flower, rng: np.random.Generator) -> None:
    """Draw the domed disc: a dark ground, then florets from the rim inwards."""
    size = 0.255 * flower.radius
    x, y, target = layer.window(flower.center, 1.3 * size)
    px, py = flower.to_plane(x, y)
    r = np.hypot(px, py) / size
    over(target, rgb("6d3f07") * (1.1 - 0.5 * r[..., None]), smooth(1.03, 0.97, r))
    count = 430
    for i in range(count, 0, -1):
        age = i / count
        radius = size * 1.01 * np.sqrt(age)
        theta = i * GOLDEN_ANGLE
        bulge = 0.16 * size * (1 - age)
        cx, cy = flower.to_picture(radius * np.cos(theta), radius * np.sin(theta))
        center = (cx + rng.normal(0, 0.25), cy - bulge + rng.normal(0, 0.25))
        reach = size * (0.046 + 0.030 * age) * rng.uniform(0.90, 1.14)
        _draw_floret(layer, flower, center, reach, age, theta, rng.uniform(0.80, 1.12))


def _draw_floret(
    layer: Layer, flower: Flower, center: Point, reach: float, age: float, theta: float, tone: float
) -> None:
    """Draw one floret as a lit bump with five lobes."""
    x, y, target = layer.window(center, 1.5 * reach)
    dx, dy = (x - center[0]) / reach, (y - center[1]) / reach
    turn = np.arctan2(dy, dx)
    r = np.hypot(dx, dy) / (1 + 0.16 * age * np.cos(5 * turn + theta))
    dome_x = 0.95 * age * np.cos(theta + flower.lean)
    dome_y = 0.95 * age * np.sin(theta + flower.lean) * flower.squash
    _shade(target, 0.55 * smooth(1.45, 0.8, np.hypot(dx - 0.25, dy - 0.35)))
    sun = _lit(-dome_x - 0.9 * dx, -dome_y - 0.9 * dy)
    bump = np.sqrt(np.clip(1 - 0.8 * r**2, 0.02, None))
    ring = smooth(0.42, 0.12, r) * age
    soft = 0.9 / (reach * 1.6)
    over(target, _floret_color(age, bump, ring, sun, tone), smooth(1 + soft, 1 - soft, r))


def _daisy(flower: Flower, scale: int, rng: np.random.Generator) -> Array:
    """Return one daisy as a premultiplied image in output pixels."""
    layer = Layer.empty(scale)
    for petal in _grow_petals(flower, rng):
        _draw_petal(layer, flower, petal)
    _shade_under_disc(layer, flower)
    _draw_disc(layer, flower, rng)
    return layer.shrunk()


def _blade(root: Point, tip: Point, sag: float, width: float, color: str) -> Array:
    """Return a curved stem or leaf from root to tip as a premultiplied image."""
    layer = Layer.empty(1)
    x, y, target = layer.window((WIDTH / 2, HEIGHT / 2), WIDTH)
    axis = np.array(tip) - np.array(root)
    length = float(np.hypot(*axis))
    along = ((x - root[0]) * axis[0] + (y - root[1]) * axis[1]) / length**2
    across = ((y - root[1]) * axis[0] - (x - root[0]) * axis[1]) / length
    across = across - sag * length * 4 * along * (1 - along)
    half_width = width * np.sqrt(np.clip(1 - along**4, 0, None)) * (0.75 + 0.5 * along)
    alpha = smooth(-1, 1, half_width - np.abs(across)) * (along > -0.2) * (along < 1)
    ridge = 1 + 0.35 * np.clip(across / np.maximum(half_width, 1), -1, 1)
    over(target, rgb(color) * ridge[..., None], alpha)
    return layer.rgba


def _ground() -> Array:
    """Return the farthest background: broad patches of light and shade."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    image = np.ones((HEIGHT, WIDTH, 4), np.float32)
    image[..., :3] = rgb("2c6655")
    patches = [
        (560, 40, 210, "cfe39a", 0.95),
        (380, -30, 170, "9cc98f", 0.80),
        (90, 60, 190, "1f6f73", 0.90),
        (-20, 300, 200, "0d3a44", 0.90),
        (330, 430, 230, "14422f", 0.90),
        (640, 400, 190, "1d5a3a", 0.85),
        (620, 210, 130, "79b877", 0.60),
        (200, -20, 110, "5fae9f", 0.60),
        (130, 400, 110, "2f6b36", 0.60),
    ]
    for cx, cy, spread, color, strength in patches:
        weight = strength * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * (0.62 * spread) ** 2))
        over(image, rgb(color), weight)
    return image


def _bokeh(image: Array, rng: np.random.Generator) -> None:
    """Add points of light out of focus: discs with a slightly brighter rim."""
    layer = Layer(image, 1)
    tints = [rgb(c) for c in ("fff3c4", "d8f0b0", "bfe8da", "f6ffe6", "a8dcc0")]
    for _ in range(58):
        cx = WIDTH * rng.beta(1.7, 1.0)
        cy = HEIGHT * rng.beta(0.9, 1.5)
        radius = rng.uniform(7, 27)
        strength = rng.uniform(0.05, 0.26) * (0.45 + 0.75 * cx / WIDTH) * (1.1 - 0.7 * cy / HEIGHT)
        x, y, target = layer.window((cx, cy), radius + 6)
        r = np.hypot(x - cx, y - cy)
        disc = smooth(radius + 2.5, radius - 2.5, r) * (0.72 + 0.40 * (r / radius) ** 4)
        target[..., :3] += tints[rng.integers(len(tints))] * (strength * disc)[..., None]


def _meadow(rng: np.random.Generator) -> Array:
    """Return the whole background, out of focus."""
    image = _ground()
    for _ in range(16):
        root = (rng.uniform(-60, WIDTH + 60), HEIGHT + rng.uniform(20, 60))
        tip = (root[0] + rng.normal(0, 130), rng.uniform(40, 300))
        color = ("3f8a4a", "6fae5a", "1c5b4a", "a7cf74", "2d7d6b")[rng.integers(5)]
        blade = _blade(root, tip, rng.normal(0, 0.12), rng.uniform(5, 15), color)
        image = merged(image, blurred(blade, rng.uniform(9, 17)) * rng.uniform(0.45, 0.9))
    _bokeh(image, rng)
    image = blurred(image, 1.6)
    far = [
        (Flower((557, 132), 62, 0.5, 0.62, 15), 6.5),
        (Flower((36, 92), 44, -0.4, 0.55, 14), 9.0),
    ]
    for flower, sigma in far:
        cx, cy = flower.center
        stem = _blade((cx + 18, HEIGHT + 40), (cx, cy), 0.05, 3.2, "5d9a4c")
        image = merged(image, blurred(stem, sigma))
        image = merged(image, blurred(_daisy(flower, 1, rng), sigma) * np.float32(0.92))
    return image


def _film(light: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return linear light as 8-bit sRGB: richer colour, vignette, shoulder, grain."""
    gray = light @ np.array([0.2126, 0.7152, 0.0722])
    light = np.clip(gray[..., None] + 1.14 * (light - gray[..., None]), 0, None) ** 1.06
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    away = np.hypot((x - 0.47 * WIDTH) / WIDTH, (y - 0.48 * HEIGHT) / HEIGHT)
    light = light * (1 - 0.50 * smooth(0.34, 0.82, away))[..., None]
    light = np.where(light > 0.6, 0.6 + 0.4 * np.tanh((light - 0.6) / 0.52), light)
    light = np.clip(light, 0, 1)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    grain = rng.normal(0, 1.5, (HEIGHT, WIDTH, 1)) + rng.normal(0, 0.7, (HEIGHT, WIDTH, 3))
    return np.clip(np.rint(255 * srgb + grain), 0, 255).astype(np.uint8)


def render() -> NDArray[np.uint8]:
    """Return the picture, (HEIGHT, WIDTH, 3) uint8."""
    rng = np.random.default_rng(SEED)
    image = _meadow(rng)
    stem = _blade((330, HEIGHT + 60), (262, 215), -0.07, 5.5, "4f8f43")
    image = merged(image, blurred(stem, 2.2))
    flower = Flower((252, 204), 184, -0.35, 0.90, 17)
    daisy = _daisy(flower, SUPERSAMPLING, rng)
    image = merged(image, daisy)
    glow = blurred(np.clip(image - 0.55, 0, None), 14)
    return _film(image[..., :3] + 0.22 * glow[..., :3], rng)


def main() -> None:
    """Render, save, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path(__file__).with_name("flower.jpg"),
        help="JPEG to write (default: %(default)s)",
    )
    path = parser.parse_args().output
    Image.fromarray(render()).save(path, "JPEG", quality=92, subsampling=0, optimize=True)
    with Image.open(path) as decoded:
        colors = len(np.unique(np.asarray(decoded).reshape(-1, 3), axis=0))
    print(f"{path}: {WIDTH}x{HEIGHT}, {colors:,} colours, {path.stat().st_size / 1000:.0f} kB")
    if colors < MIN_COLORS:
        raise SystemExit(f"fewer than {MIN_COLORS:,} colours")


if __name__ == "__main__":
    main()
