// SPDX-License-Identifier: Apache-2.0
/*
 * Is this a point of P-256? ECDH with what is none gives the private key
 * away bit by bit (invalid-curve attack). OP-TEE's ECDH multiplies whatever
 * coordinates it is given, so whoever hands it a peer's point checks first.
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

#endif /* CML_P256_H */
