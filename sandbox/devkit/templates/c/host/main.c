// SPDX-License-Identifier: 0BSD
/* A client of the TA @name@: has it digest each argument, and count the bytes. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tee_client_api.h>

#include <@name@_ta.h>

#define DIGEST_SIZE	32

static void check(TEEC_Result res, uint32_t origin, const char *what)
{
	if (res == TEEC_SUCCESS)
		return;
	fprintf(stderr, "@name@_ca: %s: 0x%08x, origin %u\n", what, res, origin);
	exit(EXIT_FAILURE);
}

static uint32_t add(TEEC_Session *sess, uint32_t number)
{
	TEEC_Operation op = { 0 };
	uint32_t origin = 0;
	TEEC_Result res = TEEC_ERROR_GENERIC;

	op.paramTypes = TEEC_PARAM_TYPES(TEEC_VALUE_INPUT, TEEC_VALUE_OUTPUT,
					 TEEC_NONE, TEEC_NONE);
	op.params[0].value.a = number;

	res = TEEC_InvokeCommand(sess, TA_@NAME@_CMD_ADD, &op, &origin);
	check(res, origin, "CMD_ADD");

	return op.params[1].value.a;
}

static void digest(TEEC_Session *sess, char *text, uint8_t *out)
{
	TEEC_Operation op = { 0 };
	uint32_t origin = 0;
	TEEC_Result res = TEEC_ERROR_GENERIC;

	op.paramTypes = TEEC_PARAM_TYPES(TEEC_MEMREF_TEMP_INPUT,
					 TEEC_MEMREF_TEMP_OUTPUT, TEEC_NONE,
					 TEEC_NONE);
	op.params[0].tmpref.buffer = text;
	op.params[0].tmpref.size = strlen(text);
	op.params[1].tmpref.buffer = out;
	op.params[1].tmpref.size = DIGEST_SIZE;

	res = TEEC_InvokeCommand(sess, TA_@NAME@_CMD_DIGEST, &op, &origin);
	check(res, origin, "CMD_DIGEST");
}

static void show(TEEC_Session *sess, char *text)
{
	uint8_t result[DIGEST_SIZE] = { 0 };
	uint32_t total = 0;
	size_t i = 0;

	digest(sess, text, result);
	total = add(sess, strlen(text));
	for (i = 0; i < sizeof(result); i++)
		printf("%02x", result[i]);
	printf("  %s (%u bytes so far)\n", text, total);
}

int main(int argc, char *argv[])
{
	const TEEC_UUID uuid = TA_@NAME@_UUID;
	char hello[] = "hello";
	TEEC_Context ctx = { 0 };
	TEEC_Session sess = { 0 };
	uint32_t origin = 0;
	TEEC_Result res = TEEC_ERROR_GENERIC;
	int i = 0;

	res = TEEC_InitializeContext(NULL, &ctx);
	check(res, TEEC_ORIGIN_API, "TEEC_InitializeContext");
	res = TEEC_OpenSession(&ctx, &sess, &uuid, TEEC_LOGIN_PUBLIC, NULL,
			       NULL, &origin);
	check(res, origin, "TEEC_OpenSession");

	if (argc < 2)
		show(&sess, hello);
	for (i = 1; i < argc; i++)
		show(&sess, argv[i]);

	TEEC_CloseSession(&sess);
	TEEC_FinalizeContext(&ctx);

	return EXIT_SUCCESS;
}
