// SPDX-License-Identifier: Apache-2.0
/*
 * A sealed file is a fixed header and a sealed stream (stream.h):
 *
 *   offset size
 *        0    4  "CML2"
 *        4    1  kind: 1 photo, 2 model, 3 tensors
 *        5    1  request: CML_REQUEST_*, what its result is to be; model: 0
 *        6    2  photo: score threshold in 1/1000, 1 to 1000; else 0
 *        8   16  key id: HKDF-SHA256(key, salt "", info "cml-key-id-v1")
 *       24    8  model: its version; else the request's number; at least 1
 *       32    8  plaintext length in bytes, at least 1
 *       40   32  model: its name; else SHA-256 of the model that may see it
 *       72    -  the stream
 *
 * Integers are big endian. A name is 1 to 32 of A-Z a-z 0-9 . _ -, and zeros
 * up to 32 bytes. The 72 bytes are the stream's associated data: a header that
 * was changed opens nothing. docs/wire-formats.md is the reference.
 */
#ifndef CML_HEADER_H
#define CML_HEADER_H

#include "crypto.h"

#define CML_HEADER_SIZE		72
#define CML_KEY_ID_SIZE		16
#define CML_MODEL_NAME_MAX_LEN	32

enum cml_kind {
	CML_KIND_PHOTO = 1,
	CML_KIND_MODEL = 2,
	CML_KIND_TENSORS = 3,	/* all inputs of a model, in order */
};

enum cml_request_flag {
	CML_REQUEST_SIGNED = 1,		/* COSE_Sign1 */
	CML_REQUEST_CLEAR = 2,		/* not encrypted; then it is signed */
};

/* Limits on what a header may announce, in bytes. */
#define CML_PHOTO_MAX_LEN	(64ull << 20)
#define CML_MODEL_MAX_LEN	(12ull << 20)
#define CML_TENSORS_MAX_LEN	(16ull << 20)

struct cml_header {
	uint8_t bytes[CML_HEADER_SIZE];	/* as received: associated data */
	enum cml_kind kind;
	uint8_t flags;			/* CML_REQUEST_* */
	uint16_t score_threshold;	/* in 1/1000 */
	uint8_t key_id[CML_KEY_ID_SIZE];
	uint64_t plaintext_len;
	/* Of a model */
	uint64_t version;
	char name[CML_MODEL_NAME_MAX_LEN + 1];
	/* Of a request: numbers rise, under one key none comes twice */
	uint64_t sequence;
	uint8_t model_digest[CML_SHA256_SIZE];
};

#define CML_KINDS(kind)	(1u << (kind))

/*
 * Copies and checks. CML_HEADER_MALFORMED, CML_HEADER_KIND when it is well
 * formed but of none of these @kinds (bits CML_KINDS()), CML_HEADER_LIMIT.
 */
enum cml_status cml_header_parse(struct cml_bytes bytes, uint32_t kinds,
				 struct cml_header *header);

/*
 * The public name of a key. A header that names another key than the one at
 * hand was sealed with another key: CML_STREAM_WRONG_KEY, the caller's check.
 */
enum cml_status cml_key_id(const uint8_t key[CML_AES256_KEY_SIZE],
			   uint8_t key_id[CML_KEY_ID_SIZE]);

#endif /* CML_HEADER_H */
