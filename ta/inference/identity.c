// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "evidence.h"
#include "identity.h"
#include "memory.h"
#include "storage.h"

static const char record_name[] = "cml-generations-v1";

/* How often each key has been rotated. */
struct generations {
	uint64_t of[2];
};

static size_t index_of(enum cml_identity_key which)
{
	return which - CML_IDENTITY_WRAPPING;
}

const char *cml_identity_label(enum cml_identity_key which)
{
	return which == CML_IDENTITY_WRAPPING ? "wrapping" : "signing";
}

static enum cml_status look(void *ctx, void *record, bool *changed)
{
	(void)ctx;
	(void)record;
	(void)changed;

	return CML_OK;
}

static enum cml_status derive(enum cml_identity_key which,
			      uint64_t generation, struct cml_own_key *key)
{
	const char *name = cml_identity_label(which);
	const enum cml_p256_use use = which == CML_IDENTITY_WRAPPING ?
				      CML_P256_DERIVE : CML_P256_SIGN;
	char label[CML_LABEL_MAX_LEN] = { 0 };
	uint8_t seed[CML_SEED_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;

	if (generation)
		snprintf(label, sizeof(label), "%s.%" PRIu64, name, generation);
	else
		snprintf(label, sizeof(label), "%s", name);
	status = cml_evidence_seed(name, seed);
	if (!status)
		status = cml_keys_p256(seed, cml_bytes(label, strlen(label)),
				       use, &key->key);
	cml_wipe(seed, sizeof(seed));
	if (!status)
		status = cml_crypto_p256_public(key->key, key->point);
	if (!status)
		status = cml_cose_key_thumbprint(key->point, key->kid);

	return status;
}

static void drop(struct cml_own_key *key)
{
	cml_crypto_p256_free(key->key);
	*key = (struct cml_own_key){ 0 };
}

enum cml_status cml_identity_get(struct cml_identity *identity,
				 enum cml_identity_key which,
				 const struct cml_own_key **key)
{
	struct cml_own_key *own = &identity->keys[index_of(which)];
	struct generations generations = { 0 };
	enum cml_status status = CML_OK;

	if (!own->key) {
		status = cml_storage_update(record_name, &generations,
					    sizeof(generations), look, NULL);
		if (!status)
			status = derive(which, generations.of[index_of(which)],
					own);
	}
	if (status) {
		drop(own);
		return status;
	}
	*key = own;

	return CML_OK;
}

static enum cml_status count(void *ctx, void *record, bool *changed)
{
	struct generations *generations = record;
	const enum cml_identity_key *which = ctx;

	generations->of[index_of(*which)]++;
	*changed = true;

	return CML_OK;
}

enum cml_status cml_identity_rotate(struct cml_identity *identity,
				    enum cml_identity_key which,
				    uint64_t *generation)
{
	struct generations generations = { 0 };
	enum cml_status status = CML_INTERNAL;

	status = cml_storage_update(record_name, &generations,
				    sizeof(generations), count, &which);
	if (status)
		return status;
	drop(&identity->keys[index_of(which)]);
	*generation = generations.of[index_of(which)];

	return CML_OK;
}

void cml_identity_free(struct cml_identity *identity)
{
	for (size_t i = 0; i < 2; i++)
		drop(&identity->keys[i]);
}
