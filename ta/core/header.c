// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "header.h"
#include "hkdf.h"
#include "memory.h"

static bool all_zero(const uint8_t *bytes, size_t len)
{
	uint8_t any = 0;

	for (size_t i = 0; i < len; i++)
		any |= bytes[i];

	return !any;
}

static uint64_t max_len(enum cml_kind kind)
{
	switch (kind) {
	case CML_KIND_MODEL:
		return CML_MODEL_MAX_LEN;
	case CML_KIND_TENSORS:
		return CML_TENSORS_MAX_LEN;
	default:
		return CML_PHOTO_MAX_LEN;
	}
}

/* Fields whose meaning depends on the kind. */
static bool fields_fit_kind(const struct cml_header *header)
{
	switch (header->kind) {
	case CML_KIND_MODEL:
		return !header->score_threshold &&
		       all_zero(header->request_id, CML_REQUEST_ID_SIZE);
	case CML_KIND_TENSORS:
		return !header->score_threshold;
	default:
		return header->score_threshold >= 1 &&
		       header->score_threshold <= 1000;
	}
}

enum cml_status cml_header_parse(struct cml_bytes bytes, uint32_t kinds,
				 struct cml_header *header)
{
	struct cml_bytes magic = { 0 }, key_id = { 0 }, request_id = { 0 };
	struct cml_header parsed = { 0 };
	struct cml_cursor cur = { 0 };
	uint8_t reserved = 0;
	uint8_t kind = 0;

	if (bytes.len != CML_HEADER_SIZE)
		return CML_HEADER_MALFORMED;
	/* @bytes may be shared with the normal world: read it once. */
	memcpy(parsed.bytes, bytes.ptr, sizeof(parsed.bytes));
	cur = cml_cursor(cml_bytes(parsed.bytes, sizeof(parsed.bytes)));

	magic = cml_cursor_take(&cur, 4);
	kind = cml_cursor_u8(&cur);
	reserved = cml_cursor_u8(&cur);
	parsed.score_threshold = cml_cursor_be16(&cur);
	key_id = cml_cursor_take(&cur, CML_KEY_ID_SIZE);
	request_id = cml_cursor_take(&cur, CML_REQUEST_ID_SIZE);
	parsed.plaintext_len = cml_cursor_be64(&cur);
	if (!cml_cursor_ok(&cur) || cml_cursor_remaining(&cur))
		return CML_INTERNAL;

	if (memcmp(magic.ptr, "CML1", 4) || reserved ||
	    kind < CML_KIND_PHOTO || kind > CML_KIND_TENSORS)
		return CML_HEADER_MALFORMED;
	parsed.kind = kind;
	memcpy(parsed.key_id, key_id.ptr, key_id.len);
	memcpy(parsed.request_id, request_id.ptr, request_id.len);
	if (!fields_fit_kind(&parsed) || !parsed.plaintext_len)
		return CML_HEADER_MALFORMED;
	if (!(kinds & CML_KINDS(parsed.kind)))
		return CML_HEADER_KIND;
	if (parsed.plaintext_len > max_len(parsed.kind))
		return CML_HEADER_LIMIT;

	*header = parsed;

	return CML_OK;
}

enum cml_status cml_key_id(const uint8_t key[CML_AES256_KEY_SIZE],
			   uint8_t key_id[CML_KEY_ID_SIZE])
{
	static const char info[] = "cml-key-id-v1";

	return cml_hkdf(cml_bytes(key, CML_AES256_KEY_SIZE),
			cml_bytes(NULL, 0), cml_bytes(info, sizeof(info) - 1),
			key_id, CML_KEY_ID_SIZE);
}
