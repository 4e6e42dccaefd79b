"""Run one job in a process of its own and print what it cost: ``python -m benchmarks.isolated``.

Reads a JSON object from the command line: ``samples``, a ``.npy`` file, and ``start``, another or
none; ``job``, a name in `JOBS`; ``parameters`` of a `KMeans`. Prints a JSON object:
``extra_bytes``, the peak of resident memory above what it was with the samples loaded and the
libraries warm; ``seconds``; ``inertia``.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .problems import ROOT

_STATUS = Path("/proc/self/status")
_REFS = Path("/proc/self/clear_refs")


def can_measure() -> bool:
    """Whether the system tells the peak of resident memory, and forgets it when asked to."""
    return _STATUS.exists() and _REFS.exists()


def resident(field: str) -> int:
    """Bytes of resident memory: now, ``VmRSS``, or at the peak, ``VmHWM``."""
    for line in _STATUS.read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == field:
            return int(rest.split()[0]) * 1024
    raise LookupError(field)


def fit_kmq(X: NDArray, **parameters: Any) -> float:
    """Fit kmq and return the inertia."""
    from kmq import KMeans

    return KMeans(**parameters).fit(X).inertia_


def fit_scikit_learn(X: NDArray, **parameters: Any) -> float:
    """Fit scikit-learn and return the inertia."""
    from sklearn.cluster import KMeans

    return KMeans(**parameters).fit(X).inertia_


def index_pixels(
    X: NDArray[np.uint8], lap: Callable[[str], None] = lambda stage: None, **parameters: Any
) -> float:
    """Count colours, fit them, give every pixel its index; `lap` is told what was just done."""
    from kmq import KMeans
    from kmq.engine.colors import distinct_colors

    found = distinct_colors(X, return_index=False)
    lap("count colours")
    km = KMeans(**parameters)
    km.fit(
        found.colors,
        sample_weight=found.counts,
        callback=lambda iteration, *_: lap("k-means++") if iteration == 0 else None,
    )
    lap("Lloyd")
    indices = found.look_up(X, km.labels_.astype(np.uint8))
    lap("index")
    assert len(indices) == len(X)
    return km.inertia_


JOBS: dict[str, Callable[..., float]] = {
    "scikit-learn": fit_scikit_learn,
    "kmq": fit_kmq,
    "kmq, palette and indices": index_pixels,
}


def run(
    folder: Path, job: str, X: NDArray, start: NDArray | None = None, **parameters: Any
) -> dict[str, float]:
    """Do a job in a fresh process that reads samples and centres from files in `folder`."""
    asked = {"samples": str(folder / "X.npy"), "start": None, "job": job, "parameters": parameters}
    np.save(folder / "X.npy", X)
    if start is not None:
        asked["start"] = str(folder / "start.npy")
        np.save(folder / "start.npy", start)
    command = [sys.executable, "-m", "benchmarks.isolated", json.dumps(asked)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main(text: str) -> None:
    """Do what a `run` asked for."""
    asked = json.loads(text)
    X, job, parameters = np.load(asked["samples"]), JOBS[asked["job"]], asked["parameters"]
    if asked["start"] is not None:
        parameters |= {"init": np.load(asked["start"]), "n_init": 1}
    job(X[:20_000], **parameters | {"max_iter": 2})
    _REFS.write_text("5")
    before = resident("VmRSS")
    begun = perf_counter()
    inertia = job(X, **parameters)
    seconds = perf_counter() - begun
    extra = resident("VmHWM") - before
    print(json.dumps({"extra_bytes": extra, "seconds": seconds, "inertia": inertia}))


if __name__ == "__main__":
    main(sys.argv[1])
