/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_TA_HEADER_DEFINES_H
#define USER_TA_HEADER_DEFINES_H

#include <cml_ta.h>

#define TA_UUID			TA_CML_UUID

/* Multi-instance: sessions share nothing and run in parallel. */
#define TA_FLAGS		0

/*
 * The deepest path is a push of a photo's bytes down to libjpeg's markers;
 * docs/performance.md has what was measured.
 */
#define TA_STACK_SIZE		(64 * 1024)

/*
 * For blocks of less than a page only (secure_memory.c) and libutee's own
 * operation handles. What is big is mapped when it is needed.
 */
#define TA_DATA_SIZE		(32 * 1024)

#define TA_VERSION		TA_CML_VERSION
#define TA_DESCRIPTION		"Object detection in sealed photos"

#endif /* USER_TA_HEADER_DEFINES_H */
