// SPDX-License-Identifier: Apache-2.0
/*
 * core's crypto.h on the GlobalPlatform Internal Core API. That API panics the
 * TA on what it takes for a programmer's mistake, so lengths and states are
 * right before each call, whatever the other side sent.
 */
#include <string.h>
#include <string_ext.h>

#include <tee_internal_api.h>
#include <tee_internal_api_extensions.h>

#include "crypto.h"
#include "memory.h"
#include "p256.h"

/* OP-TEE takes HMAC keys of 24 to 128 bytes; a block of SHA-256 fits all. */
#define HMAC_KEY_SIZE	64
#define P256_BITS	256
#define COORDINATE_SIZE	32

struct cml_p256_key {
	TEE_ObjectHandle keypair;	/* transient */
};

static enum cml_status status_of(TEE_Result res)
{
	switch (res) {
	case TEE_SUCCESS:
		return CML_OK;
	case TEE_ERROR_OUT_OF_MEMORY:
		return CML_NO_MEMORY;
	default:
		return CML_CRYPTO;
	}
}

/* A transient object that holds one secret; @usage is all it can do. */
static TEE_Result secret_object(uint32_t type, const uint8_t *secret,
				size_t len, uint32_t usage,
				TEE_ObjectHandle *object)
{
	TEE_ObjectHandle made = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;
	TEE_Attribute value = { 0 };

	res = TEE_AllocateTransientObject(type, len * 8, &made);
	if (res)
		return res;
	TEE_InitRefAttribute(&value, TEE_ATTR_SECRET_VALUE, secret, len);
	res = TEE_PopulateTransientObject(made, &value, 1);
	if (!res)
		res = TEE_RestrictObjectUsage1(made, usage);
	if (res) {
		TEE_FreeTransientObject(made);
		return res;
	}
	*object = made;

	return TEE_SUCCESS;
}

/* An operation with its key set; the operation has its own copy. */
static TEE_Result keyed_operation(uint32_t algorithm, uint32_t mode,
				  uint32_t bits, TEE_ObjectHandle key,
				  TEE_OperationHandle *operation)
{
	TEE_OperationHandle made = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;

	res = TEE_AllocateOperation(&made, algorithm, mode, bits);
	if (res)
		return res;
	res = TEE_SetOperationKey(made, key);
	if (res) {
		TEE_FreeOperation(made);
		return res;
	}
	*operation = made;

	return TEE_SUCCESS;
}

enum cml_status cml_crypto_hmac_sha256(struct cml_bytes key,
				       const struct cml_bytes *pieces,
				       size_t count,
				       uint8_t mac[CML_SHA256_SIZE])
{
	/* HMAC pads a short key with zeros itself: no other result. */
	uint8_t padded[HMAC_KEY_SIZE] = { 0 };
	TEE_OperationHandle operation = TEE_HANDLE_NULL;
	TEE_ObjectHandle object = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;
	size_t len = CML_SHA256_SIZE;

	if (key.len > sizeof(padded))
		return CML_INTERNAL;
	if (key.len)
		memcpy(padded, key.ptr, key.len);

	res = secret_object(TEE_TYPE_HMAC_SHA256, padded, sizeof(padded),
			    TEE_USAGE_MAC, &object);
	if (!res)
		res = keyed_operation(TEE_ALG_HMAC_SHA256, TEE_MODE_MAC,
				      sizeof(padded) * 8, object, &operation);
	if (!res) {
		TEE_MACInit(operation, NULL, 0);
		for (size_t i = 0; i < count; i++)
			if (pieces[i].len)
				TEE_MACUpdate(operation, pieces[i].ptr,
					      pieces[i].len);
		res = TEE_MACComputeFinal(operation, NULL, 0, mac, &len);
	}

	TEE_FreeOperation(operation);
	TEE_FreeTransientObject(object);
	cml_wipe(padded, sizeof(padded));

	return status_of(res);
}

struct cml_sha256 {
	TEE_OperationHandle operation;
};

enum cml_status cml_crypto_sha256_new(struct cml_sha256 **sha)
{
	struct cml_sha256 *made = TEE_Malloc(sizeof(*made),
					     TEE_MALLOC_FILL_ZERO);
	TEE_Result res = TEE_ERROR_GENERIC;

	if (!made)
		return CML_NO_MEMORY;
	res = TEE_AllocateOperation(&made->operation, TEE_ALG_SHA256,
				    TEE_MODE_DIGEST, 0);
	if (res) {
		TEE_Free(made);
		return status_of(res);
	}
	*sha = made;

	return CML_OK;
}

enum cml_status cml_crypto_sha256_update(struct cml_sha256 *sha,
					 struct cml_bytes data)
{
	if (data.len)
		TEE_DigestUpdate(sha->operation, data.ptr, data.len);

	return CML_OK;
}

enum cml_status cml_crypto_sha256_final(struct cml_sha256 *sha,
					uint8_t digest[CML_SHA256_SIZE])
{
	size_t len = CML_SHA256_SIZE;

	return status_of(TEE_DigestDoFinal(sha->operation, NULL, 0, digest,
					   &len));
}

void cml_crypto_sha256_free(struct cml_sha256 *sha)
{
	if (!sha)
		return;
	TEE_FreeOperation(sha->operation);
	TEE_Free(sha);
}

/* A GlobalPlatform operation goes one way: each is made when first needed. */
struct cml_gcm {
	TEE_ObjectHandle key;
	TEE_OperationHandle open;
	TEE_OperationHandle seal;
};

enum cml_status cml_crypto_gcm_new(const uint8_t key[CML_AES256_KEY_SIZE],
				   struct cml_gcm **gcm)
{
	struct cml_gcm *made = TEE_Malloc(sizeof(*made), TEE_MALLOC_FILL_ZERO);
	TEE_Result res = TEE_ERROR_GENERIC;

	if (!made)
		return CML_NO_MEMORY;
	res = secret_object(TEE_TYPE_AES, key, CML_AES256_KEY_SIZE,
			    TEE_USAGE_ENCRYPT | TEE_USAGE_DECRYPT,
			    &made->key);
	if (res) {
		TEE_Free(made);
		return status_of(res);
	}
	*gcm = made;

	return CML_OK;
}

static enum cml_status gcm_begin(struct cml_gcm *gcm, uint32_t mode,
				 const uint8_t nonce[CML_GCM_NONCE_SIZE],
				 struct cml_bytes aad,
				 TEE_OperationHandle *operation)
{
	TEE_Result res = TEE_SUCCESS;

	if (*operation == TEE_HANDLE_NULL)
		res = keyed_operation(TEE_ALG_AES_GCM, mode,
				      CML_AES256_KEY_SIZE * 8, gcm->key,
				      operation);
	if (res)
		return status_of(res);
	/* OP-TEE leaves an operation active after a wrong tag. */
	TEE_ResetOperation(*operation);
	res = TEE_AEInit(*operation, nonce, CML_GCM_NONCE_SIZE,
			 CML_GCM_TAG_SIZE * 8, 0, 0);
	if (!res && aad.len)
		TEE_AEUpdateAAD(*operation, aad.ptr, aad.len);

	return status_of(res);
}

enum cml_status cml_crypto_gcm_open(struct cml_gcm *gcm,
				    const uint8_t nonce[CML_GCM_NONCE_SIZE],
				    struct cml_bytes aad,
				    struct cml_bytes sealed, uint8_t *out)
{
	uint8_t tag[CML_GCM_TAG_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;
	TEE_Result res = TEE_ERROR_GENERIC;
	size_t out_len = 0;
	size_t len = 0;

	if (sealed.len < CML_GCM_TAG_SIZE)
		return CML_CRYPTO;
	len = sealed.len - CML_GCM_TAG_SIZE;
	memcpy(tag, sealed.ptr + len, sizeof(tag));

	status = gcm_begin(gcm, TEE_MODE_DECRYPT, nonce, aad, &gcm->open);
	if (status)
		return status;
	out_len = len;
	res = TEE_AEDecryptFinal(gcm->open, sealed.ptr, len, out, &out_len,
				 tag, sizeof(tag));
	if (res)
		cml_wipe(out, len);

	return status_of(res);
}

enum cml_status cml_crypto_gcm_seal(struct cml_gcm *gcm,
				    const uint8_t nonce[CML_GCM_NONCE_SIZE],
				    struct cml_bytes aad,
				    struct cml_bytes plain, uint8_t *out)
{
	enum cml_status status = CML_INTERNAL;
	size_t tag_len = CML_GCM_TAG_SIZE;
	size_t out_len = plain.len;

	status = gcm_begin(gcm, TEE_MODE_ENCRYPT, nonce, aad, &gcm->seal);
	if (status)
		return status;

	return status_of(TEE_AEEncryptFinal(gcm->seal, plain.ptr, plain.len,
					    out, &out_len, out + plain.len,
					    &tag_len));
}

void cml_crypto_gcm_free(struct cml_gcm *gcm)
{
	if (!gcm)
		return;
	TEE_FreeOperation(gcm->open);
	TEE_FreeOperation(gcm->seal);
	TEE_FreeTransientObject(gcm->key);
	TEE_Free(gcm);
}

struct cml_aes256 {
	TEE_OperationHandle operation;
};

enum cml_status cml_crypto_aes256_new(const uint8_t key[CML_AES256_KEY_SIZE],
				      struct cml_aes256 **aes)
{
	struct cml_aes256 *made = TEE_Malloc(sizeof(*made),
					     TEE_MALLOC_FILL_ZERO);
	TEE_ObjectHandle object = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;

	if (!made)
		return CML_NO_MEMORY;
	res = secret_object(TEE_TYPE_AES, key, CML_AES256_KEY_SIZE,
			    TEE_USAGE_DECRYPT, &object);
	if (!res)
		res = keyed_operation(TEE_ALG_AES_ECB_NOPAD, TEE_MODE_DECRYPT,
				      CML_AES256_KEY_SIZE * 8, object,
				      &made->operation);
	TEE_FreeTransientObject(object);
	if (res) {
		TEE_Free(made);
		return status_of(res);
	}
	TEE_CipherInit(made->operation, NULL, 0);
	*aes = made;

	return CML_OK;
}

enum cml_status cml_crypto_aes256_decrypt(struct cml_aes256 *aes,
					  const uint8_t in[CML_AES_BLOCK_SIZE],
					  uint8_t out[CML_AES_BLOCK_SIZE])
{
	size_t len = CML_AES_BLOCK_SIZE;
	TEE_Result res = TEE_ERROR_GENERIC;

	res = TEE_CipherUpdate(aes->operation, in, CML_AES_BLOCK_SIZE, out,
			       &len);
	if (!res && len != CML_AES_BLOCK_SIZE)
		res = TEE_ERROR_BAD_FORMAT;

	return status_of(res);
}

void cml_crypto_aes256_free(struct cml_aes256 *aes)
{
	if (!aes)
		return;
	TEE_FreeOperation(aes->operation);
	TEE_Free(aes);
}

/* A transient key pair; @usage is all that can be done with it. */
static TEE_Result key_pair(uint32_t type, uint32_t usage,
			   const uint8_t scalar[CML_P256_SCALAR_SIZE],
			   const uint8_t point[CML_P256_POINT_SIZE],
			   TEE_ObjectHandle *object)
{
	TEE_ObjectHandle made = TEE_HANDLE_NULL;
	TEE_Attribute attributes[4] = { 0 };
	TEE_Result res = TEE_ERROR_GENERIC;

	TEE_InitRefAttribute(&attributes[0], TEE_ATTR_ECC_PRIVATE_VALUE,
			     scalar, CML_P256_SCALAR_SIZE);
	TEE_InitRefAttribute(&attributes[1], TEE_ATTR_ECC_PUBLIC_VALUE_X,
			     point + 1, COORDINATE_SIZE);
	TEE_InitRefAttribute(&attributes[2], TEE_ATTR_ECC_PUBLIC_VALUE_Y,
			     point + 1 + COORDINATE_SIZE, COORDINATE_SIZE);
	TEE_InitValueAttribute(&attributes[3], TEE_ATTR_ECC_CURVE,
			       TEE_ECC_CURVE_NIST_P256, 0);

	res = TEE_AllocateTransientObject(type, P256_BITS, &made);
	if (res)
		return res;
	res = TEE_PopulateTransientObject(made, attributes, 4);
	if (!res)
		res = TEE_RestrictObjectUsage1(made, usage);
	if (res) {
		TEE_FreeTransientObject(made);
		return res;
	}
	*object = made;

	return TEE_SUCCESS;
}

static TEE_Result ecdh(TEE_ObjectHandle key,
		       const uint8_t peer[CML_P256_POINT_SIZE],
		       uint8_t secret[CML_P256_SECRET_SIZE])
{
	TEE_OperationHandle operation = TEE_HANDLE_NULL;
	TEE_ObjectHandle derived = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;
	size_t len = CML_P256_SECRET_SIZE;
	TEE_Attribute point[2] = { 0 };

	TEE_InitRefAttribute(&point[0], TEE_ATTR_ECC_PUBLIC_VALUE_X,
			     peer + 1, COORDINATE_SIZE);
	TEE_InitRefAttribute(&point[1], TEE_ATTR_ECC_PUBLIC_VALUE_Y,
			     peer + 1 + COORDINATE_SIZE, COORDINATE_SIZE);

	res = keyed_operation(TEE_ALG_ECDH_DERIVE_SHARED_SECRET,
			      TEE_MODE_DERIVE, P256_BITS, key, &operation);
	if (!res)
		res = TEE_AllocateTransientObject(TEE_TYPE_GENERIC_SECRET,
						  P256_BITS, &derived);
	if (!res) {
		/* Panics on what is no point: cml_p256_is_point() came first. */
		TEE_DeriveKey(operation, point, 2, derived);
		res = TEE_GetObjectBufferAttribute(derived,
						   TEE_ATTR_SECRET_VALUE,
						   secret, &len);
	}
	if (!res && len != CML_P256_SECRET_SIZE)
		res = TEE_ERROR_BAD_FORMAT;

	TEE_FreeTransientObject(derived);
	TEE_FreeOperation(operation);

	return res;
}

/*
 * x of @scalar times G. The API multiplies in ECDH alone, which asks for a key
 * pair and does not look at its public half: that is not known yet, and G
 * stands in for it.
 */
static TEE_Result times_base(const uint8_t scalar[CML_P256_SCALAR_SIZE],
			     uint8_t x[COORDINATE_SIZE])
{
	TEE_ObjectHandle pair = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;

	res = key_pair(TEE_TYPE_ECDH_KEYPAIR, TEE_USAGE_DERIVE, scalar,
		       cml_p256_base, &pair);
	if (!res)
		res = ecdh(pair, cml_p256_base, x);
	TEE_FreeTransientObject(pair);

	return res;
}

static TEE_Result public_point(const uint8_t scalar[CML_P256_SCALAR_SIZE],
			       uint8_t point[CML_P256_POINT_SIZE])
{
	uint8_t next[CML_P256_SCALAR_SIZE] = { 0 };
	uint8_t x_plus_base[COORDINATE_SIZE] = { 0 };
	uint8_t x[COORDINATE_SIZE] = { 0 };
	TEE_Result res = TEE_ERROR_GENERIC;
	unsigned int carry = 1;

	for (size_t i = CML_P256_SCALAR_SIZE; i > 0; i--) {
		carry += scalar[i - 1];
		next[i - 1] = carry;
		carry >>= 8;
	}
	res = times_base(scalar, x);
	if (!res)
		res = times_base(next, x_plus_base);
	if (!res && !cml_p256_point_from_x(x, x_plus_base, point))
		res = TEE_ERROR_GENERIC;
	cml_wipe(next, sizeof(next));

	return res;
}

enum cml_status cml_crypto_p256_new(const uint8_t scalar[CML_P256_SCALAR_SIZE],
				    enum cml_p256_use use,
				    struct cml_p256_key **key)
{
	const bool signs = use == CML_P256_SIGN;
	uint8_t point[CML_P256_POINT_SIZE] = { 0 };
	TEE_Result res = TEE_ERROR_GENERIC;
	struct cml_p256_key *made = NULL;

	if (!cml_p256_is_scalar(scalar))
		return CML_CRYPTO;
	made = TEE_Malloc(sizeof(*made), TEE_MALLOC_FILL_ZERO);
	if (!made)
		return CML_NO_MEMORY;
	res = public_point(scalar, point);
	if (!res)
		res = key_pair(signs ? TEE_TYPE_ECDSA_KEYPAIR :
				       TEE_TYPE_ECDH_KEYPAIR,
			       signs ? TEE_USAGE_SIGN : TEE_USAGE_DERIVE,
			       scalar, point, &made->keypair);
	if (res) {
		TEE_Free(made);
		return status_of(res);
	}
	*key = made;

	return CML_OK;
}

void cml_crypto_p256_free(struct cml_p256_key *key)
{
	if (!key)
		return;
	TEE_FreeTransientObject(key->keypair);
	TEE_Free(key);
}

enum cml_status cml_crypto_p256_ecdh(struct cml_p256_key *key,
				     const uint8_t peer[CML_P256_POINT_SIZE],
				     uint8_t secret[CML_P256_SECRET_SIZE])
{
	return status_of(ecdh(key->keypair, peer, secret));
}

enum cml_status cml_crypto_p256_sign(struct cml_p256_key *key,
				     const uint8_t digest[CML_SHA256_SIZE],
				     uint8_t sig[CML_P256_SIGNATURE_SIZE])
{
	TEE_OperationHandle operation = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;
	size_t len = CML_P256_SIGNATURE_SIZE;

	res = keyed_operation(TEE_ALG_ECDSA_SHA256, TEE_MODE_SIGN, P256_BITS,
			      key->keypair, &operation);
	if (!res)
		res = TEE_AsymmetricSignDigest(operation, NULL, 0, digest,
					       CML_SHA256_SIZE, sig, &len);
	if (!res && len != CML_P256_SIGNATURE_SIZE)
		res = TEE_ERROR_BAD_FORMAT;
	TEE_FreeOperation(operation);

	return status_of(res);
}

/* Attributes that are numbers come without their leading zeros. */
static TEE_Result coordinate(TEE_ObjectHandle object, uint32_t attribute,
			     uint8_t out[COORDINATE_SIZE])
{
	uint8_t number[COORDINATE_SIZE] = { 0 };
	TEE_Result res = TEE_ERROR_GENERIC;
	size_t len = sizeof(number);

	res = TEE_GetObjectBufferAttribute(object, attribute, number, &len);
	if (res)
		return res;
	if (len > COORDINATE_SIZE)
		return TEE_ERROR_BAD_FORMAT;
	memset(out, 0, COORDINATE_SIZE);
	memcpy(out + COORDINATE_SIZE - len, number, len);

	return TEE_SUCCESS;
}

enum cml_status cml_crypto_p256_public(struct cml_p256_key *key,
				       uint8_t point[CML_P256_POINT_SIZE])
{
	TEE_Result res = TEE_ERROR_GENERIC;

	point[0] = 0x04;
	res = coordinate(key->keypair, TEE_ATTR_ECC_PUBLIC_VALUE_X, point + 1);
	if (!res)
		res = coordinate(key->keypair, TEE_ATTR_ECC_PUBLIC_VALUE_Y,
				 point + 1 + COORDINATE_SIZE);

	return status_of(res);
}

enum cml_status cml_crypto_random(uint8_t *out, size_t len)
{
	if (len)
		TEE_GenerateRandom(out, len);

	return CML_OK;
}

bool cml_crypto_equal(const void *a, const void *b, size_t len)
{
	return !consttime_memcmp(a, b, len);
}
