# SPDX-License-Identifier: Apache-2.0
global-incdirs-y += include
srcs-y += hello_world_ta.c
