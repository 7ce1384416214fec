# SPDX-License-Identifier: Apache-2.0
"""Measures the engine: against its peers, against the machine's own limits, and layer by layer."""
