/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls into libteec: a context, and the sessions and shared memories that were
 * made in it, by number. One at a time may use these functions, except
 * tee_client_run(), which several threads may.
 */
#ifndef TEE_CLIENT_H
#define TEE_CLIENT_H

#include "operation.h"

#define MAX_SESSIONS	128
#define MAX_MEMORIES	256

struct session {
	TEEC_Session teec;
	bool taken, open;
	unsigned int users;	/* calls that run in it */
};

struct memory {
	TEEC_SharedMemory teec;
	uint8_t *pages;		/* of one that was registered */
	bool taken;
	unsigned int users;
};

struct tee_client {
	TEEC_Context context;
	bool initialized;
	struct session sessions[MAX_SESSIONS];
	struct memory memories[MAX_MEMORIES];
};

struct outcome {
	TEEC_Result result;
	uint32_t origin;
	uint32_t value;		/* number of what was made */
};

/* OPEN, INVOKE or CLOSE, from before it runs until it is answered. */
struct tee_work {
	uint8_t type;
	uint32_t number;
	struct tee_client *client;
	struct session *session;
	struct memory *memories[TEE_PARAM_COUNT];
	TEEC_UUID uuid;
	uint32_t login, group, command;
	struct operation operation;
	struct outcome outcome;
};

struct outcome tee_client_initialize(struct tee_client *client,
				     const struct tee_call *call);
struct outcome tee_client_share(struct tee_client *client,
				const struct tee_call *call);
struct outcome tee_client_release(struct tee_client *client,
				  const struct tee_call *call);
struct outcome tee_client_write(struct tee_client *client,
				const struct tee_call *call);
/* @data, of call->c bytes, are in the memory. */
struct outcome tee_client_read(struct tee_client *client,
			       const struct tee_call *call,
			       const uint8_t **data);

/* Anything but TEEC_SUCCESS: it cannot be run, and is not begun. */
TEEC_Result tee_client_begin(struct tee_client *client, uint8_t type,
			     const struct tee_call *call,
			     struct tee_work *work);
void tee_client_run(struct tee_work *work);
/* Harmless whenever the call ends. */
void tee_client_cancel(struct tee_work *work);
void tee_client_end(struct tee_work *work);

/* Closes all; no call may run. */
void tee_client_finalize(struct tee_client *client);

#endif /* TEE_CLIENT_H */
