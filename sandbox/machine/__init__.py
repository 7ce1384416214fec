# SPDX-License-Identifier: Apache-2.0
"""The emulated device: start it, watch it, talk to it, end it. Never imports `build`."""
