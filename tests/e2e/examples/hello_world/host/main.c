// SPDX-License-Identifier: Apache-2.0
/* Prints the TA's answer, and the one in the header that it was compiled with. */

#include <stdio.h>
#include <tee_client_api.h>

#include <hello_world_ta.h>

int main(void)
{
	const TEEC_UUID uuid = TA_HELLO_WORLD_UUID;
	TEEC_Operation op = { 0 };
	TEEC_Context ctx = { 0 };
	TEEC_Session sess = { 0 };
	uint32_t origin = 0;
	TEEC_Result res = TEEC_ERROR_GENERIC;

	op.paramTypes = TEEC_PARAM_TYPES(TEEC_VALUE_OUTPUT, TEEC_NONE,
					 TEEC_NONE, TEEC_NONE);
	res = TEEC_InitializeContext(NULL, &ctx);
	if (res == TEEC_SUCCESS)
		res = TEEC_OpenSession(&ctx, &sess, &uuid, TEEC_LOGIN_PUBLIC,
				       NULL, NULL, &origin);
	if (res == TEEC_SUCCESS)
		res = TEEC_InvokeCommand(&sess, TA_HELLO_WORLD_CMD_ANSWER, &op,
					 &origin);
	if (res != TEEC_SUCCESS) {
		fprintf(stderr, "0x%08x, origin %u\n", res, origin);
		return 1;
	}
	printf("%u of %d\n", op.params[0].value.a, TA_HELLO_WORLD_ANSWER);
	TEEC_CloseSession(&sess);
	TEEC_FinalizeContext(&ctx);

	return 0;
}
