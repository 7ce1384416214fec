// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "header.h"
#include "hkdf.h"
#include "memory.h"

static bool is_name_char(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

/* 1 to @field.len characters of a name, and zeros. */
static bool read_name(struct cml_bytes field,
		      char name[CML_MODEL_NAME_MAX_LEN + 1])
{
	size_t len = 0;

	while (len < field.len && is_name_char(field.ptr[len]))
		len++;
	for (size_t i = len; i < field.len; i++)
		if (field.ptr[i])
			return false;
	memcpy(name, field.ptr, len);
	name[len] = 0;

	return len;
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

static bool flags_fit(const struct cml_header *header)
{
	if (header->kind == CML_KIND_MODEL)
		return !header->flags;
	if (header->flags & ~(CML_REQUEST_SIGNED | CML_REQUEST_CLEAR))
		return false;

	/* Neither signed nor encrypted, a result would be anybody's. */
	return header->flags != CML_REQUEST_CLEAR;
}

/* Fields whose meaning depends on the kind. */
static bool read_fields(struct cml_header *header, uint64_t number,
			struct cml_bytes last)
{
	if (!number || !header->plaintext_len || !flags_fit(header))
		return false;
	if (header->kind == CML_KIND_PHOTO) {
		if (!header->score_threshold || header->score_threshold > 1000)
			return false;
	} else if (header->score_threshold) {
		return false;
	}
	if (header->kind == CML_KIND_MODEL) {
		header->version = number;
		return read_name(last, header->name);
	}
	header->sequence = number;
	memcpy(header->model_digest, last.ptr, last.len);

	return true;
}

enum cml_status cml_header_parse(struct cml_bytes bytes, uint32_t kinds,
				 struct cml_header *header)
{
	struct cml_bytes magic = { 0 }, key_id = { 0 }, last = { 0 };
	struct cml_header parsed = { 0 };
	struct cml_cursor cur = { 0 };
	uint64_t number = 0;
	uint8_t kind = 0;

	if (bytes.len != CML_HEADER_SIZE)
		return CML_HEADER_MALFORMED;
	/* @bytes may be shared with the normal world: read it once. */
	memcpy(parsed.bytes, bytes.ptr, sizeof(parsed.bytes));
	cur = cml_cursor(cml_bytes(parsed.bytes, sizeof(parsed.bytes)));

	magic = cml_cursor_take(&cur, 4);
	kind = cml_cursor_u8(&cur);
	parsed.flags = cml_cursor_u8(&cur);
	parsed.score_threshold = cml_cursor_be16(&cur);
	key_id = cml_cursor_take(&cur, CML_KEY_ID_SIZE);
	number = cml_cursor_be64(&cur);
	parsed.plaintext_len = cml_cursor_be64(&cur);
	last = cml_cursor_take(&cur, 32);
	if (!cml_cursor_ok(&cur) || cml_cursor_remaining(&cur))
		return CML_INTERNAL;

	if (memcmp(magic.ptr, "CML2", 4) ||
	    kind < CML_KIND_PHOTO || kind > CML_KIND_TENSORS)
		return CML_HEADER_MALFORMED;
	parsed.kind = kind;
	memcpy(parsed.key_id, key_id.ptr, key_id.len);
	if (!read_fields(&parsed, number, last))
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
