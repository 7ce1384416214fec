// SPDX-License-Identifier: Apache-2.0
/* For the tests of the pytest plugin: adds, says so, and panics when told. */
#include <tee_internal_api.h>
#include <trace.h>

#define CMD_ADD 0 /* Value, in and out: a becomes a + b */
#define CMD_CRASH 1

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

TEE_Result TA_InvokeCommandEntryPoint(void *session, uint32_t command,
				      uint32_t param_types, TEE_Param params[4])
{
	(void)session;
	switch (command) {
	case CMD_ADD:
		if (param_types !=
		    TEE_PARAM_TYPES(TEE_PARAM_TYPE_VALUE_INOUT, 0, 0, 0))
			return TEE_ERROR_BAD_PARAMETERS;
		params[0].value.a += params[0].value.b;
		IMSG("the sum is %u", params[0].value.a);
		return TEE_SUCCESS;
	case CMD_CRASH:
		TEE_Panic(0xdead);
		return TEE_ERROR_GENERIC;
	default:
		return TEE_ERROR_NOT_SUPPORTED;
	}
}
