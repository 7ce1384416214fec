// SPDX-License-Identifier: Apache-2.0
/*
 * COSE_Encrypt0 (RFC 9052, 5.2) with A256GCM and a random IV, made in one
 * buffer. The content may already stand where it comes to stand, so that
 * another message (cose_sign1.h) goes into this one without a copy.
 */
#ifndef CML_COSE_ENCRYPT0_H
#define CML_COSE_ENCRYPT0_H

#include "crypto.h"

#define CML_COSE_MAX_CONTENT	(32u << 20)
#define CML_COSE_MAX_AAD	256	/* external_aad */

/* What stands before a content of @len bytes, and how long it all becomes. */
size_t cml_cose_encrypt0_offset(size_t len);
size_t cml_cose_encrypt0_size(size_t len);

/*
 * @plain is out + cml_cose_encrypt0_offset(), or does not overlap @out.
 * @len: in, room; out, used. CML_INTERNAL when it does not fit.
 */
enum cml_status cml_cose_encrypt0(const uint8_t key[CML_AES256_KEY_SIZE],
				  struct cml_bytes external_aad,
				  struct cml_bytes plain, uint8_t *out,
				  size_t *len);

/*
 * Enc_structure (RFC 9052, 5.3) of A256GCM: [context, << {1: 3} >>, aad]. Gives
 * its length; @context is "Encrypt" or "Encrypt0", external_aad not too long.
 */
#define CML_COSE_ENC_STRUCTURE_MAX	(19 + CML_COSE_MAX_AAD)

size_t cml_cose_enc_structure(const char *context,
			      struct cml_bytes external_aad,
			      uint8_t out[CML_COSE_ENC_STRUCTURE_MAX]);

#endif /* CML_COSE_ENCRYPT0_H */
