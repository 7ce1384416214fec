# SPDX-License-Identifier: Apache-2.0
"""A sandbox for confidential machine learning on Arm TrustZone."""
