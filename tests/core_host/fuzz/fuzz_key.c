// SPDX-License-Identifier: Apache-2.0
/*
 * Wrapped keys, to the P-256 key whose scalar is 1, 2, ... 32 as bytes. Only
 * the seed opens, in its slot, to the key it was made with; what
 * cml_p256_is_point() takes for a point is what OpenSSL does.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/obj_mac.h>

#include "crypto_openssl.h"
#include "hpke.h"
#include "p256.h"

static bool openssl_is_point(const uint8_t encoded[CML_P256_POINT_SIZE])
{
	EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	EC_POINT *point = EC_POINT_new(group);
	/* OpenSSL takes the hybrid form too. */
	bool is_point = encoded[0] == 0x04 &&
			EC_POINT_oct2point(group, point, encoded,
					   CML_P256_POINT_SIZE, NULL);

	EC_POINT_free(point);
	EC_GROUP_free(group);

	return is_point;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t scalar[P256_SCALAR_SIZE] = { 0 };
	uint8_t expected[CML_AES256_KEY_SIZE] = { 0 };
	uint8_t key[CML_AES256_KEY_SIZE] = { 0 };
	struct cml_p256_key *recipient = NULL;

	for (size_t i = 0; i < sizeof(scalar); i++) {
		scalar[i] = i + 1;
		expected[i] = 0xa0 + i;
	}
	if (size >= CML_P256_POINT_SIZE &&
	    cml_p256_is_point(data) != openssl_is_point(data))
		abort();
	if (openssl_p256_new(scalar, &recipient))
		abort();
	if (!cml_key_unwrap(recipient, CML_KEY_SLOT_DATA,
			    cml_bytes(data, size), key) &&
	    memcmp(key, expected, sizeof(key)))
		abort();
	if (!cml_key_unwrap(recipient, CML_KEY_SLOT_MODEL,
			    cml_bytes(data, size), key))
		abort();
	openssl_p256_free(recipient);

	return 0;
}
