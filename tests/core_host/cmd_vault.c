// SPDX-License-Identifier: Apache-2.0
/* The vault's record: a program of operations on it, and its sealing. */
#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "vault.h"

enum operation { STORE, REMOVE, ACTIVATE, CHECK };

static struct cml_vault_id read_id(struct cml_cursor *cur)
{
	struct cml_bytes key_id = cml_cursor_take(cur, CML_KEY_ID_SIZE);
	struct cml_bytes name = driver_string(cur);
	struct cml_vault_id id = { 0 };

	if (!cml_cursor_ok(cur) || name.len > sizeof(id.name))
		abort();
	memcpy(id.key_id, key_id.ptr, key_id.len);
	memcpy(id.name, name.ptr, name.len);

	return id;
}

/* u32 operation, key id, name, u64 version, digest -> u32 status, changed */
static void run_operation(struct cml_vault *vault, struct cml_cursor *cur,
			  struct driver_reply *reply)
{
	uint32_t operation = driver_u32(cur);
	struct cml_vault_id id = read_id(cur);
	uint64_t version = driver_u64(cur);
	struct cml_bytes digest = cml_cursor_take(cur, CML_SHA256_SIZE);
	enum cml_status status = CML_INTERNAL;
	struct cml_vault_entry entry = { 0 };
	bool changed = false;

	if (!cml_cursor_ok(cur))
		abort();
	entry.floor.id = id;
	entry.floor.version = version;
	memcpy(entry.floor.digest, digest.ptr, digest.len);
	if (operation == STORE)
		status = cml_vault_store(vault, &entry, &changed);
	else if (operation == REMOVE)
		status = cml_vault_remove(vault, &id);
	else if (operation == ACTIVATE)
		status = cml_vault_activate(vault, &id, &changed);
	else
		status = cml_vault_check(vault, &id, version);
	driver_put_u32(reply, status);
	driver_put_u32(reply, changed);
}

/*
 * Operations -> after each its answer, in the end u32 count of models, each key
 * id, name (32), u64 version, digest, u64 active
 */
static enum cml_status run_vault(struct cml_bytes payload,
				 struct driver_reply *reply)
{
	struct cml_vault *vault = calloc(1, sizeof(*vault));
	const struct cml_vault_entry *entry = NULL;
	struct cml_cursor cur = cml_cursor(payload);
	uint32_t count = 0;

	if (!vault)
		return CML_NO_MEMORY;
	while (cml_cursor_remaining(&cur))
		run_operation(vault, &cur, reply);
	for (size_t i = 0; i < CML_VAULT_MODELS_MAX_COUNT; i++)
		count += vault->models[i].floor.version != 0;
	driver_put_u32(reply, count);
	for (size_t i = 0; i < CML_VAULT_MODELS_MAX_COUNT; i++) {
		entry = &vault->models[i];
		if (!entry->floor.version)
			continue;
		if (cml_vault_find(vault, &entry->floor.id) != entry)
			abort();
		driver_put(reply, &entry->floor.id, sizeof(entry->floor.id));
		driver_put_u64(reply, entry->floor.version);
		driver_put(reply, entry->floor.digest, CML_SHA256_SIZE);
		driver_put_u64(reply, entry->active);
	}
	free(vault);

	return CML_OK;
}

/* key, the vault's bytes -> the record */
static enum cml_status run_vault_seal(struct cml_bytes payload,
				      struct driver_reply *reply)
{
	struct cml_vault_record record = { 0 };
	struct cml_cursor cur = cml_cursor(payload);
	struct cml_bytes key = cml_cursor_take(&cur, CML_AES256_KEY_SIZE);
	struct cml_bytes plain = driver_rest(&cur);
	enum cml_status status = CML_INTERNAL;

	if (!cml_cursor_ok(&cur) || plain.len > sizeof(record.vault))
		return CML_INTERNAL;
	memcpy(&record.vault, plain.ptr, plain.len);
	status = cml_vault_seal(key.ptr, &record);
	driver_put(reply, &record, sizeof(record));

	return status;
}

/* key, record; an empty one is new -> the vault's bytes */
static enum cml_status run_vault_open(struct cml_bytes payload,
				      struct driver_reply *reply)
{
	struct cml_vault_record record = { 0 };
	struct cml_cursor cur = cml_cursor(payload);
	struct cml_bytes key = cml_cursor_take(&cur, CML_AES256_KEY_SIZE);
	struct cml_bytes sealed = driver_rest(&cur);
	enum cml_status status = CML_INTERNAL;

	if (!cml_cursor_ok(&cur) || sealed.len > sizeof(record))
		return CML_INTERNAL;
	memcpy(&record, sealed.ptr, sealed.len);
	status = cml_vault_open(key.ptr, &record);
	driver_put(reply, &record.vault, sizeof(record.vault));

	return status;
}

/*
 * u32 operation (0 store, 1 remove), key id, key; any number of times -> after
 * each u32 status, changed; in the end, of all keys: key id, key
 */
static enum cml_status run_vault_keys(struct cml_bytes payload,
				      struct driver_reply *reply)
{
	struct cml_vault *vault = calloc(1, sizeof(*vault));
	struct cml_cursor cur = cml_cursor(payload);

	if (!vault)
		return CML_NO_MEMORY;
	while (cml_cursor_remaining(&cur)) {
		uint32_t operation = driver_u32(&cur);
		struct cml_bytes id = cml_cursor_take(&cur, CML_KEY_ID_SIZE);
		struct cml_bytes key = cml_cursor_take(&cur,
						       CML_AES256_KEY_SIZE);
		enum cml_status status = CML_INTERNAL;
		bool changed = false;

		if (!cml_cursor_ok(&cur))
			abort();
		status = operation ? cml_vault_remove_key(vault, id.ptr) :
			 cml_vault_store_key(vault, id.ptr, key.ptr, &changed);
		driver_put_u32(reply, status);
		driver_put_u32(reply, changed);
	}
	for (size_t i = 0; i < CML_VAULT_KEYS_MAX_COUNT; i++) {
		const struct cml_vault_key *key = &vault->keys[i];

		if (!key->present)
			continue;
		if (cml_vault_find_key(vault, key->id) != key)
			abort();
		driver_put(reply, key->id, sizeof(key->id));
		driver_put(reply, key->key, sizeof(key->key));
	}
	free(vault);

	return CML_OK;
}

const struct driver_command driver_vault_commands[] = {
	{ "vault_keys", run_vault_keys },
	{ "vault", run_vault },
	{ "vault_seal", run_vault_seal },
	{ "vault_open", run_vault_open },
	{ NULL, NULL },
};
