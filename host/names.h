// SPDX-License-Identifier: Apache-2.0
#ifndef CML_NAMES_H
#define CML_NAMES_H

#include <stddef.h>
#include <stdint.h>

/*
 * "STREAM_TRUNCATED" for what the TA itself says, "TEE_ERROR_OUT_OF_MEMORY"
 * for GlobalPlatform's results, "UNKNOWN" for any other.
 */
const char *result_name(uint32_t code);
const char *origin_name(uint32_t origin);

#endif /* CML_NAMES_H */
