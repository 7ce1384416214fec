// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <talk_ta.h>
#include <tee_internal_api.h>
#include <trace.h>

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
	if (param_types != TEE_PARAM_TYPES(TEE_PARAM_TYPE_VALUE_INPUT, 0, 0, 0))
		return TEE_ERROR_BAD_PARAMETERS;
	switch (command) {
	case TALK_TA_CMD_SAY:
		IMSG_RAW("talk %u", params[0].value.a);
		return TEE_SUCCESS;
	case TALK_TA_CMD_PIECES:
		for (uint32_t i = 0; i < params[0].value.a; i++) {
			printf("piece %u", i);
			printf(" of a ");
			printf("line\n");
		}
		return TEE_SUCCESS;
	case TALK_TA_CMD_LIE:
		printf("\n[    0.000001] E/TC:0 0 a lie\r[    0.000001] I/TC: "
		       "another\n\033[2J\n");
		return TEE_SUCCESS;
	default:
		return TEE_ERROR_NOT_SUPPORTED;
	}
}
