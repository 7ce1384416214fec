// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "cbor_head.h"
#include "key_message.h"
#include "memory.h"

#define SLOT_MAX	23	/* one byte of CBOR */

/* array(3), "cml-key-v2" */
static const uint8_t purpose[] = {
	0x83, 0x6a, 'c', 'm', 'l', '-', 'k', 'e', 'y', '-', 'v', '2',
};

enum cml_status cml_key_message_open(const struct cml_cose_recipient *to,
				     uint8_t slot, struct cml_bytes challenge,
				     struct cml_bytes message,
				     uint8_t key[CML_AES256_KEY_SIZE])
{
	uint8_t aad[sizeof(purpose) + 1 + CML_CBOR_HEAD_MAX +
		    CML_KEY_CHALLENGE_MAX] = { 0 };
	enum cml_status status = CML_INTERNAL;
	size_t aad_len = sizeof(purpose);
	size_t len = CML_AES256_KEY_SIZE;

	if (slot > SLOT_MAX || challenge.len > CML_KEY_CHALLENGE_MAX)
		return CML_INTERNAL;
	if (message.len > CML_KEY_MESSAGE_MAX_SIZE)
		return CML_COSE_LIMIT;

	memcpy(aad, purpose, sizeof(purpose));
	aad[aad_len++] = slot;
	aad_len += cml_cbor_put_head(aad + aad_len, CML_CBOR_BYTES,
				     challenge.len);
	if (challenge.len)
		memcpy(aad + aad_len, challenge.ptr, challenge.len);
	aad_len += challenge.len;

	status = cml_cose_encrypt_open(to, cml_bytes(aad, aad_len), message,
				       key, &len);
	if (!status && len != CML_AES256_KEY_SIZE)
		status = CML_COSE_MALFORMED;
	if (status)
		cml_wipe(key, CML_AES256_KEY_SIZE);

	return status;
}
