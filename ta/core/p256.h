// SPDX-License-Identifier: Apache-2.0
/*
 * Points of P-256, as far as nothing secret is computed with.
 *
 * Is this a point? ECDH with what is none gives the private key away bit by
 * bit (invalid-curve attack). OP-TEE's ECDH multiplies whatever coordinates it
 * is given, so whoever hands it a peer's point checks first.
 */
#ifndef CML_P256_H
#define CML_P256_H

#include "crypto.h"

/*
 * SEC 1, 3.2.2.1, for an uncompressed point: first byte 0x04, coordinates
 * below the prime, on the curve. The group's order is prime, so every such
 * point has it. @point is public: time depends on it.
 */
bool cml_p256_is_point(const uint8_t point[CML_P256_POINT_SIZE]);

/* G, FIPS 186-4, D.1.2.3 */
extern const uint8_t cml_p256_base[CML_P256_POINT_SIZE];

/*
 * The point Q whose x is @x, with x(Q + G) = @x_plus_base: two ECDHs with G,
 * by d and by d + 1, tell the public key of d where an API has ECDH and no
 * multiplication. The second settles which of the two points with this x it
 * is. False when there is no such point. Time depends on the coordinates.
 */
bool cml_p256_point_from_x(const uint8_t x[CML_P256_SECRET_SIZE],
			   const uint8_t x_plus_base[CML_P256_SECRET_SIZE],
			   uint8_t point[CML_P256_POINT_SIZE]);

/*
 * 0 < @scalar < n - 1, in constant time. n - 1 is a scalar too; it is left out
 * (as likely as a guess of the key) so that the next number is one as well.
 */
bool cml_p256_is_scalar(const uint8_t scalar[CML_P256_SCALAR_SIZE]);

#endif /* CML_P256_H */
