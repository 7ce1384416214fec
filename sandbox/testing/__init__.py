# SPDX-License-Identifier: Apache-2.0
"""The pytest plugin: machines, trusted applications and consoles as fixtures (docs/pytest.md)."""
