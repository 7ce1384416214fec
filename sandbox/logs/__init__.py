# SPDX-License-Identifier: Apache-2.0
"""Both worlds' lines in one stream."""
