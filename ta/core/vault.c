// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "memory.h"
#include "vault.h"

static const char label[] = CML_VAULT_LABEL;

/* The tag follows the vault without a gap. */
_Static_assert(sizeof(struct cml_vault_record) ==
	       CML_SEALED_RECORD_SIZE(sizeof(struct cml_vault)),
	       "the record has a hole");

void cml_vault_id_of(const struct cml_header *header, struct cml_vault_id *id)
{
	memcpy(id->key_id, header->key_id, sizeof(id->key_id));
	memcpy(id->name, header->name, sizeof(id->name));
}

static struct cml_bytes associated(void)
{
	return cml_bytes(label, sizeof(label) - 1);
}

enum cml_status cml_vault_open(const uint8_t key[CML_AES256_KEY_SIZE],
			       struct cml_vault_record *record)
{
	return cml_sealed_record_open(key, associated(), record,
				      sizeof(*record));
}

enum cml_status cml_vault_seal(const uint8_t key[CML_AES256_KEY_SIZE],
			       struct cml_vault_record *record)
{
	return cml_sealed_record_seal(key, associated(), record,
				      sizeof(*record));
}

static bool is_at(const struct cml_vault_floor *floor,
		  const struct cml_vault_id *id)
{
	return floor->version && !memcmp(&floor->id, id, sizeof(*id));
}

static size_t index_of(const struct cml_vault *vault,
		       const struct cml_vault_id *id)
{
	size_t i = 0;

	while (i < CML_VAULT_MODELS_MAX_COUNT &&
	       !is_at(&vault->models[i].floor, id))
		i++;

	return i;
}

static size_t index_of_removed(const struct cml_vault *vault,
			       const struct cml_vault_id *id)
{
	size_t i = 0;

	while (i < CML_VAULT_REMOVED_MAX_COUNT &&
	       !is_at(&vault->removed[i], id))
		i++;

	return i;
}

/* Of the model that is there, or was; NULL: there never was one. */
static const struct cml_vault_floor *
floor_of(const struct cml_vault *vault, const struct cml_vault_id *id)
{
	size_t i = index_of(vault, id);

	if (i < CML_VAULT_MODELS_MAX_COUNT)
		return &vault->models[i].floor;
	i = index_of_removed(vault, id);

	return i < CML_VAULT_REMOVED_MAX_COUNT ? &vault->removed[i] : NULL;
}

const struct cml_vault_entry *cml_vault_find(const struct cml_vault *vault,
					     const struct cml_vault_id *id)
{
	const size_t i = index_of(vault, id);

	return i < CML_VAULT_MODELS_MAX_COUNT ? &vault->models[i] : NULL;
}

enum cml_status cml_vault_check(const struct cml_vault *vault,
				const struct cml_vault_id *id,
				uint64_t version)
{
	const struct cml_vault_floor *floor = floor_of(vault, id);

	return floor && version < floor->version ? CML_MODEL_ROLLBACK : CML_OK;
}

/* Has this key an active model? */
static bool has_active(const struct cml_vault *vault,
		       const struct cml_vault_id *id)
{
	bool found = false;

	for (size_t i = 0; i < CML_VAULT_MODELS_MAX_COUNT; i++)
		found |= vault->models[i].active &&
			 !memcmp(vault->models[i].floor.id.key_id, id->key_id,
				 sizeof(id->key_id));

	return found;
}

/* The place of its name, or a free one. */
static size_t place_for(const struct cml_vault *vault,
			const struct cml_vault_id *id)
{
	size_t i = index_of(vault, id);

	if (i < CML_VAULT_MODELS_MAX_COUNT)
		return i;
	for (i = 0; i < CML_VAULT_MODELS_MAX_COUNT; i++)
		if (!vault->models[i].floor.version)
			break;

	return i;
}

enum cml_status cml_vault_store(struct cml_vault *vault,
				const struct cml_vault_entry *entry,
				bool *changed)
{
	const struct cml_vault_id *id = &entry->floor.id;
	const struct cml_vault_floor *floor = floor_of(vault, id);
	struct cml_vault_entry made = *entry;
	enum cml_status status = CML_INTERNAL;
	size_t place = 0, was = 0;

	status = cml_vault_check(vault, id, entry->floor.version);
	if (!status && floor && floor->version == entry->floor.version &&
	    memcmp(floor->digest, entry->floor.digest, sizeof(floor->digest)))
		status = CML_MODEL_ROLLBACK;
	place = place_for(vault, id);
	if (!status && place == CML_VAULT_MODELS_MAX_COUNT)
		status = CML_MODEL_VAULT_FULL;
	if (!status) {
		made.active = vault->models[place].active ||
			      !has_active(vault, id);
		*changed = memcmp(&vault->models[place], &made, sizeof(made));
		vault->models[place] = made;
		was = index_of_removed(vault, id);
		if (was < CML_VAULT_REMOVED_MAX_COUNT)
			vault->removed[was] = (struct cml_vault_floor){ 0 };
	}
	cml_wipe(&made, sizeof(made));

	return status;
}

enum cml_status cml_vault_remove(struct cml_vault *vault,
				 const struct cml_vault_id *id)
{
	const size_t place = index_of(vault, id);
	size_t to = 0;

	if (place == CML_VAULT_MODELS_MAX_COUNT)
		return CML_MODEL_UNKNOWN;
	while (to < CML_VAULT_REMOVED_MAX_COUNT && vault->removed[to].version)
		to++;
	if (to == CML_VAULT_REMOVED_MAX_COUNT)
		return CML_MODEL_VAULT_FULL;
	vault->removed[to] = vault->models[place].floor;
	cml_wipe(&vault->models[place], sizeof(vault->models[place]));

	return CML_OK;
}

enum cml_status cml_vault_activate(struct cml_vault *vault,
				   const struct cml_vault_id *id,
				   bool *changed)
{
	const size_t place = index_of(vault, id);

	if (place == CML_VAULT_MODELS_MAX_COUNT)
		return CML_MODEL_UNKNOWN;
	*changed = !vault->models[place].active;
	for (size_t i = 0; i < CML_VAULT_MODELS_MAX_COUNT; i++)
		if (!memcmp(vault->models[i].floor.id.key_id, id->key_id,
			    sizeof(id->key_id)))
			vault->models[i].active = 0;
	vault->models[place].active = 1;

	return CML_OK;
}

static size_t index_of_key(const struct cml_vault *vault,
			   const uint8_t id[CML_KEY_ID_SIZE])
{
	size_t i = 0;

	while (i < CML_VAULT_KEYS_MAX_COUNT &&
	       (!vault->keys[i].present ||
		memcmp(vault->keys[i].id, id, CML_KEY_ID_SIZE)))
		i++;

	return i;
}

const struct cml_vault_key *
cml_vault_find_key(const struct cml_vault *vault,
		   const uint8_t id[CML_KEY_ID_SIZE])
{
	const size_t i = index_of_key(vault, id);

	return i < CML_VAULT_KEYS_MAX_COUNT ? &vault->keys[i] : NULL;
}

enum cml_status cml_vault_store_key(struct cml_vault *vault,
				    const uint8_t id[CML_KEY_ID_SIZE],
				    const uint8_t key[CML_AES256_KEY_SIZE],
				    bool *changed)
{
	size_t i = 0;

	if (cml_vault_find_key(vault, id))
		return CML_OK;
	while (i < CML_VAULT_KEYS_MAX_COUNT && vault->keys[i].present)
		i++;
	if (i == CML_VAULT_KEYS_MAX_COUNT)
		return CML_KEY_STORE_FULL;
	vault->keys[i].present = 1;
	memcpy(vault->keys[i].id, id, sizeof(vault->keys[i].id));
	memcpy(vault->keys[i].key, key, sizeof(vault->keys[i].key));
	*changed = true;

	return CML_OK;
}

enum cml_status cml_vault_remove_key(struct cml_vault *vault,
				     const uint8_t id[CML_KEY_ID_SIZE])
{
	const size_t i = index_of_key(vault, id);

	if (i == CML_VAULT_KEYS_MAX_COUNT)
		return CML_KEY_UNKNOWN;
	cml_wipe(&vault->keys[i], sizeof(vault->keys[i]));

	return CML_OK;
}
