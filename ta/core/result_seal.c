// SPDX-License-Identifier: Apache-2.0
/*
 * COSE_Encrypt0 (RFC 9052, 5.2) with A256GCM and a random IV:
 *
 *   16([ << {1: 3} >>, {5: h'12 bytes'}, h'ciphertext || tag' ])
 *
 * whose AAD is the encoding of
 *
 *   ["Encrypt0", << {1: 3} >>, external_aad]
 *
 * The shape is fixed, so both are written by hand; the one thing that varies
 * is the length of a byte string.
 */
#include <string.h>

#include "hkdf.h"
#include "memory.h"
#include "result.h"

#define CBOR_BYTES	2	/* major type of a byte string */
#define CBOR_HEAD_MAX	5

/* COSE_Encrypt0 tag, array(3), bstr of {1 (alg): 3 (A256GCM)}, {5 (IV): ... */
static const uint8_t message_begin[] = {
	0xd0, 0x83, 0x43, 0xa1, 0x01, 0x03, 0xa1, 0x05, 0x40 | CML_GCM_NONCE_SIZE,
};

/* array(3), "Encrypt0", the same bstr */
static const uint8_t structure_begin[] = {
	0x83, 0x68, 'E', 'n', 'c', 'r', 'y', 'p', 't', '0',
	0x43, 0xa1, 0x01, 0x03,
};

/* The header of an item in its shortest form (RFC 8949, 4.2.1). */
static size_t put_head(uint8_t out[CBOR_HEAD_MAX], uint8_t major,
		       uint32_t value)
{
	size_t size = 4;

	if (value < 24) {
		out[0] = major << 5 | value;
		return 1;
	}
	if (value <= UINT8_MAX)
		size = 1;
	else if (value <= UINT16_MAX)
		size = 2;
	out[0] = major << 5 | (size == 4 ? 26 : 23 + size);
	for (size_t i = 0; i < size; i++)
		out[1 + i] = value >> (8 * (size - 1 - i));

	return 1 + size;
}

static enum cml_status result_key(const uint8_t data_key[CML_AES256_KEY_SIZE],
				  uint8_t key[CML_AES256_KEY_SIZE])
{
	static const char info[] = "cml-result-v1";

	return cml_hkdf(cml_bytes(data_key, CML_AES256_KEY_SIZE),
			cml_bytes(NULL, 0), cml_bytes(info, sizeof(info) - 1),
			key, CML_AES256_KEY_SIZE);
}

enum cml_status cml_result_seal(const uint8_t data_key[CML_AES256_KEY_SIZE],
				struct cml_bytes external_aad,
				struct cml_bytes plain, uint8_t *out,
				size_t *len)
{
	uint8_t aad[sizeof(structure_begin) + CBOR_HEAD_MAX +
		    CML_RESULT_MAX_AAD] = { 0 };
	uint8_t head[CBOR_HEAD_MAX] = { 0 };
	uint8_t key[CML_AES256_KEY_SIZE] = { 0 };
	uint8_t *iv = out + sizeof(message_begin);
	enum cml_status status = CML_INTERNAL;
	struct cml_gcm *gcm = NULL;
	size_t head_len = 0;
	size_t aad_len = 0;
	size_t total = 0;

	if (external_aad.len > CML_RESULT_MAX_AAD || plain.len > CML_TENSORS_MAX_LEN)
		return CML_INTERNAL;
	head_len = put_head(head, CBOR_BYTES, plain.len + CML_GCM_TAG_SIZE);
	total = sizeof(message_begin) + CML_GCM_NONCE_SIZE + head_len +
		plain.len + CML_GCM_TAG_SIZE;
	if (total > *len)
		return CML_INTERNAL;

	memcpy(aad, structure_begin, sizeof(structure_begin));
	aad_len = sizeof(structure_begin);
	aad_len += put_head(aad + aad_len, CBOR_BYTES, external_aad.len);
	if (external_aad.len)
		memcpy(aad + aad_len, external_aad.ptr, external_aad.len);
	aad_len += external_aad.len;

	memcpy(out, message_begin, sizeof(message_begin));
	memcpy(iv + CML_GCM_NONCE_SIZE, head, head_len);
	status = cml_crypto_random(iv, CML_GCM_NONCE_SIZE);
	if (!status)
		status = result_key(data_key, key);
	if (!status)
		status = cml_crypto_gcm_new(key, &gcm);
	if (!status)
		status = cml_crypto_gcm_seal(gcm, iv, cml_bytes(aad, aad_len),
					     plain, iv + CML_GCM_NONCE_SIZE +
					     head_len);
	if (!status)
		*len = total;

	cml_crypto_gcm_free(gcm);
	cml_wipe(key, sizeof(key));

	return status;
}
