// SPDX-License-Identifier: Apache-2.0
/*
 * Public keys of P-256 as COSE_Key (RFC 9052, 7; RFC 9053, 7.1.1), and their
 * names: SHA-256 thumbprints (RFC 9679).
 */
#ifndef CML_COSE_KEY_H
#define CML_COSE_KEY_H

#include "cbor_reader.h"
#include "crypto.h"

/* {1: 2 (EC2), -1: 1 (P-256), -2: x, -3: y}, deterministically encoded */
#define CML_COSE_KEY_SIZE	75
#define CML_THUMBPRINT_SIZE	CML_SHA256_SIZE

void cml_cose_key_encode(const uint8_t point[CML_P256_POINT_SIZE],
			 uint8_t out[CML_COSE_KEY_SIZE]);

/*
 * Those four parameters, in any order, and no other: a point of the curve.
 * CML_COSE_MALFORMED, CML_COSE_KEY.
 */
enum cml_status cml_cose_key_parse(struct cml_bytes bytes,
				   uint8_t point[CML_P256_POINT_SIZE]);
/* The same within another item. A bad reader is left to the caller. */
enum cml_status cml_cose_key_read(struct cml_cbor_reader *reader,
				  uint8_t point[CML_P256_POINT_SIZE]);

/* SHA-256 of what cml_cose_key_encode() gives. */
enum cml_status cml_cose_key_thumbprint(
	const uint8_t point[CML_P256_POINT_SIZE],
	uint8_t thumbprint[CML_THUMBPRINT_SIZE]);

#endif /* CML_COSE_KEY_H */
