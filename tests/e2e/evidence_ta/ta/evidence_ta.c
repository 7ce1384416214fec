// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>
#include <evidence_ta.h>
#include <pta_evidence.h>
#include <tee_internal_api.h>

/* The compiler must not look through them. */
static const volatile char in_constants[] = EVIDENCE_TA_IN_CONSTANTS;
static volatile unsigned int in_data = EVIDENCE_TA_IN_DATA;

TEE_Result TA_CreateEntryPoint(void)
{
	return TEE_SUCCESS;
}

void TA_DestroyEntryPoint(void)
{
}

TEE_Result TA_OpenSessionEntryPoint(uint32_t param_types, TEE_Param params[4],
				    void **ctx)
{
	static const TEE_UUID uuid = PTA_EVIDENCE_UUID;
	TEE_TASessionHandle pta = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;
	uint32_t origin = 0;

	(void)param_types;
	(void)params;
	res = TEE_OpenTASession(&uuid, TEE_TIMEOUT_INFINITE, 0, NULL, &pta,
				&origin);
	*ctx = (void *)pta;

	return res;
}

void TA_CloseSessionEntryPoint(void *ctx)
{
	TEE_CloseTASession((TEE_TASessionHandle)ctx);
}

/* It stays loaded for as long as the instance lives. */
static TEE_Result load(uint32_t types, const TEE_Param *params)
{
	const char *name = params[0].memref.buffer;
	size_t size = params[0].memref.size;

	if (types != TEE_PARAM_TYPES(TEE_PARAM_TYPE_MEMREF_INPUT,
				     TEE_PARAM_TYPE_NONE, TEE_PARAM_TYPE_NONE,
				     TEE_PARAM_TYPE_NONE) ||
	    !name || !size || name[size - 1])
		return TEE_ERROR_BAD_PARAMETERS;

	return dlopen(name, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE) ?
	       TEE_SUCCESS : TEE_ERROR_ITEM_NOT_FOUND;
}

TEE_Result TA_InvokeCommandEntryPoint(void *ctx, uint32_t command,
				      uint32_t types, TEE_Param params[4])
{
	uint32_t origin = 0;

	if (command == EVIDENCE_TA_LOAD)
		return load(types, params);

	if (command == EVIDENCE_TA_NUMBER) {
		if (types != TEE_PARAM_TYPES(TEE_PARAM_TYPE_VALUE_OUTPUT,
					     TEE_PARAM_TYPE_NONE,
					     TEE_PARAM_TYPE_NONE,
					     TEE_PARAM_TYPE_NONE))
			return TEE_ERROR_BAD_PARAMETERS;
		params[0].value.a = EVIDENCE_TA_IN_CODE * 10000 +
				    (in_constants[0] - '0') * 100 + in_data;
		return TEE_SUCCESS;
	}

	return TEE_InvokeTACommand((TEE_TASessionHandle)ctx,
				   TEE_TIMEOUT_INFINITE, command, types, params,
				   &origin);
}
