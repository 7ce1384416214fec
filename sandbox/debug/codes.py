# SPDX-License-Identifier: Apache-2.0
"""Names of the numbers that a panic prints, and what each usually means.

Sources: GlobalPlatform TEE Internal Core API 1.3 (return codes, panic numbers), OP-TEE's
tee_api_defines.h and libutee, and the Arm ARM (DDI 0487), D24.2.40: ESR_EL1, G8.2.50: DFSR.
"""

from dataclasses import dataclass

from sandbox.tee.results import TeeResult

# What a TEE_Result says when it is the code of a panic, or of what failed within OP-TEE.
_RESULTS: dict[int, str] = {
    TeeResult.SUCCESS: (
        "0 is what OP-TEE's library panics with when the API is used against its rules: an"
        " operation in the wrong state, a handle that is none, a NULL where memory is needed, a"
        " size that cannot be. The specification calls these programmer errors."
    ),
    TeeResult.CORRUPT_OBJECT: "A stored object was altered or cut, and was deleted.",
    TeeResult.CORRUPT_OBJECT_2: "A stored object was altered or cut.",
    TeeResult.STORAGE_NOT_AVAILABLE: "Is tee-supplicant running, its disk writable?",
    TeeResult.STORAGE_NOT_AVAILABLE_2: "Is tee-supplicant running, its disk writable?",
    TeeResult.UNSUPPORTED_VERSION: "Built against another version of the API.",
    TeeResult.CIPHERTEXT_INVALID: "The ciphertext is malformed.",
    TeeResult.GENERIC: (
        "OP-TEE's library panics with this after a failed assertion (its text stands in the log"
        " just before) and after undefined behaviour that UBSan found."
    ),
    TeeResult.ACCESS_DENIED: (
        "Memory that the TA may not touch in this way was handed to the API: secure memory where"
        " the client's is meant, or the reverse; or an object was opened without that right."
    ),
    TeeResult.CANCEL: "The operation was cancelled by the client.",
    TeeResult.ACCESS_CONFLICT: (
        "The object is open elsewhere, without the flags that allow sharing."
    ),
    TeeResult.EXCESS_DATA: "More data than the operation can take.",
    TeeResult.BAD_FORMAT: "The data has not the format that it should have.",
    TeeResult.BAD_PARAMETERS: (
        "A function of the API was given what it cannot take: a handle that was freed or never"
        " allocated, an algorithm, mode or key size that do not go together, a missing attribute, a"
        " buffer that is not the TA's. The API panics then: it has no other way to tell."
    ),
    TeeResult.BAD_STATE: (
        "The right function at the wrong time: an update before the init, a key that is not set, an"
        " object that is populated already, an operation that was finished."
    ),
    TeeResult.ITEM_NOT_FOUND: (
        "An object, attribute or TA that does not exist, asked for where the API may not say so."
    ),
    TeeResult.NOT_IMPLEMENTED: (
        "This build of OP-TEE has no such algorithm or function: see the CFG_CRYPTO_ options."
    ),
    TeeResult.NOT_SUPPORTED: (
        "This build of OP-TEE has no such algorithm, mode, key size or curve, or no such system"
        " call: was the TA built with the dev kit of another OP-TEE?"
    ),
    TeeResult.NO_DATA: "There is no data to work on.",
    TeeResult.OUT_OF_MEMORY: (
        "The heap of the TA (TA_DATA_SIZE), the heap of the core (CFG_CORE_HEAP_SIZE) or secure RAM"
        " is full. `sandbox status` shows what is left, `xtest --stats` too."
    ),
    TeeResult.BUSY: "Another session uses the single instance of this TA.",
    TeeResult.COMMUNICATION: "The normal world did not answer: is tee-supplicant up?",
    TeeResult.SECURITY: (
        "A signature or hash does not fit: was the TA signed with the key that is in this OP-TEE?"
    ),
    TeeResult.SHORT_BUFFER: (
        "A result does not fit into its buffer, and this function may not ask for a larger one."
    ),
    TeeResult.EXTERNAL_CANCEL: "Cancelled from outside the TEE.",
    TeeResult.TIMEOUT: "It took too long.",
    TeeResult.OVERFLOW: (
        "OP-TEE's library panics with this when a function returns and the guard value on its stack"
        " has changed: the function wrote past the end of a local array."
    ),
    TeeResult.TARGET_DEAD: (
        "A TA that this one called has panicked: its own panic stands in the log before."
    ),
    TeeResult.STORAGE_NO_SPACE: "The disk of tee-supplicant, or RPMB, is full.",
    TeeResult.MAC_INVALID: "Data is not authentic, where that may not happen.",
    TeeResult.SIGNATURE_INVALID: "A signature does not fit its data and key.",
    TeeResult.TIME_NOT_SET: "TEE_SetTAPersistentTime() was never called.",
    TeeResult.TIME_NEEDS_RESET: "The persistent time was set by another boot.",
    # Of OP-TEE's core, to itself.
    TeeResult.DEFER_DRIVER_INIT: "A driver waits for another.",
    TeeResult.NODE_DISABLED: "The device tree disables the device.",
}

# GlobalPlatform's panic numbers, 0xGGNN: the function NN of group GG, in the order of the
# specification; without their TEE_.
_PANIC_NUMBERS = {
    0x01: (
        "TA_CloseSessionEntryPoint TA_CreateEntryPoint TA_DestroyEntryPoint "
        "TA_InvokeCommandEntryPoint TA_OpenSessionEntryPoint"
    ),
    0x02: (
        "AllocatePropertyEnumerator FreePropertyEnumerator GetNextProperty "
        "GetPropertyAsBinaryBlock GetPropertyAsBool GetPropertyAsIdentity GetPropertyAsString "
        "GetPropertyAsU32 GetPropertyAsUUID GetPropertyName ResetPropertyEnumerator "
        "StartPropertyEnumerator"
    ),
    0x03: "Panic",
    0x04: "CloseTASession InvokeTACommand OpenTASession",
    0x05: "GetCancellationFlag MaskCancellation UnmaskCancellation",
    0x06: (
        "CheckMemoryAccessRights Free GetInstanceData Malloc MemCompare MemFill MemMove "
        "Realloc SetInstanceData"
    ),
    0x07: (
        "CloseObject GetObjectBufferAttribute GetObjectInfo GetObjectValueAttribute "
        "RestrictObjectUsage GetObjectInfo1 RestrictObjectUsage1"
    ),
    0x08: (
        "AllocateTransientObject CopyObjectAttributes FreeTransientObject GenerateKey "
        "InitRefAttribute InitValueAttribute PopulateTransientObject ResetTransientObject "
        "CopyObjectAttributes1"
    ),
    0x09: (
        "CloseAndDeletePersistentObject CreatePersistentObject OpenPersistentObject "
        "RenamePersistentObject CloseAndDeletePersistentObject1"
    ),
    0x0A: (
        "AllocatePersistentObjectEnumerator FreePersistentObjectEnumerator "
        "GetNextPersistentObject ResetPersistentObjectEnumerator "
        "StartPersistentObjectEnumerator"
    ),
    0x0B: "ReadObjectData SeekObjectData TruncateObjectData WriteObjectData",
    0x0C: (
        "AllocateOperation CopyOperation FreeOperation GetOperationInfo ResetOperation "
        "SetOperationKey SetOperationKey2 GetOperationInfoMultiple"
    ),
    0x0D: "DigestDoFinal DigestUpdate",
    0x0E: "CipherDoFinal CipherInit CipherUpdate",
    0x0F: "MACCompareFinal MACComputeFinal MACInit MACUpdate",
    0x10: "AEDecryptFinal AEEncryptFinal AEInit AEUpdate AEUpdateAAD",
    0x11: "AsymmetricDecrypt AsymmetricEncrypt AsymmetricSignDigest AsymmetricVerifyDigest",
    0x12: "DeriveKey",
    0x13: "GenerateRandom",
    0x14: "GetREETime GetSystemTime GetTAPersistentTime SetTAPersistentTime Wait",
    0x15: "BigIntFMMContextSizeInU32 BigIntFMMSizeInU32",
    0x16: "BigIntInit BigIntInitFMM BigIntInitFMMContext",
    0x17: (
        "BigIntConvertFromOctetString BigIntConvertFromS32 BigIntConvertToOctetString "
        "BigIntConvertToS32"
    ),
    0x18: "BigIntCmp BigIntCmpS32 BigIntGetBit BigIntGetBitCount BigIntShiftRight",
    0x19: "BigIntAdd BigIntDiv BigIntMul BigIntNeg BigIntSquare BigIntSub",
    0x1A: "BigIntAddMod BigIntInvMod BigIntMod BigIntMulMod BigIntSquareMod BigIntSubMod",
    0x1B: "BigIntComputeExtendedGcd BigIntIsProbablePrime BigIntRelativePrime",
    0x1C: "BigIntComputeFMM BigIntConvertFromFMM BigIntConvertToFMM",
}


@dataclass(frozen=True)
class Code:
    """A number of the GlobalPlatform API, by name."""

    value: int
    name: str
    meaning: str

    def __str__(self) -> str:
        return f"0x{self.value:x}" + (f" ({self.name})" if self.name else "")


def panic_code(value: int) -> Code:
    """The code of a TA's panic."""
    if value in _RESULTS:
        return result(value) if value else Code(value, "", _RESULTS[value])
    group = _PANIC_NUMBERS.get(value >> 8, "").split()
    number = value & 0xFF
    if 1 <= number <= len(group):
        name = group[number - 1]
        name = name if name.startswith("TA_") else f"TEE_{name}"
        return Code(
            value, name, f"GlobalPlatform's panic number of {name}(): that function refused."
        )
    return Code(value, "", "No code of the API: the TA gave TEE_Panic() a number of its own.")


def result(value: int) -> Code:
    """A TEE_Result that something failed with."""
    if value not in _RESULTS:
        return Code(value, "", "")
    return Code(value, TeeResult(value).c_name, _RESULTS[value])


@dataclass(frozen=True)
class Fault:
    """ESR_EL1, ESR_EL3 and the like, in words."""

    what: str
    write: bool | None = None  # of a data abort
    cause: str = ""  # translation, permission, alignment, ...
    trap: int | None = None  # the number in a brk instruction

    def __str__(self) -> str:
        access = {True: "write, ", False: "read, ", None: ""}[self.write]
        return f"{self.what}: {access}{self.cause}" if self.cause else self.what


_CLASSES = {
    0x00: "an instruction that does not exist, or may not be used here",
    0x07: "a floating-point or SIMD instruction while these are off",
    0x0D: "a jump to an instruction that is no landing pad (BTI)",
    0x0E: "an illegal state of the processor",
    0x11: "a system call (SVC, 32 bits)",
    0x15: "a system call (SVC)",
    0x17: "a secure monitor call (SMC)",
    0x18: "access to a system register that is not allowed here",
    0x19: "an SVE instruction while SVE is off",
    0x1C: "a pointer whose authentication code is wrong (PAC)",
    0x20: "an instruction fetch",
    0x21: "an instruction fetch of its own level",
    0x22: "a program counter that is not aligned",
    0x24: "a data access",
    0x25: "a data access of its own level",
    0x26: "a stack pointer that is not aligned to 16 bytes",
    0x2C: "a floating-point exception",
    0x2F: "an SError: an error that memory or a device reported late",
    0x30: "a breakpoint",
    0x34: "a watchpoint",
    0x3C: "a brk instruction",
}
_FAULTS = {
    0b0000: "address size fault",
    0b0001: "translation fault: nothing is mapped there",
    0b0010: "access flag fault",
    0b0011: "permission fault: it is mapped, but not for this",
}


# DFSR and IFSR with the short-descriptor format, bits 10 and 3 to 0.
_SHORT = {
    0b00001: "the address is not aligned as this instruction wants it",
    0b00011: "access flag fault (level 1)",
    0b00101: "translation fault: nothing is mapped there (level 1)",
    0b00110: "access flag fault (level 2)",
    0b00111: "translation fault: nothing is mapped there (level 2)",
    0b01000: "the memory system reported an error (external abort)",
    0b01001: "domain fault (level 1)",
    0b01011: "domain fault (level 2)",
    0b01101: "permission fault: it is mapped, but not for this (level 1)",
    0b01111: "permission fault: it is mapped, but not for this (level 2)",
    0b10110: "the memory system reported an error late (asynchronous external abort)",
}


def _cause(status: int) -> str:
    """The fault status code of 64 bits, and of 32 bits with the long-descriptor format."""
    if status >> 2 in _FAULTS:
        return f"{_FAULTS[status >> 2]} (level {status & 3})"
    return {
        0b010000: "the memory system reported an error (external abort)",
        0b010001: "the pointer's tag is not that of the memory (MTE)",
        0b100001: "the address is not aligned as this instruction wants it",
        0b110000: "conflicting entries in the TLB",
    }.get(status, f"fault status 0x{status:02x}")


def syndrome(esr: int) -> Fault:
    """What an exception syndrome register says."""
    kind = esr >> 26 & 0x3F
    what = _CLASSES.get(kind, f"an exception of class 0x{kind:02x}")
    if kind == 0x3C:
        return Fault(what, trap=esr & 0xFFFF)
    if kind not in (0x20, 0x21, 0x24, 0x25):
        return Fault(what)
    write = bool(esr >> 6 & 1) if kind in (0x24, 0x25) else None
    return Fault(what, write, _cause(esr & 0x3F))


def fault_status(fsr: int, *, data: bool) -> Fault:
    """What a fault status register of 32 bits says, of a data or a prefetch abort."""
    what = _CLASSES[0x24 if data else 0x20]
    write = bool(fsr >> 11 & 1) if data else None
    if fsr >> 9 & 1:
        return Fault(what, write, _cause(fsr & 0x3F))
    status = fsr >> 6 & 0x10 | fsr & 0xF
    return Fault(what, write, _SHORT.get(status, f"fault status 0x{status:02x}"))
