// SPDX-License-Identifier: Apache-2.0
#include <client_ta.h>
#include <tee_internal_api.h>

/* Somebody may have given up. */
#define LOOK_LIMIT_MS	60000

TEE_Result TA_CreateEntryPoint(void)
{
	return TEE_SUCCESS;
}

void TA_DestroyEntryPoint(void)
{
}

static void turn_value(TEE_Param *param)
{
	const uint32_t a = param->value.a;

	param->value.a = param->value.b;
	param->value.b = a;
}

TEE_Result TA_OpenSessionEntryPoint(uint32_t param_types, TEE_Param params[4],
				    void **session)
{
	(void)session;
	if (TEE_PARAM_TYPE_GET(param_types, 0) == TEE_PARAM_TYPE_VALUE_INOUT)
		turn_value(&params[0]);

	return TEE_SUCCESS;
}

void TA_CloseSessionEntryPoint(void *session)
{
	(void)session;
}

static TEE_Result turn(TEE_Param params[4])
{
	uint8_t *bytes = params[1].memref.buffer;
	const size_t size = params[1].memref.size;

	turn_value(&params[0]);
	for (size_t i = 0; i < size / 2; i++) {
		const uint8_t byte = bytes[i];

		bytes[i] = bytes[size - 1 - i];
		bytes[size - 1 - i] = byte;
	}

	return TEE_SUCCESS;
}

static uint32_t now_ms(void)
{
	TEE_Time time = { };

	TEE_GetSystemTime(&time);

	return time.seconds * 1000 + time.millis;
}

static TEE_Result work(uint32_t ms)
{
	const uint32_t begin = now_ms();

	while (now_ms() - begin < ms)
		continue;

	return TEE_SUCCESS;
}

/* In steps: OP-TEE's TEE_Wait() looks for a cancellation when it has waited. */
static TEE_Result wait(uint32_t ms)
{
	const uint32_t begin = now_ms();

	TEE_UnmaskCancellation();
	while (now_ms() - begin < ms) {
		if (TEE_GetCancellationFlag())
			return TEE_ERROR_CANCEL;
		TEE_Wait(10);
	}

	return TEE_SUCCESS;
}

static TEE_Result look(TEE_Param params[4])
{
	volatile uint8_t *byte = params[0].memref.buffer;
	const uint32_t begin = now_ms();
	uint8_t first = 0;

	if (!params[0].memref.size)
		return TEE_ERROR_BAD_PARAMETERS;
	first = *byte;
	while (*byte == first)
		if (now_ms() - begin > LOOK_LIMIT_MS)
			return TEE_ERROR_TIMEOUT;
	*byte = *byte + 1;

	return TEE_SUCCESS;
}

TEE_Result TA_InvokeCommandEntryPoint(void *session, uint32_t command,
				      uint32_t param_types, TEE_Param params[4])
{
	(void)session;
	switch (command) {
	case CLIENT_TA_CMD_TURN:
		if (param_types !=
		    TEE_PARAM_TYPES(TEE_PARAM_TYPE_VALUE_INOUT,
				    TEE_PARAM_TYPE_MEMREF_INOUT, 0, 0))
			return TEE_ERROR_BAD_PARAMETERS;
		return turn(params);
	case CLIENT_TA_CMD_WAIT:
		return wait(params[0].value.a);
	case CLIENT_TA_CMD_WORK:
		return work(params[0].value.a);
	case CLIENT_TA_CMD_PANIC:
		TEE_Panic(params[0].value.a);
		return TEE_ERROR_GENERIC;
	case CLIENT_TA_CMD_LOOK:
		return look(params);
	default:
		return TEE_ERROR_NOT_SUPPORTED;
	}
}
