# SPDX-License-Identifier: Apache-2.0
"""Machines that a model may be for: how much secure memory they leave to TAs, and their CPU."""

from dataclasses import dataclass

from sandbox.errors import UserError
from sandbox.model.report import Cpu

_MIB = 1 << 20


@dataclass(frozen=True)
class Profile:
    name: str
    board: str
    ta_ram_bytes: int  # of OP-TEE's pool for TAs, what is free before our TA is loaded
    cpu: Cpu
    source: str
    # What sessions of a TA may share, in sum: models and arenas. None: whoever builds OP-TEE says.
    quota_bytes: int | None = None


# What OP-TEE's statistics show beyond what the TA itself counts (tests/e2e/test_model_inspect.py).
# Code and constants of the inference TA and its loader (ldelf): in memory once.
TA_CODE_BYTES = 608 << 10
# Stack, heap and what else is written to: each session is an instance of the TA.
TA_SESSION_BYTES = 132 << 10

# TZDRAM less OP-TEE's own part of it, TEE_RAM_VA_SIZE. Boards' numbers are the defaults of OP-TEE
# OS 4.10.0; whoever builds for a board may change them. CPU: Arm's manuals of the cores named.
_OPTEE = "core/arch/arm"

PROFILES = (
    Profile(
        "sandbox",
        "this sandbox's QEMU machine",
        15_728_640 - 1_220_608,
        Cpu.NEON | Cpu.DOTPROD | Cpu.I8MM,
        "OP-TEE's statistics after boot: 15728640 bytes, 1220608 of them its own",
        quota_bytes=11 * _MIB,
    ),
    Profile(
        "corstone1000",
        "Arm Corstone-1000, Cortex-A35",
        3_538_944 - 2 * _MIB,
        Cpu.NEON,
        f"{_OPTEE}/plat-corstone1000/conf.mk: TZDRAM 0x360000",
    ),
    Profile(
        "rpi3",
        "Raspberry Pi 3, Cortex-A53",
        15 * _MIB - 7 * _MIB,
        Cpu.NEON,
        f"{_OPTEE}/plat-rpi3/conf.mk: TZDRAM 0xf00000, TEE_RAM 0x700000",
    ),
    Profile(
        "hikey",
        "HiKey, Cortex-A53",
        16 * _MIB - 2 * _MIB,
        Cpu.NEON,
        f"{_OPTEE}/plat-hikey/conf.mk: TZDRAM 0x1000000, TEE_RAM 0x200000",
    ),
    Profile(
        "am62x",
        "TI AM62x, Cortex-A53",
        20 * _MIB - 2 * _MIB,
        Cpu.NEON,
        f"{_OPTEE}/plat-k3/conf.mk: TZDRAM 0x1400000",
    ),
    Profile(
        "imx8m",
        "NXP i.MX 8M, Cortex-A53",
        30 * _MIB - 2 * _MIB,
        Cpu.NEON,
        f"{_OPTEE}/plat-imx/conf.mk: TZDRAM 0x1e00000",
    ),
    Profile(
        "rpi5",
        "Raspberry Pi 5, Cortex-A76",
        32 * _MIB - 7 * _MIB,
        Cpu.NEON | Cpu.DOTPROD,
        f"{_OPTEE}/plat-rpi5/conf.mk: TZDRAM 0x2000000, TEE_RAM 0x700000",
    ),
    Profile(
        "rk3399",
        "Rockchip RK3399, Cortex-A72 and A53",
        32 * _MIB - 2 * _MIB,
        Cpu.NEON,
        f"{_OPTEE}/plat-rockchip/conf.mk: TZDRAM 0x2000000",
    ),
    Profile(
        "stm32mp2",
        "ST STM32MP2, Cortex-A35",
        32 * _MIB - 2 * _MIB,
        Cpu.NEON,
        f"{_OPTEE}/plat-stm32mp2/conf.mk: TZDRAM 0x2000000",
    ),
)

DEFAULT = PROFILES[0]


def named(name: str) -> Profile:
    for profile in PROFILES:
        if profile.name == name:
            return profile
    raise UserError(
        f"no profile {name!r}", f"There are {', '.join(profile.name for profile in PROFILES)}."
    )


def room_bytes(profile: Profile) -> int:
    """What a model and one request may have."""
    return max(0, profile.ta_ram_bytes - TA_CODE_BYTES - TA_SESSION_BYTES)
