// SPDX-License-Identifier: Apache-2.0
/* What the files that answer requests have in common. */
#ifndef CML_REQUESTS_PRIVATE_H
#define CML_REQUESTS_PRIVATE_H

#include <sys/types.h>

#include "requests.h"
#include "tee_client.h"

/* Why a request failed: the TEE, or this program. */
struct failure {
	struct tee_error tee;	/* code 0: it was not the TEE */
	const char *name;	/* "CA_PATH" */
	char message[192];
};

/* Milliseconds of a request's parts. */
struct stopwatch {
	double read, push, finish, result;
	double last;
};

/* All of them are false. */
bool request_fail(struct failure *failure, const char *name,
		  const char *message, const char *what);
/* By errno */
bool request_fail_file(struct failure *failure, const char *path);

void request_put_ok(struct text *reply);
/* What the TA's buffer has, the loaded model's digest, and the time it took. */
void request_put_loaded(struct connection *connection,
			const struct stopwatch *watch, struct text *reply);
/*
 * Loads the sealed model at @path, in the folder connection->models: one at a
 * time in all connections. The caller holds connection->loading.
 */
bool request_load_model(struct connection *connection, const char *path,
			struct stopwatch *watch, struct failure *failure);

/* The next bytes of a file into the TA's buffer: -1, or how many. */
ssize_t request_read(int fd, struct tee_session *tee, size_t len);
void request_put_hex(struct text *reply, const char *key,
		     const uint8_t *bytes, size_t len);
/* @text into at most @max bytes; 0: it is not hexadecimal, or longer. */
size_t request_from_hex(const char *text, uint8_t *bytes, size_t max);

/* key_requests.c */
bool request_describe(struct connection *connection, char **words,
		      struct text *reply, struct failure *failure);
bool request_encrypt(struct connection *connection, char **words,
		     struct text *reply, struct failure *failure);
bool request_forget(struct connection *connection, char **words,
		    struct text *reply, struct failure *failure);
bool request_keys(struct connection *connection, char **words,
		  struct text *reply, struct failure *failure);

/* vault_requests.c */
bool request_activate(struct connection *connection, char **words,
		      struct text *reply, struct failure *failure);
bool request_models(struct connection *connection, char **words,
		    struct text *reply, struct failure *failure);
bool request_remove(struct connection *connection, char **words,
		    struct text *reply, struct failure *failure);
bool request_store(struct connection *connection, char **words,
		   struct text *reply, struct failure *failure);
bool request_vault(struct connection *connection, char **words,
		   struct text *reply, struct failure *failure);

#endif /* CML_REQUESTS_PRIVATE_H */
