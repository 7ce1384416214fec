// SPDX-License-Identifier: Apache-2.0
/*
 * COSE_Keys. One that is taken is a point of the curve, as OpenSSL sees it
 * too, and has the same parameters, whatever their order, when it is encoded
 * again.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/obj_mac.h>

#include "cose_key.h"

static bool openssl_is_point(const uint8_t encoded[CML_P256_POINT_SIZE])
{
	EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	EC_POINT *point = EC_POINT_new(group);
	bool is_point = EC_POINT_oct2point(group, point, encoded,
					   CML_P256_POINT_SIZE, NULL);

	EC_POINT_free(point);
	EC_GROUP_free(group);

	return is_point;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t point[CML_P256_POINT_SIZE] = { 0 };
	uint8_t again[CML_P256_POINT_SIZE] = { 0 };
	uint8_t encoded[CML_COSE_KEY_SIZE] = { 0 };

	if (cml_cose_key_parse(cml_bytes(data, size), point))
		return 0;
	cml_cose_key_encode(point, encoded);
	if (size != sizeof(encoded) || !openssl_is_point(point) ||
	    cml_cose_key_parse(cml_bytes(encoded, sizeof(encoded)), again) ||
	    memcmp(point, again, sizeof(point)))
		abort();

	return 0;
}
