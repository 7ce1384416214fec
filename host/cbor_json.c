// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>

#include "cbor_json.h"

#define MAX_DEPTH 4

enum major {
	MAJOR_UINT = 0,
	MAJOR_BYTES = 2,
	MAJOR_TEXT = 3,
	MAJOR_ARRAY = 4,
	MAJOR_MAP = 5,
	MAJOR_SIMPLE = 7,
};

struct reader {
	const uint8_t *next;
	size_t left;
};

struct head {
	uint8_t major;
	uint64_t value;
};

/* An array or a map that is open. */
struct level {
	uint64_t left;	/* items still to come, keys counted too */
	bool is_map, any;
};

/* RFC 8949, 3: the initial byte and the argument that follows */
static bool read_head(struct reader *reader, struct head *head)
{
	size_t size = 0;
	uint8_t info = 0;

	if (!reader->left)
		return false;
	head->major = *reader->next >> 5;
	info = *reader->next & 0x1f;
	reader->next++;
	reader->left--;

	head->value = info;
	if (info < 24)
		return true;
	if (info > 27 || head->major == MAJOR_SIMPLE)
		return false;
	size = (size_t)1 << (info - 24);
	if (size > reader->left)
		return false;
	head->value = 0;
	for (size_t i = 0; i < size; i++)
		head->value = head->value << 8 | reader->next[i];
	reader->next += size;
	reader->left -= size;

	return true;
}

static bool put_string(struct text *text, struct reader *reader,
		       const struct head *head)
{
	if (head->value > reader->left)
		return false;
	if (head->major == MAJOR_TEXT)
		text_put_json(text, (const char *)reader->next, head->value);
	else
		text_put_hex(text, reader->next, head->value);
	reader->next += head->value;
	reader->left -= head->value;

	return true;
}

static bool put_simple(struct text *text, uint64_t value)
{
	switch (value) {
	case 20:
		text_put(text, "false");
		return true;
	case 21:
		text_put(text, "true");
		return true;
	case 22:
		text_put(text, "null");
		return true;
	default:
		return false;
	}
}

/* Comma or colon before the next item of @level. */
static void put_separator(struct text *text, struct level *level)
{
	const bool is_value = level->is_map && level->left % 2;

	if (is_value)
		text_put(text, ":");
	else if (level->any)
		text_put(text, ",");
	level->any = true;
	level->left--;
}

static bool put_item(struct text *text, struct reader *reader,
		     struct level *levels, size_t *depth)
{
	struct level *level = &levels[*depth - 1];
	const bool is_key = level->is_map && level->left % 2 == 0;
	struct head head = { 0 };

	put_separator(text, level);
	if (!read_head(reader, &head))
		return false;
	if (is_key && head.major != MAJOR_TEXT)
		return false;

	switch (head.major) {
	case MAJOR_UINT:
		text_printf(text, "%" PRIu64, head.value);
		return true;
	case MAJOR_BYTES:
	case MAJOR_TEXT:
		return put_string(text, reader, &head);
	case MAJOR_ARRAY:
	case MAJOR_MAP:
		/* Each item takes a byte at least: no more can follow. */
		if (*depth == MAX_DEPTH || head.value > reader->left)
			return false;
		text_put(text, head.major == MAJOR_MAP ? "{" : "[");
		levels[(*depth)++] = (struct level){
			.left = head.value << (head.major == MAJOR_MAP),
			.is_map = head.major == MAJOR_MAP,
		};
		return true;
	case MAJOR_SIMPLE:
		return put_simple(text, head.value);
	default:
		return false;
	}
}

bool cbor_json_members(struct text *text, const uint8_t *data, size_t len)
{
	struct reader reader = { .next = data, .left = len };
	struct level levels[MAX_DEPTH] = { 0 };
	struct head head = { 0 };
	size_t depth = 1;

	if (!read_head(&reader, &head) || head.major != MAJOR_MAP ||
	    head.value > reader.left)
		return false;
	levels[0] = (struct level){ .left = 2 * head.value, .is_map = true };

	while (depth) {
		if (levels[depth - 1].left) {
			if (!put_item(text, &reader, levels, &depth))
				return false;
			continue;
		}
		depth--;
		if (depth)
			text_put(text, levels[depth].is_map ? "}" : "]");
	}

	return !reader.left && !text->full;
}
