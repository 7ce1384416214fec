// SPDX-License-Identifier: Apache-2.0
/*
 * 96([ << {1: 3} >>, {5: iv}, ciphertext || tag, [
 *        [ << {1: -31} >>, {4: kid, -1: COSE_Key}, wrapped content key ] ] ])
 *
 * Protected headers have one parameter each, so they have one deterministic
 * encoding each, and the KDF's context, with one of them in it, is constant.
 */
#include <string.h>

#include "aes_kw.h"
#include "cbor_reader.h"
#include "cose_encrypt.h"
#include "cose_encrypt0.h"
#include "hkdf.h"
#include "memory.h"

#define TAG_ENCRYPT		96

/* Header parameters: RFC 9052, 3.1, and RFC 9053, 6.3.1 */
#define ALG			1
#define KID			4
#define IV			5
#define EPHEMERAL_KEY		-1

#define A256GCM			3
#define ECDH_ES_A256KW		-31

/*
 * COSE_KDF_Context (RFC 9053, 5.2):
 * [-5 (A256KW), [nil, nil, nil], [nil, nil, nil], [256, << {1: -31} >>]]
 */
static const uint8_t kdf_context[] = {
	0x84, 0x24, 0x83, 0xf6, 0xf6, 0xf6, 0x83, 0xf6, 0xf6, 0xf6,
	0x82, 0x19, 0x01, 0x00, 0x44, 0xa1, 0x01, 0x38, 0x1e,
};

struct message {
	struct cml_bytes iv, sealed, kid, wrapped;
	uint8_t ephemeral[CML_P256_POINT_SIZE];
};

/* A protected header, which says @alg and nothing else. */
static enum cml_status check_protected(struct cml_bytes header, int64_t alg)
{
	struct cml_cbor_reader reader = { 0 };
	int64_t label = 0;
	int64_t value = 0;
	size_t count = 0;

	/* Of no parameters it is an empty string (RFC 9052, 3). */
	if (!header.len)
		return CML_COSE_HEADER;
	cml_cbor_begin(&reader, header);
	count = cml_cbor_map(&reader);
	if (!reader.bad && count != 1)
		return CML_COSE_HEADER;
	label = cml_cbor_int(&reader);
	if (!reader.bad && label != ALG)
		return CML_COSE_HEADER;
	value = cml_cbor_int(&reader);
	cml_cbor_leave(&reader);
	if (!cml_cbor_done(&reader))
		return CML_COSE_MALFORMED;

	return value == alg ? CML_OK : CML_COSE_ALGORITHM;
}

/* The content's unprotected header: an IV. */
static enum cml_status read_content_header(struct cml_cbor_reader *reader,
					   struct message *message)
{
	size_t count = cml_cbor_map(reader);
	int64_t label = 0;

	if (!reader->bad && count != 1)
		return CML_COSE_HEADER;
	label = cml_cbor_int(reader);
	if (!reader->bad && label != IV)
		return CML_COSE_HEADER;
	message->iv = cml_cbor_bytes(reader);
	cml_cbor_leave(reader);
	if (reader->bad)
		return CML_COSE_MALFORMED;

	return message->iv.len == CML_GCM_NONCE_SIZE ? CML_OK :
						       CML_COSE_HEADER;
}

/* The recipient's unprotected header: a kid and an ephemeral key. */
static enum cml_status read_recipient_header(struct cml_cbor_reader *reader,
					     struct message *message)
{
	size_t count = cml_cbor_map(reader);
	enum cml_status status = CML_OK;
	unsigned int seen = 0;
	unsigned int bit = 0;

	for (size_t i = 0; !status && i < count && !reader->bad; i++) {
		switch (cml_cbor_int(reader)) {
		case KID:
			bit = 1;
			message->kid = cml_cbor_bytes(reader);
			break;
		case EPHEMERAL_KEY:
			bit = 2;
			status = cml_cose_key_read(reader, message->ephemeral);
			break;
		default:
			status = CML_COSE_HEADER;
			break;
		}
		if (!status && seen & bit)
			status = CML_COSE_HEADER;
		seen |= bit;
	}
	if (reader->bad)
		return CML_COSE_MALFORMED;
	if (!status && seen != 3)
		status = CML_COSE_HEADER;
	if (!status)
		cml_cbor_leave(reader);

	return status;
}

/* An array of @count items; anything else makes the reader bad. */
static void read_array(struct cml_cbor_reader *reader, size_t count)
{
	if (cml_cbor_array(reader) != count)
		reader->bad = true;
}

static enum cml_status read_recipient(struct cml_cbor_reader *reader,
				      struct message *message)
{
	struct cml_bytes header = { 0 };
	enum cml_status status = CML_INTERNAL;

	read_array(reader, 1);
	read_array(reader, 3);
	header = cml_cbor_bytes(reader);
	if (reader->bad)
		return CML_COSE_MALFORMED;
	status = check_protected(header, ECDH_ES_A256KW);
	if (!status)
		status = read_recipient_header(reader, message);
	if (status)
		return status;
	message->wrapped = cml_cbor_bytes(reader);
	cml_cbor_leave(reader);
	cml_cbor_leave(reader);

	return CML_OK;
}

static enum cml_status parse(struct cml_bytes bytes, struct message *message)
{
	struct cml_cbor_reader reader = { 0 };
	struct cml_bytes header = { 0 };
	enum cml_status status = CML_INTERNAL;

	cml_cbor_begin(&reader, bytes);
	if (cml_cbor_tag(&reader) != TAG_ENCRYPT)
		return CML_COSE_MALFORMED;
	read_array(&reader, 4);
	header = cml_cbor_bytes(&reader);
	if (reader.bad)
		return CML_COSE_MALFORMED;
	status = check_protected(header, A256GCM);
	if (!status)
		status = read_content_header(&reader, message);
	if (status)
		return status;
	message->sealed = cml_cbor_bytes(&reader);
	status = read_recipient(&reader, message);
	if (status)
		return status;
	cml_cbor_leave(&reader);
	if (!cml_cbor_done(&reader) ||
	    message->sealed.len < CML_GCM_TAG_SIZE ||
	    message->wrapped.len != CML_AES256_KEY_SIZE + CML_AES_KW_EXTRA)
		return CML_COSE_MALFORMED;

	return CML_OK;
}

/* ECDH, the key that wraps the content key, and the content key */
static enum cml_status unwrap(const struct cml_cose_recipient *to,
			      const struct message *message,
			      uint8_t key[CML_AES256_KEY_SIZE])
{
	struct cml_bytes context = cml_bytes(kdf_context, sizeof(kdf_context));
	uint8_t secret[CML_P256_SECRET_SIZE] = { 0 };
	uint8_t kek[CML_AES256_KEY_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;

	status = cml_crypto_p256_ecdh(to->key, message->ephemeral, secret);
	if (!status)
		status = cml_hkdf(cml_bytes(secret, sizeof(secret)),
				  cml_bytes(NULL, 0), context, kek,
				  sizeof(kek));
	if (!status)
		status = cml_aes_kw_unwrap(kek, message->wrapped, key);
	cml_wipe(secret, sizeof(secret));
	cml_wipe(kek, sizeof(kek));

	return status;
}

static enum cml_status open_content(const uint8_t key[CML_AES256_KEY_SIZE],
				    struct cml_bytes external_aad,
				    const struct message *message,
				    uint8_t *plain)
{
	uint8_t aad[CML_COSE_ENC_STRUCTURE_MAX] = { 0 };
	size_t aad_len = cml_cose_enc_structure("Encrypt", external_aad, aad);
	enum cml_status status = CML_INTERNAL;
	struct cml_gcm *gcm = NULL;

	status = cml_crypto_gcm_new(key, &gcm);
	if (!status) {
		status = cml_crypto_gcm_open(gcm, message->iv.ptr,
					     cml_bytes(aad, aad_len),
					     message->sealed, plain);
		if (status == CML_CRYPTO)
			status = CML_COSE_OPEN;
	}
	cml_crypto_gcm_free(gcm);

	return status;
}

/* Stack: 1 KiB, without what crypto.h takes */
enum cml_status cml_cose_encrypt_open(const struct cml_cose_recipient *to,
				      struct cml_bytes external_aad,
				      struct cml_bytes message, uint8_t *plain,
				      size_t *len)
{
	uint8_t key[CML_AES256_KEY_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;
	struct message parsed = { 0 };
	size_t plain_len = 0;

	if (external_aad.len > CML_COSE_MAX_AAD)
		return CML_INTERNAL;
	status = parse(message, &parsed);
	if (status)
		return status;
	plain_len = parsed.sealed.len - CML_GCM_TAG_SIZE;
	if (plain_len > *len)
		return CML_COSE_LIMIT;
	/* Neither is secret. */
	if (parsed.kid.len != sizeof(to->kid) ||
	    memcmp(parsed.kid.ptr, to->kid, sizeof(to->kid)))
		return CML_COSE_RECIPIENT;

	status = unwrap(to, &parsed, key);
	if (!status)
		status = open_content(key, external_aad, &parsed, plain);
	if (!status)
		*len = plain_len;
	cml_wipe(key, sizeof(key));

	return status;
}
