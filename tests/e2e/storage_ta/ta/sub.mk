# SPDX-License-Identifier: Apache-2.0
global-incdirs-y += ..
srcs-y += storage_ta.c
