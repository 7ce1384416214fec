// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "aes_kw.h"
#include "memory.h"

#define HALF	8	/* of an AES block: RFC 3394's 64-bit registers */
#define ROUNDS	6

/* RFC 3394, 2.2.3.1: what the first register must be in the end */
static const uint8_t check_value[HALF] = {
	0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6,
};

/* RFC 3394, 2.2.2, index based; @block holds A in its first half. */
static enum cml_status unwind(struct cml_aes256 *aes,
			      uint8_t block[CML_AES_BLOCK_SIZE], uint8_t *key,
			      size_t count)
{
	enum cml_status status = CML_OK;

	/* t = n * j + i counts down from 6n to 1; it fits in one byte. */
	for (size_t t = ROUNDS * count; !status && t > 0; t--) {
		uint8_t *half = key + HALF * ((t - 1) % count);

		block[HALF - 1] ^= t;
		memcpy(block + HALF, half, HALF);
		status = cml_crypto_aes256_decrypt(aes, block, block);
		memcpy(half, block + HALF, HALF);
	}

	return status;
}

enum cml_status cml_aes_kw_unwrap(const uint8_t kek[CML_AES256_KEY_SIZE],
				  struct cml_bytes wrapped, uint8_t *key)
{
	uint8_t block[CML_AES_BLOCK_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;
	struct cml_aes256 *aes = NULL;
	size_t len = 0;

	if (wrapped.len % HALF || wrapped.len < 2 * HALF + CML_AES_KW_EXTRA ||
	    wrapped.len > CML_AES_KW_MAX_KEY + CML_AES_KW_EXTRA)
		return CML_COSE_UNWRAP;

	len = wrapped.len - CML_AES_KW_EXTRA;
	memcpy(block, wrapped.ptr, HALF);
	memcpy(key, wrapped.ptr + HALF, len);
	status = cml_crypto_aes256_new(kek, &aes);
	if (!status)
		status = unwind(aes, block, key, len / HALF);
	if (!status && !cml_crypto_equal(block, check_value, HALF))
		status = CML_COSE_UNWRAP;

	cml_crypto_aes256_free(aes);
	cml_wipe(block, sizeof(block));
	if (status)
		cml_wipe(key, len);

	return status;
}
