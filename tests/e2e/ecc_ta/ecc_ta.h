/* SPDX-License-Identifier: Apache-2.0 */
/* A TA that does elliptic curves as it is told: OP-TEE's core by the GP API. */
#ifndef ECC_TA_H
#define ECC_TA_H

/* 7b6a1c52-3f0e-4d19-9a84-6ce0f5b2d871 */
#define ECC_TA_UUID \
	{ 0x7b6a1c52, 0x3f0e, 0x4d19, \
	  { 0x9a, 0x84, 0x6c, 0xe0, 0xf5, 0xb2, 0xd8, 0x71 } }

/*
 * Each command has [in] value[0]: a is the curve (TEE_ECC_CURVE_*), b how often
 * it is done. Numbers are big endian and as long as the curve's field; a key
 * pair is d, x, y.
 */

/* [out] memref[1]: a new key pair; [in] value[2].a: type of the object */
#define ECC_TA_GENERATE		0
/* [in] memref[1]: key pair; [in] memref[2]: digest; [out] memref[3]: r, s */
#define ECC_TA_SIGN		1
/* [in] memref[1]: x, y; [in] memref[2]: digest; [in] memref[3]: r, s */
#define ECC_TA_VERIFY		2
/* [in] memref[1]: key pair; [in] memref[2]: peer's x, y; [out] memref[3] */
#define ECC_TA_DERIVE		3
/* P-256 by the libmbedtls of TAs: [in] memref[1]: d; [out] memref[2]: x, y */
#define ECC_TA_MBEDTLS_PUBLIC	4

#endif /* ECC_TA_H */
