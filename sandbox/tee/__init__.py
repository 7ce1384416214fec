# SPDX-License-Identifier: Apache-2.0
"""GlobalPlatform's TEE Client API 1.0 in Python: drive any trusted application of a machine.

    with TEEContext(machine) as context, context.open_session(uuid) as session:
        _, answer = session.invoke(command, [ValueIn(1, 2), MemrefOut(16)])

docs/tee-from-python.md explains it.
"""

from sandbox.tee.context import Login, Session, TEEContext
from sandbox.tee.memory import MemoryUse, SharedMemory
from sandbox.tee.parameters import (
    MemrefIn,
    MemrefInOut,
    MemrefOut,
    MemrefPartialIn,
    MemrefPartialInOut,
    MemrefPartialOut,
    MemrefWhole,
    Parameter,
    ValueIn,
    ValueInOut,
    ValueOut,
)
from sandbox.tee.results import TeeError, TeeOrigin, TeeResult

__all__ = [
    "Login",
    "MemoryUse",
    "MemrefIn",
    "MemrefInOut",
    "MemrefOut",
    "MemrefPartialIn",
    "MemrefPartialInOut",
    "MemrefPartialOut",
    "MemrefWhole",
    "Parameter",
    "Session",
    "SharedMemory",
    "TEEContext",
    "TeeError",
    "TeeOrigin",
    "TeeResult",
    "ValueIn",
    "ValueInOut",
    "ValueOut",
]
