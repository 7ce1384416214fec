// SPDX-License-Identifier: Apache-2.0
/*
 * The vault's record. Any bytes in its place are damaged, unless nothing was
 * ever written. And a program of operations, of five bytes each, keeps what
 * vault.h promises after every step: no name twice, versions of a name never
 * fall, a version is one content, one active model a key; what is sealed in
 * between opens as it was.
 */
#include <stdlib.h>
#include <string.h>

#include "vault.h"

#define OWNERS		4
#define NAMES		80
#define STEP_SIZE	5
#define STEPS_MAX	2000

enum operation { STORE, REMOVE, ACTIVATE, RESEAL, OPERATIONS };

/* The highest version of each name that was ever there, and its content. */
struct floors {
	uint64_t version[OWNERS][NAMES];
	uint8_t content[OWNERS][NAMES];
};

static const uint8_t key[CML_AES256_KEY_SIZE] = { 1, 2, 3 };

static void check_no_record(const uint8_t *data, size_t size)
{
	struct cml_vault_record *record = calloc(1, sizeof(*record));
	enum cml_status status = CML_INTERNAL;
	bool any = false;

	if (!record)
		abort();
	if (size > sizeof(*record))
		size = sizeof(*record);
	memcpy(record, data, size);
	for (size_t i = 0; i < size; i++)
		any |= data[i];
	status = cml_vault_open(key, record);
	if (status != (any ? CML_STORAGE_DAMAGED : CML_OK))
		abort();
	free(record);
}

static void reseal(struct cml_vault *vault)
{
	struct cml_vault_record *record = calloc(1, sizeof(*record));

	if (!record)
		abort();
	record->vault = *vault;
	if (cml_vault_seal(key, record) || cml_vault_open(key, record) ||
	    memcmp(&record->vault, vault, sizeof(*vault)))
		abort();
	*vault = record->vault;
	free(record);
}

static void check_invariants(const struct cml_vault *vault,
			     const struct floors *floors)
{
	size_t active[OWNERS] = { 0 };

	for (size_t i = 0; i < CML_VAULT_MODELS_MAX_COUNT; i++) {
		const struct cml_vault_entry *entry = &vault->models[i];
		const struct cml_vault_floor *floor = &entry->floor;
		const size_t owner = floor->id.key_id[0];
		const size_t name = (uint8_t)floor->id.name[0] - 1;

		if (!floor->version) {
			if (entry->active)
				abort();
			continue;
		}
		active[owner] += entry->active;
		if (floor->version != floors->version[owner][name] ||
		    floor->digest[0] != floors->content[owner][name] ||
		    cml_vault_find(vault, &floor->id) != entry ||
		    active[owner] > 1)
			abort();
	}
	for (size_t i = 0; i < CML_VAULT_REMOVED_MAX_COUNT; i++) {
		const struct cml_vault_floor *floor = &vault->removed[i];

		if (!floor->version)
			continue;
		/* Removed, or there: not both. */
		if (cml_vault_find(vault, &floor->id) ||
		    floor->version != floors->version[floor->id.key_id[0]]
				       [(uint8_t)floor->id.name[0] - 1])
			abort();
	}
}

static void store(struct cml_vault *vault, struct floors *floors,
		  const struct cml_vault_id *id, uint64_t version,
		  uint8_t content)
{
	uint64_t *floor = &floors->version[id->key_id[0]]
					  [(uint8_t)id->name[0] - 1];
	uint8_t *was = &floors->content[id->key_id[0]]
				       [(uint8_t)id->name[0] - 1];
	struct cml_vault_entry entry = { .floor.id = *id };
	enum cml_status status = CML_INTERNAL;
	bool changed = false;

	entry.floor.version = version;
	entry.floor.digest[0] = content;
	status = cml_vault_store(vault, &entry, &changed);
	if (version < *floor || (version == *floor && content != *was)) {
		if (status != CML_MODEL_ROLLBACK)
			abort();
	} else if (!status) {
		*floor = version;
		*was = content;
	} else if (status != CML_MODEL_VAULT_FULL) {
		abort();
	}
	if ((cml_vault_check(vault, id, version) == CML_MODEL_ROLLBACK) !=
	    (version < *floor))
		abort();
}

static void step(struct cml_vault *vault, struct floors *floors,
		 const uint8_t *data)
{
	struct cml_vault_id id = { .key_id = { data[1] % OWNERS } };
	enum cml_status status = CML_OK;
	bool changed = false;

	id.name[0] = data[2] % NAMES + 1;
	switch (data[0] % OPERATIONS) {
	case STORE:
		/* Version 0 is no version: the header has none. */
		store(vault, floors, &id, (uint64_t)data[3] + 1, data[4]);
		break;
	case REMOVE:
		status = cml_vault_remove(vault, &id);
		if (!status && cml_vault_find(vault, &id))
			abort();
		break;
	case ACTIVATE:
		status = cml_vault_activate(vault, &id, &changed);
		if (!status && !cml_vault_find(vault, &id)->active)
			abort();
		break;
	default:
		reseal(vault);
	}
	if (status && status != CML_MODEL_UNKNOWN &&
	    status != CML_MODEL_VAULT_FULL)
		abort();
	check_invariants(vault, floors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cml_vault *vault = calloc(1, sizeof(*vault));
	struct floors *floors = calloc(1, sizeof(*floors));

	if (!vault || !floors)
		abort();
	check_no_record(data, size);
	for (size_t i = 0; i < STEPS_MAX && size >= STEP_SIZE; i++) {
		step(vault, floors, data);
		data += STEP_SIZE;
		size -= STEP_SIZE;
	}
	free(floors);
	free(vault);

	return 0;
}
