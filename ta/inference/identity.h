// SPDX-License-Identifier: Apache-2.0
/*
 * The TA's own key pairs. They are derived, not stored: from the device's root
 * key, from this very code, and from how often each has been rotated. All
 * sessions have the same.
 */
#ifndef CML_IDENTITY_H
#define CML_IDENTITY_H

#include "cose_key.h"
#include "keys.h"

enum cml_identity_key {
	CML_IDENTITY_WRAPPING = 1,	/* owners wrap their keys to it */
	CML_IDENTITY_SIGNING = 2,	/* it signs results */
};

struct cml_own_key {
	struct cml_p256_key *key;	/* NULL until first used */
	uint8_t point[CML_P256_POINT_SIZE];
	uint8_t kid[CML_THUMBPRINT_SIZE];
};

struct cml_identity {
	struct cml_own_key keys[2];
};

/* "wrapping" */
const char *cml_identity_label(enum cml_identity_key which);

/* The key pair, made if it is the first time. */
enum cml_status cml_identity_get(struct cml_identity *identity,
				 enum cml_identity_key which,
				 const struct cml_own_key **key);
/*
 * From now on another key pair has this name, here and in new sessions; what
 * was wrapped to the old one opens nowhere. CML_STORAGE*.
 */
enum cml_status cml_identity_rotate(struct cml_identity *identity,
				    enum cml_identity_key which,
				    uint64_t *generation);
void cml_identity_free(struct cml_identity *identity);

#endif /* CML_IDENTITY_H */
