// SPDX-License-Identifier: Apache-2.0
/*
 * Headers of sealed files. One that is accepted is within its limits, and its
 * fields give the same bytes again.
 */
#include <stdlib.h>
#include <string.h>

#include "header.h"

static void put_be(uint8_t *out, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		out[i] = value >> (8 * (size - 1 - i));
}

static void check(const struct cml_header *header, const uint8_t *data)
{
	const bool is_photo = header->kind == CML_KIND_PHOTO;
	const uint64_t limits[] = {
		[CML_KIND_PHOTO] = CML_PHOTO_MAX_LEN,
		[CML_KIND_MODEL] = CML_MODEL_MAX_LEN,
		[CML_KIND_TENSORS] = CML_TENSORS_MAX_LEN,
	};
	uint8_t bytes[CML_HEADER_SIZE] = "CML2";

	if (!header->plaintext_len ||
	    header->plaintext_len > limits[header->kind])
		abort();
	if (is_photo ? !header->score_threshold ||
	    header->score_threshold > 1000 : header->score_threshold)
		abort();
	bytes[4] = header->kind;
	bytes[5] = header->flags;
	if (header->flags > 3 || header->flags == CML_REQUEST_CLEAR ||
	    (header->flags && header->kind == CML_KIND_MODEL))
		abort();
	put_be(bytes + 6, header->score_threshold, 2);
	memcpy(bytes + 8, header->key_id, CML_KEY_ID_SIZE);
	put_be(bytes + 32, header->plaintext_len, 8);
	if (header->kind == CML_KIND_MODEL) {
		put_be(bytes + 24, header->version, 8);
		if (!header->name[0] ||
		    strlen(header->name) > CML_MODEL_NAME_MAX_LEN)
			abort();
		memcpy(bytes + 40, header->name, strlen(header->name));
	} else {
		put_be(bytes + 24, header->sequence, 8);
		memcpy(bytes + 40, header->model_digest, CML_SHA256_SIZE);
	}
	if (memcmp(bytes, data, sizeof(bytes)) ||
	    memcmp(header->bytes, data, sizeof(bytes)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const enum cml_kind kinds[] = {
		CML_KIND_PHOTO, CML_KIND_MODEL, CML_KIND_TENSORS,
	};
	struct cml_header header = { 0 };

	for (size_t i = 0; i < 3; i++)
		if (!cml_header_parse(cml_bytes(data, size),
				      CML_KINDS(kinds[i]), &header)) {
			if (header.kind != kinds[i])
				abort();
			check(&header, data);
		}

	return 0;
}
