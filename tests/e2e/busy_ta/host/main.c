// SPDX-License-Identifier: Apache-2.0
/* busy here|ta|hash ROUNDS: work of known shares, in one world or the other. */
#include <busy_ta.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tee_client_api.h>
#include <work.h>

static TEEC_Result work_in_ta(uint32_t command, uint32_t rounds, uint32_t *sum)
{
	const TEEC_UUID uuid = BUSY_TA_UUID;
	TEEC_Operation operation = { 0 };
	TEEC_Context context = { 0 };
	TEEC_Session session = { 0 };
	TEEC_Result res = TEEC_ERROR_GENERIC;

	res = TEEC_InitializeContext(NULL, &context);
	if (res)
		return res;
	res = TEEC_OpenSession(&context, &session, &uuid, TEEC_LOGIN_PUBLIC,
			       NULL, NULL, NULL);
	if (!res) {
		operation.paramTypes =
			TEEC_PARAM_TYPES(TEEC_VALUE_INOUT, 0, 0, 0);
		operation.params[0].value.a = rounds;
		res = TEEC_InvokeCommand(&session, command, &operation, NULL);
		*sum = operation.params[0].value.a;
		TEEC_CloseSession(&session);
	}
	TEEC_FinalizeContext(&context);
	return res;
}

int main(int argc, char *argv[])
{
	TEEC_Result res = TEEC_SUCCESS;
	uint32_t rounds = 0;
	uint32_t sum = 0;

	if (argc != 3) {
		fprintf(stderr, "usage: busy here|ta|hash ROUNDS\n");
		return 2;
	}
	rounds = (uint32_t)strtoul(argv[2], NULL, 10);
	if (!strcmp(argv[1], "here"))
		sum = work_rounds(rounds);
	else if (!strcmp(argv[1], "ta"))
		res = work_in_ta(BUSY_TA_CMD_WORK, rounds, &sum);
	else
		res = work_in_ta(BUSY_TA_CMD_HASH, rounds, &sum);
	printf("%#x %u\n", res, sum);
	return res != TEEC_SUCCESS;
}
