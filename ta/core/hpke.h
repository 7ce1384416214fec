// SPDX-License-Identifier: Apache-2.0
/*
 * HPKE (RFC 9180), base mode, single shot, receiver's side:
 * DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. Data and model
 * owners wrap their keys to the TA with it. This header is the one place
 * that knows how a key is wrapped.
 */
#ifndef CML_HPKE_H
#define CML_HPKE_H

#include "crypto.h"

#define CML_HPKE_ENC_SIZE	CML_P256_POINT_SIZE
/* enc || ciphertext || tag of a 32-byte key */
#define CML_WRAPPED_KEY_SIZE	(CML_HPKE_ENC_SIZE + CML_AES256_KEY_SIZE + \
				 CML_GCM_TAG_SIZE)

enum cml_key_slot {
	CML_KEY_SLOT_DATA = 1,
	CML_KEY_SLOT_MODEL = 2,
};

/*
 * RFC 9180's SealBase undone. @message is enc || ciphertext || tag; @plain has
 * room for message.len - CML_HPKE_ENC_SIZE - CML_GCM_TAG_SIZE bytes.
 * CML_KEY_MALFORMED (too short, or enc is no point), CML_KEY_UNWRAP.
 */
enum cml_status cml_hpke_open(struct cml_p256_key *recipient,
			      struct cml_bytes info, struct cml_bytes aad,
			      struct cml_bytes message, uint8_t *plain);

/*
 * info = "cml-key-v1" || the slot as one byte, aad empty.
 * CML_KEY_MALFORMED (length, or enc is no point), CML_KEY_UNWRAP.
 */
enum cml_status cml_key_unwrap(struct cml_p256_key *recipient,
			       enum cml_key_slot slot,
			       struct cml_bytes wrapped,
			       uint8_t key[CML_AES256_KEY_SIZE]);

#endif /* CML_HPKE_H */
