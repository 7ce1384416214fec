// SPDX-License-Identifier: Apache-2.0
/*
 * COSE_Encrypt (RFC 9052, 5.1) for one recipient, whose key is of P-256:
 * ECDH-ES + A256KW (RFC 9053, 6.4), content A256GCM. Opening only. Owners wrap
 * their keys to the TA with it: docs/wire-formats.md, "Key message".
 */
#ifndef CML_COSE_ENCRYPT_H
#define CML_COSE_ENCRYPT_H

#include "cose_key.h"
#include "crypto.h"

struct cml_cose_recipient {
	struct cml_p256_key *key;
	uint8_t kid[CML_THUMBPRINT_SIZE];
};

/*
 * external_aad: at most CML_COSE_MAX_AAD (cose_encrypt0.h).
 * @len: in, room in @plain; out, used. CML_COSE_MALFORMED, CML_COSE_HEADER,
 * CML_COSE_ALGORITHM, CML_COSE_KEY (the ephemeral one), CML_COSE_RECIPIENT
 * (another kid), CML_COSE_LIMIT (no room), CML_COSE_UNWRAP, CML_COSE_OPEN.
 */
enum cml_status cml_cose_encrypt_open(const struct cml_cose_recipient *to,
				      struct cml_bytes external_aad,
				      struct cml_bytes message, uint8_t *plain,
				      size_t *len);

#endif /* CML_COSE_ENCRYPT_H */
