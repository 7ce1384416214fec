# SPDX-License-Identifier: Apache-2.0
"""Looking into a running machine: panics explained, gdb, profiles."""
