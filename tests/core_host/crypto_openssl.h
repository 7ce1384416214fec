// SPDX-License-Identifier: Apache-2.0
/* What the tests need of the OpenSSL side of crypto.h beyond crypto.h. */
#ifndef CML_CRYPTO_OPENSSL_H
#define CML_CRYPTO_OPENSSL_H

#include "crypto.h"

#define P256_SCALAR_SIZE CML_P256_SCALAR_SIZE

/* For ECDH. CML_CRYPTO when @scalar is 0 or not below the group order. */
enum cml_status openssl_p256_new(const uint8_t scalar[P256_SCALAR_SIZE],
				 struct cml_p256_key **key);
void openssl_p256_free(struct cml_p256_key *key);	/* NULL allowed */

/*
 * The n-th next call into crypto.h that can fail (from 0) fails with
 * @status; n = -1: none does.
 */
void openssl_fail_call(int64_t n, enum cml_status status);

#endif /* CML_CRYPTO_OPENSSL_H */
