// SPDX-License-Identifier: Apache-2.0
/*
 * A sealed file is a fixed header and a sealed stream (stream.h):
 *
 *   offset size
 *        0    4  "CML1"
 *        4    1  kind: 1 photo, 2 model, 3 tensors
 *        5    1  reserved, 0
 *        6    2  photo: score threshold in 1/1000, 1 to 1000; else 0
 *        8   16  key id: HKDF-SHA256(key, salt "", info "cml-key-id-v1")
 *       24   16  model: 0; else request id, random
 *       40    8  plaintext length in bytes, at least 1
 *       48    -  the stream
 *
 * Integers are big endian. The 48 bytes are the stream's associated data: a
 * header that was changed opens nothing. docs/wire-formats.md is the
 * reference.
 */
#ifndef CML_HEADER_H
#define CML_HEADER_H

#include "crypto.h"

#define CML_HEADER_SIZE		48
#define CML_KEY_ID_SIZE		16
#define CML_REQUEST_ID_SIZE	16

enum cml_kind {
	CML_KIND_PHOTO = 1,
	CML_KIND_MODEL = 2,
	CML_KIND_TENSORS = 3,	/* all inputs of a model, in order */
};

/* Limits on what a header may announce, in bytes. */
#define CML_PHOTO_MAX_LEN	(64ull << 20)
#define CML_MODEL_MAX_LEN	(12ull << 20)
#define CML_TENSORS_MAX_LEN	(16ull << 20)

struct cml_header {
	uint8_t bytes[CML_HEADER_SIZE];	/* as received: associated data */
	enum cml_kind kind;
	uint16_t score_threshold;	/* in 1/1000 */
	uint8_t key_id[CML_KEY_ID_SIZE];
	uint8_t request_id[CML_REQUEST_ID_SIZE];
	uint64_t plaintext_len;
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
