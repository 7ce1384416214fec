// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "hkdf.h"
#include "memory.h"

enum cml_status cml_hkdf_extract(struct cml_bytes salt,
				 const struct cml_bytes *ikm, size_t ikm_count,
				 uint8_t prk[CML_SHA256_SIZE])
{
	return cml_crypto_hmac_sha256(salt, ikm, ikm_count, prk);
}

enum cml_status cml_hkdf_expand(const uint8_t prk[CML_SHA256_SIZE],
				const struct cml_bytes *info,
				size_t info_count, uint8_t *out,
				size_t out_len)
{
	/* T(i) = HMAC(PRK, T(i - 1) || info || i), T(0) is empty */
	struct cml_bytes pieces[CML_HKDF_MAX_PIECES + 2] = { 0 };
	struct cml_bytes key = cml_bytes(prk, CML_SHA256_SIZE);
	uint8_t block[CML_SHA256_SIZE] = { 0 };
	enum cml_status status = CML_OK;
	uint8_t counter = 0;
	size_t done = 0;
	size_t len = 0;

	if (info_count > CML_HKDF_MAX_PIECES || out_len > CML_HKDF_MAX_OUT)
		return CML_INTERNAL;

	pieces[0] = cml_bytes(block, 0);
	for (size_t i = 0; i < info_count; i++)
		pieces[1 + i] = info[i];
	pieces[1 + info_count] = cml_bytes(&counter, sizeof(counter));

	while (done < out_len) {
		counter++;
		status = cml_crypto_hmac_sha256(key, pieces, info_count + 2,
						block);
		if (status)
			break;
		len = out_len - done;
		if (len > sizeof(block))
			len = sizeof(block);
		memcpy(out + done, block, len);
		done += len;
		pieces[0].len = sizeof(block);
	}

	cml_wipe(block, sizeof(block));
	if (status)
		cml_wipe(out, done);

	return status;
}

enum cml_status cml_hkdf(struct cml_bytes ikm, struct cml_bytes salt,
			 struct cml_bytes info, uint8_t *out, size_t out_len)
{
	uint8_t prk[CML_SHA256_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;

	status = cml_hkdf_extract(salt, &ikm, 1, prk);
	if (!status)
		status = cml_hkdf_expand(prk, &info, 1, out, out_len);
	cml_wipe(prk, sizeof(prk));

	return status;
}
