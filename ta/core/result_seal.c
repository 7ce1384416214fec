// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "cose_encrypt0.h"
#include "hkdf.h"
#include "memory.h"
#include "result.h"

static enum cml_status result_key(const uint8_t data_key[CML_AES256_KEY_SIZE],
				  uint8_t key[CML_AES256_KEY_SIZE])
{
	static const char info[] = "cml-result-v1";

	return cml_hkdf(cml_bytes(data_key, CML_AES256_KEY_SIZE),
			cml_bytes(NULL, 0), cml_bytes(info, sizeof(info) - 1),
			key, CML_AES256_KEY_SIZE);
}

/* COSE_Encrypt0 around @content, which may stand in @out where it belongs. */
static enum cml_status encrypt(const uint8_t data_key[CML_AES256_KEY_SIZE],
			       struct cml_bytes external_aad,
			       struct cml_bytes content, uint8_t *out,
			       size_t *len)
{
	uint8_t key[CML_AES256_KEY_SIZE] = { 0 };
	enum cml_status status = result_key(data_key, key);

	if (!status)
		status = cml_cose_encrypt0(key, external_aad, content, out,
					   len);
	cml_wipe(key, sizeof(key));

	return status;
}

enum cml_status cml_result_seal(const struct cml_result_seal *seal,
				struct cml_bytes external_aad,
				struct cml_bytes plain, uint8_t *out,
				size_t *len)
{
	const struct cml_cose_signer *signer = seal->signer;
	enum cml_status status = CML_INTERNAL;
	uint8_t *signed_at = out;
	size_t signed_len = 0;

	if (plain.len > CML_TENSORS_MAX_LEN || (!seal->data_key && !signer))
		return CML_INTERNAL;
	if (!signer)
		return encrypt(seal->data_key, external_aad, plain, out, len);
	signed_len = cml_cose_sign1_size(signer, plain.len);
	if (seal->data_key) {
		if (cml_cose_encrypt0_size(signed_len) > *len)
			return CML_INTERNAL;
		signed_at += cml_cose_encrypt0_offset(signed_len);
	} else if (signed_len > *len) {
		return CML_INTERNAL;
	}
	status = cml_cose_sign1(signer, external_aad, plain, signed_at,
				&signed_len);
	if (status)
		return status;
	if (!seal->data_key) {
		*len = signed_len;
		return CML_OK;
	}

	return encrypt(seal->data_key, external_aad,
		       cml_bytes(signed_at, signed_len), out, len);
}
