# SPDX-License-Identifier: Apache-2.0
"""What evidence has to say of code that is as it was built: measurements made from files."""
