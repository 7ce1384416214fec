// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include <tee_client_api.h>

#include "cml_ta.h"
#include "names.h"
#include "tee_client.h"

/* CML_NO_MEMORY and CML_MODEL_MISSING of ta/core/status.h */
#define STATUS_NO_MEMORY	2
#define STATUS_MODEL_MISSING	57

struct tee_session {
	TEEC_Context context;
	TEEC_Session session;
	TEEC_SharedMemory shared;
	TEEC_SharedMemory result;	/* made when one is larger */
};

static const char *const command_names[] = {
	[TA_CML_CMD_INFO] = "INFO",
	[TA_CML_CMD_PROVISION_KEY] = "PROVISION_KEY",
	[TA_CML_CMD_MODEL_BEGIN] = "MODEL_BEGIN",
	[TA_CML_CMD_MODEL_PUSH] = "MODEL_PUSH",
	[TA_CML_CMD_MODEL_FINISH] = "MODEL_FINISH",
	[TA_CML_CMD_INFER_BEGIN] = "INFER_BEGIN",
	[TA_CML_CMD_INFER_PUSH] = "INFER_PUSH",
	[TA_CML_CMD_INFER_FINISH] = "INFER_FINISH",
	[TA_CML_CMD_RESULT] = "RESULT",
	[TA_CML_CMD_MODEL_USE] = "MODEL_USE",
	[TA_CML_CMD_WORK] = "WORK",
	[TA_CML_CMD_ATTEST] = "ATTEST",
	[TA_CML_CMD_OWN_KEY] = "OWN_KEY",
	[TA_CML_CMD_OWN_KEY_CSR] = "OWN_KEY_CSR",
	[TA_CML_CMD_OWN_KEY_ROTATE] = "OWN_KEY_ROTATE",
	[TA_CML_CMD_MODEL_STORE] = "MODEL_STORE",
	[TA_CML_CMD_MODEL_LIST] = "MODEL_LIST",
	[TA_CML_CMD_MODEL_REMOVE] = "MODEL_REMOVE",
	[TA_CML_CMD_MODEL_ACTIVATE] = "MODEL_ACTIVATE",
	[TA_CML_CMD_KEY_LIST] = "KEY_LIST",
	[TA_CML_CMD_KEY_REMOVE] = "KEY_REMOVE",
	[TA_CML_CMD_MODEL_DESCRIBE] = "MODEL_DESCRIBE",
	[TA_CML_CMD_ENCRYPT_BEGIN] = "ENCRYPT_BEGIN",
	[TA_CML_CMD_ENCRYPT_PUSH] = "ENCRYPT_PUSH",
	[TA_CML_CMD_ENCRYPT_FINISH] = "ENCRYPT_FINISH",
};

/* OP-TEE's stats PTA: lib/libutee/include/pta_stats.h */
#define STATS_UUID \
	{ 0xd96a5b40, 0xe2c7, 0xb1af, \
	  { 0x87, 0x94, 0x10, 0x02, 0xa5, 0xd5, 0xc6, 0x1b } }
#define STATS_CMD_ALLOC		1
#define STATS_TA_RAM		3

struct stats_alloc {
	char description[32];
	uint64_t sum_of_squares;
	uint32_t allocated, max_allocated, size;
	uint32_t failures, biggest_failure, allocated_at_it;
};

/*
 * While a session is opened OP-TEE has a copy of the TA's file, 627 KiB, beside
 * the session's own 132. To be refused is an alarm on its console, of which
 * nobody can tell that we go on without.
 */
#define OPENING_SIZE		(832u << 10)

/* An OP-TEE that does not say has room. */
static bool has_room(TEEC_Context *context, size_t spare)
{
	static const TEEC_UUID uuid = STATS_UUID;
	struct stats_alloc stats = { 0 };
	TEEC_Operation operation = {
		.paramTypes = TEEC_PARAM_TYPES(TEEC_VALUE_INPUT,
					       TEEC_MEMREF_TEMP_OUTPUT,
					       TEEC_NONE, TEEC_NONE),
		.params[0].value.a = STATS_TA_RAM,
		.params[1].tmpref = { &stats, sizeof(stats) },
	};
	TEEC_Session session = { 0 };
	uint32_t origin = 0;
	TEEC_Result res = TEEC_OpenSession(context, &session, &uuid,
					   TEEC_LOGIN_PUBLIC, NULL, NULL,
					   &origin);

	if (res)
		return true;
	res = TEEC_InvokeCommand(&session, STATS_CMD_ALLOC, &operation,
				 &origin);
	TEEC_CloseSession(&session);

	return res || stats.size < stats.allocated ||
	       stats.size - stats.allocated >= OPENING_SIZE + spare;
}

bool tee_session_open(struct tee_session **session, size_t spare,
		      struct tee_error *error)
{
	static const TEEC_UUID uuid = TA_CML_UUID;
	struct tee_session *made = calloc(1, sizeof(*made));
	TEEC_Result res = TEEC_ERROR_GENERIC;

	if (!made) {
		*error = (struct tee_error){ TEEC_ERROR_GENERIC,
					     TEEC_ORIGIN_API, "calloc" };
		return false;
	}
	*error = (struct tee_error){ .origin = TEEC_ORIGIN_API };

	error->command = "INITIALIZE_CONTEXT";
	res = TEEC_InitializeContext(NULL, &made->context);
	if (res)
		goto out_free;

	error->command = "ALLOCATE_SHARED_MEMORY";
	made->shared.size = TA_CML_PUSH_MAX_SIZE;
	made->shared.flags = TEEC_MEM_INPUT | TEEC_MEM_OUTPUT;
	res = TEEC_AllocateSharedMemory(&made->context, &made->shared);
	if (res)
		goto out_context;

	error->command = "OPEN_SESSION";
	res = TEEC_ERROR_OUT_OF_MEMORY;
	if (!has_room(&made->context, spare))
		goto out_shared;
	res = TEEC_OpenSession(&made->context, &made->session, &uuid,
			       TEEC_LOGIN_PUBLIC, NULL, NULL, &error->origin);
	if (res)
		goto out_shared;
	*session = made;

	return true;

out_shared:
	TEEC_ReleaseSharedMemory(&made->shared);
out_context:
	TEEC_FinalizeContext(&made->context);
out_free:
	free(made);
	error->code = res;
	return false;
}

void tee_session_close(struct tee_session *session)
{
	if (!session)
		return;
	TEEC_CloseSession(&session->session);
	if (session->result.buffer)
		TEEC_ReleaseSharedMemory(&session->result);
	TEEC_ReleaseSharedMemory(&session->shared);
	TEEC_FinalizeContext(&session->context);
	free(session);
}

uint8_t *tee_session_buffer(struct tee_session *session)
{
	return session->shared.buffer;
}

size_t tee_session_buffer_size(void)
{
	return TA_CML_PUSH_MAX_SIZE;
}

static bool invoke(struct tee_session *session, uint32_t command,
		   TEEC_Operation *operation, struct tee_error *error)
{
	uint32_t origin = 0;
	TEEC_Result res = TEEC_ERROR_GENERIC;

	res = TEEC_InvokeCommand(&session->session, command, operation,
				 &origin);
	if (!res)
		return true;
	*error = (struct tee_error){ res, origin, command_names[command] };

	return false;
}

bool tee_put(struct tee_session *session, uint32_t command, size_t len,
	     struct tee_error *error)
{
	TEEC_Operation operation = {
		.paramTypes = TEEC_PARAM_TYPES(TEEC_MEMREF_PARTIAL_INPUT,
					       TEEC_NONE, TEEC_NONE,
					       TEEC_NONE),
		.params[0].memref = { &session->shared, len, 0 },
	};

	return invoke(session, command, &operation, error);
}

bool tee_command(struct tee_session *session, uint32_t command,
		 struct tee_error *error)
{
	TEEC_Operation operation = {
		.paramTypes = TEEC_PARAM_TYPES(TEEC_NONE, TEEC_NONE, TEEC_NONE,
					       TEEC_NONE),
	};

	return invoke(session, command, &operation, error);
}

bool tee_get(struct tee_session *session, uint32_t command, size_t *len,
	     struct tee_error *error)
{
	TEEC_Operation operation = {
		.paramTypes = TEEC_PARAM_TYPES(TEEC_MEMREF_PARTIAL_OUTPUT,
					       TEEC_NONE, TEEC_NONE,
					       TEEC_NONE),
		.params[0].memref = { &session->shared,
				      session->shared.size, 0 },
	};

	if (!invoke(session, command, &operation, error))
		return false;
	*len = operation.params[0].memref.size;

	return true;
}

/* Shared memory for a result of @len bytes; NULL on failure. */
static TEEC_SharedMemory *result_memory(struct tee_session *session,
					uint32_t len, struct tee_error *error)
{
	TEEC_SharedMemory *result = &session->result;
	TEEC_Result res = TEEC_ERROR_GENERIC;

	if (len <= session->shared.size)
		return &session->shared;
	if (len <= result->size)
		return result;
	if (result->buffer)
		TEEC_ReleaseSharedMemory(result);
	*result = (TEEC_SharedMemory){
		.size = len, .flags = TEEC_MEM_OUTPUT,
	};
	res = TEEC_AllocateSharedMemory(&session->context, result);
	if (!res)
		return result;
	*result = (TEEC_SharedMemory){ 0 };
	*error = (struct tee_error){ res, TEEC_ORIGIN_API,
				     "ALLOCATE_SHARED_MEMORY" };

	return NULL;
}

const uint8_t *tee_result(struct tee_session *session, uint32_t len,
			  struct tee_error *error)
{
	TEEC_SharedMemory *memory = result_memory(session, len, error);
	TEEC_Operation operation = {
		.paramTypes = TEEC_PARAM_TYPES(TEEC_MEMREF_PARTIAL_OUTPUT,
					       TEEC_NONE, TEEC_NONE,
					       TEEC_NONE),
		.params[0].memref = { memory, len, 0 },
	};

	if (!memory ||
	    !invoke(session, TA_CML_CMD_RESULT, &operation, error))
		return NULL;

	return memory->buffer;
}

bool tee_provision_key(struct tee_session *session, uint32_t slot, size_t len,
		       struct tee_error *error)
{
	TEEC_Operation operation = {
		.paramTypes = TEEC_PARAM_TYPES(TEEC_VALUE_INPUT,
					       TEEC_MEMREF_PARTIAL_INPUT,
					       TEEC_MEMREF_PARTIAL_OUTPUT,
					       TEEC_NONE),
		.params[0].value.a = slot,
		.params[1].memref = { &session->shared, len, 0 },
		.params[2].memref = { &session->shared,
				      TA_CML_CHALLENGE_SIZE, 0 },
	};

	return invoke(session, TA_CML_CMD_PROVISION_KEY, &operation, error);
}

bool tee_infer_finish(struct tee_session *session, uint32_t *result_len,
		      struct tee_error *error)
{
	TEEC_Operation operation = {
		.paramTypes = TEEC_PARAM_TYPES(TEEC_VALUE_OUTPUT, TEEC_NONE,
					       TEEC_NONE, TEEC_NONE),
	};

	if (!invoke(session, TA_CML_CMD_INFER_FINISH, &operation, error))
		return false;
	*result_len = operation.params[0].value.a;

	return true;
}

bool tee_model_use(struct tee_session *session, size_t *len,
		   struct tee_error *error)
{
	TEEC_Operation operation = {
		.paramTypes = TEEC_PARAM_TYPES(TEEC_MEMREF_PARTIAL_INPUT,
					       TEEC_MEMREF_PARTIAL_OUTPUT,
					       TEEC_NONE, TEEC_NONE),
		.params[0].memref = { &session->shared,
				      TA_CML_MODEL_SOURCE_SIZE, 0 },
		.params[1].memref = { &session->shared,
				      session->shared.size, 0 },
	};

	if (!invoke(session, TA_CML_CMD_MODEL_USE, &operation, error))
		return false;
	*len = operation.params[1].memref.size;

	return true;
}

bool tee_attest(struct tee_session *session, size_t *len,
		struct tee_error *error)
{
	TEEC_Operation operation = {
		.paramTypes = TEEC_PARAM_TYPES(TEEC_MEMREF_PARTIAL_INPUT,
					       TEEC_MEMREF_PARTIAL_OUTPUT,
					       TEEC_NONE, TEEC_NONE),
		.params[0].memref = { &session->shared, *len, 0 },
		.params[1].memref = { &session->shared,
				      session->shared.size, 0 },
	};

	if (!invoke(session, TA_CML_CMD_ATTEST, &operation, error))
		return false;
	*len = operation.params[1].memref.size;

	return true;
}

bool tee_own_key(struct tee_session *session, uint32_t command, uint32_t key,
		 size_t *len, struct tee_error *error)
{
	TEEC_Operation operation = {
		.paramTypes = TEEC_PARAM_TYPES(TEEC_VALUE_INPUT,
					       TEEC_MEMREF_PARTIAL_OUTPUT,
					       TEEC_NONE, TEEC_NONE),
		.params[0].value.a = key,
		.params[1].memref = { &session->shared,
				      session->shared.size, 0 },
	};

	if (!invoke(session, command, &operation, error))
		return false;
	*len = operation.params[1].memref.size;

	return true;
}

bool tee_own_key_rotate(struct tee_session *session, uint32_t key,
			uint64_t *generation, struct tee_error *error)
{
	TEEC_Operation operation = {
		.paramTypes = TEEC_PARAM_TYPES(TEEC_VALUE_INPUT,
					       TEEC_VALUE_OUTPUT, TEEC_NONE,
					       TEEC_NONE),
		.params[0].value.a = key,
	};

	if (!invoke(session, TA_CML_CMD_OWN_KEY_ROTATE, &operation, error))
		return false;
	*generation = operation.params[1].value.a |
		      (uint64_t)operation.params[1].value.b << 32;

	return true;
}

bool tee_work(struct tee_session *session, uint32_t ms, uint32_t first,
	      uint32_t *tiles, struct tee_error *error)
{
	TEEC_Operation operation = {
		.paramTypes = TEEC_PARAM_TYPES(TEEC_VALUE_INPUT,
					       TEEC_VALUE_OUTPUT, TEEC_NONE,
					       TEEC_NONE),
		.params[0].value = { ms, first },
	};

	if (!invoke(session, TA_CML_CMD_WORK, &operation, error))
		return false;
	*tiles = operation.params[1].value.a;

	return true;
}

const uint8_t *tee_encrypt(struct tee_session *session, uint32_t command,
			   size_t len, size_t *out_len,
			   struct tee_error *error)
{
	const size_t offset = session->shared.size / 4;
	const size_t room = session->shared.size - offset;
	TEEC_Operation operation = {
		.paramTypes = TEEC_PARAM_TYPES(TEEC_MEMREF_PARTIAL_INPUT,
					       TEEC_MEMREF_PARTIAL_OUTPUT,
					       TEEC_NONE, TEEC_NONE),
		.params[0].memref = { &session->shared, len, 0 },
		.params[1].memref = { &session->shared, room, offset },
	};

	if (!invoke(session, command, &operation, error))
		return NULL;
	*out_len = operation.params[1].memref.size;
	/* The library copies what the kernel said. */
	if (*out_len > room)
		*out_len = room;

	return tee_session_buffer(session) + offset;
}

bool tee_error_is_missing_model(const struct tee_error *error)
{
	return error->code == TA_CML_ERROR_BASE + STATUS_MODEL_MISSING;
}

bool tee_error_is_memory(const struct tee_error *error)
{
	return error->code == TEEC_ERROR_OUT_OF_MEMORY ||
	       error->code == TA_CML_ERROR_BASE + STATUS_NO_MEMORY;
}

bool tee_error_is_dead(const struct tee_error *error)
{
	return error->code == TEEC_ERROR_TARGET_DEAD;
}
