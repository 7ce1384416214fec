// SPDX-License-Identifier: Apache-2.0
/*
 * COSE_Sign1 (RFC 9052, 4.2) with ES256, made in one buffer. The payload may
 * already stand where it comes to stand.
 */
#ifndef CML_COSE_SIGN1_H
#define CML_COSE_SIGN1_H

#include "cose_key.h"
#include "crypto.h"

struct cml_cose_signer {
	struct cml_p256_key *key;
	uint8_t kid[CML_THUMBPRINT_SIZE];
	/* x5chain (RFC 9360): one certificate for this key, DER; or empty */
	struct cml_bytes certificate;
};

/* What stands before a payload of @len bytes, and how long it all becomes. */
size_t cml_cose_sign1_offset(const struct cml_cose_signer *signer, size_t len);
size_t cml_cose_sign1_size(const struct cml_cose_signer *signer, size_t len);

/*
 * @payload is out + cml_cose_sign1_offset(), or does not overlap @out.
 * @len: in, room; out, used. CML_INTERNAL when it does not fit.
 */
enum cml_status cml_cose_sign1(const struct cml_cose_signer *signer,
			       struct cml_bytes external_aad,
			       struct cml_bytes payload, uint8_t *out,
			       size_t *len);

#endif /* CML_COSE_SIGN1_H */
