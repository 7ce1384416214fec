// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cbor_json.h"
#include "cml_ta.h"
#include "names.h"
#include "requests_private.h"

#define WORDS_MAX_COUNT 4
/* enum cml_key_slot of ta/core/key_message.h */
#define SLOT_DATA	1
#define SLOT_MODEL	2
#define SLOT_STORED	3
/* CML_HEADER_SIZE of ta/core/header.h */
#define HEADER_SIZE	72
/* enum cml_identity_key of ta/inference/identity.h */
#define OWN_KEY_WRAPPING	1
#define OWN_KEY_SIGNING		2
#define WORKERS_MAX	256

static double now_ms(void)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &now);

	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

/* Time since the last lap, or since the start. */
static double lap(struct stopwatch *watch)
{
	const double now = now_ms();
	const double elapsed = now - watch->last;

	watch->last = now;

	return elapsed;
}

bool request_fail(struct failure *failure, const char *name,
		 const char *message, const char *what)
{
	failure->name = name;
	snprintf(failure->message, sizeof(failure->message), "%s: %s", what,
		 message);

	return false;
}

bool request_fail_file(struct failure *failure, const char *path)
{
	if (errno == EINVAL)
		return request_fail(failure, "CA_PATH",
				    "not a regular file in the shared folder", path);

	return request_fail(failure, "CA_FILE", strerror(errno), path);
}

void request_put_ok(struct text *reply)
{
	text_put(reply, "{\"ok\":true");
}

static void put_member(struct text *reply, const char *key, const char *value)
{
	text_printf(reply, ",\"%s\":", key);
	text_put_json(reply, value, strlen(value));
}

void request_put_hex(struct text *reply, const char *key,
		     const uint8_t *bytes, size_t len)
{
	text_printf(reply, ",\"%s\":", key);
	text_put_hex(reply, bytes, len);
}

static void put_failure(struct text *reply, const char *request,
			const struct failure *failure)
{
	text_put(reply, "{\"ok\":false");
	if (!failure->tee.code) {
		put_member(reply, "error", failure->name);
		put_member(reply, "command", request);
		put_member(reply, "message", failure->message);
	} else {
		put_member(reply, "error", result_name(failure->tee.code));
		text_printf(reply, ",\"code\":\"0x%08x\"", failure->tee.code);
		put_member(reply, "origin", origin_name(failure->tee.origin));
		put_member(reply, "command", failure->tee.command);
		put_member(reply, "message",
			   tee_error_is_dead(&failure->tee) ?
			   "the TA has panicked, the session is gone" :
			   "the TEE refused the command");
	}
	text_put(reply, "}");
}

ssize_t request_read(int fd, struct tee_session *tee, size_t len)
{
	ssize_t got = 0;
	size_t done = 0;

	while (done < len) {
		got = read(fd, tee_session_buffer(tee) + done, len - done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (!got)
			break;
		done += got;
	}

	return done;
}

static bool put_info(struct tee_session *tee, struct text *reply,
		     struct failure *failure)
{
	size_t len = 0;

	if (!tee_get(tee, TA_CML_CMD_INFO, &len, &failure->tee))
		return false;
	text_put(reply, ",");
	if (len > tee_session_buffer_size() ||
	    !cbor_json_members(reply, tee_session_buffer(tee), len))
		return request_fail(failure, "CA_INFO",
				    "INFO makes no sense", "TA");

	return true;
}

static bool run_info(struct connection *connection, char **words,
		     struct text *reply, struct failure *failure)
{
	(void)words;
	request_put_ok(reply);
	if (!put_info(connection->session->tee, reply, failure))
		return false;
	text_put(reply, "}");

	return true;
}

static void detach(struct connection *connection)
{
	if (connection->session)
		sessions_detach(connection->sessions, connection->session);
	connection->session = NULL;
}

/* This thread makes the session's calls: it stays on the session's core. */
static void pin(unsigned int core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	/* On failure the session works too, on whatever core there is. */
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static bool fail_sessions(enum sessions_result result, const char *name,
			  struct failure *failure)
{
	switch (result) {
	case SESSIONS_OK:
		return true;
	case SESSIONS_BUSY:
		return request_fail(failure, "CA_BUSY",
				    "another connection holds this session", name);
	case SESSIONS_FULL:
		return request_fail(failure, "CA_FULL", "too many sessions",
				    name);
	case SESSIONS_TEE:
		break;
	}

	return false;
}

static bool run_attach(struct connection *connection, char **words,
		       struct text *reply, struct failure *failure)
{
	const double begin = now_ms();
	enum sessions_result result = SESSIONS_BUSY;

	if (strlen(words[1]) > SESSION_NAME_MAX_LEN)
		return request_fail(failure, "CA_REQUEST", "name is too long",
				    words[1]);
	detach(connection);
	result = sessions_attach(connection->sessions, words[1],
				 &connection->session, &failure->tee);
	if (!fail_sessions(result, words[1], failure))
		return false;
	pin(connection->session->core);

	request_put_ok(reply);
	put_member(reply, "session", words[1]);
	text_printf(reply, ",\"opened\":%s,\"core\":%u,\"ms\":{\"attach\":%.3f}",
		    connection->session->fresh ? "true" : "false",
		    connection->session->core, now_ms() - begin);
	if (!put_info(connection->session->tee, reply, failure)) {
		if (!tee_error_is_dead(&failure->tee))
			detach(connection);
		return false;
	}
	text_put(reply, "}");

	return true;
}

static bool run_detach(struct connection *connection, char **words,
		       struct text *reply, struct failure *failure)
{
	(void)words;
	(void)failure;
	detach(connection);
	request_put_ok(reply);
	text_put(reply, "}");

	return true;
}

static bool run_close(struct connection *connection, char **words,
		      struct text *reply, struct failure *failure)
{
	enum sessions_result result = SESSIONS_OK;

	if (connection->session &&
	    !strcmp(connection->session->name, words[1])) {
		sessions_close(connection->sessions, connection->session);
		connection->session = NULL;
	} else {
		result = sessions_close_name(connection->sessions, words[1]);
	}
	if (!fail_sessions(result, words[1], failure))
		return false;
	request_put_ok(reply);
	text_put(reply, "}");

	return true;
}

/* 0: there is none of this name. */
static uint32_t key_slot(const char *name)
{
	static const struct {
		const char *name;
		uint32_t slot;
	} slots[] = {
		{ "data", SLOT_DATA },
		{ "model", SLOT_MODEL },
		{ "stored", SLOT_STORED },
	};

	for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++)
		if (!strcmp(slots[i].name, name))
			return slots[i].slot;

	return 0;
}

static bool run_key(struct connection *connection, char **words,
		    struct text *reply, struct failure *failure)
{
	struct tee_session *tee = connection->session->tee;
	const uint32_t slot = key_slot(words[1]);
	ssize_t len = 0;
	int fd = -1;

	if (!slot)
		return request_fail(failure, "CA_REQUEST", "is no key slot",
				    words[1]);
	fd = share_open_file(connection->share, words[2]);
	if (fd < 0)
		return request_fail_file(failure, words[2]);
	len = request_read(fd, tee, tee_session_buffer_size());
	close(fd);
	if (len < 0)
		return request_fail_file(failure, words[2]);
	if (!tee_provision_key(tee, slot, len, &failure->tee))
		return false;
	request_put_ok(reply);
	request_put_hex(reply, "challenge", tee_session_buffer(tee),
			TA_CML_CHALLENGE_SIZE);
	text_put(reply, "}");

	return true;
}

size_t request_from_hex(const char *text, uint8_t *bytes, size_t max)
{
	const size_t len = strlen(text) / 2;

	if (strlen(text) % 2 || len > max ||
	    strspn(text, "0123456789abcdef") != strlen(text))
		return 0;
	for (size_t i = 0; i < len; i++)
		if (sscanf(text + 2 * i, "%2hhx", &bytes[i]) != 1)
			return 0;

	return len;
}

static bool run_attest(struct connection *connection, char **words,
		       struct text *reply, struct failure *failure)
{
	struct tee_session *tee = connection->session->tee;
	size_t len = request_from_hex(words[1], tee_session_buffer(tee),
				      TA_CML_NONCE_MAX_SIZE);

	if (len < TA_CML_NONCE_MIN_SIZE)
		return request_fail(failure, "CA_REQUEST",
				    "is no nonce of 8 to 64 bytes in hexadecimal",
				    words[1]);
	if (!tee_attest(tee, &len, &failure->tee))
		return false;
	request_put_ok(reply);
	request_put_hex(reply, "token", tee_session_buffer(tee), len);
	text_put(reply, "}");

	return true;
}

static bool own_key(const char *name, uint32_t *key, struct failure *failure)
{
	*key = strcmp(name, "wrapping") ? OWN_KEY_SIGNING : OWN_KEY_WRAPPING;
	if (*key == OWN_KEY_SIGNING && strcmp(name, "signing"))
		return request_fail(failure, "CA_REQUEST",
				    "is no key of the TA", name);

	return true;
}

static bool put_own_key(struct connection *connection, uint32_t command,
			const char *name, const char *member,
			struct text *reply, struct failure *failure)
{
	struct tee_session *tee = connection->session->tee;
	uint32_t key = 0;
	size_t len = 0;

	if (!own_key(name, &key, failure) ||
	    !tee_own_key(tee, command, key, &len, &failure->tee))
		return false;
	request_put_ok(reply);
	request_put_hex(reply, member, tee_session_buffer(tee), len);
	text_put(reply, "}");

	return true;
}

static bool run_own_key(struct connection *connection, char **words,
			struct text *reply, struct failure *failure)
{
	return put_own_key(connection, TA_CML_CMD_OWN_KEY, words[1], "cose_key",
			   reply, failure);
}

static bool run_csr(struct connection *connection, char **words,
		    struct text *reply, struct failure *failure)
{
	return put_own_key(connection, TA_CML_CMD_OWN_KEY_CSR, words[1], "csr",
			   reply, failure);
}

static bool run_rotate(struct connection *connection, char **words,
		       struct text *reply, struct failure *failure)
{
	uint64_t generation = 0;
	uint32_t key = 0;

	if (!own_key(words[1], &key, failure) ||
	    !tee_own_key_rotate(connection->session->tee, key, &generation,
				&failure->tee))
		return false;
	request_put_ok(reply);
	text_printf(reply, ",\"generation\":%" PRIu64 "}", generation);

	return true;
}

/* A sealed file's header to @begin, the rest to @push, piece by piece. */
static bool send_file(struct connection *connection,
		      const struct share *folder, const char *path,
		      uint32_t begin, uint32_t push, struct stopwatch *watch,
		      struct failure *failure)
{
	struct tee_session *tee = connection->session->tee;
	uint32_t command = begin;
	size_t want = HEADER_SIZE;
	bool sent = true;
	ssize_t len = 0;
	int fd = -1;

	fd = share_open_file(folder, path);
	if (fd < 0)
		return request_fail_file(failure, path);
	do {
		len = request_read(fd, tee, want);
		watch->read += lap(watch);
		if (len < 0) {
			sent = request_fail_file(failure, path);
			break;
		}
		/* An empty file has no header: the TA says so. */
		if (!len && command == push)
			break;
		sent = tee_put(tee, command, len, &failure->tee);
		watch->push += lap(watch);
		command = push;
		want = tee_session_buffer_size();
	} while (sent);
	close(fd);

	return sent;
}

static void put_ms(struct text *reply, const struct stopwatch *watch)
{
	text_printf(reply, ",\"ms\":{\"read\":%.3f,\"push\":%.3f,"
		    "\"finish\":%.3f,\"result\":%.3f}", watch->read,
		    watch->push, watch->finish, watch->result);
}

/* Whether another session has the model of this file, and this one now, too. */
static bool use_model(struct connection *connection, const char *path,
		      bool *used, struct failure *failure)
{
	struct tee_session *tee = connection->session->tee;
	ssize_t got = 0;
	size_t len = 0;
	int fd = share_open_file(connection->models, path);

	*used = false;
	if (fd < 0)
		return request_fail_file(failure, path);
	got = request_read(fd, tee, TA_CML_MODEL_SOURCE_SIZE);
	close(fd);
	if (got < 0)
		return request_fail_file(failure, path);
	/* A file so short is no model: the TA says why, when it is loaded. */
	if (got < TA_CML_MODEL_SOURCE_SIZE)
		return true;
	*used = tee_model_use(tee, &len, &failure->tee);
	if (!*used && !tee_error_is_missing_model(&failure->tee))
		return false;
	*failure = (struct failure){ 0 };

	return true;
}

static bool load_model(struct connection *connection, const char *path,
		       struct stopwatch *watch, struct failure *failure)
{
	struct tee_session *tee = connection->session->tee;
	bool used = false;
	size_t len = 0;

	if (!use_model(connection, path, &used, failure))
		return false;
	if (used)
		return true;
	if (!send_file(connection, connection->models, path,
		       TA_CML_CMD_MODEL_BEGIN, TA_CML_CMD_MODEL_PUSH, watch,
		       failure))
		return false;
	if (!tee_get(tee, TA_CML_CMD_MODEL_FINISH, &len, &failure->tee))
		return false;
	watch->finish = lap(watch);

	return true;
}

static bool infer(struct connection *connection, const char *path,
		  struct stopwatch *watch, struct failure *failure)
{
	bool done = false;

	if (!send_file(connection, connection->share, path,
		       TA_CML_CMD_INFER_BEGIN, TA_CML_CMD_INFER_PUSH, watch,
		       failure))
		return false;
	workers_begin(connection->workers, connection->session->core,
		      connection->limit);
	done = tee_infer_finish(connection->session->tee,
				&connection->result_len, &failure->tee);
	workers_end(connection->workers, connection->session->core,
		    connection->limit);
	watch->finish = lap(watch);

	return done;
}

/* Again for as long as secure memory is short and an idle session can go. */
static bool with_room(struct connection *connection,
		      bool (*act)(struct connection *connection,
				  const char *path, struct stopwatch *watch,
				  struct failure *failure),
		      const char *path, struct stopwatch *watch,
		      struct failure *failure)
{
	for (;;) {
		*failure = (struct failure){ 0 };
		*watch = (struct stopwatch){ .last = now_ms() };
		if (act(connection, path, watch, failure))
			return true;
		if (!failure->tee.code || !tee_error_is_memory(&failure->tee) ||
		    !sessions_make_room(connection->sessions))
			return false;
	}
}

/* Its file, and a quarter for tables; 0: whoever loads it says what is wrong. */
static size_t model_size(const struct connection *connection, const char *path)
{
	int fd = share_open_file(connection->models, path);
	struct stat stat = { 0 };

	if (fd < 0)
		return 0;
	if (fstat(fd, &stat))
		stat.st_size = 0;
	close(fd);

	return stat.st_size + stat.st_size / 4;
}

bool request_load_model(struct connection *connection, const char *path,
			struct stopwatch *watch, struct failure *failure)
{
	bool loaded = false;

	workers_prepare(connection->workers, model_size(connection, path));
	loaded = with_room(connection, load_model, path, watch, failure);
	workers_wait_prepared(connection->workers);

	return loaded;
}

void request_put_loaded(struct connection *connection,
			const struct stopwatch *watch, struct text *reply)
{
	request_put_ok(reply);
	request_put_hex(reply, "digest",
			tee_session_buffer(connection->session->tee), 32);
	put_ms(reply, watch);
	text_put(reply, "}");
}

static bool run_model(struct connection *connection, char **words,
		      struct text *reply, struct failure *failure)
{
	struct stopwatch watch = { 0 };
	bool loaded = false;

	/* Whoever waits finds the model that the other has loaded. */
	pthread_mutex_lock(connection->loading);
	loaded = request_load_model(connection, words[1], &watch, failure);
	pthread_mutex_unlock(connection->loading);
	if (loaded)
		request_put_loaded(connection, &watch, reply);

	return loaded;
}

static bool run_infer(struct connection *connection, char **words,
		      struct text *reply, struct failure *failure)
{
	struct stopwatch watch = { 0 };
	const uint8_t *result = NULL;
	size_t len = 0;

	if (!with_room(connection, infer, words[1], &watch, failure))
		return false;
	len = connection->result_len;
	result = tee_result(connection->session->tee, len, &failure->tee);
	if (!result)
		return false;
	if (share_write_file(connection->share, words[2], result, len))
		return request_fail_file(failure, words[2]);
	watch.result = lap(&watch);
	request_put_ok(reply);
	text_printf(reply, ",\"size\":%zu", len);
	put_ms(reply, &watch);
	text_put(reply, "}");

	return true;
}

static bool run_workers(struct connection *connection, char **words,
			struct text *reply, struct failure *failure)
{
	char *end = NULL;
	unsigned long limit = strtoul(words[1], &end, 10);

	if (*end || end == words[1] || *words[1] == '-' || limit > WORKERS_MAX)
		return request_fail(failure, "CA_REQUEST",
				    "not a number of cores", words[1]);
	connection->limit = limit;
	request_put_ok(reply);
	text_put(reply, "}");

	return true;
}

struct request {
	const char *name;
	size_t word_count;	/* its name counted too */
	bool needs_session;
	bool (*run)(struct connection *connection, char **words,
		    struct text *reply, struct failure *failure);
};

static const struct request requests[] = {
	{ "activate", 2, true, request_activate },
	{ "attach", 2, false, run_attach },
	{ "attest", 2, true, run_attest },
	{ "close", 2, false, run_close },
	{ "csr", 2, true, run_csr },
	{ "describe", 1, true, request_describe },
	{ "detach", 1, false, run_detach },
	{ "encrypt", 3, true, request_encrypt },
	{ "forget", 2, true, request_forget },
	{ "infer", 3, true, run_infer },
	{ "info", 1, true, run_info },
	{ "key", 3, true, run_key },
	{ "keys", 1, true, request_keys },
	{ "model", 2, true, run_model },
	{ "models", 1, true, request_models },
	{ "own-key", 2, true, run_own_key },
	{ "remove", 2, true, request_remove },
	{ "rotate", 2, true, run_rotate },
	{ "store", 2, true, request_store },
	{ "vault", 2, true, request_vault },
	{ "workers", 2, false, run_workers },
};

static const struct request *find(const char *name)
{
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (!strcmp(requests[i].name, name))
			return &requests[i];

	return NULL;
}

/* At most WORDS_MAX_COUNT words; what is left over is one more. */
static size_t split(char *line, char *words[WORDS_MAX_COUNT + 1])
{
	size_t count = 0;
	char *rest = NULL;

	for (char *word = strtok_r(line, " ", &rest);
	     word && count <= WORDS_MAX_COUNT;
	     word = strtok_r(NULL, " ", &rest))
		words[count++] = word;

	return count;
}

static bool run(struct connection *connection, char **words, size_t count,
		struct text *reply, struct failure *failure)
{
	const struct request *request = count ? find(words[0]) : NULL;

	if (!request)
		return request_fail(failure, "CA_REQUEST", "no such request",
				    count ? words[0] : "empty line");
	if (count != request->word_count)
		return request_fail(failure, "CA_REQUEST",
				    "wrong number of words", words[0]);
	if (request->needs_session && !connection->session)
		return request_fail(failure, "CA_NO_SESSION", "attach first",
				    words[0]);

	return request->run(connection, words, reply, failure);
}

void request_run(struct connection *connection, char *line,
		 struct text *reply)
{
	char *words[WORDS_MAX_COUNT + 1] = { NULL };
	struct failure failure = { 0 };
	size_t count = split(line, words);
	const char *name = count ? words[0] : "";

	if (!run(connection, words, count, reply, &failure)) {
		*reply = (struct text){ 0 };
		put_failure(reply, name, &failure);
		fprintf(stderr, "cml-ca: %s: %s: %s\n",
			connection->session ? connection->session->name : "-",
			failure.tee.code ? failure.tee.command : name,
			failure.tee.code ? result_name(failure.tee.code) :
					   failure.message);
		if (connection->session && tee_error_is_dead(&failure.tee)) {
			sessions_close(connection->sessions,
				       connection->session);
			connection->session = NULL;
		}
	}
	if (reply->full) {
		*reply = (struct text){ 0 };
		text_put(reply, "{\"ok\":false,\"error\":\"CA_REPLY\","
			 "\"message\":\"the reply is too long\"}");
	}
}
