# SPDX-License-Identifier: Apache-2.0
"""Any trusted application: build it, put it into a running machine, start a new one."""
