/* SPDX-License-Identifier: Apache-2.0 */
/* A call's parameters as libteec wants them, and back. */
#ifndef OPERATION_H
#define OPERATION_H

#include <tee_client_api.h>

#include "tee_message.h"

struct operation {
	TEEC_Operation teec;
	struct tee_param params[TEE_PARAM_COUNT];
	/*
	 * What temporary memrefs refer to. Each has pages of its own: libteec
	 * shares whole pages, and a TA shall see nothing else in them.
	 */
	uint8_t *buffers[TEE_PARAM_COUNT];
};

/*
 * @memories: for each parameter that names one, else NULL. False: no memory is
 * left.
 */
bool operation_prepare(struct operation *operation,
		       const struct tee_call *call,
		       TEEC_SharedMemory *const memories[TEE_PARAM_COUNT]);
/* Takes over what the call has changed. */
void operation_finish(struct operation *operation);
/* How much data comes out, and the data. */
size_t operation_output_size(const struct operation *operation);
void operation_output(const struct operation *operation, uint8_t *data);
void operation_free(struct operation *operation);

/* Whole pages, all zeros; free() releases them. */
uint8_t *pages_new(size_t size);

#endif /* OPERATION_H */
