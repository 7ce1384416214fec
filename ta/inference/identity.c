// SPDX-License-Identifier: Apache-2.0
#include <stdatomic.h>
#include <string.h>

#include "evidence.h"
#include "identity.h"
#include "memory.h"

static const char record_label[] = "cml-identity-v1";

/* Writing takes milliseconds: so many results share one. */
#define BLOCK	1024

struct key_state {
	uint64_t generation;	/* how often it was rotated, for people */
	uint8_t salt[CML_SALT_SIZE];
};

struct state {
	uint64_t made;		/* 0: this device has no keys yet */
	uint64_t numbers;	/* results may have them up to this one */
	struct key_state keys[CML_IDENTITY_KEY_COUNT];
};

struct record {
	struct cml_sealed_head head;
	struct state state;
	uint8_t tag[CML_GCM_TAG_SIZE];
};

_Static_assert(sizeof(struct record) ==
	       CML_SEALED_RECORD_SIZE(sizeof(struct state)),
	       "the record has a hole");

static size_t index_of(enum cml_identity_key which)
{
	return which - CML_IDENTITY_WRAPPING;
}

const char *cml_identity_label(enum cml_identity_key which)
{
	return which == CML_IDENTITY_WRAPPING ? "wrapping" : "signing";
}

static enum cml_status draw(struct state *state, enum cml_identity_key which)
{
	return cml_crypto_random(state->keys[index_of(which)].salt,
				 CML_SALT_SIZE);
}

/* What a call has to do with the record, and the record as it is then. */
struct use {
	enum cml_status (*change)(struct use *use, bool *changed);
	struct state state;
	enum cml_identity_key which;	/* to rotate */
	const struct cml_identity *identity;
	uint64_t next, end;		/* a block of numbers */
};

static enum cml_status run_use(void *ctx, void *content, bool *changed)
{
	enum cml_status status = CML_OK;
	struct state *state = content;
	struct use *use = ctx;

	use->state = *state;
	if (!use->state.made) {
		status = draw(&use->state, CML_IDENTITY_WRAPPING);
		if (!status)
			status = draw(&use->state, CML_IDENTITY_SIGNING);
		use->state.made = 1;
		*changed = true;
	}
	if (!status && use->change)
		status = use->change(use, changed);
	if (!status)
		*state = use->state;

	return status;
}

static void drop(struct cml_own_key *key)
{
	cml_crypto_p256_free(key->key);
	cml_wipe(key, sizeof(*key));
}

/* The keys that the record no longer has are gone in this session, too. */
static enum cml_status update(struct cml_identity *identity, struct use *use)
{
	enum cml_status status = CML_INTERNAL;
	struct record record = { 0 };

	status = cml_sealed_update(identity->sealing, record_label, &record,
				   sizeof(record), run_use, use);
	cml_wipe(&record, sizeof(record));
	if (status)
		return status;
	for (size_t i = 0; i < CML_IDENTITY_KEY_COUNT; i++)
		if (!cml_crypto_equal(identity->keys[i].salt,
				      use->state.keys[i].salt, CML_SALT_SIZE))
			drop(&identity->keys[i]);

	return CML_OK;
}

static enum cml_status derive(enum cml_identity_key which,
			      const uint8_t salt[CML_SALT_SIZE],
			      struct cml_own_key *key)
{
	const char *name = cml_identity_label(which);
	const enum cml_p256_use use = which == CML_IDENTITY_WRAPPING ?
				      CML_P256_DERIVE : CML_P256_SIGN;
	uint8_t seed[CML_SEED_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;

	status = cml_evidence_seed(name, seed);
	if (!status)
		status = cml_keys_p256(seed, cml_bytes(salt, CML_SALT_SIZE),
				       cml_bytes(name, strlen(name)), use,
				       &key->key);
	cml_wipe(seed, sizeof(seed));
	if (!status)
		status = cml_crypto_p256_public(key->key, key->point);
	if (!status)
		status = cml_cose_key_thumbprint(key->point, key->kid);
	if (!status)
		memcpy(key->salt, salt, CML_SALT_SIZE);

	return status;
}

static enum cml_status have(struct cml_identity *identity,
			    const struct use *use, enum cml_identity_key which,
			    const struct cml_own_key **key)
{
	struct cml_own_key *own = &identity->keys[index_of(which)];
	enum cml_status status = CML_OK;

	if (!own->key)
		status = derive(which, use->state.keys[index_of(which)].salt,
				own);
	if (status) {
		drop(own);
		return status;
	}
	*key = own;

	return CML_OK;
}

enum cml_status cml_identity_get(struct cml_identity *identity,
				 enum cml_identity_key which,
				 const struct cml_own_key **key)
{
	enum cml_status status = CML_INTERNAL;
	struct use use = { 0 };

	status = update(identity, &use);
	if (!status)
		status = have(identity, &use, which, key);
	cml_wipe(&use, sizeof(use));

	return status;
}

enum cml_status cml_identity_get_both(struct cml_identity *identity,
				      const struct cml_own_key **wrapping,
				      const struct cml_own_key **signing)
{
	enum cml_status status = CML_INTERNAL;
	struct use use = { 0 };

	status = update(identity, &use);
	if (!status)
		status = have(identity, &use, CML_IDENTITY_WRAPPING, wrapping);
	if (!status)
		status = have(identity, &use, CML_IDENTITY_SIGNING, signing);
	cml_wipe(&use, sizeof(use));

	return status;
}

/* A block is of the signing key that it was taken with. */
static enum cml_status take_number(struct use *use, bool *changed)
{
	const struct cml_identity *identity = use->identity;
	struct state *state = &use->state;
	const struct key_state *signing =
		&state->keys[index_of(CML_IDENTITY_SIGNING)];

	use->next = identity->next;
	use->end = identity->end;
	if (use->next == use->end ||
	    !cml_crypto_equal(identity->numbers_salt, signing->salt,
			      CML_SALT_SIZE)) {
		if (state->numbers > UINT64_MAX - BLOCK)
			return CML_INTERNAL;
		use->next = state->numbers;
		state->numbers += BLOCK;
		use->end = state->numbers;
		*changed = true;
	}
	use->next++;

	return CML_OK;
}

/*
 * Reading secure storage takes long. Who rotates counts himself in before and
 * out after; one that never returns has all others read the record.
 */
static bool is_current(const struct cml_identity *identity,
		       const struct cml_board *board)
{
	const struct cml_own_key *signing =
		&identity->keys[index_of(CML_IDENTITY_SIGNING)];

	return board && !atomic_load(&board->rotating) &&
	       atomic_load(&board->rotated) == identity->rotated &&
	       identity->next != identity->end && signing->key &&
	       cml_crypto_equal(identity->numbers_salt, signing->salt,
				CML_SALT_SIZE);
}

enum cml_status cml_identity_number(struct cml_identity *identity,
				    const struct cml_board *board,
				    uint64_t *number,
				    const struct cml_own_key **signer)
{
	struct use use = { .change = take_number, .identity = identity };
	enum cml_status status = CML_INTERNAL;
	uint64_t rotated = UINT64_MAX;	/* never: no board was there to look */

	if (is_current(identity, board)) {
		*number = ++identity->next;
		*signer = &identity->keys[index_of(CML_IDENTITY_SIGNING)];
		return CML_OK;
	}
	if (board)
		rotated = atomic_load(&board->rotated);
	status = update(identity, &use);
	if (!status) {
		identity->rotated = rotated;
		identity->next = use.next;
		identity->end = use.end;
		memcpy(identity->numbers_salt,
		       use.state.keys[index_of(CML_IDENTITY_SIGNING)].salt,
		       CML_SALT_SIZE);
		*number = use.next;
		status = have(identity, &use, CML_IDENTITY_SIGNING, signer);
	}
	cml_wipe(&use, sizeof(use));

	return status;
}

static enum cml_status rotate(struct use *use, bool *changed)
{
	use->state.keys[index_of(use->which)].generation++;
	*changed = true;

	return draw(&use->state, use->which);
}

enum cml_status cml_identity_rotate(struct cml_identity *identity,
				    struct cml_board *board,
				    enum cml_identity_key which,
				    uint64_t *generation)
{
	struct use use = { .change = rotate, .which = which };
	enum cml_status status = CML_INTERNAL;

	if (!board)
		return CML_NO_MEMORY;
	atomic_fetch_add(&board->rotating, 1);
	status = update(identity, &use);
	atomic_fetch_add(&board->rotated, 1);
	atomic_fetch_sub(&board->rotating, 1);
	if (!status)
		*generation = use.state.keys[index_of(which)].generation;
	cml_wipe(&use, sizeof(use));

	return status;
}

void cml_identity_free(struct cml_identity *identity)
{
	for (size_t i = 0; i < CML_IDENTITY_KEY_COUNT; i++)
		drop(&identity->keys[i]);
}
