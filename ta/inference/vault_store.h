// SPDX-License-Identifier: Apache-2.0
/*
 * The vault's record in secure storage, sealed under a key that only this code
 * has: another build of the TA has another record, and cannot open this one.
 */
#ifndef CML_VAULT_STORE_H
#define CML_VAULT_STORE_H

#include "session_key.h"
#include "vault.h"

struct cml_session;

/* What a session needs to know to find and open the record; once asked for. */
struct cml_vault_access {
	bool ready;
	uint8_t key[CML_AES256_KEY_SIZE];
	uint8_t id[8];			/* of the code */
	char record_name[sizeof("cml-vault-v1.") + 16];
};

/* What a file that is opened with a key of the vault has to be. */
struct cml_vault_expected {
	bool present;			/* it is */
	uint8_t source[CML_MODEL_SOURCE_SIZE];
	uint8_t digest[CML_SHA256_SIZE];
};

/*
 * A key that was chosen for MODEL_USE, for the MODEL_BEGIN that follows when no
 * session has the model. Secure storage takes as long as much of the loading
 * does. That the vault may have changed in between gives nobody more than a
 * session that has loaded the model before, and keeps it.
 */
struct cml_vault_chosen {
	bool present;
	uint8_t header[CML_HEADER_SIZE];
	struct cml_session_key key;
	struct cml_vault_expected expected;
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
 * present. CML_MODEL_ROLLBACK, CML_MODEL_OTHER_FILE,
 * CML_KEY_MISSING, CML_STREAM_WRONG_KEY. The caller wipes @key. What is
 * session->chosen for this header is taken, and what is for another is dropped.
 */
enum cml_status cml_vault_choose_key(struct cml_session *session,
				     const struct cml_header *header,
				     struct cml_session_key *key,
				     struct cml_vault_expected *expected);

#endif /* CML_VAULT_STORE_H */
