// SPDX-License-Identifier: Apache-2.0
/*
 * What OP-TEE says of this TA and gives to its code alone: the pseudo-TA
 * "evidence" (optee-build/patches/optee-os/).
 */
#ifndef CML_EVIDENCE_H
#define CML_EVIDENCE_H

#include "keys.h"

/* A nonce's size, in bytes; RFC 9711, 4.1 */
#define CML_NONCE_MIN_SIZE	8
#define CML_NONCE_MAX_SIZE	64

/*
 * The seed of keys with this @label: of this device, and of exactly this code.
 * CML_NO_MEMORY, CML_CRYPTO.
 */
enum cml_status cml_evidence_seed(const char *label,
				  uint8_t seed[CML_SEED_SIZE]);
/* SHA-256 of this code, as OP-TEE measured it. CML_NO_MEMORY, CML_CRYPTO. */
enum cml_status cml_evidence_measurement(uint8_t digest[CML_SHA256_SIZE]);
/*
 * A token over @nonce with @claims, a CBOR map. @len: in, room; out, used.
 * CML_NO_MEMORY, CML_CRYPTO; CML_INTERNAL when it does not fit.
 */
enum cml_status cml_evidence_token(struct cml_bytes nonce,
				   struct cml_bytes claims, uint8_t *token,
				   size_t *len);

#endif /* CML_EVIDENCE_H */
