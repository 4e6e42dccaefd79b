"""Exact k-means, compiled: a drop-in ``KMeans`` and colour palettes of images.

The public names are loaded on first use (PEP 562), so that ``import kmq`` itself imports
neither Numba, scikit-learn nor Matplotlib.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME_OF = {
    "KMeans": "kmq.model",
    "kmeans_plusplus": "kmq.start",
    "clusters_cost": "kmq.model",
    "Image": "kmq.image",
    "IndexedImage": "kmq.image",
    "load_image": "kmq.image",
    "display_image": "kmq.image",
    "display_images": "kmq.image",
    "plot_rgb_vector": "kmq.image",
    "rgb_vector_to_image": "kmq.image",
    "quantize_image": "kmq.image",
    "fit_palette": "kmq.image",
    "TargetMissedError": "kmq.image",
    "Palette": "kmq.palette",
    "quantize_animation": "kmq.animation",
    "make_report": "kmq.report",
    "record_k_metrics": "kmq.profile",
    "plot_k_metrics": "kmq.profile",
    "show_versions": "kmq.about",
    "warmup": "kmq.about",
}
_ROOMS = (
    "animation",
    "engine",
    "image",
    "metrics",
    "model",
    "palette",
    "profile",
    "reference",
    "report",
)

__all__ = ["__version__", *_HOME_OF, *_ROOMS]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        value = getattr(import_module(_HOME_OF[name]), name)
    elif name in _ROOMS:
        value = import_module(f"kmq.{name}")
    else:
        raise AttributeError(f"module 'kmq' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
