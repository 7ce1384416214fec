// SPDX-License-Identifier: Apache-2.0
/*
 * The TEE for a host's program. This thread takes its frames; each call that
 * may last gets a thread of its own, which answers.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "services.h"
#include "tee_client.h"

#define MAX_CALLS	64

struct call {
	struct tee *tee;
	struct call *next;
	struct tee_work work;
};

struct tee {
	int fd;
	pthread_mutex_t lock;		/* of the client and of calls */
	pthread_mutex_t send_lock;	/* one frame after the other */
	struct call *calls;		/* that can be cancelled */
	size_t call_count;		/* whose threads use all this */
	struct tee_client client;
};

static void answer(struct tee *tee, uint32_t number,
		   const struct outcome *outcome,
		   const struct tee_param params[TEE_PARAM_COUNT],
		   const uint8_t *data, size_t len)
{
	uint8_t *frame = malloc(TEE_DONE_SIZE + len);

	if (!frame)
		abort();
	store_u32(frame, number);
	store_u32(frame + 4, outcome->result);
	store_u32(frame + 8, outcome->origin);
	store_u32(frame + 12, outcome->value);
	tee_params_store(frame + 16, params);
	if (len)
		memcpy(frame + TEE_DONE_SIZE, data, len);
	pthread_mutex_lock(&tee->send_lock);
	/* If the host is gone, the thread that receives finds out. */
	frame_send(tee->fd, FRAME_TEE_DONE, frame, TEE_DONE_SIZE + len);
	pthread_mutex_unlock(&tee->send_lock);
	free(frame);
}

static void answer_without_params(struct tee *tee, uint32_t number,
				  struct outcome outcome, const uint8_t *data,
				  size_t len)
{
	static const struct tee_param none[TEE_PARAM_COUNT];

	answer(tee, number, &outcome, none, data, len);
}

static void answer_work(struct tee *tee, const struct tee_work *work)
{
	const size_t len = operation_output_size(&work->operation);
	uint8_t *data = malloc(len + 1);

	if (!data)
		abort();
	operation_output(&work->operation, data);
	answer(tee, work->number, &work->outcome, work->operation.params, data,
	       len);
	free(data);
}

static void remove_call(struct tee *tee, struct call *call)
{
	struct call **link = &tee->calls;

	while (*link != call)
		link = &(*link)->next;
	*link = call->next;
}

static void *call_thread(void *arg)
{
	struct call *call = arg;
	struct tee *tee = call->tee;

	tee_client_run(&call->work);
	pthread_mutex_lock(&tee->lock);
	tee_client_end(&call->work);
	remove_call(tee, call);
	pthread_mutex_unlock(&tee->lock);
	answer_work(tee, &call->work);
	operation_free(&call->work.operation);
	free(call);
	pthread_mutex_lock(&tee->lock);
	tee->call_count--;
	pthread_mutex_unlock(&tee->lock);

	return NULL;
}

static bool start_thread(struct call *call)
{
	pthread_attr_t attr;
	pthread_t thread;
	int error = 0;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	error = pthread_create(&thread, &attr, call_thread, call);
	pthread_attr_destroy(&attr);

	return !error;
}

static TEEC_Result start_call(struct tee *tee, uint8_t type,
			      const struct tee_call *asked)
{
	struct call *call = calloc(1, sizeof(*call));
	TEEC_Result res = TEEC_ERROR_OUT_OF_MEMORY;

	if (!call)
		return res;
	call->tee = tee;
	pthread_mutex_lock(&tee->lock);
	if (tee->call_count < MAX_CALLS)
		res = tee_client_begin(&tee->client, type, asked, &call->work);
	if (!res) {
		call->next = tee->calls;
		tee->calls = call;
		tee->call_count++;
	}
	pthread_mutex_unlock(&tee->lock);
	if (res) {
		free(call);
		return res;
	}
	/* It may be over before this returns. */
	if (!start_thread(call))
		abort();

	return TEEC_SUCCESS;
}

static void cancel(struct tee *tee, uint32_t number)
{
	pthread_mutex_lock(&tee->lock);
	for (struct call *call = tee->calls; call; call = call->next)
		if (call->work.number == number)
			tee_client_cancel(&call->work);
	pthread_mutex_unlock(&tee->lock);
}

static struct outcome at_once(struct tee *tee, uint8_t type,
			      const struct tee_call *call,
			      const uint8_t **data)
{
	struct tee_client *client = &tee->client;

	switch (type) {
	case FRAME_TEE_INITIALIZE:
		return tee_client_initialize(client, call);
	case FRAME_TEE_SHARE:
		return tee_client_share(client, call);
	case FRAME_TEE_RELEASE:
		return tee_client_release(client, call);
	case FRAME_TEE_WRITE:
		return tee_client_write(client, call);
	default:
		return tee_client_read(client, call, data);
	}
}

/* False: the host breaks the protocol. */
static bool obey(struct tee *tee, const struct frame *frame)
{
	struct outcome outcome = { .origin = TEEC_ORIGIN_API };
	struct tee_call call = { 0 };
	const uint8_t *data = NULL;

	if (!tee_call_parse(frame, &call))
		return false;
	switch (frame->type) {
	case FRAME_TEE_OPEN:
	case FRAME_TEE_INVOKE:
	case FRAME_TEE_CLOSE:
		outcome.result = start_call(tee, frame->type, &call);
		if (!outcome.result)
			return true;
		break;
	case FRAME_TEE_CANCEL:
		cancel(tee, call.number);
		return true;
	case FRAME_TEE_INITIALIZE:
	case FRAME_TEE_SHARE:
	case FRAME_TEE_RELEASE:
	case FRAME_TEE_WRITE:
	case FRAME_TEE_READ:
		pthread_mutex_lock(&tee->lock);
		outcome = at_once(tee, frame->type, &call, &data);
		pthread_mutex_unlock(&tee->lock);
		break;
	default:
		return false;
	}
	/* The memory stays: only this thread releases it. */
	answer_without_params(tee, call.number, outcome, data,
			      data ? call.c : 0);

	return true;
}

void serve_tee(int fd, struct inbox *inbox, const struct frame *first)
{
	struct tee *tee = calloc(1, sizeof(*tee));
	struct frame frame = *first;
	bool idle = false;

	if (!tee)
		return;
	tee->fd = fd;
	pthread_mutex_init(&tee->lock, NULL);
	pthread_mutex_init(&tee->send_lock, NULL);
	inbox->limit = TEE_FRAME_MAX_SIZE;
	while (obey(tee, &frame) && frame_receive(inbox, fd, &frame))
		continue;
	pthread_mutex_lock(&tee->lock);
	idle = !tee->call_count;
	for (struct call *call = tee->calls; call; call = call->next)
		tee_client_cancel(&call->work);
	pthread_mutex_unlock(&tee->lock);
	/* Calls that run on use all this: the kernel closes their sessions. */
	if (!idle)
		_exit(EXIT_FAILURE);
	tee_client_finalize(&tee->client);
	free(tee);
}
