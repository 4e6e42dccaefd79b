"""Colour spaces: from sRGB bytes to linear light, CIE L*a*b* and Oklab, and back.

sRGB is IEC 61966-2-1. L*a*b* is CIE 1976 with the white of sRGB (D65, 2°). Oklab is Ottosson
(2020), *A perceptual color space for image processing*.
"""

from functools import cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Space = Literal["rgb", "linear", "lab", "oklab"]
SPACES: tuple[Space, ...] = get_args(Space)

# Greatest value of the first channel: what opacity is scaled by to stand beside it.
RANGE: dict[Space, float] = {"rgb": 255.0, "linear": 1.0, "lab": 100.0, "oklab": 1.0}

_XYZ_OF_RGB = np.array(
    [
        [0.4123907992659595, 0.357584339383878, 0.1804807884018343],
        [0.21263900587151036, 0.715168678767756, 0.07219231536073371],
        [0.01933081871559185, 0.11919477979462599, 0.9505321522496606],
    ]
)
_WHITE = _XYZ_OF_RGB.sum(axis=1)
_LMS_OF_RGB = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_OKLAB_OF_LMS = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_LAB_OF_F = np.array([[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]])
_KAPPA = 24389 / 27
_EPSILON = 216 / 24389


@cache
def _light_of_byte() -> NDArray[np.float64]:
    """Linear light, 0 to 1, of the 256 values of a channel of sRGB."""
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def from_rgb(rgb: NDArray[np.uint8], space: Space) -> NDArray[np.float64]:
    """Convert sRGB bytes to a colour space.

    Parameters
    ----------
    rgb : (..., 3) uint8 array
        sRGB.
    space : {'rgb', 'linear', 'lab', 'oklab'}
        ``rgb`` leaves 0 to 255; ``linear`` is light, 0 to 1; ``lab`` has L* 0 to 100; ``oklab``
        has L 0 to 1.

    Returns
    -------
    (..., 3) float64 array

    Raises
    ------
    ValueError
        If there is no such space.
    """
    if space == "rgb":
        return rgb.astype(np.float64)
    if space not in SPACES:
        raise ValueError(f"space must be one of {', '.join(SPACES)}, got {space!r}")
    light = _light_of_byte()[rgb]
    if space == "linear":
        return light
    if space == "oklab":
        return np.cbrt(light @ _LMS_OF_RGB.T) @ _OKLAB_OF_LMS.T
    ratio = light @ (_XYZ_OF_RGB.T / _WHITE)
    f = np.where(ratio > _EPSILON, np.cbrt(ratio), (_KAPPA * ratio + 16) / 116)
    return f @ _LAB_OF_F.T - np.array([16.0, 0.0, 0.0])


def to_rgb(colors: ArrayLike, space: Space) -> NDArray[np.uint8]:
    """Convert colours of a space to the nearest sRGB bytes; what sRGB lacks is clipped.

    Parameters
    ----------
    colors : (..., 3) array-like
        In the units that `from_rgb` returns.
    space : {'rgb', 'linear', 'lab', 'oklab'}
        Their space.

    Returns
    -------
    (..., 3) uint8 array

    Raises
    ------
    ValueError
        If there is no such space.
    """
    values = np.asarray(colors, np.float64)
    if space == "rgb":
        return np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    if space not in SPACES:
        raise ValueError(f"space must be one of {', '.join(SPACES)}, got {space!r}")
    if space == "oklab":
        values = (values @ np.linalg.inv(_OKLAB_OF_LMS).T) ** 3 @ np.linalg.inv(_LMS_OF_RGB).T
    elif space == "lab":
        f = (values + np.array([16.0, 0.0, 0.0])) @ np.linalg.inv(_LAB_OF_F).T
        ratio = np.where(f**3 > _EPSILON, f**3, (116 * f - 16) / _KAPPA)
        values = ratio @ np.linalg.inv(_XYZ_OF_RGB.T / _WHITE)
    light = np.clip(values, 0, 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8)
