// SPDX-License-Identifier: Apache-2.0
/*
 * What a connection may ask: one line in, one line of JSON out. main.c's help
 * has the list.
 */
#ifndef CML_REQUESTS_H
#define CML_REQUESTS_H

#include <pthread.h>

#include "sessions.h"
#include "share.h"
#include "text.h"

#define REQUEST_MAX_SIZE 1024

struct connection {
	struct sessions *sessions;
	struct workers *workers;
	pthread_mutex_t *loading;	/* one model at a time */
	unsigned int limit;		/* cores that work on a photo; 0: all */
	uint32_t result_len;		/* of the last INFER_FINISH */
	const struct share *share;
	const struct share *models;	/* that, or the folder of the vault */
	const char *vault;		/* where that folder is */
	struct named_session *session;	/* held by this connection, or NULL */
};

/* @line is taken apart; @reply is one JSON object without its line end. */
void request_run(struct connection *connection, char *line,
		 struct text *reply);

#endif /* CML_REQUESTS_H */
