/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_TA_HEADER_DEFINES_H
#define USER_TA_HEADER_DEFINES_H

#include <cml_ta.h>

#define TA_UUID			TA_CML_UUID

/*
 * Multi-instance: sessions share nothing and run in parallel. What is damaged
 * in secure storage stays so: forgotten, it would be as if it had never been.
 */
#define TA_FLAGS		TA_FLAG_KEEP_CORRUPT_OBJECT

/*
 * Measured, painted stack, all kinds of photos and errors: 2.6 KiB, at a push
 * of a photo's bytes. Nothing recurses.
 */
#define TA_STACK_SIZE		(16 * 1024)

/*
 * For blocks of less than a page only (secure_memory.c; 1 KiB in a loaded
 * session) and libutee's operation handles. What is big is mapped when it is
 * needed.
 */
#define TA_DATA_SIZE		(16 * 1024)

#define TA_VERSION		TA_CML_VERSION
#define TA_DESCRIPTION		"Object detection in sealed photos"

#endif /* USER_TA_HEADER_DEFINES_H */
