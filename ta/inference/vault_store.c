// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "evidence.h"
#include "session.h"
#include "storage.h"

static const char sealing_label[] = "sealing";

static enum cml_status get_access(struct cml_vault_access *access)
{
	struct cml_bytes label = cml_bytes(sealing_label,
					   sizeof(sealing_label) - 1);
	uint8_t digest[CML_SHA256_SIZE] = { 0 };
	uint8_t seed[CML_SEED_SIZE] = { 0 };
	enum cml_status status = CML_OK;
	uint64_t number = 0;

	if (access->ready)
		return CML_OK;
	status = cml_evidence_measurement(digest);
	if (!status)
		status = cml_evidence_seed(sealing_label, seed);
	if (!status)
		status = cml_keys_symmetric(seed, label, access->key);
	cml_wipe(seed, sizeof(seed));
	if (status)
		return status;
	memcpy(access->id, digest, sizeof(access->id));
	for (size_t i = 0; i < sizeof(access->id); i++)
		number = number << 8 | access->id[i];
	snprintf(access->record_name, sizeof(access->record_name),
		 "cml-vault-v1.%016" PRIx64, number);
	access->ready = true;

	return CML_OK;
}

struct sealed_change {
	const struct cml_vault_access *access;
	cml_vault_change change;
	void *ctx;
};

static enum cml_status change_sealed(void *ctx, void *bytes, bool *changed)
{
	const struct sealed_change *sealed = ctx;
	struct cml_vault_record *record = bytes;
	enum cml_status status = CML_INTERNAL;

	status = cml_vault_open(sealed->access->key, record);
	if (!status)
		status = sealed->change(sealed->ctx, &record->vault, changed);
	if (!status && *changed)
		status = cml_vault_seal(sealed->access->key, record);

	return status;
}

enum cml_status cml_vault_update(struct cml_session *session,
				 cml_vault_change change, void *ctx)
{
	const struct cml_allocator *allocator = &session->memory.allocator;
	struct sealed_change sealed = {
		.access = &session->vault, .change = change, .ctx = ctx,
	};
	struct cml_vault_record *record = NULL;
	enum cml_status status = CML_INTERNAL;

	status = get_access(&session->vault);
	if (status)
		return status;
	record = allocator->alloc(allocator->ctx, sizeof(*record));
	if (!record)
		return CML_NO_MEMORY;
	status = cml_storage_update(session->vault.record_name, record,
				    sizeof(*record), change_sealed, &sealed);
	/* Keys were in it. */
	cml_wipe(record, sizeof(*record));
	allocator->release(allocator->ctx, record, sizeof(*record));

	return status;
}

struct choice {
	const struct cml_header *header;
	const struct cml_session_key *own;	/* the session's; NULL: other */
	struct cml_session_key *key;
	struct cml_vault_expected *expected;
};

static enum cml_status choose(void *ctx, struct cml_vault *vault,
			      bool *changed)
{
	const struct cml_vault_entry *entry = NULL;
	const struct cml_vault_key *kept = NULL;
	enum cml_status status = CML_INTERNAL;
	struct choice *choice = ctx;
	struct cml_vault_id id = { 0 };

	(void)changed;
	cml_vault_id_of(choice->header, &id);
	entry = cml_vault_find(vault, &id);
	kept = cml_vault_find_key(vault, id.key_id);
	if (!choice->own && !kept && !entry)
		return CML_MODEL_UNKNOWN;
	status = cml_vault_check(vault, &id, choice->header->version);
	if (status)
		return status;
	if (choice->own) {
		*choice->key = *choice->own;
		return CML_OK;
	}
	choice->key->present = true;
	memcpy(choice->key->id, id.key_id, sizeof(id.key_id));
	/* This one is for all models that were sealed with it. */
	if (kept) {
		memcpy(choice->key->key, kept->key, sizeof(kept->key));
		return CML_OK;
	}
	if (memcmp(entry->source, choice->header->bytes, CML_HEADER_SIZE))
		return CML_MODEL_OTHER_FILE;
	memcpy(choice->key->key, entry->key, sizeof(entry->key));
	choice->expected->present = true;
	memcpy(choice->expected->source, entry->source, sizeof(entry->source));
	memcpy(choice->expected->digest, entry->floor.digest,
	       sizeof(entry->floor.digest));

	return CML_OK;
}

static bool take_chosen(struct cml_vault_chosen *chosen,
			const struct cml_header *header,
			struct cml_session_key *key,
			struct cml_vault_expected *expected)
{
	const bool fits = chosen->present &&
			  !memcmp(chosen->header, header->bytes,
				  sizeof(chosen->header));

	if (fits) {
		*key = chosen->key;
		*expected = chosen->expected;
	}
	cml_wipe(chosen, sizeof(*chosen));

	return fits;
}

enum cml_status cml_vault_choose_key(struct cml_session *session,
				     const struct cml_header *header,
				     struct cml_session_key *key,
				     struct cml_vault_expected *expected)
{
	const struct cml_session_key *own = &session->model_key;
	struct choice choice = {
		.header = header, .key = key, .expected = expected,
	};
	enum cml_status status = CML_INTERNAL;

	if (take_chosen(&session->chosen, header, key, expected))
		return CML_OK;
	if (own->present &&
	    cml_crypto_equal(own->id, header->key_id, sizeof(own->id)))
		choice.own = own;
	status = cml_vault_update(session, choose, &choice);
	if (status == CML_MODEL_UNKNOWN)
		status = own->present ? CML_STREAM_WRONG_KEY : CML_KEY_MISSING;

	return status;
}
