// SPDX-License-Identifier: Apache-2.0
/*
 * Points of P-256, as OpenSSL sees them: 65 bytes are one or not, and one is
 * found again from its x and that of its sum with G. Any two x give a point,
 * if they give anything.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/obj_mac.h>

#include "p256.h"

static void encode(const EC_GROUP *group, const EC_POINT *point,
		   uint8_t encoded[CML_P256_POINT_SIZE])
{
	if (EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED,
			       encoded, CML_P256_POINT_SIZE, NULL) !=
	    CML_P256_POINT_SIZE)
		abort();
}

/* @encoded is @point. */
static void check_found(const EC_GROUP *group, const EC_POINT *point,
			const uint8_t encoded[CML_P256_POINT_SIZE])
{
	const EC_POINT *base = EC_GROUP_get0_generator(group);
	uint8_t found[CML_P256_POINT_SIZE] = { 0 };
	uint8_t sum[CML_P256_POINT_SIZE] = { 0 };
	EC_POINT *plus = EC_POINT_new(group);

	if (!EC_POINT_add(group, plus, point, base, NULL))
		abort();
	if (!EC_POINT_is_at_infinity(group, plus)) {
		encode(group, plus, sum);
		if (!cml_p256_point_from_x(encoded + 1, sum + 1, found) ||
		    memcmp(found, encoded, sizeof(found)))
			abort();
	}
	EC_POINT_free(plus);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	EC_POINT *point = EC_POINT_new(group);
	uint8_t found[CML_P256_POINT_SIZE] = { 0 };
	bool is_point = false;

	if (size < CML_P256_POINT_SIZE)
		goto out;
	/* OpenSSL takes the hybrid form too. */
	is_point = data[0] == 0x04 &&
		   EC_POINT_oct2point(group, point, data, CML_P256_POINT_SIZE,
				      NULL);
	if (cml_p256_is_point(data) != is_point)
		abort();
	if (is_point)
		check_found(group, point, data);
	if (cml_p256_point_from_x(data + 1, data + 1 + CML_P256_SECRET_SIZE,
				  found) &&
	    (!cml_p256_is_point(found) ||
	     memcmp(found + 1, data + 1, CML_P256_SECRET_SIZE)))
		abort();
out:
	EC_POINT_free(point);
	EC_GROUP_free(group);

	return 0;
}
