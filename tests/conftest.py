"""What all tests share."""

import os
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder of photos and tables that lies beside a developer's checkout."""
    path = ROOT.parent / "shared"
    if not path.is_dir():
        pytest.skip("the photos and tables of ../shared are not on this machine")
    return path


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240)
