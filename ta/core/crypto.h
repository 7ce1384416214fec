// SPDX-License-Identifier: Apache-2.0
/*
 * The primitives that core needs and does not contain. The TA implements
 * them with the GlobalPlatform Internal Core API (ta/inference/crypto_gp.c),
 * the tests with OpenSSL (tests/core_host/crypto_openssl.c). An
 * implementation maps algorithms and errors and does nothing more.
 *
 * All return CML_OK, CML_NO_MEMORY or CML_CRYPTO unless said otherwise.
 */
#ifndef CML_CRYPTO_H
#define CML_CRYPTO_H

#include "bytes.h"
#include "status.h"

#define CML_SHA256_SIZE		32
#define CML_AES256_KEY_SIZE	32
#define CML_GCM_NONCE_SIZE	12
#define CML_GCM_TAG_SIZE	16
/* Uncompressed SEC 1 point: 0x04 || X || Y */
#define CML_P256_POINT_SIZE	65
#define CML_P256_SECRET_SIZE	32
#define CML_P256_SCALAR_SIZE	32
/* r || s (RFC 9053, 2.1) */
#define CML_P256_SIGNATURE_SIZE	64
#define CML_AES_BLOCK_SIZE	16

/* HMAC-SHA256 over the concatenation of @count pieces; key.len at most 64. */
enum cml_status cml_crypto_hmac_sha256(struct cml_bytes key,
				       const struct cml_bytes *pieces,
				       size_t count,
				       uint8_t mac[CML_SHA256_SIZE]);

/* Running SHA-256. Freed by cml_crypto_sha256_free(), NULL allowed. */
struct cml_sha256;

enum cml_status cml_crypto_sha256_new(struct cml_sha256 **sha);
enum cml_status cml_crypto_sha256_update(struct cml_sha256 *sha,
					 struct cml_bytes data);
enum cml_status cml_crypto_sha256_final(struct cml_sha256 *sha,
					uint8_t digest[CML_SHA256_SIZE]);
void cml_crypto_sha256_free(struct cml_sha256 *sha);

/* AES-256-GCM under one key. Freed by cml_crypto_gcm_free(), NULL allowed. */
struct cml_gcm;

enum cml_status cml_crypto_gcm_new(const uint8_t key[CML_AES256_KEY_SIZE],
				   struct cml_gcm **gcm);
/*
 * @sealed is ciphertext || tag, @out has room for sealed.len - 16 bytes and
 * may be sealed.ptr. CML_CRYPTO when the tag is wrong: @out then holds
 * nothing of the plaintext (it may have been overwritten).
 */
enum cml_status cml_crypto_gcm_open(struct cml_gcm *gcm,
				    const uint8_t nonce[CML_GCM_NONCE_SIZE],
				    struct cml_bytes aad,
				    struct cml_bytes sealed, uint8_t *out);
/*
 * @out has room for plain.len + 16 bytes and gets ciphertext || tag. It may be
 * plain.ptr.
 */
enum cml_status cml_crypto_gcm_seal(struct cml_gcm *gcm,
				    const uint8_t nonce[CML_GCM_NONCE_SIZE],
				    struct cml_bytes aad,
				    struct cml_bytes plain, uint8_t *out);
void cml_crypto_gcm_free(struct cml_gcm *gcm);

/* AES-256, block by block. Freed by cml_crypto_aes256_free(), NULL allowed. */
struct cml_aes256;

enum cml_status cml_crypto_aes256_new(const uint8_t key[CML_AES256_KEY_SIZE],
				      struct cml_aes256 **aes);
/* @out may be @in. */
enum cml_status cml_crypto_aes256_decrypt(struct cml_aes256 *aes,
					  const uint8_t in[CML_AES_BLOCK_SIZE],
					  uint8_t out[CML_AES_BLOCK_SIZE]);
void cml_crypto_aes256_free(struct cml_aes256 *aes);

/*
 * A private key of P-256, which the implementation holds and lets do one
 * thing only.
 */
struct cml_p256_key;

enum cml_p256_use {
	CML_P256_DERIVE,	/* ECDH */
	CML_P256_SIGN,		/* ECDSA */
};

/*
 * CML_CRYPTO when cml_p256_is_scalar() (p256.h) would not have it.
 * Freed by cml_crypto_p256_free(), NULL allowed.
 */
enum cml_status cml_crypto_p256_new(const uint8_t scalar[CML_P256_SCALAR_SIZE],
				    enum cml_p256_use use,
				    struct cml_p256_key **key);
void cml_crypto_p256_free(struct cml_p256_key *key);
enum cml_status cml_crypto_p256_public(struct cml_p256_key *key,
				       uint8_t point[CML_P256_POINT_SIZE]);
/*
 * @secret gets the X coordinate. The caller has made sure that @peer is a
 * point of the curve (p256.h): implementations do not look.
 */
enum cml_status cml_crypto_p256_ecdh(struct cml_p256_key *key,
				     const uint8_t peer[CML_P256_POINT_SIZE],
				     uint8_t secret[CML_P256_SECRET_SIZE]);
enum cml_status cml_crypto_p256_sign(struct cml_p256_key *key,
				     const uint8_t digest[CML_SHA256_SIZE],
				     uint8_t sig[CML_P256_SIGNATURE_SIZE]);

enum cml_status cml_crypto_random(uint8_t *out, size_t len);

/* True when equal; time does not depend on the content. */
bool cml_crypto_equal(const void *a, const void *b, size_t len);

#endif /* CML_CRYPTO_H */
