"""What ``render_flower`` paints with: layers, colours, soft edges and blur.

Colours are linear light. Layers and images of four channels are premultiplied by alpha.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Point = tuple[float, float]

WIDTH, HEIGHT = 640, 417


@dataclass
class Layer:
    """A premultiplied RGBA canvas of (height·scale, width·scale) samples."""

    rgba: Array
    scale: int

    @classmethod
    def empty(cls, scale: int) -> "Layer":
        """Return a transparent layer of the picture's size."""
        return cls(np.zeros((HEIGHT * scale, WIDTH * scale, 4), np.float32), scale)

    def window(self, center: Point, radius: float) -> tuple[Array, Array, Array]:
        """Return x, y and a writable view of the samples within a square around a point."""
        height, width = self.rgba.shape[:2]
        left, right = _clipped(center[0], radius, self.scale, width)
        top, bottom = _clipped(center[1], radius, self.scale, height)
        x = (np.arange(left, right, dtype=np.float32) + 0.5) / self.scale
        y = (np.arange(top, bottom, dtype=np.float32) + 0.5) / self.scale
        return x[None, :], y[:, None], self.rgba[top:bottom, left:right]

    def shrunk(self) -> Array:
        """Return the layer averaged down to output pixels."""
        blocks = self.rgba.reshape(HEIGHT, self.scale, WIDTH, self.scale, 4)
        return blocks.mean(axis=(1, 3))


def _clipped(middle: float, radius: float, scale: int, size: int) -> tuple[int, int]:
    """Return the sample range that covers middle ± radius inside the canvas."""
    low, high = (middle - radius) * scale, (middle + radius) * scale
    return min(max(int(low), 0), size), min(max(int(high) + 1, 0), size)


def rgb(hex_code: str) -> Array:
    """Return an sRGB hex colour as linear light."""
    srgb = np.array([int(hex_code[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(
        np.float32
    )


def smooth(low: float, high: float, x: Array) -> Array:
    """Return the smooth step from 0 at low to 1 at high."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def over(target: Array, color: Array, alpha: Array) -> None:
    """Lay a colour over a window of a layer, in place."""
    alpha = alpha[..., None]
    target *= 1 - alpha
    target[..., :3] += color * alpha
    target[..., 3:] += alpha


def blurred(image: Array, sigma: float) -> Array:
    """Return the image under a Gaussian blur, edges mirrored."""
    pad = int(3 * sigma) + 1
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode="symmetric")
    height, width = padded.shape[:2]
    fy, fx = np.fft.fftfreq(height)[:, None, None], np.fft.rfftfreq(width)[None, :, None]
    damping = np.exp(-2 * (np.pi * sigma) ** 2 * (fx**2 + fy**2))
    spectrum = np.fft.rfft2(padded, axes=(0, 1)) * damping
    full = np.fft.irfft2(spectrum, s=(height, width), axes=(0, 1))
    return full[pad:-pad, pad:-pad].astype(np.float32)


def merged(below: Array, above: Array) -> Array:
    """Return a premultiplied image laid over another."""
    return below * (1 - above[..., 3:]) + above
