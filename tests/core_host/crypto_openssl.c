// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "crypto_openssl.h"
#include "p256.h"

/* Test process only. */
static int64_t fail_countdown = -1;
static enum cml_status fail_status = CML_CRYPTO;

void openssl_fail_call(int64_t n, enum cml_status status)
{
	fail_countdown = n;
	fail_status = status;
}

static enum cml_status injected(void)
{
	if (fail_countdown < 0)
		return CML_OK;

	return fail_countdown-- ? CML_OK : fail_status;
}

enum cml_status cml_crypto_hmac_sha256(struct cml_bytes key,
				       const struct cml_bytes *pieces,
				       size_t count,
				       uint8_t mac[CML_SHA256_SIZE])
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string("digest", digest, sizeof(digest) - 1),
		OSSL_PARAM_END,
	};
	enum cml_status status = injected();
	EVP_MAC_CTX *ctx = NULL;
	EVP_MAC *hmac = NULL;
	size_t len = 0;
	int good = 0;

	if (status)
		return status;

	hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	ctx = EVP_MAC_CTX_new(hmac);
	good = EVP_MAC_init(ctx, key.len ? key.ptr : (const uint8_t *)"",
			    key.len, params);
	for (size_t i = 0; good && i < count; i++)
		good = EVP_MAC_update(ctx, pieces[i].ptr, pieces[i].len);
	if (good)
		good = EVP_MAC_final(ctx, mac, &len, CML_SHA256_SIZE);
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(hmac);

	return good && len == CML_SHA256_SIZE ? CML_OK : CML_CRYPTO;
}

struct cml_sha256 {
	EVP_MD_CTX *ctx;
};

enum cml_status cml_crypto_sha256_new(struct cml_sha256 **sha)
{
	enum cml_status status = injected();

	if (status)
		return status;
	*sha = calloc(1, sizeof(**sha));
	if (!*sha)
		return CML_NO_MEMORY;
	(*sha)->ctx = EVP_MD_CTX_new();

	return EVP_DigestInit_ex((*sha)->ctx, EVP_sha256(), NULL) ?
	       CML_OK : CML_CRYPTO;
}

enum cml_status cml_crypto_sha256_update(struct cml_sha256 *sha,
					 struct cml_bytes data)
{
	enum cml_status status = injected();

	if (status)
		return status;

	return EVP_DigestUpdate(sha->ctx, data.ptr, data.len) ? CML_OK :
								CML_CRYPTO;
}

enum cml_status cml_crypto_sha256_final(struct cml_sha256 *sha,
					uint8_t digest[CML_SHA256_SIZE])
{
	enum cml_status status = injected();

	if (status)
		return status;

	return EVP_DigestFinal_ex(sha->ctx, digest, NULL) ? CML_OK :
							    CML_CRYPTO;
}

void cml_crypto_sha256_free(struct cml_sha256 *sha)
{
	if (!sha)
		return;
	EVP_MD_CTX_free(sha->ctx);
	free(sha);
}

struct cml_gcm {
	uint8_t key[CML_AES256_KEY_SIZE];
};

enum cml_status cml_crypto_gcm_new(const uint8_t key[CML_AES256_KEY_SIZE],
				   struct cml_gcm **gcm)
{
	enum cml_status status = injected();

	if (status)
		return status;
	*gcm = calloc(1, sizeof(**gcm));
	if (!*gcm)
		return CML_NO_MEMORY;
	memcpy((*gcm)->key, key, sizeof((*gcm)->key));

	return CML_OK;
}

void cml_crypto_gcm_free(struct cml_gcm *gcm)
{
	if (gcm)
		OPENSSL_cleanse(gcm, sizeof(*gcm));
	free(gcm);
}

enum cml_status cml_crypto_gcm_open(struct cml_gcm *gcm,
				    const uint8_t nonce[CML_GCM_NONCE_SIZE],
				    struct cml_bytes aad,
				    struct cml_bytes sealed, uint8_t *out)
{
	enum cml_status status = injected();
	uint8_t tag[CML_GCM_TAG_SIZE] = { 0 };
	EVP_CIPHER_CTX *ctx = NULL;
	size_t len = 0;
	int done = 0;
	int good = 0;

	if (status)
		return status;
	if (sealed.len < CML_GCM_TAG_SIZE)
		return CML_CRYPTO;
	len = sealed.len - CML_GCM_TAG_SIZE;
	memcpy(tag, sealed.ptr + len, sizeof(tag));

	ctx = EVP_CIPHER_CTX_new();
	good = EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, gcm->key,
				  nonce);
	if (good && aad.len)
		good = EVP_DecryptUpdate(ctx, NULL, &done, aad.ptr, aad.len);
	if (good && len)
		good = EVP_DecryptUpdate(ctx, out, &done, sealed.ptr, len);
	if (good)
		good = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG,
					   sizeof(tag), tag);
	if (good)
		good = EVP_DecryptFinal_ex(ctx, tag, &done) > 0;
	EVP_CIPHER_CTX_free(ctx);
	if (!good && len)
		memset(out, 0xee, len);

	return good ? CML_OK : CML_CRYPTO;
}

enum cml_status cml_crypto_gcm_seal(struct cml_gcm *gcm,
				    const uint8_t nonce[CML_GCM_NONCE_SIZE],
				    struct cml_bytes aad,
				    struct cml_bytes plain, uint8_t *out)
{
	enum cml_status status = injected();
	EVP_CIPHER_CTX *ctx = NULL;
	uint8_t none[16] = { 0 };
	int done = 0;
	int good = 0;

	if (status)
		return status;
	ctx = EVP_CIPHER_CTX_new();
	good = EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, gcm->key,
				  nonce);
	if (good && aad.len)
		good = EVP_EncryptUpdate(ctx, NULL, &done, aad.ptr, aad.len);
	if (good && plain.len)
		good = EVP_EncryptUpdate(ctx, out, &done, plain.ptr,
					 plain.len);
	if (good)
		good = EVP_EncryptFinal_ex(ctx, none, &done);
	if (good)
		good = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG,
					   CML_GCM_TAG_SIZE, out + plain.len);
	EVP_CIPHER_CTX_free(ctx);

	return good ? CML_OK : CML_CRYPTO;
}

struct cml_aes256 {
	uint8_t key[CML_AES256_KEY_SIZE];
};

enum cml_status cml_crypto_aes256_new(const uint8_t key[CML_AES256_KEY_SIZE],
				      struct cml_aes256 **aes)
{
	enum cml_status status = injected();

	if (status)
		return status;
	*aes = calloc(1, sizeof(**aes));
	if (!*aes)
		return CML_NO_MEMORY;
	memcpy((*aes)->key, key, sizeof((*aes)->key));

	return CML_OK;
}

enum cml_status cml_crypto_aes256_decrypt(struct cml_aes256 *aes,
					  const uint8_t in[CML_AES_BLOCK_SIZE],
					  uint8_t out[CML_AES_BLOCK_SIZE])
{
	enum cml_status status = injected();
	EVP_CIPHER_CTX *ctx = NULL;
	int len = 0;
	int good = 0;

	if (status)
		return status;
	ctx = EVP_CIPHER_CTX_new();
	good = EVP_DecryptInit_ex(ctx, EVP_aes_256_ecb(), NULL, aes->key,
				  NULL) &&
	       EVP_CIPHER_CTX_set_padding(ctx, 0) &&
	       EVP_DecryptUpdate(ctx, out, &len, in, CML_AES_BLOCK_SIZE) &&
	       len == CML_AES_BLOCK_SIZE;
	EVP_CIPHER_CTX_free(ctx);

	return good ? CML_OK : CML_CRYPTO;
}

void cml_crypto_aes256_free(struct cml_aes256 *aes)
{
	if (aes)
		OPENSSL_cleanse(aes, sizeof(*aes));
	free(aes);
}

struct cml_p256_key {
	EC_GROUP *group;
	BIGNUM *scalar;
	enum cml_p256_use use;
};

enum cml_status openssl_p256_new(const uint8_t scalar[P256_SCALAR_SIZE],
				 struct cml_p256_key **key)
{
	struct cml_p256_key *made = calloc(1, sizeof(*made));

	if (!made)
		return CML_NO_MEMORY;
	made->group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	made->scalar = BN_bin2bn(scalar, P256_SCALAR_SIZE, NULL);
	made->use = CML_P256_DERIVE;
	if (BN_is_zero(made->scalar) ||
	    BN_cmp(made->scalar, EC_GROUP_get0_order(made->group)) >= 0) {
		openssl_p256_free(made);
		return CML_CRYPTO;
	}
	*key = made;

	return CML_OK;
}

void openssl_p256_free(struct cml_p256_key *key)
{
	if (!key)
		return;
	BN_clear_free(key->scalar);
	EC_GROUP_free(key->group);
	free(key);
}

enum cml_status cml_crypto_p256_new(const uint8_t scalar[CML_P256_SCALAR_SIZE],
				    enum cml_p256_use use,
				    struct cml_p256_key **key)
{
	enum cml_status status = injected();

	if (!status && !cml_p256_is_scalar(scalar))
		status = CML_CRYPTO;
	if (!status)
		status = openssl_p256_new(scalar, key);
	if (!status)
		(*key)->use = use;

	return status;
}

void cml_crypto_p256_free(struct cml_p256_key *key)
{
	openssl_p256_free(key);
}

/* OpenSSL's key of @key; NULL when that fails. */
static EVP_PKEY *private_key(const struct cml_p256_key *key)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY *made = NULL;

	if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME,
					    "P-256", 0) &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY,
				   key->scalar))
		params = OSSL_PARAM_BLD_to_param(build);
	if (!params || EVP_PKEY_fromdata_init(ctx) <= 0 ||
	    EVP_PKEY_fromdata(ctx, &made, EVP_PKEY_KEYPAIR, params) <= 0)
		made = NULL;
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(ctx);

	return made;
}

/* r || s of what OpenSSL gives as DER */
static bool raw_signature(const uint8_t *der, size_t len,
			  uint8_t sig[CML_P256_SIGNATURE_SIZE])
{
	ECDSA_SIG *parsed = d2i_ECDSA_SIG(NULL, &der, len);
	bool good = parsed &&
		    BN_bn2binpad(ECDSA_SIG_get0_r(parsed), sig,
				 CML_P256_SCALAR_SIZE) ==
		    CML_P256_SCALAR_SIZE &&
		    BN_bn2binpad(ECDSA_SIG_get0_s(parsed),
				 sig + CML_P256_SCALAR_SIZE,
				 CML_P256_SCALAR_SIZE) ==
		    CML_P256_SCALAR_SIZE;

	ECDSA_SIG_free(parsed);

	return good;
}

enum cml_status cml_crypto_p256_sign(struct cml_p256_key *key,
				     const uint8_t digest[CML_SHA256_SIZE],
				     uint8_t sig[CML_P256_SIGNATURE_SIZE])
{
	enum cml_status status = injected();
	EVP_PKEY_CTX *ctx = NULL;
	EVP_PKEY *private = NULL;
	uint8_t der[80] = { 0 };
	size_t len = sizeof(der);
	bool good = false;

	if (status)
		return status;
	/* In the TA such a call would panic. */
	if (key->use != CML_P256_SIGN)
		abort();
	private = private_key(key);
	ctx = EVP_PKEY_CTX_new(private, NULL);
	good = private && ctx && EVP_PKEY_sign_init(ctx) > 0 &&
	       EVP_PKEY_sign(ctx, der, &len, digest, CML_SHA256_SIZE) > 0 &&
	       raw_signature(der, len, sig);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(private);

	return good ? CML_OK : CML_CRYPTO;
}

enum cml_status cml_crypto_p256_ecdh(struct cml_p256_key *key,
				     const uint8_t peer[CML_P256_POINT_SIZE],
				     uint8_t secret[CML_P256_SECRET_SIZE])
{
	enum cml_status status = injected();
	EC_POINT *point = NULL;
	BIGNUM *x = NULL;
	int good = 0;

	if (status)
		return status;
	if (key->use != CML_P256_DERIVE)
		abort();
	point = EC_POINT_new(key->group);
	x = BN_new();
	/* OpenSSL would notice what is no point: nothing must rely on it. */
	if (!EC_POINT_oct2point(key->group, point, peer, CML_P256_POINT_SIZE,
				NULL))
		abort();
	good = EC_POINT_mul(key->group, point, NULL, point, key->scalar,
			    NULL) &&
	       EC_POINT_get_affine_coordinates(key->group, point, x, NULL,
					       NULL) &&
	       BN_bn2binpad(x, secret, CML_P256_SECRET_SIZE) ==
	       CML_P256_SECRET_SIZE;
	if (!good)
		status = CML_CRYPTO;
	BN_clear_free(x);
	EC_POINT_clear_free(point);

	return status;
}

enum cml_status cml_crypto_p256_public(struct cml_p256_key *key,
				       uint8_t point[CML_P256_POINT_SIZE])
{
	enum cml_status status = injected();
	EC_POINT *made = NULL;
	size_t len = 0;

	if (status)
		return status;
	made = EC_POINT_new(key->group);
	if (EC_POINT_mul(key->group, made, key->scalar, NULL, NULL, NULL))
		len = EC_POINT_point2oct(key->group, made,
					 POINT_CONVERSION_UNCOMPRESSED, point,
					 CML_P256_POINT_SIZE, NULL);
	EC_POINT_free(made);

	return len == CML_P256_POINT_SIZE ? CML_OK : CML_CRYPTO;
}

enum cml_status cml_crypto_random(uint8_t *out, size_t len)
{
	enum cml_status status = injected();

	if (status)
		return status;

	return RAND_bytes(out, len) == 1 ? CML_OK : CML_CRYPTO;
}

bool cml_crypto_equal(const void *a, const void *b, size_t len)
{
	return !CRYPTO_memcmp(a, b, len);
}
