/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_TA_HEADER_DEFINES_H
#define USER_TA_HEADER_DEFINES_H

/* 76393ca9-d82b-4e4b-a2d9-fb818c6fd14c */
#define TA_UUID \
	{ 0x76393ca9, 0xd82b, 0x4e4b, \
	  { 0xa2, 0xd9, 0xfb, 0x81, 0x8c, 0x6f, 0xd1, 0x4c } }

#define TA_FLAGS 0
#define TA_STACK_SIZE (4 * 1024)
#define TA_DATA_SIZE (16 * 1024)

#endif
