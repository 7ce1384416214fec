# SPDX-License-Identifier: Apache-2.0
"""Two small certificate authorities: the emulated manufacturer's and the owner's.

Both live in the XDG state folder of whoever runs the sandbox. Neither knows QEMU or the TA.
"""
