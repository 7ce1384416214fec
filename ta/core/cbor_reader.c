// SPDX-License-Identifier: Apache-2.0
#include "cbor_reader.h"

/* The low 5 bits of an item's first byte, RFC 8949, 3 */
#define INFO_MASK	0x1f
#define INFO_1_BYTE	24
#define INFO_2_BYTES	25
#define INFO_4_BYTES	26
#define INFO_8_BYTES	27

static CborValue *here(struct cml_cbor_reader *reader)
{
	return &reader->value[reader->depth];
}

static void check(struct cml_cbor_reader *reader, CborError error)
{
	if (error)
		reader->bad = true;
}

/* Is the next item of @type? If not, the reader is bad. */
static bool next_is(struct cml_cbor_reader *reader, CborType type)
{
	if (reader->bad)
		return false;
	if (cbor_value_at_end(here(reader)) ||
	    cbor_value_get_type(here(reader)) != type)
		reader->bad = true;

	return !reader->bad;
}

/* The next item's head says @number: in as few bytes as it takes? */
static void check_head(struct cml_cbor_reader *reader, uint64_t number)
{
	switch (*cbor_value_get_next_byte(here(reader)) & INFO_MASK) {
	case INFO_1_BYTE:
		reader->bad |= number < INFO_1_BYTE;
		break;
	case INFO_2_BYTES:
		reader->bad |= number <= UINT8_MAX;
		break;
	case INFO_4_BYTES:
		reader->bad |= number <= UINT16_MAX;
		break;
	case INFO_8_BYTES:
		reader->bad |= number <= UINT32_MAX;
		break;
	default:
		break;
	}
}

void cml_cbor_begin(struct cml_cbor_reader *reader, struct cml_bytes bytes)
{
	*reader = (struct cml_cbor_reader){ .bad = !bytes.len };
	if (reader->bad)
		return;
	reader->end = bytes.ptr + bytes.len;
	check(reader, cbor_parser_init(bytes.ptr, bytes.len, 0,
				       &reader->parser, here(reader)));
}

bool cml_cbor_done(const struct cml_cbor_reader *reader)
{
	const CborValue *root = &reader->value[0];

	return !reader->bad && !reader->depth && cbor_value_at_end(root) &&
	       cbor_value_get_next_byte(root) == reader->end;
}

static void enter(struct cml_cbor_reader *reader, size_t count)
{
	if (!reader->bad)
		check_head(reader, count);
	if (reader->depth == CML_CBOR_MAX_DEPTH)
		reader->bad = true;
	if (reader->bad)
		return;
	check(reader, cbor_value_enter_container(here(reader),
						 here(reader) + 1));
	if (!reader->bad)
		reader->depth++;
}

size_t cml_cbor_array(struct cml_cbor_reader *reader)
{
	size_t count = 0;

	if (!next_is(reader, CborArrayType))
		return 0;
	/* An error where the length is indefinite */
	check(reader, cbor_value_get_array_length(here(reader), &count));
	enter(reader, count);

	return reader->bad ? 0 : count;
}

size_t cml_cbor_map(struct cml_cbor_reader *reader)
{
	size_t count = 0;

	if (!next_is(reader, CborMapType))
		return 0;
	check(reader, cbor_value_get_map_length(here(reader), &count));
	enter(reader, count);

	return reader->bad ? 0 : count;
}

void cml_cbor_leave(struct cml_cbor_reader *reader)
{
	if (reader->bad)
		return;
	if (!reader->depth || !cbor_value_at_end(here(reader))) {
		reader->bad = true;
		return;
	}
	reader->depth--;
	check(reader, cbor_value_leave_container(here(reader),
						 here(reader) + 1));
}

uint64_t cml_cbor_tag(struct cml_cbor_reader *reader)
{
	CborTag tag = 0;

	if (!next_is(reader, CborTagType))
		return 0;
	check(reader, cbor_value_get_tag(here(reader), &tag));
	check_head(reader, tag);
	check(reader, cbor_value_advance_fixed(here(reader)));

	return reader->bad ? 0 : tag;
}

int64_t cml_cbor_int(struct cml_cbor_reader *reader)
{
	uint64_t raw = 0;
	int64_t number = 0;

	if (!next_is(reader, CborIntegerType))
		return 0;
	/* What a negative number is encoded as is -1 - number. */
	check(reader, cbor_value_get_raw_integer(here(reader), &raw));
	check_head(reader, raw);
	check(reader, cbor_value_get_int64_checked(here(reader), &number));
	check(reader, cbor_value_advance_fixed(here(reader)));

	return reader->bad ? 0 : number;
}

struct cml_bytes cml_cbor_bytes(struct cml_cbor_reader *reader)
{
	struct cml_bytes bytes = { .ptr = NULL, .len = 0 };

	if (!next_is(reader, CborByteStringType))
		return bytes;
	if (!cbor_value_is_length_known(here(reader))) {
		reader->bad = true;
		return bytes;
	}
	/* A string of known length is one chunk, and tinycbor copies none. */
	check(reader, cbor_value_begin_string_iteration(here(reader)));
	check(reader, cbor_value_get_string_chunk_size(here(reader),
						       &bytes.len));
	if (!reader->bad)
		check_head(reader, bytes.len);
	if (!reader->bad)
		check(reader,
		      cbor_value_get_byte_string_chunk(here(reader),
						       &bytes.ptr, &bytes.len,
						       here(reader)));
	if (!reader->bad)
		check(reader, cbor_value_finish_string_iteration(here(reader)));

	return reader->bad ? cml_bytes(NULL, 0) : bytes;
}
