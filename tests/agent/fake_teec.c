// SPDX-License-Identifier: Apache-2.0
/*
 * libteec, and a TA behind it, for an agent that runs on the host. The TA is
 * all zeros but for the last byte, 1; its commands:
 *
 *   0  each byte of each input memref, plus one, in the output memref after it;
 *      values are turned round
 *   1  waits until it is cancelled
 *   2  panics: TARGET_DEAD from then on
 *   3  says that its output would need 1000 bytes
 *   4  fails with the TEE_Result in value a, from the origin in value b
 *   5  writes more than there is room for into its own count of the size
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tee_client_api.h>

#define MAX_SESSIONS	128
#define NEEDED		1000

struct fake {
	bool open, dead, cancelled;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t cancelled;
	struct fake sessions[MAX_SESSIONS];
} tee = { .lock = PTHREAD_MUTEX_INITIALIZER,
	  .cancelled = PTHREAD_COND_INITIALIZER };

TEEC_Result TEEC_InitializeContext(const char *name, TEEC_Context *context)
{
	memset(context, 0, sizeof(*context));

	return name ? TEEC_ERROR_ITEM_NOT_FOUND : TEEC_SUCCESS;
}

void TEEC_FinalizeContext(TEEC_Context *context)
{
	(void)context;
}

TEEC_Result TEEC_AllocateSharedMemory(TEEC_Context *context,
				      TEEC_SharedMemory *shared)
{
	(void)context;
	shared->buffer = calloc(1, shared->size);

	return shared->buffer ? TEEC_SUCCESS : TEEC_ERROR_OUT_OF_MEMORY;
}

TEEC_Result TEEC_RegisterSharedMemory(TEEC_Context *context,
				      TEEC_SharedMemory *shared)
{
	(void)context;
	shared->imp.flags = 1;

	return TEEC_SUCCESS;
}

void TEEC_ReleaseSharedMemory(TEEC_SharedMemory *shared)
{
	if (!shared->imp.flags)
		free(shared->buffer);
	shared->buffer = NULL;
}

TEEC_Result TEEC_OpenSession(TEEC_Context *context, TEEC_Session *session,
			     const TEEC_UUID *destination, uint32_t login,
			     const void *login_data, TEEC_Operation *operation,
			     uint32_t *origin)
{
	static const TEEC_UUID uuid = {
		.clockSeqAndNode = { 0, 0, 0, 0, 0, 0, 0, 1 },
	};
	TEEC_Result res = TEEC_ERROR_OUT_OF_MEMORY;

	(void)context;
	*origin = TEEC_ORIGIN_TEE;
	if (memcmp(destination, &uuid, sizeof(uuid)))
		return TEEC_ERROR_ITEM_NOT_FOUND;
	if (login == TEEC_LOGIN_GROUP)
		operation->params[0].value.a = *(const uint32_t *)login_data;
	pthread_mutex_lock(&tee.lock);
	for (size_t i = 0; i < MAX_SESSIONS && res; i++)
		if (!tee.sessions[i].open) {
			tee.sessions[i] = (struct fake){ .open = true };
			session->imp.session_id = i;
			res = TEEC_SUCCESS;
		}
	pthread_mutex_unlock(&tee.lock);

	return res;
}

void TEEC_CloseSession(TEEC_Session *session)
{
	pthread_mutex_lock(&tee.lock);
	tee.sessions[session->imp.session_id].open = false;
	pthread_mutex_unlock(&tee.lock);
}

/* Where a memref's bytes are; NULL if it is none. */
static uint8_t *bytes_of(TEEC_Operation *operation, size_t i, size_t **size)
{
	const uint32_t type = TEEC_PARAM_TYPE_GET(operation->paramTypes, i);
	TEEC_Parameter *param = &operation->params[i];

	if (type >= TEEC_MEMREF_TEMP_INPUT && type <= TEEC_MEMREF_TEMP_INOUT) {
		*size = &param->tmpref.size;
		return param->tmpref.buffer;
	}
	if (type < TEEC_MEMREF_WHOLE)
		return NULL;
	*size = &param->memref.size;
	if (param->memref.offset > param->memref.parent->size ||
	    *(*size) > param->memref.parent->size - param->memref.offset)
		return NULL;

	return (uint8_t *)param->memref.parent->buffer + param->memref.offset;
}

/* As libteec does. */
static void whole_memrefs(TEEC_Operation *operation)
{
	for (size_t i = 0; i < 4; i++)
		if (TEEC_PARAM_TYPE_GET(operation->paramTypes, i) ==
		    TEEC_MEMREF_WHOLE) {
			TEEC_RegisteredMemoryReference *memref =
				&operation->params[i].memref;

			memref->offset = 0;
			memref->size = memref->parent->size;
		}
}

static TEEC_Result add_one(TEEC_Operation *operation)
{
	const TEEC_Value value = operation->params[0].value;
	size_t *from_size = NULL, *to_size = NULL;

	if (TEEC_PARAM_TYPE_GET(operation->paramTypes, 0) <= TEEC_VALUE_INOUT)
		operation->params[0].value = (TEEC_Value){ value.b, value.a };
	for (size_t i = 0; i + 1 < 4; i++) {
		const uint8_t *from = bytes_of(operation, i, &from_size);
		uint8_t *to = bytes_of(operation, i + 1, &to_size);

		if (!from || !to)
			continue;
		if (*to_size < *from_size) {
			*to_size = *from_size;
			return TEEC_ERROR_SHORT_BUFFER;
		}
		for (size_t at = 0; at < *from_size; at++)
			to[at] = from[at] + 1;
		*to_size = *from_size;
	}

	return TEEC_SUCCESS;
}

static TEEC_Result wait_for_cancellation(struct fake *fake)
{
	pthread_mutex_lock(&tee.lock);
	while (!fake->cancelled)
		pthread_cond_wait(&tee.cancelled, &tee.lock);
	fake->cancelled = false;
	pthread_mutex_unlock(&tee.lock);

	return TEEC_ERROR_CANCEL;
}

TEEC_Result TEEC_InvokeCommand(TEEC_Session *session, uint32_t command,
			       TEEC_Operation *operation, uint32_t *origin)
{
	struct fake *fake = &tee.sessions[session->imp.session_id];
	size_t *size = NULL;

	pthread_mutex_lock(&tee.lock);
	operation->imp.session = session;
	if (command == 2)
		fake->dead = true;
	*origin = fake->dead ? TEEC_ORIGIN_TEE : TEEC_ORIGIN_TRUSTED_APP;
	pthread_mutex_unlock(&tee.lock);
	if (*origin == TEEC_ORIGIN_TEE)
		return TEEC_ERROR_TARGET_DEAD;
	whole_memrefs(operation);
	switch (command) {
	case 0:
		return add_one(operation);
	case 1:
		return wait_for_cancellation(fake);
	case 3:
		if (!bytes_of(operation, 0, &size))
			return TEEC_ERROR_BAD_PARAMETERS;
		*size = NEEDED;
		return TEEC_ERROR_SHORT_BUFFER;
	case 4:
		*origin = operation->params[0].value.b;
		return operation->params[0].value.a;
	case 5:
		if (!bytes_of(operation, 0, &size))
			return TEEC_ERROR_BAD_PARAMETERS;
		*size = SIZE_MAX;
		return TEEC_SUCCESS;
	default:
		return TEEC_ERROR_NOT_SUPPORTED;
	}
}

void TEEC_RequestCancellation(TEEC_Operation *operation)
{
	pthread_mutex_lock(&tee.lock);
	if (operation->imp.session)
		tee.sessions[operation->imp.session->imp.session_id].cancelled =
			true;
	pthread_cond_broadcast(&tee.cancelled);
	pthread_mutex_unlock(&tee.lock);
}
