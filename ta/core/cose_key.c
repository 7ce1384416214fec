// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "cose_key.h"
#include "p256.h"

#define COORDINATE_SIZE	32
#define SEC1_UNCOMPRESSED	0x04

/* RFC 9053, 7.1.1, and the values for P-256 */
#define KEY_TYPE	1
#define CURVE		-1
#define X		-2
#define Y		-3
#define KEY_TYPE_EC2	2
#define CURVE_P256	1

/* A map of 4: 1: 2, -1: 1, -2: a string of 32 bytes ... */
static const uint8_t until_x[] = {
	0xa4, 0x01, 0x02, 0x20, 0x01, 0x21, 0x58, COORDINATE_SIZE,
};

/* ... -3: a string of 32 bytes */
static const uint8_t until_y[] = { 0x22, 0x58, COORDINATE_SIZE };

_Static_assert(sizeof(until_x) + sizeof(until_y) + 2 * COORDINATE_SIZE ==
	       CML_COSE_KEY_SIZE, "the size of a COSE_Key");

void cml_cose_key_encode(const uint8_t point[CML_P256_POINT_SIZE],
			 uint8_t out[CML_COSE_KEY_SIZE])
{
	memcpy(out, until_x, sizeof(until_x));
	out += sizeof(until_x);
	memcpy(out, point + 1, COORDINATE_SIZE);
	out += COORDINATE_SIZE;
	memcpy(out, until_y, sizeof(until_y));
	out += sizeof(until_y);
	memcpy(out, point + 1 + COORDINATE_SIZE, COORDINATE_SIZE);
}

/* A coordinate has all of its 32 bytes: leading zeros are there. */
static bool read_coordinate(struct cml_cbor_reader *reader, uint8_t *out)
{
	struct cml_bytes bytes = cml_cbor_bytes(reader);

	if (bytes.len != COORDINATE_SIZE)
		return false;
	memcpy(out, bytes.ptr, COORDINATE_SIZE);

	return true;
}

enum cml_status cml_cose_key_read(struct cml_cbor_reader *reader,
				  uint8_t point[CML_P256_POINT_SIZE])
{
	size_t count = cml_cbor_map(reader);
	unsigned int seen = 0;
	unsigned int bit = 0;
	bool good = count == 4;

	point[0] = SEC1_UNCOMPRESSED;
	for (size_t i = 0; good && i < count && !reader->bad; i++) {
		switch (cml_cbor_int(reader)) {
		case KEY_TYPE:
			bit = 1;
			good = cml_cbor_int(reader) == KEY_TYPE_EC2;
			break;
		case CURVE:
			bit = 2;
			good = cml_cbor_int(reader) == CURVE_P256;
			break;
		case X:
			bit = 4;
			good = read_coordinate(reader, point + 1);
			break;
		case Y:
			bit = 8;
			good = read_coordinate(reader, point + 1 +
						       COORDINATE_SIZE);
			break;
		default:
			good = false;
			break;
		}
		good &= !(seen & bit);
		seen |= bit;
	}
	if (reader->bad)
		return CML_COSE_MALFORMED;
	if (!good || !cml_p256_is_point(point))
		return CML_COSE_KEY;
	cml_cbor_leave(reader);

	return CML_OK;
}

enum cml_status cml_cose_key_parse(struct cml_bytes bytes,
				   uint8_t point[CML_P256_POINT_SIZE])
{
	struct cml_cbor_reader reader = { 0 };
	enum cml_status status = CML_INTERNAL;

	cml_cbor_begin(&reader, bytes);
	status = cml_cose_key_read(&reader, point);
	if (!status && !cml_cbor_done(&reader))
		status = CML_COSE_MALFORMED;

	return status;
}

enum cml_status cml_cose_key_thumbprint(
	const uint8_t point[CML_P256_POINT_SIZE],
	uint8_t thumbprint[CML_THUMBPRINT_SIZE])
{
	uint8_t encoded[CML_COSE_KEY_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;
	struct cml_sha256 *sha = NULL;

	cml_cose_key_encode(point, encoded);
	status = cml_crypto_sha256_new(&sha);
	if (!status)
		status = cml_crypto_sha256_update(sha,
						  cml_bytes(encoded,
							    sizeof(encoded)));
	if (!status)
		status = cml_crypto_sha256_final(sha, thumbprint);
	cml_crypto_sha256_free(sha);

	return status;
}
