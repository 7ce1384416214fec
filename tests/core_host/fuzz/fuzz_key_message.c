// SPDX-License-Identifier: Apache-2.0
/*
 * Key messages, to the P-256 key whose scalar is 1, 2, ... 32 as bytes, with
 * a challenge of zeros. Only the seed opens, or a message that says the same
 * with its unprotected headers in another order: to the key that the seed was
 * made with, in its slot.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto_openssl.h"
#include "key_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t scalar[CML_P256_SCALAR_SIZE] = { 0 };
	uint8_t expected[CML_AES256_KEY_SIZE] = { 0 };
	uint8_t key[CML_AES256_KEY_SIZE] = { 0 };
	uint8_t point[CML_P256_POINT_SIZE] = { 0 };
	uint8_t challenge[16] = { 0 };
	struct cml_cose_recipient to = { 0 };
	struct cml_bytes message = cml_bytes(data, size);
	struct cml_bytes nonce = cml_bytes(challenge, sizeof(challenge));

	for (size_t i = 0; i < sizeof(scalar); i++) {
		scalar[i] = i + 1;
		expected[i] = 0xa0 + i;
	}
	if (cml_crypto_p256_new(scalar, CML_P256_DERIVE, &to.key) ||
	    cml_crypto_p256_public(to.key, point) ||
	    cml_cose_key_thumbprint(point, to.kid))
		abort();
	if (!cml_key_message_open(&to, 1, nonce, message, key) &&
	    memcmp(key, expected, sizeof(key)))
		abort();
	if (!cml_key_message_open(&to, 2, nonce, message, key))
		abort();
	cml_crypto_p256_free(to.key);

	return 0;
}
