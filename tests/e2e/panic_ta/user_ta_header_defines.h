/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_TA_HEADER_DEFINES_H
#define USER_TA_HEADER_DEFINES_H

#define TA_UUID \
	{ 0x6b1f0c5e, 0x7d24, 0x4c1b, \
	  { 0x9f, 0x0a, 0x2e, 0x8d, 0x3a, 0x94, 0xc7, 0xb1 } }

/* Multi-instance: each panic takes its own session down, and no other. */
#define TA_FLAGS		0
#define TA_STACK_SIZE		(4 * 1024)
/* A handful of sessions fills the secure memory. */
#define TA_DATA_SIZE		(3 * 1024 * 1024)

#define TA_VERSION		"1"
#define TA_DESCRIPTION		"Panics in every way that is asked for"

#endif /* USER_TA_HEADER_DEFINES_H */
