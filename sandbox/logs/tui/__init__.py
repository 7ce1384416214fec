# SPDX-License-Identifier: Apache-2.0
"""A terminal program over the records. It reads what is recorded and starts nothing."""
