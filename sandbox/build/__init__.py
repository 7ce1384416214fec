# SPDX-License-Identifier: Apache-2.0
"""Inputs, builds and images: everything a machine needs before it starts."""
