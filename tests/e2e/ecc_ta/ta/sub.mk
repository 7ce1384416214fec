# SPDX-License-Identifier: Apache-2.0
global-incdirs-y += ..
srcs-y += ecc_ta.c
