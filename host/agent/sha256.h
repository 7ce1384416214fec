/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 (FIPS 180-4) and HMAC (RFC 2104) over it: small, and the only
 * cryptography that the agent needs.
 */
#ifndef SHA256_H
#define SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE		32
#define SHA256_BLOCK_SIZE	64

struct sha256 {
	uint32_t state[8];
	uint64_t len;
	uint8_t block[SHA256_BLOCK_SIZE];
};

void sha256_init(struct sha256 *hash);
void sha256_update(struct sha256 *hash, const void *data, size_t len);
void sha256_final(struct sha256 *hash, uint8_t digest[SHA256_SIZE]);

/* @key has at most SHA256_BLOCK_SIZE bytes. */
void hmac_sha256(const uint8_t *key, size_t key_len, const void *data,
		 size_t len, uint8_t mac[SHA256_SIZE]);

#endif /* SHA256_H */
