# SPDX-License-Identifier: Apache-2.0
"""Write a firmware image package, the container from which TF-A's BL2 loads the next stages.

Written here and not with TF-A's fiptool, which would need OpenSSL's headers on every machine and
is built inside the source tree. Format: TF-A, include/tools_share/firmware_image_package.h:

    u32 name  u32 serial  u64 flags                     header
    uuid[16]  u64 offset  u64 size  u64 flags           one entry per image
    zero[16]  u64 end     u64 0     u64 0               the last entry
    images, each where its entry says
"""

import struct
from collections.abc import Mapping

TOC_NAME = 0xAA640001
TOC_SERIAL = 0x12345678
_HEADER = struct.Struct("<IIQ")
_ENTRY = struct.Struct("<16sQQQ")

UUIDS = {
    "bl2": bytes.fromhex("5ff9ec0b4d223e4da544c39d81c73f0a"),
    "bl31": bytes.fromhex("47d4086d4cfe98469b952950cbbd5a00"),
    "bl32": bytes.fromhex("05d0e18953dc13478d2b500a4b7a3e38"),
    "bl32-extra1": bytes.fromhex("0b70c29b2a5a78409f650a5682738288"),
    "bl32-extra2": bytes.fromhex("8ea87bb1cfa23f4d85fde7bba50220d9"),
}


def pack(images: Mapping[str, bytes]) -> bytes:
    """The package's bytes; `images` maps names of UUIDS to contents, in the order wanted."""
    offset = _HEADER.size + _ENTRY.size * (len(images) + 1)
    head = [_HEADER.pack(TOC_NAME, TOC_SERIAL, 0)]
    for name, data in images.items():
        head.append(_ENTRY.pack(UUIDS[name], offset, len(data), 0))
        offset += len(data)
    head.append(_ENTRY.pack(bytes(16), offset, 0, 0))
    return b"".join((*head, *images.values()))
