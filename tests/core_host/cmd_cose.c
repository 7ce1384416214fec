// SPDX-License-Identifier: Apache-2.0
/* COSE messages, keys and certification requests, as bytes in and bytes out. */
#include <string.h>

#include "aes_kw.h"
#include "cose_encrypt.h"
#include "cose_encrypt0.h"
#include "cose_key.h"
#include "cose_sign1.h"
#include "crypto_openssl.h"
#include "csr.h"
#include "driver.h"
#include "key_message.h"
#include "keys.h"
#include "p256.h"

/* KEK, wrapped key -> key */
static enum cml_status run_aes_kw(struct cml_bytes payload,
				  struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	struct cml_bytes kek = cml_cursor_take(&cur, CML_AES256_KEY_SIZE);
	struct cml_bytes wrapped = driver_rest(&cur);
	uint8_t key[CML_AES_KW_MAX_KEY] = { 0 };
	enum cml_status status = CML_INTERNAL;

	if (!cml_cursor_ok(&cur))
		return CML_INTERNAL;
	status = cml_aes_kw_unwrap(kek.ptr, wrapped, key);
	if (!status)
		driver_put(reply, key, wrapped.len - CML_AES_KW_EXTRA);
	for (size_t i = 0; status && i < sizeof(key); i++)
		if (key[i])
			return CML_INTERNAL;

	return status;
}

/* COSE_Key -> point, the same encoded again, its thumbprint */
static enum cml_status run_cose_key(struct cml_bytes payload,
				    struct driver_reply *reply)
{
	uint8_t thumbprint[CML_THUMBPRINT_SIZE] = { 0 };
	uint8_t point[CML_P256_POINT_SIZE] = { 0 };
	uint8_t encoded[CML_COSE_KEY_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;

	status = cml_cose_key_parse(payload, point);
	if (!status)
		status = cml_cose_key_thumbprint(point, thumbprint);
	if (status)
		return status;
	cml_cose_key_encode(point, encoded);
	driver_put(reply, point, sizeof(point));
	driver_put(reply, encoded, sizeof(encoded));
	driver_put(reply, thumbprint, sizeof(thumbprint));

	return CML_OK;
}

/* The key of @scalar and its thumbprint. */
static enum cml_status own_key(const uint8_t scalar[CML_P256_SCALAR_SIZE],
			       enum cml_p256_use use, struct cml_p256_key **key,
			       uint8_t kid[CML_THUMBPRINT_SIZE])
{
	uint8_t point[CML_P256_POINT_SIZE] = { 0 };
	enum cml_status status = cml_crypto_p256_new(scalar, use, key);

	if (status)
		return status;
	status = cml_crypto_p256_public(*key, point);
	if (!status)
		status = cml_cose_key_thumbprint(point, kid);

	return status;
}

/*
 * i64 crypto call to fail, u32 room, scalar, external_aad, COSE_Encrypt
 * -> plaintext
 */
static enum cml_status run_encrypt_open(struct cml_bytes payload,
					struct driver_reply *reply)
{
	const struct cml_allocator *allocator = driver_allocator();
	struct cml_cursor cur = cml_cursor(payload);
	int64_t failing = driver_u64(&cur);
	size_t len = driver_u32(&cur);
	struct cml_bytes scalar = cml_cursor_take(&cur, CML_P256_SCALAR_SIZE);
	struct cml_bytes aad = driver_string(&cur);
	struct cml_bytes message = driver_rest(&cur);
	struct cml_cose_recipient to = { 0 };
	enum cml_status status = CML_INTERNAL;
	uint8_t *plain = NULL;
	size_t room = len;

	if (!cml_cursor_ok(&cur))
		return CML_INTERNAL;
	status = own_key(scalar.ptr, CML_P256_DERIVE, &to.key, to.kid);
	if (status)
		goto out;
	plain = allocator->alloc(allocator->ctx, room);
	if (!plain) {
		status = CML_NO_MEMORY;
		goto out;
	}
	openssl_fail_call(failing, CML_NO_MEMORY);
	status = cml_cose_encrypt_open(&to, aad, message, plain, &len);
	openssl_fail_call(-1, CML_OK);
	if (!status)
		driver_put(reply, plain, len);
out:
	allocator->release(allocator->ctx, plain, room);
	cml_crypto_p256_free(to.key);

	return status;
}

/* scalar, u32 slot, challenge, message -> key, also when it failed */
static enum cml_status run_key_message(struct cml_bytes payload,
				       struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	struct cml_bytes scalar = cml_cursor_take(&cur, CML_P256_SCALAR_SIZE);
	uint32_t slot = driver_u32(&cur);
	struct cml_bytes challenge = driver_string(&cur);
	struct cml_bytes message = driver_rest(&cur);
	uint8_t key[CML_AES256_KEY_SIZE] = { 0 };
	struct cml_cose_recipient to = { 0 };
	enum cml_status status = CML_INTERNAL;

	if (!cml_cursor_ok(&cur))
		return CML_INTERNAL;
	status = own_key(scalar.ptr, CML_P256_DERIVE, &to.key, to.kid);
	if (!status)
		status = cml_key_message_open(&to, slot, challenge, message,
					      key);
	driver_put(reply, key, sizeof(key));
	cml_crypto_p256_free(to.key);

	return status;
}

/*
 * i64 crypto call to fail, u32 room, u32 in place?, scalar, external_aad,
 * certificate, payload -> COSE_Sign1
 */
static enum cml_status run_sign1(struct cml_bytes payload,
				 struct driver_reply *reply)
{
	const struct cml_allocator *allocator = driver_allocator();
	struct cml_cursor cur = cml_cursor(payload);
	int64_t failing = driver_u64(&cur);
	size_t len = driver_u32(&cur);
	bool in_place = driver_u32(&cur);
	struct cml_bytes scalar = cml_cursor_take(&cur, CML_P256_SCALAR_SIZE);
	struct cml_bytes aad = driver_string(&cur);
	struct cml_cose_signer signer = { .certificate = driver_string(&cur) };
	struct cml_bytes content = driver_rest(&cur);
	enum cml_status status = CML_INTERNAL;
	uint8_t *out = NULL;
	size_t room = len;

	if (!cml_cursor_ok(&cur))
		return CML_INTERNAL;
	status = own_key(scalar.ptr, CML_P256_SIGN, &signer.key, signer.kid);
	if (status)
		goto out;
	out = allocator->alloc(allocator->ctx, room);
	if (!out) {
		status = CML_NO_MEMORY;
		goto out;
	}
	if (in_place) {
		memcpy(out + cml_cose_sign1_offset(&signer, content.len),
		       content.ptr, content.len);
		content.ptr = out + cml_cose_sign1_offset(&signer,
							  content.len);
	}
	openssl_fail_call(failing, CML_NO_MEMORY);
	status = cml_cose_sign1(&signer, aad, content, out, &len);
	openssl_fail_call(-1, CML_OK);
	if (!status && len != cml_cose_sign1_size(&signer, content.len))
		status = CML_INTERNAL;
	if (!status)
		driver_put(reply, out, len);
out:
	allocator->release(allocator->ctx, out, room);
	cml_crypto_p256_free(signer.key);

	return status;
}

/*
 * i64 crypto call to fail, u32 room, u32 in place?, key, external_aad, plain
 * -> COSE_Encrypt0
 */
static enum cml_status run_encrypt0(struct cml_bytes payload,
				    struct driver_reply *reply)
{
	const struct cml_allocator *allocator = driver_allocator();
	struct cml_cursor cur = cml_cursor(payload);
	int64_t failing = driver_u64(&cur);
	size_t len = driver_u32(&cur);
	bool in_place = driver_u32(&cur);
	struct cml_bytes key = cml_cursor_take(&cur, CML_AES256_KEY_SIZE);
	struct cml_bytes aad = driver_string(&cur);
	struct cml_bytes plain = driver_rest(&cur);
	enum cml_status status = CML_INTERNAL;
	uint8_t *out = NULL;
	size_t room = len;

	if (!cml_cursor_ok(&cur))
		return CML_INTERNAL;
	out = allocator->alloc(allocator->ctx, room);
	if (!out)
		return CML_NO_MEMORY;
	if (in_place) {
		memcpy(out + cml_cose_encrypt0_offset(plain.len), plain.ptr,
		       plain.len);
		plain.ptr = out + cml_cose_encrypt0_offset(plain.len);
	}
	openssl_fail_call(failing, CML_NO_MEMORY);
	status = cml_cose_encrypt0(key.ptr, aad, plain, out, &len);
	openssl_fail_call(-1, CML_OK);
	if (!status && len != cml_cose_encrypt0_size(plain.len))
		status = CML_INTERNAL;
	if (!status)
		driver_put(reply, out, len);
	allocator->release(allocator->ctx, out, room);

	return status;
}

/* i64 crypto call to fail, seed, u32 and salt, label -> scalar, its point */
static enum cml_status run_keys_p256(struct cml_bytes payload,
				     struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	int64_t failing = driver_u64(&cur);
	struct cml_bytes seed = cml_cursor_take(&cur, CML_SEED_SIZE);
	size_t salt_len = driver_u32(&cur);
	struct cml_bytes salt = cml_cursor_take(&cur, salt_len);
	struct cml_bytes label = driver_rest(&cur);
	uint8_t scalar[CML_P256_SCALAR_SIZE] = { 0 };
	uint8_t point[CML_P256_POINT_SIZE] = { 0 };
	struct cml_p256_key *key = NULL;
	enum cml_status status = CML_INTERNAL;

	if (!cml_cursor_ok(&cur))
		return CML_INTERNAL;
	openssl_fail_call(failing, CML_NO_MEMORY);
	status = cml_keys_scalar(seed.ptr, salt, label, scalar);
	if (!status)
		status = cml_keys_p256(seed.ptr, salt, label, CML_P256_SIGN,
				       &key);
	if (!status)
		status = cml_crypto_p256_public(key, point);
	openssl_fail_call(-1, CML_OK);
	if (!status) {
		driver_put(reply, scalar, sizeof(scalar));
		driver_put(reply, point, sizeof(point));
	}
	cml_crypto_p256_free(key);

	return status;
}

/* seed, label -> symmetric key */
static enum cml_status run_keys_symmetric(struct cml_bytes payload,
					  struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	struct cml_bytes seed = cml_cursor_take(&cur, CML_SEED_SIZE);
	struct cml_bytes label = driver_rest(&cur);
	uint8_t key[CML_AES256_KEY_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;

	if (!cml_cursor_ok(&cur))
		return CML_INTERNAL;
	status = cml_keys_symmetric(seed.ptr, label, key);
	if (!status)
		driver_put(reply, key, sizeof(key));

	return status;
}

/* i64 crypto call to fail, u32 room, scalar, device UUID, label -> PKCS#10 */
static enum cml_status run_csr(struct cml_bytes payload,
			       struct driver_reply *reply)
{
	const struct cml_allocator *allocator = driver_allocator();
	struct cml_cursor cur = cml_cursor(payload);
	int64_t failing = driver_u64(&cur);
	size_t len = driver_u32(&cur);
	struct cml_bytes scalar = cml_cursor_take(&cur, CML_P256_SCALAR_SIZE);
	struct cml_bytes device = cml_cursor_take(&cur, CML_UUID_SIZE);
	struct cml_bytes label = driver_rest(&cur);
	enum cml_status status = CML_INTERNAL;
	struct cml_p256_key *key = NULL;
	uint8_t *out = NULL;
	size_t room = len;

	if (!cml_cursor_ok(&cur))
		return CML_INTERNAL;
	status = cml_crypto_p256_new(scalar.ptr, CML_P256_SIGN, &key);
	if (status)
		return status;
	out = allocator->alloc(allocator->ctx, room);
	if (out) {
		openssl_fail_call(failing, CML_NO_MEMORY);
		status = cml_csr(key, label, device.ptr, out, &len);
		openssl_fail_call(-1, CML_OK);
	}
	if (!status)
		driver_put(reply, out, len);
	allocator->release(allocator->ctx, out, room);
	cml_crypto_p256_free(key);

	return status;
}

/* number -> u32: is it a scalar? */
static enum cml_status run_p256_is_scalar(struct cml_bytes payload,
					  struct driver_reply *reply)
{
	if (payload.len != CML_P256_SCALAR_SIZE)
		return CML_INTERNAL;
	driver_put_u32(reply, cml_p256_is_scalar(payload.ptr));

	return CML_OK;
}

/* x(Q), x(Q + G) -> u32: found?, Q */
static enum cml_status run_p256_from_x(struct cml_bytes payload,
				       struct driver_reply *reply)
{
	uint8_t point[CML_P256_POINT_SIZE] = { 0 };

	if (payload.len != 2 * CML_P256_SECRET_SIZE)
		return CML_INTERNAL;
	driver_put_u32(reply, cml_p256_point_from_x(payload.ptr,
						    payload.ptr +
						    CML_P256_SECRET_SIZE,
						    point));
	driver_put(reply, point, sizeof(point));

	return CML_OK;
}

const struct driver_command driver_cose_commands[] = {
	{ "aes_kw", run_aes_kw },
	{ "cose_key", run_cose_key },
	{ "csr", run_csr },
	{ "encrypt0", run_encrypt0 },
	{ "encrypt_open", run_encrypt_open },
	{ "key_message", run_key_message },
	{ "keys_p256", run_keys_p256 },
	{ "keys_symmetric", run_keys_symmetric },
	{ "p256_from_x", run_p256_from_x },
	{ "p256_is_scalar", run_p256_is_scalar },
	{ "sign1", run_sign1 },
	{ NULL, NULL },
};
