// SPDX-License-Identifier: Apache-2.0
/*
 * Calls of the TEE service: the first byte is the frame's type. What is
 * accepted is made into an operation, and back.
 */
#include <stdlib.h>
#include <string.h>

#include "operation.h"

/* Larger ones only take time. */
#define MEMORY_LIMIT	(1 << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	TEEC_SharedMemory *const none[TEE_PARAM_COUNT] = { NULL };
	struct operation operation = { 0 };
	struct tee_call call = { 0 };
	struct frame frame = { 0 };
	uint8_t *copy = NULL;
	uint8_t *out = NULL;

	if (!size)
		return 0;
	/* So that a byte too far is seen. */
	copy = malloc(size);
	memcpy(copy, data, size);
	frame = (struct frame){ copy[0], copy + 1, size - 1 };
	if (!tee_call_parse(&frame, &call))
		goto out;
	if (frame.type != FRAME_TEE_OPEN && frame.type != FRAME_TEE_INVOKE)
		goto out;
	for (size_t i = 0; i < TEE_PARAM_COUNT; i++)
		if (tee_param_is_temporary(&call.params[i]) &&
		    call.params[i].a > MEMORY_LIMIT)
			goto out;
	if (!operation_prepare(&operation, &call, none))
		abort();
	operation_finish(&operation);
	out = malloc(operation_output_size(&operation) + 1);
	operation_output(&operation, out);
	operation_free(&operation);
out:
	free(out);
	free(copy);

	return 0;
}
