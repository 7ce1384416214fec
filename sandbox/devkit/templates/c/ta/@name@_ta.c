// SPDX-License-Identifier: 0BSD
/* The TA @name@; its commands are described in include/@name@_ta.h. */

#include <tee_internal_api.h>
#include <tee_internal_api_extensions.h>
#include <util.h>

#include <@name@_ta.h>

#define DIGEST_SIZE	32

struct session {
	uint32_t total;
};

TEE_Result TA_CreateEntryPoint(void)
{
	return TEE_SUCCESS;
}

void TA_DestroyEntryPoint(void)
{
}

TEE_Result TA_OpenSessionEntryPoint(uint32_t param_types,
				    TEE_Param params[TEE_NUM_PARAMS] __unused,
				    void **session)
{
	const uint32_t exp_param_types =
		TEE_PARAM_TYPES(TEE_PARAM_TYPE_NONE, TEE_PARAM_TYPE_NONE,
				TEE_PARAM_TYPE_NONE, TEE_PARAM_TYPE_NONE);
	struct session *sess = NULL;

	if (param_types != exp_param_types)
		return TEE_ERROR_BAD_PARAMETERS;

	sess = TEE_Malloc(sizeof(*sess), TEE_MALLOC_FILL_ZERO);
	if (!sess)
		return TEE_ERROR_OUT_OF_MEMORY;

	/* TA_CloseSessionEntryPoint() frees it. */
	*session = sess;
	DMSG("session opened");

	return TEE_SUCCESS;
}

void TA_CloseSessionEntryPoint(void *session)
{
	TEE_Free(session);
	DMSG("session closed");
}

static TEE_Result cmd_add(struct session *sess, uint32_t param_types,
			  TEE_Param params[TEE_NUM_PARAMS])
{
	const uint32_t exp_param_types =
		TEE_PARAM_TYPES(TEE_PARAM_TYPE_VALUE_INPUT,
				TEE_PARAM_TYPE_VALUE_OUTPUT,
				TEE_PARAM_TYPE_NONE, TEE_PARAM_TYPE_NONE);
	uint32_t total = 0;

	if (param_types != exp_param_types)
		return TEE_ERROR_BAD_PARAMETERS;

	if (ADD_OVERFLOW(sess->total, params[0].value.a, &total))
		return TEE_ERROR_OVERFLOW;

	sess->total = total;
	params[1].value.a = total;
	params[1].value.b = 0;

	return TEE_SUCCESS;
}

static TEE_Result cmd_digest(uint32_t param_types,
			     TEE_Param params[TEE_NUM_PARAMS])
{
	const uint32_t exp_param_types =
		TEE_PARAM_TYPES(TEE_PARAM_TYPE_MEMREF_INPUT,
				TEE_PARAM_TYPE_MEMREF_OUTPUT,
				TEE_PARAM_TYPE_NONE, TEE_PARAM_TYPE_NONE);
	TEE_OperationHandle op = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;
	uint8_t digest[DIGEST_SIZE] = { };
	size_t digest_len = sizeof(digest);

	if (param_types != exp_param_types)
		return TEE_ERROR_BAD_PARAMETERS;

	/* Clients may pass null references, with whatever size. */
	if (!params[0].memref.buffer && params[0].memref.size)
		return TEE_ERROR_BAD_PARAMETERS;
	if (!params[1].memref.buffer || params[1].memref.size < DIGEST_SIZE) {
		params[1].memref.size = DIGEST_SIZE;
		return TEE_ERROR_SHORT_BUFFER;
	}

	res = TEE_AllocateOperation(&op, TEE_ALG_SHA256, TEE_MODE_DIGEST, 0);
	if (res)
		return res;

	res = TEE_DigestDoFinal(op, params[0].memref.buffer,
				params[0].memref.size, digest, &digest_len);
	if (res)
		goto out;

	/* The normal world sees the whole digest or none of it. */
	TEE_MemMove(params[1].memref.buffer, digest, digest_len);
	params[1].memref.size = digest_len;

out:
	TEE_FreeOperation(op);

	return res;
}

TEE_Result TA_InvokeCommandEntryPoint(void *session, uint32_t cmd,
				      uint32_t param_types,
				      TEE_Param params[TEE_NUM_PARAMS])
{
	switch (cmd) {
	case TA_@NAME@_CMD_ADD:
		return cmd_add(session, param_types, params);
	case TA_@NAME@_CMD_DIGEST:
		return cmd_digest(param_types, params);
	default:
		return TEE_ERROR_NOT_SUPPORTED;
	}
}
