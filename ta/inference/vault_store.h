// SPDX-License-Identifier: Apache-2.0
/* The vault's record in secure storage (sealed_store.h). */
#ifndef CML_VAULT_STORE_H
#define CML_VAULT_STORE_H

#include "sealed_store.h"
#include "session_key.h"
#include "vault.h"

struct cml_session;

/* What a file that is opened with a key of the vault has to be. */
struct cml_vault_expected {
	bool present;			/* it is */
	uint8_t source[CML_MODEL_SOURCE_SIZE];
	uint8_t digest[CML_SHA256_SIZE];
};

/* As cml_storage_change, with the record open. */
typedef enum cml_status (*cml_vault_change)(void *ctx, struct cml_vault *vault,
					    bool *changed);

/*
 * @change sees the vault as it is, alone, and what it changes is kept as a
 * whole or not at all. CML_STORAGE*, CML_NO_MEMORY, or what @change says.
 */
enum cml_status cml_vault_update(struct cml_session *session,
				 cml_vault_change change, void *ctx);
/*
 * The key for a model with this header: the session's, or else one that the
 * device keeps, or else that of a model in the vault, and then @expected is
 * present. CML_MODEL_ROLLBACK, CML_MODEL_OTHER_FILE, CML_KEY_MISSING,
 * CML_STREAM_WRONG_KEY. The caller wipes @key.
 */
enum cml_status cml_vault_choose_key(struct cml_session *session,
				     const struct cml_header *header,
				     struct cml_session_key *key,
				     struct cml_vault_expected *expected);

#endif /* CML_VAULT_STORE_H */
