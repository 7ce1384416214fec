// SPDX-License-Identifier: Apache-2.0
#include <memory_ta.h>
#include <pta_instance_memory.h>
#include <string.h>
#include <tee_internal_api.h>

#define NONE		TEE_PARAM_TYPE_NONE
#define VALUE_IN	TEE_PARAM_TYPE_VALUE_INPUT
#define VALUE_OUT	TEE_PARAM_TYPE_VALUE_OUTPUT
#define PAGE_SIZE	4096

struct session {
	TEE_TASessionHandle pta;
	TEE_Param at;		/* the block's address as the PTA gave it */
	uint8_t *ptr;
	size_t size;
};

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
	static const TEE_UUID uuid = PTA_INSTANCE_MEMORY_UUID;
	struct session *session = TEE_Malloc(sizeof(*session), 0);
	uint32_t origin = 0;

	(void)param_types;
	(void)params;
	if (!session)
		return TEE_ERROR_OUT_OF_MEMORY;
	*ctx = session;

	return TEE_OpenTASession(&uuid, TEE_TIMEOUT_INFINITE, 0, NULL,
				 &session->pta, &origin);
}

void TA_CloseSessionEntryPoint(void *ctx)
{
	struct session *session = ctx;

	TEE_CloseTASession(session->pta);
	TEE_Free(session);
}

static TEE_Result call(struct session *session, uint32_t command,
		       uint32_t types, TEE_Param *params)
{
	uint32_t origin = 0;

	return TEE_InvokeTACommand(session->pta, TEE_TIMEOUT_INFINITE, command,
				   types, params, &origin);
}

static void keep(struct session *session, TEE_Param at, size_t size)
{
	session->at = at;
	session->ptr = (uint8_t *)(uintptr_t)((uint64_t)at.value.a << 32 |
					      at.value.b);
	session->size = size;
}

static TEE_Result create(struct session *session, TEE_Param *params)
{
	TEE_Param asked[4] = { params[0], params[1] };
	TEE_Result res = call(session, PTA_INSTANCE_MEMORY_CREATE,
			      TEE_PARAM_TYPES(VALUE_IN, VALUE_IN, VALUE_OUT,
					      NONE), asked);

	if (!res)
		keep(session, asked[2], params[1].value.a);

	return res;
}

static TEE_Result map(struct session *session, TEE_Param *params)
{
	TEE_Param asked[4] = { params[0] };
	TEE_Result res = call(session, PTA_INSTANCE_MEMORY_MAP,
			      TEE_PARAM_TYPES(VALUE_IN, VALUE_OUT, VALUE_OUT,
					      NONE), asked);

	if (res)
		return res;
	params[1].value.a = asked[1].value.a;
	keep(session, asked[2], asked[1].value.a);

	return TEE_SUCCESS;
}

static TEE_Result unmap(struct session *session, TEE_Param at)
{
	TEE_Param asked[4] = { at };

	return call(session, PTA_INSTANCE_MEMORY_UNMAP,
		    TEE_PARAM_TYPES(VALUE_IN, NONE, NONE, NONE), asked);
}

static void look(const struct session *session, TEE_Param *out)
{
	out->value.a = 255;
	out->value.b = 0;
	for (size_t i = 0; i < session->size; i++) {
		if (session->ptr[i] < out->value.a)
			out->value.a = session->ptr[i];
		if (session->ptr[i] > out->value.b)
			out->value.b = session->ptr[i];
	}
}

/* Each page gets its number, so that one that is mapped twice shows. */
static void number(struct session *session)
{
	for (size_t i = 0; i < session->size; i += PAGE_SIZE)
		memcpy(session->ptr + i, &(uint32_t){ i / PAGE_SIZE },
		       sizeof(uint32_t));
}

static uint32_t count_right(const struct session *session)
{
	uint32_t count = 0;
	uint32_t found = 0;

	for (size_t i = 0; i < session->size; i += PAGE_SIZE) {
		memcpy(&found, session->ptr + i, sizeof(found));
		count += found == i / PAGE_SIZE;
	}

	return count;
}

TEE_Result TA_InvokeCommandEntryPoint(void *ctx, uint32_t command,
				      uint32_t types, TEE_Param params[4])
{
	struct session *session = ctx;

	(void)types;
	switch (command) {
	case MEMORY_TA_CREATE:
		return create(session, params);
	case MEMORY_TA_MAP:
		return map(session, params);
	case MEMORY_TA_UNMAP:
		return unmap(session, session->at);
	case MEMORY_TA_UNMAP_AT:
		return unmap(session, params[0]);
	case MEMORY_TA_FILL:
		memset(session->ptr, params[0].value.a, session->size);
		return TEE_SUCCESS;
	case MEMORY_TA_LOOK:
		look(session, &params[0]);
		return TEE_SUCCESS;
	case MEMORY_TA_NUMBER:
		number(session);
		return TEE_SUCCESS;
	case MEMORY_TA_COUNT:
		params[0].value.a = count_right(session);
		return TEE_SUCCESS;
	case MEMORY_TA_CLOSE:
		TEE_CloseTASession(session->pta);
		session->pta = TEE_HANDLE_NULL;
		return TEE_SUCCESS;
	case MEMORY_TA_PANIC:
		TEE_Panic(0);
		return TEE_ERROR_GENERIC;
	default:
		return TEE_ERROR_NOT_SUPPORTED;
	}
}
