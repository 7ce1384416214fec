# SPDX-License-Identifier: Apache-2.0
"""Engines to compare with LiteRT: natively under sanitizers, and for arm64 with all kernels."""

import pytest
from conformance import DOTPROD, I8MM, NEON, Engine
from driver import Driver

EVERY_KERNEL = NEON | DOTPROD | I8MM
SHUFFLE = 12345


@pytest.fixture
def engines(native: Driver, arm64_tiles: Driver) -> list[Engine]:
    """For operators that have but one kernel: under sanitizers; in small tiles, in any order."""
    return [Engine(native, 0), Engine(arm64_tiles, EVERY_KERNEL, SHUFFLE)]


@pytest.fixture
def all_engines(native: Driver, arm64: Driver, arm64_tiles: Driver) -> list[Engine]:
    """For operators with kernels for several processors."""
    sets = (0, NEON, NEON | DOTPROD, EVERY_KERNEL)
    return [
        Engine(native, 0),
        *(Engine(arm64, cpu) for cpu in sets),
        *(Engine(arm64_tiles, cpu, SHUFFLE) for cpu in sets),
    ]
