# SPDX-License-Identifier: Apache-2.0
"""The inference TA's interface: a mirror of ta/include/cml_ta.h and of headers in ta/core/.

tests/unit/test_abi.py reads those headers and compares.
"""

from enum import IntEnum, IntFlag
from uuid import UUID

TA_UUID = UUID("2f6a3c5e-9b1d-4e0f-8a67-c1d5b94e7720")
ABI_VERSION = 4
ERROR_BASE = 0x80C40000

PUSH_MAX_BYTES = 256 * 1024
INFO_MAX_BYTES = 1024
RESULT_MAX_BYTES = 16384
CHALLENGE_BYTES = 16
KEY_MESSAGE_MAX_BYTES = 16 + 512
NONCE_MIN_BYTES = 8
NONCE_MAX_BYTES = 64
TOKEN_MAX_BYTES = 2048
CSR_MAX_BYTES = 512
MODEL_LIST_MAX_BYTES = 4096
STORED_KEYS_MAX_COUNT = 16
KEY_LIST_MAX_BYTES = 512
DESCRIPTION_MAX_BYTES = 3072

# The header of a sealed file, as the struct module reads it: magic, kind, flags, score
# threshold in 1/1000, key id, version or sequence number, plaintext length, name or digest.
HEADER_FORMAT = ">4sBBH16sQQ32s"
HEADER_BYTES = 72
MODEL_NAME_MAX_BYTES = 32
# That, and the header of the stream: what tells a sealed model from any other.
MODEL_SOURCE_BYTES = 112
WORK_MAX_MS = 1000
HEADER_MAGIC = b"CML2"
PHOTO_MAX_BYTES = 64 << 20
MODEL_MAX_BYTES = 12 << 20
TENSORS_MAX_BYTES = 16 << 20


class Command(IntEnum):
    INFO = 0
    PROVISION_KEY = 1
    MODEL_BEGIN = 2
    MODEL_PUSH = 3
    MODEL_FINISH = 4
    INFER_BEGIN = 5
    INFER_PUSH = 6
    INFER_FINISH = 7
    RESULT = 8
    MODEL_USE = 9
    WORK = 10
    ATTEST = 11
    OWN_KEY = 12
    OWN_KEY_CSR = 13
    OWN_KEY_ROTATE = 14
    MODEL_STORE = 15
    MODEL_LIST = 16
    MODEL_REMOVE = 17
    MODEL_ACTIVATE = 18
    KEY_LIST = 19
    KEY_REMOVE = 20
    MODEL_DESCRIBE = 21
    ENCRYPT_BEGIN = 22
    ENCRYPT_PUSH = 23
    ENCRYPT_FINISH = 24


class Kind(IntEnum):
    """What a sealed file holds."""

    PHOTO = 1
    MODEL = 2
    TENSORS = 3


class RequestFlag(IntFlag):
    """What the result of a request is to be; encrypted, unless it says otherwise."""

    SIGNED = 1
    CLEAR = 2  # not encrypted; then it is signed


class KeySlot(IntEnum):
    DATA = 1
    MODEL = 2
    STORED = 3  # a model owner's, for the device to keep


class OwnKey(IntEnum):
    """The TA's own key pairs."""

    WRAPPING = 1
    SIGNING = 2


class Status(IntEnum):
    """What the TA says about its input: it returns ERROR_BASE + this."""

    OK = 0
    INTERNAL = 1
    NO_MEMORY = 2
    BAD_STATE = 3
    CRYPTO = 4
    STORAGE = 5
    STORAGE_DAMAGED = 6
    HEADER_MALFORMED = 10
    HEADER_KIND = 11
    HEADER_LIMIT = 12
    KEY_MISSING = 20
    KEY_REPLAYED = 23
    KEY_STORE_FULL = 24
    KEY_UNKNOWN = 25
    ENCRYPT_ABSENT = 26
    STREAM_HEADER = 30
    STREAM_WRONG_KEY = 31
    STREAM_CONTEXT = 32
    STREAM_TRUNCATED = 33
    STREAM_EXTENDED = 34
    STREAM_REORDERED = 35
    STREAM_SPLICED = 36
    STREAM_LENGTH = 37
    MODEL_MALFORMED = 50
    MODEL_UNSUPPORTED_OP = 51
    MODEL_UNSUPPORTED_TYPE = 52
    MODEL_SHAPE = 53
    MODEL_QUANTIZATION = 54
    MODEL_LIMIT = 55
    MODEL_NOT_DETECTOR = 56
    MODEL_MISSING = 57
    MODEL_ROLLBACK = 58
    MODEL_OTHER_FILE = 59
    MODEL_VAULT_FULL = 60
    MODEL_UNKNOWN = 61
    JPEG_CORRUPT = 70
    JPEG_TRUNCATED = 71
    JPEG_UNSUPPORTED = 72
    JPEG_COLORSPACE = 73
    JPEG_TOO_LARGE = 74
    JPEG_PROGRESSIVE_TOO_LARGE = 75
    TENSORS_SIZE = 80
    REQUEST_REPLAYED = 81
    REQUEST_MODEL = 82
    RESULT_MISSING = 90
    COSE_MALFORMED = 100
    COSE_HEADER = 101
    COSE_ALGORITHM = 102
    COSE_KEY = 103
    COSE_RECIPIENT = 104
    COSE_UNWRAP = 105
    COSE_OPEN = 106
    COSE_LIMIT = 107

    @property
    def sentence(self) -> str:
        return STATUS_SENTENCES[self.name]


STATUS_SENTENCES = {
    "OK": "success",
    "INTERNAL": "a check that cannot fail failed: a bug",
    "NO_MEMORY": "not enough secure memory",
    "BAD_STATE": "command out of order for this session",
    "CRYPTO": "the cryptographic implementation failed",
    "STORAGE": "secure storage does not answer",
    "STORAGE_DAMAGED": "secure storage was altered, or put back to an older state",
    "HEADER_MALFORMED": "sealed file header is malformed",
    "HEADER_KIND": "sealed file is of another kind than expected",
    "HEADER_LIMIT": "sealed file announces a size over the limit",
    "KEY_MISSING": "no key is provisioned in this slot",
    "KEY_REPLAYED": "key message answers no open challenge of this session",
    "KEY_STORE_FULL": "the device keeps as many keys as it can",
    "KEY_UNKNOWN": "the device keeps no key of this id",
    "ENCRYPT_ABSENT": "this build of the TA encrypts no models",
    "STREAM_HEADER": "stream header is malformed",
    "STREAM_WRONG_KEY": "sealed with another key than provisioned",
    "STREAM_CONTEXT": "first segment is not authentic: other associated data, or altered",
    "STREAM_TRUNCATED": "stream ends before its last segment",
    "STREAM_EXTENDED": "data follows the last segment",
    "STREAM_REORDERED": "segment is not in its place",
    "STREAM_SPLICED": "segment does not belong to this stream, or was altered",
    "STREAM_LENGTH": "plaintext length differs from the header",
    "MODEL_MALFORMED": "model is not a well-formed TFLite flatbuffer",
    "MODEL_UNSUPPORTED_OP": "model has an unsupported operator",
    "MODEL_UNSUPPORTED_TYPE": "model has an unsupported tensor type or layout",
    "MODEL_SHAPE": "tensor shapes of an operator do not fit",
    "MODEL_QUANTIZATION": "quantisation parameters are not usable",
    "MODEL_LIMIT": "model is over a limit of this build",
    "MODEL_NOT_DETECTOR": "model inputs and outputs are not those of an SSD detector",
    "MODEL_MISSING": "no model is loaded in this session",
    "MODEL_ROLLBACK": "model is older than the vault's of this name, or not the same one",
    "MODEL_OTHER_FILE": "sealed file is not the one that the vault keeps by this name",
    "MODEL_VAULT_FULL": "the vault has no room for another model, or another removed one",
    "MODEL_UNKNOWN": "the vault has no model of this name and key",
    "JPEG_CORRUPT": "not a JPEG, or its data is corrupt",
    "JPEG_TRUNCATED": "JPEG ends early",
    "JPEG_UNSUPPORTED": "JPEG process or sample precision is not supported",
    "JPEG_COLORSPACE": "CMYK and YCCK JPEGs are not supported",
    "JPEG_TOO_LARGE": "JPEG is over a limit: pixels, side, scans",
    "JPEG_PROGRESSIVE_TOO_LARGE": "progressive JPEG needs more secure memory than there is",
    "TENSORS_SIZE": "tensors are not of the sizes that the model takes",
    "REQUEST_REPLAYED": "request's number is not above that of an earlier one",
    "REQUEST_MODEL": "request names another model than the one that is loaded",
    "RESULT_MISSING": "no result is waiting in this session",
    "COSE_MALFORMED": "COSE message is not well-formed or of another structure",
    "COSE_HEADER": "COSE header parameter is missing, repeated, unknown or unusable",
    "COSE_ALGORITHM": "COSE message uses another algorithm than expected",
    "COSE_KEY": "COSE_Key is no public key of P-256",
    "COSE_RECIPIENT": "COSE message is for another key",
    "COSE_UNWRAP": "content key does not unwrap: it was altered, or is for another key",
    "COSE_OPEN": "COSE content does not open: altered, or bound to something else",
    "COSE_LIMIT": "COSE message is over a limit",
}
