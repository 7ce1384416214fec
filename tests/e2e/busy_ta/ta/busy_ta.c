// SPDX-License-Identifier: Apache-2.0
#include <busy_ta.h>
#include <tee_internal_api.h>
#include <work.h>

/* What the core hashes in one round of BUSY_TA_CMD_HASH. */
static const uint8_t block[16384];

TEE_Result TA_CreateEntryPoint(void)
{
	return TEE_SUCCESS;
}

void TA_DestroyEntryPoint(void)
{
}

TEE_Result TA_OpenSessionEntryPoint(uint32_t param_types, TEE_Param params[4],
				    void **session)
{
	(void)param_types;
	(void)params;
	(void)session;
	return TEE_SUCCESS;
}

void TA_CloseSessionEntryPoint(void *session)
{
	(void)session;
}

static __attribute__((noinline)) TEE_Result hash_rounds(uint32_t rounds)
{
	TEE_OperationHandle hash = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;

	res = TEE_AllocateOperation(&hash, TEE_ALG_SHA512, TEE_MODE_DIGEST, 0);
	if (res)
		return res;
	for (uint32_t i = 0; i < rounds; i++)
		TEE_DigestUpdate(hash, block, sizeof(block));
	TEE_FreeOperation(hash);
	return TEE_SUCCESS;
}

TEE_Result TA_InvokeCommandEntryPoint(void *session, uint32_t command,
				      uint32_t param_types, TEE_Param params[4])
{
	(void)session;
	if (param_types != TEE_PARAM_TYPES(TEE_PARAM_TYPE_VALUE_INOUT, 0, 0, 0))
		return TEE_ERROR_BAD_PARAMETERS;
	switch (command) {
	case BUSY_TA_CMD_WORK:
		params[0].value.a = work_rounds(params[0].value.a);
		return TEE_SUCCESS;
	case BUSY_TA_CMD_HASH:
		return hash_rounds(params[0].value.a);
	default:
		return TEE_ERROR_NOT_SUPPORTED;
	}
}
