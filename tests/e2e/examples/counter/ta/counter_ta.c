// SPDX-License-Identifier: Apache-2.0
#include <tee_internal_api.h>

#include <counter_ta.h>

/* Of the one instance. */
static uint32_t count;

TEE_Result TA_CreateEntryPoint(void)
{
	return TEE_SUCCESS;
}

void TA_DestroyEntryPoint(void)
{
}

TEE_Result TA_OpenSessionEntryPoint(uint32_t param_types __unused,
				    TEE_Param params[4] __unused,
				    void **session __unused)
{
	return TEE_SUCCESS;
}

void TA_CloseSessionEntryPoint(void *session __unused)
{
}

TEE_Result TA_InvokeCommandEntryPoint(void *session __unused, uint32_t cmd,
				      uint32_t param_types,
				      TEE_Param params[4])
{
	const uint32_t exp_param_types =
		TEE_PARAM_TYPES(TEE_PARAM_TYPE_VALUE_OUTPUT,
				TEE_PARAM_TYPE_NONE, TEE_PARAM_TYPE_NONE,
				TEE_PARAM_TYPE_NONE);

	if (cmd != TA_COUNTER_CMD_COUNT)
		return TEE_ERROR_NOT_SUPPORTED;
	if (param_types != exp_param_types)
		return TEE_ERROR_BAD_PARAMETERS;

	count += TA_COUNTER_STEP;
	params[0].value.a = count;
	params[0].value.b = 0;

	return TEE_SUCCESS;
}
