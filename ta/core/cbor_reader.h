// SPDX-License-Identifier: Apache-2.0
/*
 * CBOR (RFC 8949) from bytes that are not trusted, on tinycbor's parser. As
 * with a cursor of bytes.h, the first thing that is not as asked for makes the
 * reader bad, all reads after that give zero, and the caller looks once, at
 * the end (cml_cbor_done).
 *
 * Only what deterministic encoding (RFC 8949, 4.2.1) allows is read: shortest
 * heads, definite lengths. The order of keys in maps is not looked at; whoever
 * reads a map refuses keys that come twice. Nothing is skipped, so nothing
 * recurses.
 */
#ifndef CML_CBOR_READER_H
#define CML_CBOR_READER_H

#include "cbor.h"

#include "bytes.h"

/* Maps and arrays in one another. */
#define CML_CBOR_MAX_DEPTH 6

/* Not to be copied: tinycbor's values point to the parser. */
struct cml_cbor_reader {
	CborParser parser;
	CborValue value[CML_CBOR_MAX_DEPTH + 1];
	const uint8_t *end;
	size_t depth;
	bool bad;
};

/* @bytes stays in place while @reader is used. */
void cml_cbor_begin(struct cml_cbor_reader *reader, struct cml_bytes bytes);
/* True when nothing was bad and @bytes is one item that was read whole. */
bool cml_cbor_done(const struct cml_cbor_reader *reader);

/* Go in, and give how many items, or pairs, there are. */
size_t cml_cbor_array(struct cml_cbor_reader *reader);
size_t cml_cbor_map(struct cml_cbor_reader *reader);
/* Go out, after the last of them. */
void cml_cbor_leave(struct cml_cbor_reader *reader);

uint64_t cml_cbor_tag(struct cml_cbor_reader *reader);
int64_t cml_cbor_int(struct cml_cbor_reader *reader);
struct cml_bytes cml_cbor_bytes(struct cml_cbor_reader *reader);

#endif /* CML_CBOR_READER_H */
