/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_TA_HEADER_DEFINES_H
#define USER_TA_HEADER_DEFINES_H

#define TA_UUID \
	{ 0xe2e00004, 0x4d6c, 0x4c83, \
		{ 0x9c, 0x27, 0x2f, 0x1d, 0x7a, 0x3c, 0x5b, 0x04 } }
#define TA_FLAGS		0
#define TA_STACK_SIZE		(2 * 1024)
#define TA_DATA_SIZE		(32 * 1024)
#define TA_VERSION		"1.0"
#define TA_DESCRIPTION		"Asks a shared library"

#endif /* USER_TA_HEADER_DEFINES_H */
