// SPDX-License-Identifier: Apache-2.0
/*
 * The TA's own P-256 key pair, to which owners wrap their keys. Made on first
 * use, kept in secure storage, the same for all instances.
 */
#ifndef CML_IDENTITY_H
#define CML_IDENTITY_H

#include <tee_internal_api.h>

#include "crypto.h"

struct cml_p256_key {
	TEE_ObjectHandle keypair;	/* transient copy */
};

/* CML_NO_MEMORY or CML_CRYPTO; @key is unchanged after a failure. */
enum cml_status cml_identity_load(struct cml_p256_key *key);
void cml_identity_free(struct cml_p256_key *key);	/* may be empty */

#endif /* CML_IDENTITY_H */
