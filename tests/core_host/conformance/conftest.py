# SPDX-License-Identifier: Apache-2.0
"""Engines to compare with LiteRT: natively under sanitizers, and for arm64 with all kernels."""

import pytest
from conformance import DOTPROD, I8MM, NEON, Engine
from driver import Driver


@pytest.fixture
def engines(native: Driver, arm64: Driver) -> list[Engine]:
    """For operators that have but one kernel: portable C, under sanitizers and for arm64."""
    return [Engine(native, 0), Engine(arm64, NEON | DOTPROD | I8MM)]


@pytest.fixture
def all_engines(native: Driver, arm64: Driver) -> list[Engine]:
    """For operators with kernels for several processors."""
    sets = (0, NEON, NEON | DOTPROD, NEON | DOTPROD | I8MM)
    return [Engine(native, 0), *(Engine(arm64, cpu) for cpu in sets)]
