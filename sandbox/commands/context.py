# SPDX-License-Identifier: Apache-2.0
"""What every verb is handed: the settings, where progress goes, and the machine they name."""

from dataclasses import dataclass

from sandbox import paths
from sandbox.config import Config
from sandbox.log import Progress
from sandbox.machine.folder import check_name
from sandbox.machine.machine import Machine


@dataclass(frozen=True)
class Context:
    config: Config
    progress: Progress

    def machine(self) -> Machine:
        name = check_name(self.config.machine)
        return Machine(name, paths.machine_dir(name), qemu=self.config.qemu)
