// SPDX-License-Identifier: Apache-2.0
/*
 * libteec, and a TA behind it, for a client application that runs on the
 * host. What goes in is kept; a photo's words say what becomes of it:
 *
 *   echo ...      the result is the file as it arrived, header and all
 *   core          the result is the list of cores that the caller may run on
 *   wait MS ...   the same as echo, after a while
 *   fail CODE     INFER_FINISH fails with this TEE_Result
 *   panic         the TA is dead from then on
 *
 * FAKE_TEE_SESSIONS and FAKE_TEE_MODELS are how many sessions and loaded
 * models there is room for; FAKE_TEE_INFO is a file with what INFO answers.
 * The vault has room for the last model that was stored; FAKE_TEE_STORE is the
 * TEE_Result of storing one. Of keys it has one, of twice eight bytes; a model is
 * encrypted by turning each bit, and that under the key of zeros not at all.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tee_client_api.h>

#include "cml_ta.h"

#define MAX_SESSIONS	128
#define MAX_FILE	(8 << 20)
#define HEADER_SIZE	72
#define SALT_OFFSET	73
#define SALT_SIZE	32
#define KEY_MESSAGE_SIZE	300	/* that it takes */
#define COSE_MALFORMED	100	/* cml_status */
#define NO_MEMORY	(TA_CML_ERROR_BASE + 2)
#define MODEL_MISSING	57
#define MODEL_UNKNOWN	61
#define KEY_UNKNOWN	25
#define ENCRYPT_ABSENT	26
#define KEY_ID_OFFSET	8
#define KEY_ID_SIZE	16

struct fake {
	bool open, dead, has_model;
	uint8_t *file;
	size_t len;
};

static struct {
	pthread_mutex_t lock;
	struct fake sessions[MAX_SESSIONS];
	bool stored;
	uint8_t salt[SALT_SIZE];	/* of what is in the vault */
} tee = { .lock = PTHREAD_MUTEX_INITIALIZER };

static size_t limit(const char *name)
{
	const char *value = getenv(name);

	return value ? strtoul(value, NULL, 10) : MAX_SESSIONS;
}

TEEC_Result TEEC_InitializeContext(const char *name, TEEC_Context *context)
{
	(void)name;
	memset(context, 0, sizeof(*context));

	return TEEC_SUCCESS;
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

void TEEC_ReleaseSharedMemory(TEEC_SharedMemory *shared)
{
	free(shared->buffer);
}

TEEC_Result TEEC_OpenSession(TEEC_Context *context, TEEC_Session *session,
			     const TEEC_UUID *destination,
			     uint32_t connection_method,
			     const void *connection_data,
			     TEEC_Operation *operation, uint32_t *origin)
{
	static const TEEC_UUID uuid = TA_CML_UUID;
	TEEC_Result res = TEEC_ERROR_OUT_OF_MEMORY;

	(void)context;
	(void)connection_method;
	(void)connection_data;
	(void)operation;
	*origin = TEEC_ORIGIN_TEE;
	if (memcmp(destination, &uuid, sizeof(uuid)))
		return TEEC_ERROR_ITEM_NOT_FOUND;
	pthread_mutex_lock(&tee.lock);
	for (size_t i = 0; i < limit("FAKE_TEE_SESSIONS"); i++)
		if (!tee.sessions[i].open) {
			tee.sessions[i].open = true;
			tee.sessions[i].file = malloc(MAX_FILE);
			session->imp.session_id = i;
			res = TEEC_SUCCESS;
			break;
		}
	pthread_mutex_unlock(&tee.lock);

	return res;
}

void TEEC_CloseSession(TEEC_Session *session)
{
	struct fake *fake = &tee.sessions[session->imp.session_id];

	pthread_mutex_lock(&tee.lock);
	free(fake->file);
	*fake = (struct fake){ 0 };
	pthread_mutex_unlock(&tee.lock);
}

static void keep(struct fake *fake, const TEEC_Parameter *param, bool first)
{
	if (first)
		fake->len = 0;
	if (param->memref.size > MAX_FILE - fake->len)
		abort();
	memcpy(fake->file + fake->len, param->memref.parent->buffer,
	       param->memref.size);
	fake->len += param->memref.size;
}

static TEEC_Result give(TEEC_Parameter *param, const void *data, size_t len)
{
	const bool fits = len <= param->memref.size;

	if (fits)
		memcpy((uint8_t *)param->memref.parent->buffer +
		       param->memref.offset, data, len);
	param->memref.size = len;

	return fits ? TEEC_SUCCESS : TEEC_ERROR_SHORT_BUFFER;
}

static TEEC_Result info(TEEC_Parameter *param)
{
	uint8_t data[4096] = { 0 };
	FILE *file = fopen(getenv("FAKE_TEE_INFO"), "rb");
	size_t len = 0;

	if (!file)
		abort();
	len = fread(data, 1, sizeof(data), file);
	fclose(file);

	return give(param, data, len);
}

static TEEC_Result model_begin(struct fake *fake, TEEC_Parameter *param)
{
	size_t models = 0;

	fake->has_model = false;
	for (size_t i = 0; i < MAX_SESSIONS; i++)
		models += tee.sessions[i].has_model;
	if (models >= limit("FAKE_TEE_MODELS"))
		return NO_MEMORY;
	fake->has_model = true;
	keep(fake, param, true);

	return TEEC_SUCCESS;
}

static void list_cores(struct fake *fake)
{
	cpu_set_t set;

	fake->len = 0;
	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	for (int i = 0; i < CPU_SETSIZE && fake->len < 1000; i++)
		if (CPU_ISSET(i, &set))
			fake->len += sprintf((char *)fake->file + fake->len,
					     "%d ", i);
}

static TEEC_Result infer_finish(struct fake *fake)
{
	char words[64] = "";
	unsigned int number = 0;

	if (fake->len > HEADER_SIZE)
		snprintf(words, sizeof(words), "%.*s",
			 (int)(fake->len - HEADER_SIZE),
			 (char *)fake->file + HEADER_SIZE);
	if (sscanf(words, "wait %u", &number) == 1)
		usleep(number * 1000);
	else if (sscanf(words, "fail %x", &number) == 1)
		return number;
	else if (!strncmp(words, "core", 4))
		list_cores(fake);
	else if (!strncmp(words, "panic", 5))
		fake->dead = true;

	return fake->dead ? TEEC_ERROR_TARGET_DEAD : TEEC_SUCCESS;
}

static TEEC_Result store(const struct fake *fake)
{
	const char *code = getenv("FAKE_TEE_STORE");

	if (code)
		return strtoul(code, NULL, 16);
	if (fake->len < SALT_OFFSET + SALT_SIZE)
		abort();
	memcpy(tee.salt, fake->file + SALT_OFFSET, SALT_SIZE);
	tee.stored = true;

	return TEEC_SUCCESS;
}

/* {"vault": 8 bytes, "models": [{"file": salt}]} in CBOR */
static TEEC_Result list(TEEC_Parameter *param)
{
	static const uint8_t entry[] = "\xa1\x64" "file" "\x58\x20";
	uint8_t data[128] = "\xa2\x65" "vault" "\x48" "01234567\x66" "models";
	size_t len = 23;

	data[len++] = 0x80 | tee.stored;
	if (tee.stored) {
		memcpy(data + len, entry, sizeof(entry) - 1);
		len += sizeof(entry) - 1;
		memcpy(data + len, tee.salt, SALT_SIZE);
		len += SALT_SIZE;
	}

	return give(param, data, len);
}

/* {"keys": [16 bytes]} */
static TEEC_Result list_keys(TEEC_Parameter *param)
{
	return give(param, "\xa1\x64" "keys\x81\x50" "0123456701234567", 24);
}

static TEEC_Result encrypt_begin(struct fake *fake, TEEC_Parameter *params)
{
	static const uint8_t zeros[KEY_ID_SIZE];
	uint8_t head[40] = { 40 };

	keep(fake, &params[0], true);
	if (fake->len != HEADER_SIZE)
		return TA_CML_ERROR_BASE + 10;
	if (!memcmp(fake->file + KEY_ID_OFFSET, zeros, sizeof(zeros)))
		return TA_CML_ERROR_BASE + ENCRYPT_ABSENT;

	return give(&params[1], head, sizeof(head));
}

static TEEC_Result encrypt_push(struct fake *fake, TEEC_Parameter *params)
{
	keep(fake, &params[0], true);
	for (size_t i = 0; i < fake->len; i++)
		fake->file[i] ^= 0xff;

	return give(&params[1], fake->file, fake->len);
}

static TEEC_Result command(struct fake *fake, uint32_t id,
			   TEEC_Parameter *params)
{
	uint8_t key[75] = { 0 };
	uint8_t digest[32] = { 0 };

	switch (id) {
	case TA_CML_CMD_INFO:
		return info(&params[0]);
	case TA_CML_CMD_PROVISION_KEY:
		keep(fake, &params[1], true);
		if (fake->len != KEY_MESSAGE_SIZE)
			return TA_CML_ERROR_BASE + COSE_MALFORMED;
		return give(&params[2], fake->file, TA_CML_CHALLENGE_SIZE);
	case TA_CML_CMD_ATTEST:
		keep(fake, &params[0], true);
		return give(&params[1], fake->file, fake->len);
	case TA_CML_CMD_OWN_KEY:
	case TA_CML_CMD_OWN_KEY_CSR:
		memset(key, params[0].value.a, sizeof(key));
		return give(&params[1], key, sizeof(key));
	case TA_CML_CMD_OWN_KEY_ROTATE:
		params[1].value.a = 7;
		params[1].value.b = params[0].value.a;
		return TEEC_SUCCESS;
	case TA_CML_CMD_MODEL_BEGIN:
		return model_begin(fake, &params[0]);
	case TA_CML_CMD_MODEL_PUSH:
	case TA_CML_CMD_INFER_PUSH:
		keep(fake, &params[0], false);
		return TEEC_SUCCESS;
	case TA_CML_CMD_MODEL_FINISH:
		for (size_t i = 0; i < fake->len; i++)
			digest[i % sizeof(digest)] ^= fake->file[i];
		return give(&params[0], digest, sizeof(digest));
	case TA_CML_CMD_INFER_BEGIN:
		keep(fake, &params[0], true);
		/* As the TA does: a header has its length. */
		return fake->len == HEADER_SIZE ? TEEC_SUCCESS :
		       (TEEC_Result)(TA_CML_ERROR_BASE + 10);
	case TA_CML_CMD_RESULT:
		return give(&params[0], fake->file, fake->len);
	case TA_CML_CMD_MODEL_STORE:
		return store(fake);
	case TA_CML_CMD_MODEL_LIST:
		return list(&params[0]);
	case TA_CML_CMD_MODEL_REMOVE:
		tee.stored = false;
		return TEEC_SUCCESS;
	case TA_CML_CMD_MODEL_ACTIVATE:
		return TA_CML_ERROR_BASE + MODEL_UNKNOWN;
	case TA_CML_CMD_KEY_LIST:
		return list_keys(&params[0]);
	case TA_CML_CMD_KEY_REMOVE:
		keep(fake, &params[0], true);
		return fake->len == KEY_ID_SIZE &&
		       !memcmp(fake->file, "0123456701234567", KEY_ID_SIZE) ?
		       TEEC_SUCCESS :
		       (TEEC_Result)(TA_CML_ERROR_BASE + KEY_UNKNOWN);
	case TA_CML_CMD_MODEL_DESCRIBE:
		memset(key, 'd', sizeof(key));
		return give(&params[0], key, sizeof(key));
	case TA_CML_CMD_ENCRYPT_BEGIN:
		return encrypt_begin(fake, params);
	case TA_CML_CMD_ENCRYPT_PUSH:
		return encrypt_push(fake, params);
	case TA_CML_CMD_ENCRYPT_FINISH:
		return TEEC_SUCCESS;
	case TA_CML_CMD_MODEL_USE:
		return TA_CML_ERROR_BASE + MODEL_MISSING;
	default:
		return TEEC_ERROR_NOT_SUPPORTED;
	}
}

TEEC_Result TEEC_InvokeCommand(TEEC_Session *session, uint32_t id,
			       TEEC_Operation *operation, uint32_t *origin)
{
	struct fake *fake = &tee.sessions[session->imp.session_id];
	TEEC_Result res = TEEC_ERROR_TARGET_DEAD;

	*origin = TEEC_ORIGIN_TEE;
	if (fake->dead)
		return res;
	/* Sessions run in parallel: what takes time is not under the lock. */
	if (id == TA_CML_CMD_WORK) {
		usleep(operation->params[0].value.a * 1000);
		operation->params[1].value.a = 0;
		res = TEEC_SUCCESS;
	} else if (id == TA_CML_CMD_INFER_FINISH) {
		res = infer_finish(fake);
		operation->params[0].value.a = fake->len;
	} else {
		pthread_mutex_lock(&tee.lock);
		res = command(fake, id, operation->params);
		pthread_mutex_unlock(&tee.lock);
	}
	if (!fake->dead)
		*origin = TEEC_ORIGIN_TRUSTED_APP;

	return res;
}
