# SPDX-License-Identifier: Apache-2.0
"""How a machine is described, for people and for scripts, by several verbs alike."""

import time
from collections.abc import Sequence
from typing import Any

from sandbox.machine.folder import Record, Stage, World
from sandbox.machine.machine import Machine, State, Status

SEALS_MODELS = "its TA seals models, too: not for production"
# What each stage of a start is, for whoever reads the table.
STAGES = {
    "images": "inputs and builds, from the cache or made now",
    "qemu": "QEMU started, its control socket answers",
    "firmware": "TF-A and OP-TEE, until Linux is entered",
    "kernel": "Linux, until its first process",
    "modules": "drivers of the board loaded",
    "share": "share mounted",
    "tee0": "/dev/tee0 is there",
    "tee-supplicant": "tee-supplicant serves OP-TEE",
    "network": "network up",
    "agent": "agent listens",
    "ssh": "SSH server listens",
    "ta": "the TA was loaded and answers",
    "service": "the client application takes requests",
}


def as_json(machine: Machine, status: Status) -> dict[str, Any]:
    """Every key is always there; what only a running machine has is null for another."""
    record = status.record
    up = record if status.state is State.UP else None
    folder = machine.folder
    return {
        "machine": machine.name,
        "state": str(status.state),
        "answers": status.answers if up else None,
        "debugger": _debugger_as_json(status),
        "remark": status.remark,
        "cores": record.cores if record else None,
        "host_cores": record.host_cores if record else None,
        "acceleration": record.acceleration if record else None,
        "memory_mib": record.memory_mib if record else None,
        "started_at": record.started_at if record else None,
        "qemu_pid": record.qemu.pid if record and record.qemu else None,
        "ssh_port": up.ssh_port if up else None,
        "ta": up.ta if up else None,
        "encrypt_model": up.encrypt_model if up else None,
        "images": record.images if record else None,
        "stages": stages_as_json(up.stages) if up else None,
        "paths": {
            "folder": str(folder.path),
            "share": str(folder.share),
            "ssh_key": str(folder.keys / "client"),
            **{f"{world}_log": str(folder.log(world)) for world in World},
            "qemu_log": str(folder.qemu_log),
        },
    }


def _debugger_as_json(status: Status) -> dict[str, Any] | None:
    if status.holder is None:
        return None
    return {
        "pid": status.holder.pid,
        "what": status.holder.what,
        "since": status.holder.since,
        "stopped": status.stopped,
    }


def stages_as_json(stages: Sequence[Stage]) -> list[dict[str, Any]]:
    return [{"name": stage.name, "seconds": stage.seconds} for stage in stages]


def stage_table(stages: Sequence[Stage]) -> str:
    width = max(len(stage.name) for stage in stages)
    rows = [f"  {s.name:<{width}}  {s.seconds:6.2f} s  {STAGES.get(s.name, '')}" for s in stages]
    total = sum(stage.seconds for stage in stages)
    rows.append(f"  {'total':<{width}}  {total:6.2f} s")
    return "\n".join(row.rstrip() for row in rows)


def cores_text(record: Record) -> str:
    text = f"{record.cores}, each on a thread of its own"
    if 0 < record.host_cores < record.cores:
        text += f", which share the host's {record.host_cores}"
    return text


def as_text(machine: Machine, status: Status) -> str:
    record, folder = status.record, machine.folder
    rows: list[tuple[str, str]] = [("machine", f"{machine.name}, {status.state}")]
    if status.remark:
        rows.append(("remark", status.remark))
    if record is not None:
        rows.append(("cores", cores_text(record)))
        rows.append(("memory", f"{record.memory_mib} MiB for the normal world"))
        if record.qemu is not None:
            rows.append(("qemu", f"process {record.qemu.pid}"))
    if record is not None and status.state is State.UP:
        rows.append(("up for", _duration(time.time() - record.started_at)))
        answer = "answers" if status.answers else "DOES NOT ANSWER: see `sandbox logs`"
        if status.stopped:
            answer = "stands still, as the whole machine"
        rows.append(("ssh", f"127.0.0.1:{record.ssh_port}, {answer}"))
        if status.holder is not None:
            does = "has stopped the machine" if status.stopped else "lets the machine run"
            rows.append(("debugger", f"{status.holder} {does}"))
        if record.ta:
            cpu = " ".join(record.ta.get("cpu", ()))
            rows.append(("ta", f"version {record.ta.get('version', '?')}, CPU {cpu or 'plain'}"))
        if record.encrypt_model:
            rows.append(("", SEALS_MODELS))
        rows.append(("folder", str(folder.path)))
        rows.append(("share", str(folder.share)))
        rows += [("image", path) for path in record.images.values()]
    for world in World:
        if folder.log(world).exists():
            rows.append((f"{world} log", str(folder.log(world))))
    return "\n".join(f"{name:<12}{value}" for name, value in rows)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
