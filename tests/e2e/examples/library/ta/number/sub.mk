# SPDX-License-Identifier: Apache-2.0
srcs-y += number.c
