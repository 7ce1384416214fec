// SPDX-License-Identifier: Apache-2.0
/* The arm64 driver runs no cryptography: OpenSSL is there for x86 only. */
#include <stdlib.h>

#include "crypto.h"
#include "driver.h"

const struct driver_command driver_crypto_commands[] = { { NULL, NULL } };
const struct driver_command driver_cose_commands[] = { { NULL, NULL } };
const struct driver_command driver_sealer_commands[] = { { NULL, NULL } };

enum cml_status cml_crypto_hmac_sha256(struct cml_bytes key,
				       const struct cml_bytes *pieces,
				       size_t count,
				       uint8_t mac[CML_SHA256_SIZE])
{
	abort();
}

enum cml_status cml_crypto_sha256_new(struct cml_sha256 **sha)
{
	abort();
}

enum cml_status cml_crypto_sha256_update(struct cml_sha256 *sha,
					 struct cml_bytes data)
{
	abort();
}

enum cml_status cml_crypto_sha256_final(struct cml_sha256 *sha,
					uint8_t digest[CML_SHA256_SIZE])
{
	abort();
}

void cml_crypto_sha256_free(struct cml_sha256 *sha)
{
}

enum cml_status cml_crypto_gcm_new(const uint8_t key[CML_AES256_KEY_SIZE],
				   struct cml_gcm **gcm)
{
	abort();
}

enum cml_status cml_crypto_gcm_open(struct cml_gcm *gcm,
				    const uint8_t nonce[CML_GCM_NONCE_SIZE],
				    struct cml_bytes aad,
				    struct cml_bytes sealed, uint8_t *out)
{
	abort();
}

enum cml_status cml_crypto_gcm_seal(struct cml_gcm *gcm,
				    const uint8_t nonce[CML_GCM_NONCE_SIZE],
				    struct cml_bytes aad,
				    struct cml_bytes plain, uint8_t *out)
{
	abort();
}

void cml_crypto_gcm_free(struct cml_gcm *gcm)
{
}

enum cml_status cml_crypto_aes256_new(const uint8_t key[CML_AES256_KEY_SIZE],
				      struct cml_aes256 **aes)
{
	abort();
}

enum cml_status cml_crypto_aes256_decrypt(struct cml_aes256 *aes,
					  const uint8_t in[CML_AES_BLOCK_SIZE],
					  uint8_t out[CML_AES_BLOCK_SIZE])
{
	abort();
}

void cml_crypto_aes256_free(struct cml_aes256 *aes)
{
}

enum cml_status cml_crypto_p256_new(const uint8_t scalar[CML_P256_SCALAR_SIZE],
				    enum cml_p256_use use,
				    struct cml_p256_key **key)
{
	abort();
}

void cml_crypto_p256_free(struct cml_p256_key *key)
{
}

enum cml_status cml_crypto_p256_sign(struct cml_p256_key *key,
				     const uint8_t digest[CML_SHA256_SIZE],
				     uint8_t sig[CML_P256_SIGNATURE_SIZE])
{
	abort();
}

enum cml_status cml_crypto_p256_ecdh(struct cml_p256_key *key,
				     const uint8_t peer[CML_P256_POINT_SIZE],
				     uint8_t secret[CML_P256_SECRET_SIZE])
{
	abort();
}

enum cml_status cml_crypto_p256_public(struct cml_p256_key *key,
				       uint8_t point[CML_P256_POINT_SIZE])
{
	abort();
}

enum cml_status cml_crypto_random(uint8_t *out, size_t len)
{
	abort();
}

bool cml_crypto_equal(const void *a, const void *b, size_t len)
{
	abort();
}
