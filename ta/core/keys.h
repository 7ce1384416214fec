// SPDX-License-Identifier: Apache-2.0
/*
 * The TA's own keys, from seeds. A seed comes from the device's root key, is
 * of one label, and is this TA's on this device alone; the same seed, salt and
 * label give the same key.
 */
#ifndef CML_KEYS_H
#define CML_KEYS_H

#include "crypto.h"

#define CML_SEED_SIZE		32
#define CML_LABEL_MAX_LEN	64

/*
 * HKDF-SHA256(seed, salt, info = label || u8 counter, 32 bytes), big endian,
 * with counter = 0, 1, ... until it is a scalar (cml_p256_is_scalar). @salt may
 * be empty, and has at most 64 bytes.
 */
enum cml_status cml_keys_scalar(const uint8_t seed[CML_SEED_SIZE],
				struct cml_bytes salt, struct cml_bytes label,
				uint8_t scalar[CML_P256_SCALAR_SIZE]);
/* The key of that scalar; freed by cml_crypto_p256_free(). */
enum cml_status cml_keys_p256(const uint8_t seed[CML_SEED_SIZE],
			      struct cml_bytes salt, struct cml_bytes label,
			      enum cml_p256_use use,
			      struct cml_p256_key **key);

/* HKDF-SHA256(seed, salt empty, info = label, 32 bytes) */
enum cml_status cml_keys_symmetric(const uint8_t seed[CML_SEED_SIZE],
				   struct cml_bytes label,
				   uint8_t key[CML_AES256_KEY_SIZE]);

#endif /* CML_KEYS_H */
