# SPDX-License-Identifier: Apache-2.0
"""TFLite models before the TA has them: what it will make of one, and where one comes from."""
