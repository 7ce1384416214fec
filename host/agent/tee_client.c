// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "tee_client.h"

static struct outcome failed(TEEC_Result result)
{
	return (struct outcome){ result, TEEC_ORIGIN_API, 0 };
}

struct outcome tee_client_initialize(struct tee_client *client,
				     const struct tee_call *call)
{
	char name[256] = "";
	TEEC_Result res = TEEC_ERROR_BAD_STATE;

	if (client->initialized)
		return failed(res);
	if (call->len >= sizeof(name))
		return failed(TEEC_ERROR_BAD_PARAMETERS);
	memcpy(name, call->data, call->len);
	res = TEEC_InitializeContext(call->len ? name : NULL, &client->context);
	client->initialized = !res;

	return failed(res);
}

static struct memory *memory_at(struct tee_client *client, uint32_t number)
{
	if (number >= MAX_MEMORIES || !client->memories[number].taken)
		return NULL;

	return &client->memories[number];
}

static struct session *session_at(struct tee_client *client, uint32_t number)
{
	if (number >= MAX_SESSIONS || !client->sessions[number].open)
		return NULL;

	return &client->sessions[number];
}

static TEEC_Result share(struct tee_client *client, struct memory *memory,
			 const struct tee_call *call)
{
	TEEC_Result res = TEEC_ERROR_OUT_OF_MEMORY;

	*memory = (struct memory){
		.teec = { .size = call->c, .flags = call->b },
	};
	if (!call->a)
		return TEEC_AllocateSharedMemory(&client->context,
						 &memory->teec);
	memory->pages = pages_new(call->c);
	if (!memory->pages)
		return res;
	memory->teec.buffer = memory->pages;
	res = TEEC_RegisterSharedMemory(&client->context, &memory->teec);
	if (res)
		free(memory->pages);

	return res;
}

struct outcome tee_client_share(struct tee_client *client,
				const struct tee_call *call)
{
	TEEC_Result res = TEEC_ERROR_OUT_OF_MEMORY;
	uint32_t number = 0;

	while (number < MAX_MEMORIES && client->memories[number].taken)
		number++;
	if (!client->initialized)
		return failed(TEEC_ERROR_BAD_STATE);
	if (number == MAX_MEMORIES || call->c > TEE_MEMORY_MAX_SIZE)
		return failed(res);
	res = share(client, &client->memories[number], call);
	client->memories[number].taken = !res;

	return (struct outcome){ res, TEEC_ORIGIN_API, number };
}

static void release(struct memory *memory)
{
	TEEC_ReleaseSharedMemory(&memory->teec);
	free(memory->pages);
	*memory = (struct memory){ 0 };
}

struct outcome tee_client_release(struct tee_client *client,
				  const struct tee_call *call)
{
	struct memory *memory = memory_at(client, call->a);

	if (!memory)
		return failed(TEEC_ERROR_BAD_PARAMETERS);
	if (memory->users)
		return failed(TEEC_ERROR_BUSY);
	release(memory);

	return failed(TEEC_SUCCESS);
}

/* Where @size bytes at call->b are, or NULL. */
static uint8_t *within(struct tee_client *client, const struct tee_call *call,
		       size_t size)
{
	struct memory *memory = memory_at(client, call->a);

	if (!memory || call->b > memory->teec.size ||
	    size > memory->teec.size - call->b)
		return NULL;

	return (uint8_t *)memory->teec.buffer + call->b;
}

struct outcome tee_client_write(struct tee_client *client,
				const struct tee_call *call)
{
	uint8_t *at = within(client, call, call->len);

	if (!at)
		return failed(TEEC_ERROR_BAD_PARAMETERS);
	memcpy(at, call->data, call->len);

	return failed(TEEC_SUCCESS);
}

struct outcome tee_client_read(struct tee_client *client,
			       const struct tee_call *call,
			       const uint8_t **data)
{
	*data = within(client, call, call->c);

	return failed(*data ? TEEC_SUCCESS : TEEC_ERROR_BAD_PARAMETERS);
}

static TEEC_UUID uuid_of(const uint8_t *octets)
{
	TEEC_UUID uuid = {
		.timeLow = (uint32_t)octets[0] << 24 |
			   (uint32_t)octets[1] << 16 |
			   (uint32_t)octets[2] << 8 | octets[3],
		.timeMid = octets[4] << 8 | octets[5],
		.timeHiAndVersion = octets[6] << 8 | octets[7],
	};

	memcpy(uuid.clockSeqAndNode, octets + 8, 8);

	return uuid;
}

static bool refers_to_memory(const struct tee_param *param)
{
	return param->type >= TEEC_MEMREF_WHOLE;
}

static TEEC_Result find_session(struct tee_client *client, uint8_t type,
				const struct tee_call *call,
				struct session **session)
{
	size_t i = 0;

	if (type == FRAME_TEE_OPEN) {
		while (i < MAX_SESSIONS && client->sessions[i].taken)
			i++;
		if (i == MAX_SESSIONS)
			return TEEC_ERROR_OUT_OF_MEMORY;
		*session = &client->sessions[i];
		return TEEC_SUCCESS;
	}
	*session = session_at(client, call->a);
	if (!*session)
		return TEEC_ERROR_BAD_PARAMETERS;
	if (type == FRAME_TEE_CLOSE && (*session)->users)
		return TEEC_ERROR_BUSY;

	return TEEC_SUCCESS;
}

TEEC_Result tee_client_begin(struct tee_client *client, uint8_t type,
			     const struct tee_call *call,
			     struct tee_work *work)
{
	TEEC_SharedMemory *memories[TEE_PARAM_COUNT] = { NULL };
	TEEC_Result res = TEEC_ERROR_BAD_STATE;

	if (!client->initialized)
		return res;
	work->type = type;
	work->number = call->number;
	work->client = client;
	work->uuid = uuid_of(call->uuid);
	work->login = call->a;
	work->group = call->b;
	work->command = call->b;
	res = find_session(client, type, call, &work->session);
	if (res)
		return res;
	for (size_t i = 0; i < TEE_PARAM_COUNT; i++) {
		if (!refers_to_memory(&call->params[i]))
			continue;
		work->memories[i] = memory_at(client, call->params[i].a);
		if (!work->memories[i])
			return TEEC_ERROR_BAD_PARAMETERS;
		memories[i] = &work->memories[i]->teec;
	}
	if (!operation_prepare(&work->operation, call, memories)) {
		operation_free(&work->operation);
		return TEEC_ERROR_OUT_OF_MEMORY;
	}
	for (size_t i = 0; i < TEE_PARAM_COUNT; i++)
		if (work->memories[i])
			work->memories[i]->users++;
	work->session->users++;
	work->session->taken = true;
	if (type == FRAME_TEE_CLOSE)
		work->session->open = false;

	return TEEC_SUCCESS;
}

void tee_client_run(struct tee_work *work)
{
	struct outcome *outcome = &work->outcome;
	TEEC_Operation *operation = &work->operation.teec;

	outcome->origin = TEEC_ORIGIN_API;
	switch (work->type) {
	case FRAME_TEE_OPEN:
		outcome->result = TEEC_OpenSession(
			&work->client->context, &work->session->teec,
			&work->uuid, work->login,
			work->login == TEEC_LOGIN_GROUP ||
			work->login == TEEC_LOGIN_GROUP_APPLICATION ?
			&work->group : NULL, operation, &outcome->origin);
		break;
	case FRAME_TEE_INVOKE:
		outcome->result = TEEC_InvokeCommand(
			&work->session->teec, work->command, operation,
			&outcome->origin);
		break;
	default:
		TEEC_CloseSession(&work->session->teec);
		outcome->result = TEEC_SUCCESS;
	}
	operation_finish(&work->operation);
}

void tee_client_cancel(struct tee_work *work)
{
	TEEC_RequestCancellation(&work->operation.teec);
}

void tee_client_end(struct tee_work *work)
{
	struct session *session = work->session;

	for (size_t i = 0; i < TEE_PARAM_COUNT; i++)
		if (work->memories[i])
			work->memories[i]->users--;
	session->users--;
	if (work->type == FRAME_TEE_OPEN) {
		session->taken = session->open = !work->outcome.result;
		work->outcome.value = session - work->client->sessions;
	} else if (work->type == FRAME_TEE_CLOSE) {
		session->taken = false;
	}
}

void tee_client_finalize(struct tee_client *client)
{
	if (!client->initialized)
		return;
	for (size_t i = 0; i < MAX_SESSIONS; i++)
		if (client->sessions[i].open)
			TEEC_CloseSession(&client->sessions[i].teec);
	for (size_t i = 0; i < MAX_MEMORIES; i++)
		if (client->memories[i].taken)
			release(&client->memories[i]);
	TEEC_FinalizeContext(&client->context);
}
