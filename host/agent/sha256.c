// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "sha256.h"

/* FIPS 180-4, 4.2.2 */
static const uint32_t round_constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotated(uint32_t x, unsigned int bits)
{
	return x >> bits | x << (32 - bits);
}

static uint32_t load_be(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
	       (uint32_t)bytes[2] << 8 | bytes[3];
}

static void store_be(uint8_t *bytes, uint32_t value)
{
	for (size_t i = 0; i < 4; i++)
		bytes[i] = value >> (24 - 8 * i);
}

static void compress(uint32_t state[8], const uint8_t *block)
{
	uint32_t w[64] = { 0 };
	uint32_t v[8] = { 0 };	/* a to h of the standard */
	uint32_t t1 = 0, t2 = 0;

	for (size_t t = 0; t < 16; t++)
		w[t] = load_be(block + 4 * t);
	for (size_t t = 16; t < 64; t++)
		w[t] = (rotated(w[t - 2], 17) ^ rotated(w[t - 2], 19) ^
			w[t - 2] >> 10) + w[t - 7] +
		       (rotated(w[t - 15], 7) ^ rotated(w[t - 15], 18) ^
			w[t - 15] >> 3) + w[t - 16];
	memcpy(v, state, sizeof(v));
	for (size_t t = 0; t < 64; t++) {
		t1 = v[7] + (rotated(v[4], 6) ^ rotated(v[4], 11) ^
			     rotated(v[4], 25)) +
		     ((v[4] & v[5]) ^ (~v[4] & v[6])) + round_constants[t] +
		     w[t];
		t2 = (rotated(v[0], 2) ^ rotated(v[0], 13) ^
		      rotated(v[0], 22)) +
		     ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
		memmove(v + 1, v, 7 * sizeof(v[0]));
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (size_t i = 0; i < 8; i++)
		state[i] += v[i];
}

void sha256_init(struct sha256 *hash)
{
	/* FIPS 180-4, 5.3.3 */
	*hash = (struct sha256){
		.state = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
			   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 },
	};
}

void sha256_update(struct sha256 *hash, const void *data, size_t len)
{
	const uint8_t *bytes = data;
	size_t used = hash->len % SHA256_BLOCK_SIZE;
	size_t part = 0;

	hash->len += len;
	while (len) {
		part = SHA256_BLOCK_SIZE - used;
		if (part > len)
			part = len;
		memcpy(hash->block + used, bytes, part);
		used += part;
		bytes += part;
		len -= part;
		if (used == SHA256_BLOCK_SIZE) {
			compress(hash->state, hash->block);
			used = 0;
		}
	}
}

void sha256_final(struct sha256 *hash, uint8_t digest[SHA256_SIZE])
{
	const uint64_t bits = hash->len * 8;
	uint8_t end[SHA256_BLOCK_SIZE + 8] = { 0x80 };
	size_t zeros = (2 * SHA256_BLOCK_SIZE - 9 -
			hash->len % SHA256_BLOCK_SIZE) % SHA256_BLOCK_SIZE;

	store_be(end + 1 + zeros, bits >> 32);
	store_be(end + 1 + zeros + 4, bits);
	sha256_update(hash, end, 1 + zeros + 8);
	for (size_t i = 0; i < 8; i++)
		store_be(digest + 4 * i, hash->state[i]);
}

void hmac_sha256(const uint8_t *key, size_t key_len, const void *data,
		 size_t len, uint8_t mac[SHA256_SIZE])
{
	uint8_t pad[SHA256_BLOCK_SIZE] = { 0 };
	uint8_t inner[SHA256_SIZE] = { 0 };
	struct sha256 hash = { 0 };

	memcpy(pad, key, key_len);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36;
	sha256_init(&hash);
	sha256_update(&hash, pad, sizeof(pad));
	sha256_update(&hash, data, len);
	sha256_final(&hash, inner);

	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	sha256_init(&hash);
	sha256_update(&hash, pad, sizeof(pad));
	sha256_update(&hash, inner, sizeof(inner));
	sha256_final(&hash, mac);
}
