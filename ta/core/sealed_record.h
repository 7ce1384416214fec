// SPDX-License-Identifier: Apache-2.0
/*
 * Records for storage that somebody else may write as well:
 *
 *   nonce (12) || zeros (4) || AES-256-GCM(content) || tag (16)
 *
 * in place, with a label as associated data. One build writes and reads them,
 * on one device: what is in them is a struct as it lies in memory, and nothing
 * parses it.
 */
#ifndef CML_SEALED_RECORD_H
#define CML_SEALED_RECORD_H

#include "crypto.h"

struct cml_sealed_head {
	uint8_t nonce[CML_GCM_NONCE_SIZE];
	uint8_t zero[4];
};

/* A record of this many bytes of content; that comes after the head. */
#define CML_SEALED_RECORD_SIZE(content_size) \
	(sizeof(struct cml_sealed_head) + (content_size) + CML_GCM_TAG_SIZE)

/*
 * @record of @size bytes, head and tag included. One that is all zero was never
 * sealed, and stays so. CML_STORAGE_DAMAGED: @key did not seal this as @label.
 */
enum cml_status cml_sealed_record_open(const uint8_t key[CML_AES256_KEY_SIZE],
				       struct cml_bytes label, void *record,
				       size_t size);
enum cml_status cml_sealed_record_seal(const uint8_t key[CML_AES256_KEY_SIZE],
				       struct cml_bytes label, void *record,
				       size_t size);

#endif /* CML_SEALED_RECORD_H */
