// SPDX-License-Identifier: Apache-2.0
/*
 * An owner's 256-bit key on its way to the TA, as the content of COSE_Encrypt
 * (cose_encrypt.h). What it is for is its external_aad, so that it opens for
 * that and for nothing else:
 *
 *   ["cml-key-v2", slot, challenge]
 *
 * docs/wire-formats.md has the CDDL.
 */
#ifndef CML_KEY_MESSAGE_H
#define CML_KEY_MESSAGE_H

#include "cose_encrypt.h"

/* A message of cwt's is 255 bytes, one with all lengths at their largest 261 */
#define CML_KEY_MESSAGE_MAX_SIZE	512
#define CML_KEY_CHALLENGE_MAX		32

enum cml_key_slot {
	CML_KEY_SLOT_DATA = 1,
	CML_KEY_SLOT_MODEL = 2,
	CML_KEY_SLOT_STORED = 3,	/* a model owner's, for the device to keep */
};

/*
 * @slot below 24; @challenge up to CML_KEY_CHALLENGE_MAX bytes, may be empty.
 * The errors of cml_cose_encrypt_open(); CML_COSE_LIMIT also for a message
 * that is too long, CML_COSE_MALFORMED for a key of another size. @key is
 * wiped after an error.
 */
enum cml_status cml_key_message_open(const struct cml_cose_recipient *to,
				     uint8_t slot, struct cml_bytes challenge,
				     struct cml_bytes message,
				     uint8_t key[CML_AES256_KEY_SIZE]);

#endif /* CML_KEY_MESSAGE_H */
