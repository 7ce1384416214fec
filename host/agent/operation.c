// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "operation.h"

#define PAGE_SIZE	4096

uint8_t *pages_new(size_t size)
{
	const size_t pages = size / PAGE_SIZE + (size % PAGE_SIZE || !size);
	uint8_t *made = aligned_alloc(PAGE_SIZE, pages * PAGE_SIZE);

	if (made)
		memset(made, 0, pages * PAGE_SIZE);

	return made;
}

static bool prepare_temporary(struct operation *operation, size_t i,
			      const uint8_t **data)
{
	TEEC_TempMemoryReference *tmpref = &operation->teec.params[i].tmpref;
	const struct tee_param *param = &operation->params[i];

	tmpref->size = param->a;
	if (tee_param_is_null(param))
		return true;
	operation->buffers[i] = pages_new(param->a);
	if (!operation->buffers[i])
		return false;
	tmpref->buffer = operation->buffers[i];
	if (tee_param_goes_in(param)) {
		memcpy(tmpref->buffer, *data, param->a);
		*data += param->a;
	}

	return true;
}

bool operation_prepare(struct operation *operation,
		       const struct tee_call *call,
		       TEEC_SharedMemory *const memories[TEE_PARAM_COUNT])
{
	const uint8_t *data = call->data;

	for (size_t i = 0; i < TEE_PARAM_COUNT; i++) {
		const struct tee_param *param = &call->params[i];
		TEEC_Parameter *teec = &operation->teec.params[i];

		operation->params[i] = *param;
		operation->teec.paramTypes |= param->type << 4 * i;
		if (tee_param_is_temporary(param)) {
			if (!prepare_temporary(operation, i, &data))
				return false;
		} else if (memories[i]) {
			teec->memref = (TEEC_RegisteredMemoryReference){
				.parent = memories[i],
				.offset = param->b,
				.size = param->c,
			};
		} else {
			teec->value = (TEEC_Value){ param->a, param->b };
		}
	}

	return true;
}

void operation_finish(struct operation *operation)
{
	for (size_t i = 0; i < TEE_PARAM_COUNT; i++) {
		const TEEC_Parameter *teec = &operation->teec.params[i];
		struct tee_param *param = &operation->params[i];

		switch (param->type) {
		case TEEC_VALUE_OUTPUT:
		case TEEC_VALUE_INOUT:
			param->a = teec->value.a;
			param->b = teec->value.b;
			break;
		case TEEC_MEMREF_TEMP_OUTPUT:
		case TEEC_MEMREF_TEMP_INOUT:
			/* How many bytes there are to send */
			param->c = teec->tmpref.size <= param->a &&
				   operation->buffers[i] ?
				   teec->tmpref.size : 0;
			param->a = teec->tmpref.size;
			break;
		case TEEC_MEMREF_WHOLE:
		case TEEC_MEMREF_PARTIAL_OUTPUT:
		case TEEC_MEMREF_PARTIAL_INOUT:
			param->c = teec->memref.size;
			break;
		default:
			break;
		}
	}
}

size_t operation_output_size(const struct operation *operation)
{
	size_t size = 0;

	for (size_t i = 0; i < TEE_PARAM_COUNT; i++)
		if (tee_param_comes_out(&operation->params[i]))
			size += operation->params[i].c;

	return size;
}

void operation_output(const struct operation *operation, uint8_t *data)
{
	for (size_t i = 0; i < TEE_PARAM_COUNT; i++) {
		const struct tee_param *param = &operation->params[i];

		if (!tee_param_comes_out(param) || !param->c)
			continue;
		memcpy(data, operation->buffers[i], param->c);
		data += param->c;
	}
}

void operation_free(struct operation *operation)
{
	for (size_t i = 0; i < TEE_PARAM_COUNT; i++)
		free(operation->buffers[i]);
}
