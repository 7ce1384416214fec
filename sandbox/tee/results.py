# SPDX-License-Identifier: Apache-2.0
"""TEE_Result and its origin, by name, and what each usually means.

Codes: GlobalPlatform's TEE Internal Core API 1.3.1 and Sockets API 1.0, and OP-TEE's extensions.
tests/e2e/test_tee_client.py compares them with OP-TEE's headers.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Self

from sandbox.errors import GuestError
from sandbox.tee.parameters import MEMREF_OUTPUTS, Parameter


class _Named(IntEnum):
    """A number of 32 bits that has a name, or shows itself in hexadecimal."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int) or not 0 <= value < 1 << 32:
            return None
        made = int.__new__(cls, value)
        made._name_ = f"0x{value:08x}"
        made._value_ = value
        return made

    @property
    def known(self) -> bool:
        return self.name in type(self).__members__


class TeeResult(_Named):
    SUCCESS = 0x00000000
    CORRUPT_OBJECT = 0xF0100001
    CORRUPT_OBJECT_2 = 0xF0100002
    STORAGE_NOT_AVAILABLE = 0xF0100003
    STORAGE_NOT_AVAILABLE_2 = 0xF0100004
    UNSUPPORTED_VERSION = 0xF0100005
    CIPHERTEXT_INVALID = 0xF0100006
    ISOCKET_PROTOCOL = 0xF1007001
    ISOCKET_REMOTE_CLOSED = 0xF1007002
    ISOCKET_TIMEOUT = 0xF1007003
    ISOCKET_OUT_OF_RESOURCES = 0xF1007004
    ISOCKET_LARGE_BUFFER = 0xF1007005
    ISOCKET_WARNING_PROTOCOL = 0xF1007006
    ISOCKET_HOSTNAME = 0xF1007007
    GENERIC = 0xFFFF0000
    ACCESS_DENIED = 0xFFFF0001
    CANCEL = 0xFFFF0002
    ACCESS_CONFLICT = 0xFFFF0003
    EXCESS_DATA = 0xFFFF0004
    BAD_FORMAT = 0xFFFF0005
    BAD_PARAMETERS = 0xFFFF0006
    BAD_STATE = 0xFFFF0007
    ITEM_NOT_FOUND = 0xFFFF0008
    NOT_IMPLEMENTED = 0xFFFF0009
    NOT_SUPPORTED = 0xFFFF000A
    NO_DATA = 0xFFFF000B
    OUT_OF_MEMORY = 0xFFFF000C
    BUSY = 0xFFFF000D
    COMMUNICATION = 0xFFFF000E
    SECURITY = 0xFFFF000F
    SHORT_BUFFER = 0xFFFF0010
    EXTERNAL_CANCEL = 0xFFFF0011
    TIMEOUT = 0xFFFF3001
    OVERFLOW = 0xFFFF300F
    TARGET_DEAD = 0xFFFF3024
    STORAGE_NO_SPACE = 0xFFFF3041
    MAC_INVALID = 0xFFFF3071
    SIGNATURE_INVALID = 0xFFFF3072
    TIME_NOT_SET = 0xFFFF5000
    TIME_NEEDS_RESET = 0xFFFF5001
    # OP-TEE's own
    DEFER_DRIVER_INIT = 0x80000000
    NODE_DISABLED = 0x80000001

    @property
    def c_name(self) -> str:
        """As C calls it; empty if it has no name."""
        if not self.known:
            return ""
        name = self.name
        if name.startswith("ISOCKET_") and "WARNING" not in name:
            name = name.replace("ISOCKET_", "ISOCKET_ERROR_")
        elif not name.startswith(("ISOCKET_", "SUCCESS")):
            name = f"ERROR_{name}"
        return f"TEE_{name}"

    def __str__(self) -> str:
        """The name in C, with the number that consoles show."""
        return f"{self.c_name} (0x{self.value:08x})" if self.known else self.name


class TeeOrigin(_Named):
    """Where a result was made."""

    API = 1
    COMMS = 2
    TEE = 3
    TRUSTED_APP = 4

    def __str__(self) -> str:
        return _ORIGINS.get(self, f"origin {self.name}")


_ORIGINS = {
    TeeOrigin.API: "the client library",
    TeeOrigin.COMMS: "the way between the worlds",
    TeeOrigin.TEE: "OP-TEE",
    TeeOrigin.TRUSTED_APP: "the TA",
}

_ANY_ORIGIN = {
    TeeResult.GENERIC: "No reason was given; the secure console may have more.",
    TeeResult.ACCESS_DENIED: "The login method or the caller is not allowed to do this.",
    TeeResult.CANCEL: "The call was cancelled.",
    TeeResult.ACCESS_CONFLICT: "An object is open elsewhere with rights that exclude this.",
    TeeResult.BAD_PARAMETERS: "Types, number or values of the parameters are not those that the"
    " other side expects.",
    TeeResult.BAD_STATE: "It is not the time for this command: something else comes first.",
    TeeResult.ITEM_NOT_FOUND: "Something that was named does not exist.",
    TeeResult.NOT_IMPLEMENTED: "The command is not implemented.",
    TeeResult.NOT_SUPPORTED: "The command, or what it asks for, is not supported.",
    TeeResult.OUT_OF_MEMORY: "Memory has run out: that of the TA (TA_DATA_SIZE, TA_STACK_SIZE), of"
    " the secure world, or for sharing.",
    TeeResult.BUSY: "It is used by another call: a single-instance TA takes one at a time.",
    TeeResult.COMMUNICATION: "tee-supplicant does not answer, or the TEE's driver failed.",
    TeeResult.SECURITY: "A signature or a check of integrity failed.",
    TeeResult.SHORT_BUFFER: "An output buffer is too small; the parameters say how large it has"
    " to be.",
    TeeResult.EXCESS_DATA: "An input is larger than the TA takes.",
    TeeResult.TARGET_DEAD: "The TA panicked: `sandbox logs --world secure` has where and why.",
    TeeResult.MAC_INVALID: "Data was altered, or this is the wrong key.",
    TeeResult.CORRUPT_OBJECT: "A stored object was altered, or belongs to another device.",
    TeeResult.STORAGE_NO_SPACE: "Secure storage is full.",
    TeeResult.STORAGE_NOT_AVAILABLE: "Secure storage is not there: is tee-supplicant running?",
}
# What a result means when it is this one who says it.
_FROM = {
    (TeeResult.ITEM_NOT_FOUND, TeeOrigin.TEE): "No TA has this UUID: its file is missing in"
    " /lib/optee_armtz, or cannot be read.",
    (TeeResult.ITEM_NOT_FOUND, TeeOrigin.API): "There is no TEE device: is OP-TEE's driver loaded?",
    (TeeResult.SECURITY, TeeOrigin.TEE): "The TA's signature is not by the key that OP-TEE was"
    " built with, or its file was altered.",
    (TeeResult.BAD_FORMAT, TeeOrigin.TEE): "The TA's file is none, or is for another architecture.",
    (TeeResult.BAD_PARAMETERS, TeeOrigin.TEE): "A shared memory has a size or an offset that"
    " cannot be, or the session does not exist.",
    (TeeResult.BAD_PARAMETERS, TeeOrigin.API): "A memref lies outside of its shared memory, or is"
    " used in a direction that the memory was not made for.",
    (TeeResult.OUT_OF_MEMORY, TeeOrigin.TEE): "The secure world has no memory for the TA or for"
    " what is shared with it: sandbox.tee.stats shows how much is used.",
    (TeeResult.OUT_OF_MEMORY, TeeOrigin.TRUSTED_APP): "The TA's heap is full"
    " (TA_DATA_SIZE), or OP-TEE cannot map a memref as large as this into the TA.",
    (TeeResult.BUSY, TeeOrigin.API): "A call still runs in this session, or uses this memory.",
}


def meaning(result: TeeResult, origin: TeeOrigin) -> str | None:
    return _FROM.get((result, origin)) or _ANY_ORIGIN.get(result)


class TeeError(GuestError):
    """A call into the TEE did not succeed."""

    def __init__(
        self,
        result: TeeResult | int,
        origin: TeeOrigin | int,
        what: str = "the TEE refused",
        parameters: Sequence[Parameter] = (),
    ) -> None:
        self.result = TeeResult(result)
        self.origin = TeeOrigin(origin)
        # As the call left them: with SHORT_BUFFER, sizes say what is needed.
        self.parameters = tuple(parameters)
        super().__init__(
            f"{what}: {self.result}, says {self.origin}", meaning(self.result, self.origin)
        )

    @property
    def needed_bytes(self) -> int | None:
        """After SHORT_BUFFER: the size of the output that was too small, the first if several."""
        if self.result is not TeeResult.SHORT_BUFFER:
            return None
        return next((p.needed for p in self.parameters if isinstance(p, MEMREF_OUTPUTS)), None)
