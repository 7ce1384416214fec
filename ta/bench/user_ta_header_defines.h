/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USER_TA_HEADER_DEFINES_H
#define USER_TA_HEADER_DEFINES_H

#include <cml_bench_ta.h>

#define TA_UUID			TA_CML_BENCH_UUID

#define TA_FLAGS		0

/* As the inference TA, whose engine this has. */
#define TA_STACK_SIZE		(16 * 1024)
#define TA_DATA_SIZE		(16 * 1024)

#define TA_VERSION		"1"
#define TA_DESCRIPTION		"Measures the engine"

#endif /* USER_TA_HEADER_DEFINES_H */
