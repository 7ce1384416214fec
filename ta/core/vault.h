// SPDX-License-Identifier: Apache-2.0
/*
 * The vault's record: which sealed models a device keeps, and their keys. A
 * model's content is not in it: that stays as its owner sealed it, anywhere.
 * Beside them, keys that open any model that was sealed with them.
 *
 * A model belongs to the key that it was sealed with, and has a name that is
 * its own under that key. Versions of a name only rise, over its removal too.
 * Of one key's models at most one is active: the one that is meant when none
 * is named.
 *
 * The record is written and read by one build on one device: it is the struct
 * as it lies in memory, and nothing parses it.
 */
#ifndef CML_VAULT_H
#define CML_VAULT_H

#include "header.h"
#include "sealed_record.h"
#include "stream.h"

#define CML_VAULT_LABEL			"cml-vault-v1"

#define CML_VAULT_MODELS_MAX_COUNT	16
#define CML_VAULT_REMOVED_MAX_COUNT	48
#define CML_VAULT_KEYS_MAX_COUNT	16
/* What tells a sealed file from all others: its header, its stream's header. */
#define CML_MODEL_SOURCE_SIZE	(CML_HEADER_SIZE + CML_STREAM_HEADER_SIZE)

/* Whose model, by which name; zeros after the name. */
struct cml_vault_id {
	uint8_t key_id[CML_KEY_ID_SIZE];
	char name[CML_MODEL_NAME_MAX_LEN];
};

/* What the next version of a name has to be above. */
struct cml_vault_floor {
	struct cml_vault_id id;
	uint64_t version;	/* 0: no model is here */
	uint8_t digest[CML_SHA256_SIZE];
};

struct cml_vault_entry {
	struct cml_vault_floor floor;
	uint64_t size;		/* of the plaintext, bytes */
	uint64_t active;	/* 0 or 1 */
	uint8_t source[CML_MODEL_SOURCE_SIZE];
	uint8_t key[CML_AES256_KEY_SIZE];
};

/* A model owner's key. */
struct cml_vault_key {
	uint64_t present;	/* 0 or 1 */
	uint8_t id[CML_KEY_ID_SIZE];
	uint8_t key[CML_AES256_KEY_SIZE];
};

struct cml_vault {
	struct cml_vault_entry models[CML_VAULT_MODELS_MAX_COUNT];
	struct cml_vault_floor removed[CML_VAULT_REMOVED_MAX_COUNT];
	struct cml_vault_key keys[CML_VAULT_KEYS_MAX_COUNT];
};

/* All zero as long as nothing was ever stored. */
struct cml_vault_record {
	struct cml_sealed_head head;
	struct cml_vault vault;		/* sealed, or not: in place */
	uint8_t tag[CML_GCM_TAG_SIZE];
};

void cml_vault_id_of(const struct cml_header *header, struct cml_vault_id *id);

/* CML_STORAGE_DAMAGED: @key did not seal this. */
enum cml_status cml_vault_open(const uint8_t key[CML_AES256_KEY_SIZE],
			       struct cml_vault_record *record);
enum cml_status cml_vault_seal(const uint8_t key[CML_AES256_KEY_SIZE],
			       struct cml_vault_record *record);

/* NULL: there is none. */
const struct cml_vault_entry *cml_vault_find(const struct cml_vault *vault,
					     const struct cml_vault_id *id);
/*
 * CML_MODEL_ROLLBACK when the vault has, or had, a higher @version of this
 * name.
 */
enum cml_status cml_vault_check(const struct cml_vault *vault,
				const struct cml_vault_id *id,
				uint64_t version);
/*
 * Takes @entry in, in the place of the model of its name; whether it is active
 * follows from what is there. CML_MODEL_ROLLBACK, also for a version that is
 * known with another digest. CML_MODEL_VAULT_FULL.
 */
enum cml_status cml_vault_store(struct cml_vault *vault,
				const struct cml_vault_entry *entry,
				bool *changed);
/* CML_MODEL_UNKNOWN, CML_MODEL_VAULT_FULL: too many were removed. */
enum cml_status cml_vault_remove(struct cml_vault *vault,
				 const struct cml_vault_id *id);
/* CML_MODEL_UNKNOWN */
enum cml_status cml_vault_activate(struct cml_vault *vault,
				   const struct cml_vault_id *id,
				   bool *changed);

/* NULL: there is none. */
const struct cml_vault_key *
cml_vault_find_key(const struct cml_vault *vault,
		   const uint8_t id[CML_KEY_ID_SIZE]);
/* CML_KEY_STORE_FULL. A key that is there already changes nothing. */
enum cml_status cml_vault_store_key(struct cml_vault *vault,
				    const uint8_t id[CML_KEY_ID_SIZE],
				    const uint8_t key[CML_AES256_KEY_SIZE],
				    bool *changed);
/* CML_KEY_UNKNOWN */
enum cml_status cml_vault_remove_key(struct cml_vault *vault,
				     const uint8_t id[CML_KEY_ID_SIZE]);

#endif /* CML_VAULT_H */
