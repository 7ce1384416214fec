// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include <tee_client_api.h>

#include "cml_ta.h"
#include "names.h"

struct name {
	uint32_t value;
	const char *name;
};

/* ta/core/status.h; tests/unit/test_abi.py compares. */
static const struct name statuses[] = {
	{ 1, "INTERNAL" },
	{ 2, "NO_MEMORY" },
	{ 3, "BAD_STATE" },
	{ 4, "CRYPTO" },
	{ 5, "STORAGE" },
	{ 6, "STORAGE_DAMAGED" },
	{ 10, "HEADER_MALFORMED" },
	{ 11, "HEADER_KIND" },
	{ 12, "HEADER_LIMIT" },
	{ 20, "KEY_MISSING" },
	{ 23, "KEY_REPLAYED" },
	{ 24, "KEY_STORE_FULL" },
	{ 25, "KEY_UNKNOWN" },
	{ 26, "ENCRYPT_ABSENT" },
	{ 30, "STREAM_HEADER" },
	{ 31, "STREAM_WRONG_KEY" },
	{ 32, "STREAM_CONTEXT" },
	{ 33, "STREAM_TRUNCATED" },
	{ 34, "STREAM_EXTENDED" },
	{ 35, "STREAM_REORDERED" },
	{ 36, "STREAM_SPLICED" },
	{ 37, "STREAM_LENGTH" },
	{ 50, "MODEL_MALFORMED" },
	{ 51, "MODEL_UNSUPPORTED_OP" },
	{ 52, "MODEL_UNSUPPORTED_TYPE" },
	{ 53, "MODEL_SHAPE" },
	{ 54, "MODEL_QUANTIZATION" },
	{ 55, "MODEL_LIMIT" },
	{ 56, "MODEL_NOT_DETECTOR" },
	{ 57, "MODEL_MISSING" },
	{ 58, "MODEL_ROLLBACK" },
	{ 59, "MODEL_OTHER_FILE" },
	{ 60, "MODEL_VAULT_FULL" },
	{ 61, "MODEL_UNKNOWN" },
	{ 70, "JPEG_CORRUPT" },
	{ 71, "JPEG_TRUNCATED" },
	{ 72, "JPEG_UNSUPPORTED" },
	{ 73, "JPEG_COLORSPACE" },
	{ 74, "JPEG_TOO_LARGE" },
	{ 75, "JPEG_PROGRESSIVE_TOO_LARGE" },
	{ 80, "TENSORS_SIZE" },
	{ 81, "REQUEST_REPLAYED" },
	{ 82, "REQUEST_MODEL" },
	{ 90, "RESULT_MISSING" },
	{ 100, "COSE_MALFORMED" },
	{ 101, "COSE_HEADER" },
	{ 102, "COSE_ALGORITHM" },
	{ 103, "COSE_KEY" },
	{ 104, "COSE_RECIPIENT" },
	{ 105, "COSE_UNWRAP" },
	{ 106, "COSE_OPEN" },
	{ 107, "COSE_LIMIT" },
};

/* GlobalPlatform's, as OP-TEE and libteec return them. */
static const struct name results[] = {
	{ 0xf0100001, "TEE_ERROR_CORRUPT_OBJECT" },
	{ 0xf0100003, "TEE_ERROR_STORAGE_NOT_AVAILABLE" },
	{ 0xffff0000, "TEE_ERROR_GENERIC" },
	{ 0xffff0001, "TEE_ERROR_ACCESS_DENIED" },
	{ 0xffff0002, "TEE_ERROR_CANCEL" },
	{ 0xffff0003, "TEE_ERROR_ACCESS_CONFLICT" },
	{ 0xffff0004, "TEE_ERROR_EXCESS_DATA" },
	{ 0xffff0005, "TEE_ERROR_BAD_FORMAT" },
	{ 0xffff0006, "TEE_ERROR_BAD_PARAMETERS" },
	{ 0xffff0007, "TEE_ERROR_BAD_STATE" },
	{ 0xffff0008, "TEE_ERROR_ITEM_NOT_FOUND" },
	{ 0xffff0009, "TEE_ERROR_NOT_IMPLEMENTED" },
	{ 0xffff000a, "TEE_ERROR_NOT_SUPPORTED" },
	{ 0xffff000b, "TEE_ERROR_NO_DATA" },
	{ 0xffff000c, "TEE_ERROR_OUT_OF_MEMORY" },
	{ 0xffff000d, "TEE_ERROR_BUSY" },
	{ 0xffff000e, "TEE_ERROR_COMMUNICATION" },
	{ 0xffff000f, "TEE_ERROR_SECURITY" },
	{ 0xffff0010, "TEE_ERROR_SHORT_BUFFER" },
	{ 0xffff3024, "TEE_ERROR_TARGET_DEAD" },
	{ 0xffff3041, "TEE_ERROR_STORAGE_NO_SPACE" },
	{ 0xffff3071, "TEE_ERROR_MAC_INVALID" },
};

static const struct name origins[] = {
	{ TEEC_ORIGIN_API, "TEE_ORIGIN_API" },
	{ TEEC_ORIGIN_COMMS, "TEE_ORIGIN_COMMS" },
	{ TEEC_ORIGIN_TEE, "TEE_ORIGIN_TEE" },
	{ TEEC_ORIGIN_TRUSTED_APP, "TEE_ORIGIN_TRUSTED_APP" },
};

#define FIND(table, value) \
	find((table), sizeof(table) / sizeof((table)[0]), (value))

static const char *find(const struct name *table, size_t count, uint32_t value)
{
	for (size_t i = 0; i < count; i++)
		if (table[i].value == value)
			return table[i].name;

	return NULL;
}

const char *result_name(uint32_t code)
{
	const char *name = FIND(results, code);

	if (!name && code > TA_CML_ERROR_BASE)
		name = FIND(statuses, code - TA_CML_ERROR_BASE);

	return name ? name : "UNKNOWN";
}

const char *origin_name(uint32_t origin)
{
	const char *name = FIND(origins, origin);

	return name ? name : "UNKNOWN";
}
