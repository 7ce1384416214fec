// SPDX-License-Identifier: Apache-2.0
#include "hkdf.h"
#include "keys.h"
#include "memory.h"
#include "p256.h"

/* One number in 2^32 is no scalar. */
#define MAX_TRIES	8

enum cml_status cml_keys_scalar(const uint8_t seed[CML_SEED_SIZE],
				struct cml_bytes salt, struct cml_bytes label,
				uint8_t scalar[CML_P256_SCALAR_SIZE])
{
	struct cml_bytes ikm = cml_bytes(seed, CML_SEED_SIZE);
	uint8_t prk[CML_SHA256_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;
	uint8_t counter = 0;
	struct cml_bytes info[] = { label, cml_bytes(&counter, 1) };

	if (!label.len || label.len > CML_LABEL_MAX_LEN)
		return CML_INTERNAL;
	status = cml_hkdf_extract(salt, &ikm, 1, prk);
	while (!status) {
		status = cml_hkdf_expand(prk, info, 2, scalar,
					 CML_P256_SCALAR_SIZE);
		if (status || cml_p256_is_scalar(scalar))
			break;
		if (++counter == MAX_TRIES)
			status = CML_INTERNAL;
	}
	cml_wipe(prk, sizeof(prk));
	if (status)
		cml_wipe(scalar, CML_P256_SCALAR_SIZE);

	return status;
}

enum cml_status cml_keys_p256(const uint8_t seed[CML_SEED_SIZE],
			      struct cml_bytes salt, struct cml_bytes label,
			      enum cml_p256_use use,
			      struct cml_p256_key **key)
{
	uint8_t scalar[CML_P256_SCALAR_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;

	status = cml_keys_scalar(seed, salt, label, scalar);
	if (!status)
		status = cml_crypto_p256_new(scalar, use, key);
	cml_wipe(scalar, sizeof(scalar));

	return status;
}

enum cml_status cml_keys_symmetric(const uint8_t seed[CML_SEED_SIZE],
				   struct cml_bytes label,
				   uint8_t key[CML_AES256_KEY_SIZE])
{
	if (!label.len || label.len > CML_LABEL_MAX_LEN)
		return CML_INTERNAL;

	return cml_hkdf(cml_bytes(seed, CML_SEED_SIZE), cml_bytes(NULL, 0),
			label, key, CML_AES256_KEY_SIZE);
}
