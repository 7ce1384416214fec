# SPDX-License-Identifier: Apache-2.0
"""What `sandbox model inspect` says beforehand is what the TA then takes, within 2 %."""

import io

import pytest
from PIL import Image
from real_stack import MODEL, ROOT, Client

from sandbox.build import recipe
from sandbox.commands import model_inspect
from sandbox.log import SilentProgress
from sandbox.machine.machine import Machine
from sandbox.model import profiles, report
from sandbox.model.report import Cpu, Detector, Report
from sandbox.owner.service import InputRefused
from sandbox.tee import TEEContext
from sandbox.tee.stats import Pool, Stats
from sandbox.tee_abi import TA_UUID

SHARE = 0.02


def near(said: int, true: int) -> bool:
    return abs(said - true) <= SHARE * true


def detector_of(planned: Report) -> Detector:
    assert planned.detector is not None
    return planned.detector


@pytest.fixture(scope="module")
def planned(client: Client) -> Report:
    """For the kernels that the TA chose: which of two is faster it measures, and does not say."""
    program = recipe.model_report(SilentProgress())
    words = client.session.info().cpu
    cpu = Cpu(sum(bit for bit in Cpu if bit.words[0] in words))
    plans = [
        report.inspect(program, MODEL, each, [report.UNLIMITED])
        for each in (cpu, cpu | Cpu.FAST_SCALAR)
    ]
    tables = client.session.info().tables_bytes
    return min(plans, key=lambda plan: abs(plan.tables_bytes - tables))


def test_the_plan_is_what_the_ta_has(client: Client, planned: Report) -> None:
    info = client.session.info()
    assert info.arena_bytes == planned.arena_bytes
    assert near(planned.tables_bytes, info.tables_bytes), info
    assert near(planned.shared_bytes, info.memory_used_bytes), (planned.shared_bytes, info)


def test_a_photo_takes_what_was_said(client: Client, planned: Report) -> None:
    client.infer((ROOT / "fixtures/photos/chelsea.jpg").read_bytes())
    peak = client.session.info().memory_peak_bytes
    said = detector_of(planned).baseline[0].small_peak_bytes
    assert near(said, peak), (said, peak)


def progressive(width: int, height: int) -> bytes:
    data = io.BytesIO()
    picture = Image.effect_noise((width, height), 40).convert("RGB")
    picture.save(data, "JPEG", progressive=True, subsampling="4:2:0", quality=60)
    return data.getvalue()


def test_the_largest_photo_is_the_largest(client: Client, planned: Report) -> None:
    """Only the decoder's headers were tried beforehand; here is the whole of it."""
    (photo,) = detector_of(planned).progressive
    assert photo.fits
    client.infer(progressive(photo.width, photo.height))
    wider = photo.width + 16
    with pytest.raises(InputRefused) as caught:
        client.infer(progressive(wider, wider * 3 // 4))
    assert caught.value.status == "JPEG_PROGRESSIVE_TOO_LARGE"
    client.assert_works()


def test_the_verdict_for_this_machine_holds(client: Client, machine: Machine) -> None:
    """OP-TEE's own count of its memory, with the TA's code, stack and heap."""
    profile = profiles.DEFAULT
    found, (fit,) = model_inspect.look(MODEL, [profile], SilentProgress())
    with TEEContext(machine) as context, Stats(context) as stats:
        ram = stats.memory(Pool.TA_RAM)
        sessions = sum(ta.sessions for ta in stats.loaded_tas() if ta.uuid == TA_UUID)
    assert fit.fits and sessions <= fit.sessions
    before = ram.size - profile.ta_ram_bytes
    said = before + found.shared_bytes + profiles.TA_ITSELF_BYTES
    said += (sessions - 1) * profiles.TA_SESSION_BYTES
    assert near(said, ram.used), (said, ram)
