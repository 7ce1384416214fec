// SPDX-License-Identifier: Apache-2.0
/*
 * Heads of CBOR items (RFC 8949, 3) in their shortest form, for messages whose
 * shape is fixed: only the length of a byte string or two varies in them.
 */
#ifndef CML_CBOR_HEAD_H
#define CML_CBOR_HEAD_H

#include "bytes.h"

#define CML_CBOR_HEAD_MAX	5
#define CML_CBOR_BYTES		2	/* major type of a byte string */

static inline size_t cml_cbor_head_size(uint32_t value)
{
	if (value < 24)
		return 1;
	if (value <= UINT8_MAX)
		return 2;

	return value <= UINT16_MAX ? 3 : 5;
}

/* Gives cml_cbor_head_size(value). */
static inline size_t cml_cbor_put_head(uint8_t *out, uint8_t major,
				       uint32_t value)
{
	size_t size = cml_cbor_head_size(value);

	switch (size) {
	case 1:
		out[0] = major << 5 | value;
		break;
	case 2:
		out[0] = major << 5 | 24;
		break;
	case 3:
		out[0] = major << 5 | 25;
		break;
	default:
		out[0] = major << 5 | 26;
		break;
	}
	for (size_t i = 1; i < size; i++)
		out[i] = value >> (8 * (size - 1 - i));

	return size;
}

#endif /* CML_CBOR_HEAD_H */
