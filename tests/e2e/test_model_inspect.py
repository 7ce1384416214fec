# SPDX-License-Identifier: Apache-2.0
"""What `sandbox model inspect` says beforehand is what the TA then takes, within 2 %."""

from collections.abc import Callable

import pytest
from real_stack import MODEL, ROOT, Client

from sandbox.commands import model_inspect
from sandbox.log import SilentProgress
from sandbox.machine.machine import Machine
from sandbox.model import profiles
from sandbox.model.report import Report
from sandbox.tee import TEEContext
from sandbox.tee.stats import Pool, Stats

SHARE = 0.02


@pytest.fixture(scope="module")
def planned() -> Report:
    report, (fit,) = model_inspect.look(MODEL, [profiles.DEFAULT], SilentProgress())
    assert fit.fits
    return report


def near(said: int, true: int) -> bool:
    return abs(said - true) <= SHARE * true


def test_the_plan_is_what_the_ta_has(client: Client, planned: Report) -> None:
    client.provision()
    client.load()
    info = client.session.info()
    assert info.arena_bytes == planned.arena_bytes
    assert near(planned.tables_bytes, info.tables_bytes), (planned.tables_bytes, info)
    assert planned.detector is not None
    assert near(planned.detector.used_bytes, info.memory_used_bytes), (planned.detector, info)

    client.infer((ROOT / "fixtures/photos/chelsea.jpg").read_bytes())
    peak = client.session.info().memory_peak_bytes
    said = planned.detector.baseline[0].small_peak_bytes
    assert near(said, peak), (said, peak)
