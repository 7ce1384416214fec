// SPDX-License-Identifier: Apache-2.0
/* HKDF-SHA256 (RFC 5869) on cml_crypto_hmac_sha256(). */
#ifndef CML_HKDF_H
#define CML_HKDF_H

#include "crypto.h"

enum cml_status cml_hkdf_extract(struct cml_bytes salt, struct cml_bytes ikm,
				 uint8_t prk[CML_SHA256_SIZE]);
/* @out_len at most 255 * 32. */
enum cml_status cml_hkdf_expand(const uint8_t prk[CML_SHA256_SIZE],
				struct cml_bytes info, uint8_t *out,
				size_t out_len);
enum cml_status cml_hkdf(struct cml_bytes ikm, struct cml_bytes salt,
			 struct cml_bytes info, uint8_t *out, size_t out_len);

#endif /* CML_HKDF_H */
