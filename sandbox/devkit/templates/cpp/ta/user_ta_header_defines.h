/* SPDX-License-Identifier: 0BSD */
/* Read by OP-TEE's dev kit, which wants this file's name to be this. */

#ifndef USER_TA_HEADER_DEFINES_H
#define USER_TA_HEADER_DEFINES_H

#include <@name@_ta.h>

#define TA_UUID			TA_@NAME@_UUID

/* None: each session has an instance of its own, with memory of its own. */
#define TA_FLAGS		0

/* An exception takes several KiB while it looks for who catches it. */
#define TA_STACK_SIZE		(16 * 1024)

/* For TEE_Malloc() and what OP-TEE's library allocates itself. */
#define TA_DATA_SIZE		(32 * 1024)

#define TA_VERSION		"1.0"
#define TA_DESCRIPTION		"@name@"

#endif /* USER_TA_HEADER_DEFINES_H */
