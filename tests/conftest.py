"""What all tests share."""

import logging
import os
import shutil
import time
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest

# What kmq was not installed with, tests have to wait for; that is nothing they should read.
logging.getLogger("kmq").setLevel(logging.WARNING)

ROOT = Path(__file__).parents[1]
# Seconds after which something hangs, on whatever machine.
HANGS = 900


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder of photos and tables that lies beside a developer's checkout."""
    path = ROOT.parent / "shared"
    if not path.is_dir():
        pytest.skip("the photos and tables of ../shared are not on this machine")
    return path


@pytest.fixture
def wait_until():
    """Wait for what another thread or process does; fail where it hangs."""

    def wait(holds):
        deadline = time.monotonic() + HANGS
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.001)

    return wait


@pytest.fixture(scope="session")
def bare_root(tmp_path_factory) -> Path:
    """Where a copy of kmq lies of which nothing was compiled when it was installed."""
    root = tmp_path_factory.mktemp("bare")
    shutil.copytree(ROOT / "kmq", root / "kmq", ignore=shutil.ignore_patterns("built"))
    return root


@pytest.fixture(scope="session")
def ended():
    """Wait for a process that must end; its output and errors. One that hangs is ended."""

    def wait(process):
        try:
            return process.communicate(timeout=HANGS)
        except BaseException:
            process.kill()
            process.communicate()
            raise

    return wait


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240)


@pytest.fixture
def gradient(rng):
    """A picture of 1,800 pixels and about 600 colours."""
    from kmq.image import Image

    rows, columns = np.mgrid[0:36, 0:50]
    rows, columns = rows // 3, columns // 2
    matrix = np.stack([rows * 20, columns * 9, 5 * (rows + columns)], axis=2)
    return Image((matrix + rng.integers(0, 2, (36, 50, 1))).astype(np.uint8))


@pytest.fixture
def picture(gradient):
    """`gradient` in four colours."""
    from kmq.image import quantize_image

    return quantize_image(gradient, 4, random_state=0)
