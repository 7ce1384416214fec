// SPDX-License-Identifier: Apache-2.0
#include <tee_client_api.h>

#include "tee_message.h"

bool tee_param_is_temporary(const struct tee_param *param)
{
	return param->type >= TEEC_MEMREF_TEMP_INPUT &&
	       param->type <= TEEC_MEMREF_TEMP_INOUT;
}

bool tee_param_goes_in(const struct tee_param *param)
{
	return param->type == TEEC_MEMREF_TEMP_INPUT ||
	       param->type == TEEC_MEMREF_TEMP_INOUT;
}

bool tee_param_comes_out(const struct tee_param *param)
{
	return param->type == TEEC_MEMREF_TEMP_OUTPUT ||
	       param->type == TEEC_MEMREF_TEMP_INOUT;
}

bool tee_param_is_null(const struct tee_param *param)
{
	return param->b;
}

static bool is_known(uint32_t type)
{
	switch (type) {
	case TEEC_NONE:
	case TEEC_VALUE_INPUT:
	case TEEC_VALUE_OUTPUT:
	case TEEC_VALUE_INOUT:
	case TEEC_MEMREF_TEMP_INPUT:
	case TEEC_MEMREF_TEMP_OUTPUT:
	case TEEC_MEMREF_TEMP_INOUT:
	case TEEC_MEMREF_WHOLE:
	case TEEC_MEMREF_PARTIAL_INPUT:
	case TEEC_MEMREF_PARTIAL_OUTPUT:
	case TEEC_MEMREF_PARTIAL_INOUT:
		return true;
	default:
		return false;
	}
}

/* Whether data has what the temporary memrefs take in, and no more. */
static bool check_data(const struct tee_call *call)
{
	size_t total = 0, in = 0;

	for (size_t i = 0; i < TEE_PARAM_COUNT; i++) {
		const struct tee_param *param = &call->params[i];

		if (!is_known(param->type))
			return false;
		if (!tee_param_is_temporary(param) || tee_param_is_null(param))
			continue;
		if (param->a > TEE_MEMORY_MAX_SIZE - total)
			return false;
		total += param->a;
		if (tee_param_goes_in(param))
			in += param->a;
	}

	return in == call->len;
}

bool tee_call_parse(const struct frame *frame, struct tee_call *call)
{
	const uint8_t *at = frame->data;

	if (frame->len < TEE_CALL_SIZE)
		return false;
	*call = (struct tee_call){
		.number = load_u32(at),
		.a = load_u32(at + 4),
		.b = load_u32(at + 8),
		.c = load_u32(at + 12),
		.uuid = at + 16,
		.data = at + TEE_CALL_SIZE,
		.len = frame->len - TEE_CALL_SIZE,
	};
	at += 16 + TEE_UUID_SIZE;
	for (size_t i = 0; i < TEE_PARAM_COUNT; i++, at += TEE_PARAM_SIZE)
		call->params[i] = (struct tee_param){
			load_u32(at), load_u32(at + 4), load_u32(at + 8),
			load_u32(at + 12),
		};
	if (frame->type == FRAME_TEE_WRITE ||
	    frame->type == FRAME_TEE_INITIALIZE)
		return true;

	return check_data(call);
}

void tee_params_store(uint8_t *bytes,
		      const struct tee_param params[TEE_PARAM_COUNT])
{
	for (size_t i = 0; i < TEE_PARAM_COUNT; i++, bytes += TEE_PARAM_SIZE) {
		store_u32(bytes, params[i].type);
		store_u32(bytes + 4, params[i].a);
		store_u32(bytes + 8, params[i].b);
		store_u32(bytes + 12, params[i].c);
	}
}
