# SPDX-License-Identifier: Apache-2.0
"""Change one letter in a TA, and sign it again: one_letter.py IN.ta OUT.ta."""

import sys
from pathlib import Path

from sandbox import process
from sandbox.build import recipe
from sandbox.log import SilentProgress

UUID = "2f6a3c5e-9b1d-4e0f-8a67-c1d5b94e7720"
genuine, changed = map(Path, sys.argv[1:])
signed = genuine.read_bytes()
elf = bytearray(signed[signed.index(b"\x7fELF") :])
elf[elf.index(b"model refused:")] ^= 0x20
image = changed.with_suffix(".elf")
image.write_bytes(elf)
kit = recipe.ta_dev_kit(SilentProgress())
key = kit / "keys" / "default_ta.pem"
sign = [sys.executable, kit / "scripts" / "sign_encrypt.py", "--uuid", UUID, "--key", key]
process.run([*sign, "--in", image, "--out", changed], timeout_s=60.0)
