// SPDX-License-Identifier: Apache-2.0
/*
 * 16([ << {1: 3} >>, {5: iv}, ciphertext || tag ])
 *
 * The shape is fixed, so it is written by hand; what varies is the length of
 * one byte string.
 */
#include <string.h>

#include "cbor_head.h"
#include "cose_encrypt0.h"

#define CBOR_TEXT	3	/* major type */

/* Tag 16, array(3), << {1: 3} >>, {5: a string of 12 bytes */
static const uint8_t begin[] = {
	0xd0, 0x83, 0x43, 0xa1, 0x01, 0x03, 0xa1, 0x05,
	0x40 | CML_GCM_NONCE_SIZE,
};

/* << {1: 3} >> */
static const uint8_t protected_header[] = { 0x43, 0xa1, 0x01, 0x03 };

size_t cml_cose_encrypt0_offset(size_t len)
{
	return sizeof(begin) + CML_GCM_NONCE_SIZE +
	       cml_cbor_head_size(len + CML_GCM_TAG_SIZE);
}

size_t cml_cose_encrypt0_size(size_t len)
{
	return cml_cose_encrypt0_offset(len) + len + CML_GCM_TAG_SIZE;
}

size_t cml_cose_enc_structure(const char *context,
			      struct cml_bytes external_aad,
			      uint8_t out[CML_COSE_ENC_STRUCTURE_MAX])
{
	size_t context_len = strlen(context);
	size_t len = 0;

	out[len++] = 0x83; /* array(3) */
	len += cml_cbor_put_head(out + len, CBOR_TEXT, context_len);
	memcpy(out + len, context, context_len);
	len += context_len;
	memcpy(out + len, protected_header, sizeof(protected_header));
	len += sizeof(protected_header);
	len += cml_cbor_put_head(out + len, CML_CBOR_BYTES, external_aad.len);
	if (external_aad.len)
		memcpy(out + len, external_aad.ptr, external_aad.len);

	return len + external_aad.len;
}

/* Stack: 0.4 KiB */
enum cml_status cml_cose_encrypt0(const uint8_t key[CML_AES256_KEY_SIZE],
				  struct cml_bytes external_aad,
				  struct cml_bytes plain, uint8_t *out,
				  size_t *len)
{
	uint8_t structure[CML_COSE_ENC_STRUCTURE_MAX] = { 0 };
	uint8_t *iv = out + sizeof(begin);
	uint8_t *sealed = iv + CML_GCM_NONCE_SIZE;
	enum cml_status status = CML_INTERNAL;
	struct cml_gcm *gcm = NULL;
	size_t structure_len = 0;

	if (external_aad.len > CML_COSE_MAX_AAD ||
	    plain.len > CML_COSE_MAX_CONTENT ||
	    cml_cose_encrypt0_size(plain.len) > *len)
		return CML_INTERNAL;

	structure_len = cml_cose_enc_structure("Encrypt0", external_aad,
					       structure);
	memcpy(out, begin, sizeof(begin));
	sealed += cml_cbor_put_head(sealed, CML_CBOR_BYTES,
				    plain.len + CML_GCM_TAG_SIZE);
	status = cml_crypto_random(iv, CML_GCM_NONCE_SIZE);
	if (!status)
		status = cml_crypto_gcm_new(key, &gcm);
	if (!status)
		status = cml_crypto_gcm_seal(gcm, iv,
					     cml_bytes(structure,
						       structure_len),
					     plain, sealed);
	if (!status)
		*len = cml_cose_encrypt0_size(plain.len);
	cml_crypto_gcm_free(gcm);

	return status;
}
