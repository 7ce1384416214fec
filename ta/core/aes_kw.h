// SPDX-License-Identifier: Apache-2.0
/* AES key unwrapping (RFC 3394) with a key of 256 bits: COSE's A256KW. */
#ifndef CML_AES_KW_H
#define CML_AES_KW_H

#include "crypto.h"

#define CML_AES_KW_EXTRA	8	/* what wrapping adds */
#define CML_AES_KW_MAX_KEY	64

/*
 * @wrapped is 8 bytes longer than the key, which is 16 to 64 bytes, a multiple
 * of 8; @key has room for it. CML_COSE_UNWRAP when it was altered, wrapped
 * with another key, or of another length; @key is then wiped.
 */
enum cml_status cml_aes_kw_unwrap(const uint8_t kek[CML_AES256_KEY_SIZE],
				  struct cml_bytes wrapped, uint8_t *key);

#endif /* CML_AES_KW_H */
