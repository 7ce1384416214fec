// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "hkdf.h"
#include "hpke.h"
#include "memory.h"
#include "p256.h"

/* A string literal without its NUL. */
#define TEXT(literal)	cml_bytes((literal), sizeof(literal) - 1)
#define NOTHING		cml_bytes(NULL, 0)

/* RFC 9180, 7.1 to 7.3: ids of the KEM, the KDF and the AEAD */
#define KEM_ID		"\x00\x10"
#define KDF_ID		"\x00\x01"
#define AEAD_ID		"\x00\x02"
#define KEM_SUITE	TEXT("KEM" KEM_ID)
#define HPKE_SUITE	TEXT("HPKE" KEM_ID KDF_ID AEAD_ID)

#define MODE_BASE	0x00

/* RFC 9180, 4: LabeledExtract() */
static enum cml_status labeled_extract(struct cml_bytes suite,
				       struct cml_bytes salt,
				       struct cml_bytes label,
				       struct cml_bytes ikm,
				       uint8_t prk[CML_SHA256_SIZE])
{
	struct cml_bytes pieces[] = { TEXT("HPKE-v1"), suite, label, ikm };

	return cml_hkdf_extract(salt, pieces, 4, prk);
}

/* RFC 9180, 4: LabeledExpand(), the context in two pieces */
static enum cml_status labeled_expand(struct cml_bytes suite,
				      const uint8_t prk[CML_SHA256_SIZE],
				      struct cml_bytes label,
				      struct cml_bytes context0,
				      struct cml_bytes context1,
				      uint8_t *out, uint8_t out_len)
{
	uint8_t len[2] = { 0, out_len };
	struct cml_bytes pieces[] = {
		cml_bytes(len, sizeof(len)), TEXT("HPKE-v1"), suite, label,
		context0, context1,
	};

	return cml_hkdf_expand(prk, pieces, 6, out, out_len);
}

/* RFC 9180, 4.1: Decap() */
static enum cml_status decap(struct cml_p256_key *recipient,
			     struct cml_bytes enc,
			     uint8_t shared_secret[CML_SHA256_SIZE])
{
	uint8_t public_key[CML_P256_POINT_SIZE] = { 0 };
	uint8_t dh[CML_P256_SECRET_SIZE] = { 0 };
	uint8_t prk[CML_SHA256_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;

	status = cml_crypto_p256_public(recipient, public_key);
	if (!status)
		status = cml_crypto_p256_ecdh(recipient, enc.ptr, dh);
	if (!status)
		status = labeled_extract(KEM_SUITE, NOTHING, TEXT("eae_prk"),
					 cml_bytes(dh, sizeof(dh)), prk);
	if (!status)
		status = labeled_expand(KEM_SUITE, prk, TEXT("shared_secret"),
					enc, cml_bytes(public_key,
						       sizeof(public_key)),
					shared_secret, CML_SHA256_SIZE);
	cml_wipe(dh, sizeof(dh));
	cml_wipe(prk, sizeof(prk));

	return status;
}

/* RFC 9180, 5.1: KeySchedule() in base mode, without a PSK */
static enum cml_status key_schedule(const uint8_t shared[CML_SHA256_SIZE],
				    struct cml_bytes info,
				    uint8_t key[CML_AES256_KEY_SIZE],
				    uint8_t nonce[CML_GCM_NONCE_SIZE])
{
	/* mode || psk_id_hash || info_hash */
	uint8_t context[1 + 2 * CML_SHA256_SIZE] = { MODE_BASE };
	struct cml_bytes ctx = cml_bytes(context, sizeof(context));
	uint8_t secret[CML_SHA256_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;

	status = labeled_extract(HPKE_SUITE, NOTHING, TEXT("psk_id_hash"),
				 NOTHING, context + 1);
	if (!status)
		status = labeled_extract(HPKE_SUITE, NOTHING,
					 TEXT("info_hash"), info,
					 context + 1 + CML_SHA256_SIZE);
	if (!status)
		status = labeled_extract(HPKE_SUITE,
					 cml_bytes(shared, CML_SHA256_SIZE),
					 TEXT("secret"), NOTHING, secret);
	if (!status)
		status = labeled_expand(HPKE_SUITE, secret, TEXT("key"), ctx,
					NOTHING, key, CML_AES256_KEY_SIZE);
	if (!status)
		status = labeled_expand(HPKE_SUITE, secret,
					TEXT("base_nonce"), ctx, NOTHING,
					nonce, CML_GCM_NONCE_SIZE);
	cml_wipe(secret, sizeof(secret));

	return status;
}

enum cml_status cml_hpke_open(struct cml_p256_key *recipient,
			      struct cml_bytes info, struct cml_bytes aad,
			      struct cml_bytes message, uint8_t *plain)
{
	struct cml_cursor cur = cml_cursor(message);
	struct cml_bytes enc = cml_cursor_take(&cur, CML_HPKE_ENC_SIZE);
	size_t sealed_len = cml_cursor_remaining(&cur);
	struct cml_bytes sealed = cml_cursor_take(&cur, sealed_len);
	uint8_t shared_secret[CML_SHA256_SIZE] = { 0 };
	uint8_t nonce[CML_GCM_NONCE_SIZE] = { 0 };
	uint8_t key[CML_AES256_KEY_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;
	struct cml_gcm *gcm = NULL;

	if (!cml_cursor_ok(&cur) || sealed.len < CML_GCM_TAG_SIZE ||
	    !cml_p256_is_point(enc.ptr))
		return CML_KEY_MALFORMED;

	status = decap(recipient, enc, shared_secret);
	if (!status)
		status = key_schedule(shared_secret, info, key, nonce);
	if (!status)
		status = cml_crypto_gcm_new(key, &gcm);
	if (!status) {
		status = cml_crypto_gcm_open(gcm, nonce, aad, sealed, plain);
		if (status == CML_CRYPTO)
			status = CML_KEY_UNWRAP;
	}

	cml_crypto_gcm_free(gcm);
	cml_wipe(shared_secret, sizeof(shared_secret));
	cml_wipe(nonce, sizeof(nonce));
	cml_wipe(key, sizeof(key));

	return status;
}

enum cml_status cml_key_unwrap(struct cml_p256_key *recipient,
			       enum cml_key_slot slot,
			       struct cml_bytes wrapped,
			       uint8_t key[CML_AES256_KEY_SIZE])
{
	uint8_t info[] = "cml-key-v1?";
	size_t info_len = sizeof(info) - 1;
	enum cml_status status = CML_INTERNAL;

	if (wrapped.len != CML_WRAPPED_KEY_SIZE)
		return CML_KEY_MALFORMED;

	info[info_len - 1] = slot;
	status = cml_hpke_open(recipient, cml_bytes(info, info_len), NOTHING,
			       wrapped, key);
	if (status)
		cml_wipe(key, CML_AES256_KEY_SIZE);

	return status;
}
