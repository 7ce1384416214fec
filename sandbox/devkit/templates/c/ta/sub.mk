# SPDX-License-Identifier: 0BSD
global-incdirs-y += include
srcs-y += @name@_ta.c
