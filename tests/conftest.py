"""Fixtures and settings of all tests.

`PYNEURO_REQUIRE_GPU=1` turns a missing GPU adapter from a skip into a failure.  `HYPOTHESIS_PROFILE` chooses between
`ci` (the default: few examples, the same in every run) and `nightly` (many, at random).
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import pyneuro as pn

settings.register_profile(
    "ci", derandomize=True, max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("nightly", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked `gpu` skip where there is no adapter, unless one is required."""
    if item.get_closest_marker("gpu") and not pn.gpu.is_available():
        reason = "no WebGPU adapter found (software: install mesa-vulkan-drivers)"
        if os.environ.get("PYNEURO_REQUIRE_GPU") == "1":
            pytest.fail(f"PYNEURO_REQUIRE_GPU=1, but {reason}", pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def gpu() -> str:
    """The device name "gpu", for tests marked `gpu`."""
    return "gpu"


@pytest.fixture(params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """Every device in turn."""
    return str(request.param)


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Every test starts from the same random state, in whatever order they run."""
    pn.manual_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
