// SPDX-License-Identifier: Apache-2.0
/*
 * HKDF-SHA256 (RFC 5869) on cml_crypto_hmac_sha256(). Input key material and
 * info come in pieces that are taken as one string, so that callers need no
 * buffer to join them in.
 */
#ifndef CML_HKDF_H
#define CML_HKDF_H

#include "crypto.h"

/* Pieces of one info. */
#define CML_HKDF_MAX_PIECES	8
#define CML_HKDF_MAX_OUT	(255 * CML_SHA256_SIZE)

enum cml_status cml_hkdf_extract(struct cml_bytes salt,
				 const struct cml_bytes *ikm, size_t ikm_count,
				 uint8_t prk[CML_SHA256_SIZE]);
/* CML_INTERNAL when there are too many pieces, or @out_len is over the max. */
enum cml_status cml_hkdf_expand(const uint8_t prk[CML_SHA256_SIZE],
				const struct cml_bytes *info,
				size_t info_count, uint8_t *out,
				size_t out_len);
/* Extract, then expand; both from one piece. */
enum cml_status cml_hkdf(struct cml_bytes ikm, struct cml_bytes salt,
			 struct cml_bytes info, uint8_t *out, size_t out_len);

#endif /* CML_HKDF_H */
