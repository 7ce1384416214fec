// SPDX-License-Identifier: Apache-2.0
/*
 * talk turns N     lines 0, 2, 4... here and 1, 3, 5... from the TA, by turns:
 *                  each is caused by the one before
 * talk pieces N    the TA prints N lines, each in three pieces
 * talk lie         the TA prints what would pass for other lines
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <talk_ta.h>
#include <tee_client_api.h>

static TEEC_Result invoke(TEEC_Session *session, uint32_t command,
			  uint32_t value)
{
	TEEC_Operation operation = { 0 };

	operation.paramTypes = TEEC_PARAM_TYPES(TEEC_VALUE_INPUT, 0, 0, 0);
	operation.params[0].value.a = value;
	return TEEC_InvokeCommand(session, command, &operation, NULL);
}

static TEEC_Result turns(TEEC_Session *session, uint32_t count)
{
	const int log = open("/dev/kmsg", O_WRONLY);
	TEEC_Result res = log < 0 ? TEEC_ERROR_GENERIC : TEEC_SUCCESS;

	for (uint32_t i = 0; i < count && !res; i++) {
		if (dprintf(log, "talk %u\n", 2 * i) < 0)
			return TEEC_ERROR_GENERIC;
		res = invoke(session, TALK_TA_CMD_SAY, 2 * i + 1);
	}
	return res;
}

int main(int argc, char *argv[])
{
	const TEEC_UUID uuid = TALK_TA_UUID;
	const uint32_t count = argc > 2 ? (uint32_t)atoi(argv[2]) : 0;
	TEEC_Context context = { 0 };
	TEEC_Session session = { 0 };
	TEEC_Result res = TEEC_ERROR_GENERIC;

	if (argc < 2)
		return 2;
	res = TEEC_InitializeContext(NULL, &context);
	if (!res)
		res = TEEC_OpenSession(&context, &session, &uuid,
				       TEEC_LOGIN_PUBLIC, NULL, NULL, NULL);
	if (!res && !strcmp(argv[1], "turns"))
		res = turns(&session, count);
	else if (!res && !strcmp(argv[1], "pieces"))
		res = invoke(&session, TALK_TA_CMD_PIECES, count);
	else if (!res)
		res = invoke(&session, TALK_TA_CMD_LIE, 0);
	printf("%#x\n", res);
	return res != TEEC_SUCCESS;
}
