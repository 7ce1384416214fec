# SPDX-License-Identifier: Apache-2.0
global-incdirs-y += . ../number
srcs-y += user_ta.c
