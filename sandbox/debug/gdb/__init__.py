# SPDX-License-Identifier: Apache-2.0
"""gdb on a machine: a TA, OP-TEE or Linux, by symbols, although all of them lie at random."""

from sandbox.debug.gdb.session import Gdb, GdbError, GdbTimeout, Stop, attach
from sandbox.debug.gdb.target import Kind, Target, find

__all__ = ["Gdb", "GdbError", "GdbTimeout", "Kind", "Stop", "Target", "attach", "find"]
