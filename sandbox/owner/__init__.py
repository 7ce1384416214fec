# SPDX-License-Identifier: Apache-2.0
"""What the data owner and the model owner run: they trust the TA, and nothing between it and them.

Nothing here knows QEMU. Bytes leave as ciphertext and come back as ciphertext.
"""
