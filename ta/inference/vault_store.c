// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "session.h"

struct vault_change {
	cml_vault_change change;
	void *ctx;
};

static enum cml_status change_vault(void *ctx, void *vault, bool *changed)
{
	const struct vault_change *change = ctx;

	return change->change(change->ctx, vault, changed);
}

enum cml_status cml_vault_update(struct cml_session *session,
				 cml_vault_change change, void *ctx)
{
	const struct cml_allocator *allocator = &session->memory.allocator;
	struct vault_change how = { .change = change, .ctx = ctx };
	struct cml_vault_record *record = NULL;
	enum cml_status status = CML_INTERNAL;

	record = allocator->alloc(allocator->ctx, sizeof(*record));
	if (!record)
		return CML_NO_MEMORY;
	status = cml_sealed_update(&session->sealing, CML_VAULT_LABEL, record,
				   sizeof(*record), change_vault, &how);
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

	if (own->present &&
	    cml_crypto_equal(own->id, header->key_id, sizeof(own->id)))
		choice.own = own;
	status = cml_vault_update(session, choose, &choice);
	if (status == CML_MODEL_UNKNOWN)
		status = own->present ? CML_STREAM_WRONG_KEY : CML_KEY_MISSING;

	return status;
}
