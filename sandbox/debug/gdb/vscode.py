# SPDX-License-Identifier: Apache-2.0
"""A debug configuration for VS Code, for its C/C++ extension (type cppdbg).

The extension starts what it takes for gdb: a script that runs `sandbox gdb`, which opens the stub
and hands on the machine interface. So nothing has to be started beforehand, and nothing is left.
"""

import json
import os
import shlex
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.debug.gdb.target import Kind, Target
from sandbox.errors import UserError

_FILE = "launch.json"


class LaunchFileError(UserError):
    """A launch.json that is there cannot be added to."""


@dataclass(frozen=True)
class Written:
    file: Path
    name: str


def write(folder: Path, machine: str, target: Target, symbols: Path | None) -> Written:
    """Add the target's configuration, or replace it; all others stay as they are."""
    if not folder.is_dir():
        raise UserError(f"no folder {folder}")
    place = folder.resolve() / ".vscode"
    place.mkdir(exist_ok=True)
    file = place / _FILE
    launch = _read(file)
    script = place / f"sandbox-gdb-{machine}-{target.kind}-{target.name}"
    made = _configuration(machine, target, script)
    kept = [each for each in launch["configurations"] if each.get("name") != made["name"]]
    launch["configurations"] = [*kept, made]
    script.write_text(_script(machine, target, symbols))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    new = file.with_suffix(".new")
    new.write_text(json.dumps(launch, indent=4) + "\n")
    new.replace(file)
    return Written(file, made["name"])


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text()
    except FileNotFoundError:
        return {"version": "0.2.0", "configurations": []}
    try:
        launch = json.loads(text)
        if all(isinstance(each, dict) for each in launch["configurations"]):
            return dict(launch)
    except (ValueError, KeyError, TypeError):
        pass
    raise LaunchFileError(
        f"cannot add to {file}: it is not plain JSON with a list of configurations",
        "VS Code allows comments in it, and they would be lost: write into another folder, and"
        " copy the configuration by hand.",
    )


def _configuration(machine: str, target: Target, script: Path) -> dict[str, Any]:
    return {
        "name": f"optee-sandbox: {target} on {machine}",
        "type": "cppdbg",
        "request": "launch",
        "program": os.fspath(target.elf),
        "cwd": "${workspaceFolder}",
        "MIMode": "gdb",
        "miDebuggerPath": f"${{workspaceFolder}}/.vscode/{script.name}",
        # Not an address: it tells the extension that the program is no process of this host, so
        # that it asks gdb to stop it, in place of sending it a signal.
        "miDebuggerServerAddress": f"optee-sandbox:{machine}",
        # The script has connected gdb and loaded symbols when the extension first speaks to it.
        "customLaunchSetupCommands": [],
        "launchCompleteCommand": "exec-continue",
        "targetArchitecture": "arm64",
    }


def _script(machine: str, target: Target, symbols: Path | None) -> str:
    argv = [sys.executable, "-m", "sandbox", "--machine", machine, "gdb", str(target.kind)]
    argv += [target.name] if target.kind is Kind.TA else []
    argv += ["--symbols", os.fspath(symbols.resolve())] if symbols else []
    return (
        "#!/bin/sh\n"
        "# Written by `sandbox gdb --vscode`. Starts gdb on the machine, for VS Code.\n"
        f'exec {shlex.join(argv)} -- "$@"\n'
    )
