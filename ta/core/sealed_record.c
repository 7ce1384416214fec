// SPDX-License-Identifier: Apache-2.0
#include "sealed_record.h"

static bool is_new(const uint8_t *record, size_t size)
{
	uint8_t any = 0;

	for (size_t i = 0; i < size; i++)
		any |= record[i];

	return !any;
}

enum cml_status cml_sealed_record_open(const uint8_t key[CML_AES256_KEY_SIZE],
				       struct cml_bytes label, void *record,
				       size_t size)
{
	const struct cml_sealed_head *head = record;
	uint8_t *sealed = (uint8_t *)record + sizeof(*head);
	enum cml_status status = CML_INTERNAL;
	struct cml_gcm *gcm = NULL;

	if (is_new(record, size))
		return CML_OK;
	status = cml_crypto_gcm_new(key, &gcm);
	if (!status)
		status = cml_crypto_gcm_open(gcm, head->nonce, label,
					     cml_bytes(sealed,
						       size - sizeof(*head)),
					     sealed);
	cml_crypto_gcm_free(gcm);

	return status == CML_CRYPTO ? CML_STORAGE_DAMAGED : status;
}

enum cml_status cml_sealed_record_seal(const uint8_t key[CML_AES256_KEY_SIZE],
				       struct cml_bytes label, void *record,
				       size_t size)
{
	struct cml_sealed_head *head = record;
	uint8_t *plain = (uint8_t *)record + sizeof(*head);
	enum cml_status status = CML_INTERNAL;
	struct cml_gcm *gcm = NULL;

	status = cml_crypto_random(head->nonce, sizeof(head->nonce));
	if (!status)
		status = cml_crypto_gcm_new(key, &gcm);
	if (!status)
		status = cml_crypto_gcm_seal(gcm, head->nonce, label,
					     cml_bytes(plain,
						       size - sizeof(*head) -
						       CML_GCM_TAG_SIZE),
					     plain);
	cml_crypto_gcm_free(gcm);

	return status;
}
