// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "flatbuffer.h"

#define OFFSET_SIZE	4
#define ROOT_SIZE	8	/* root offset and file identifier */
#define VTABLE_HEAD	4	/* its own size and the table's */
/* Offsets are 32 bits, and those to vtables are signed. */
#define FILE_MAX_LEN	INT32_MAX

static void fail(struct cml_fb *fb, const char *problem)
{
	if (!fb->problem)
		fb->problem = problem;
}

/* @size bytes at @pos are in the file and aligned; @align is a power of 2. */
static bool inside(struct cml_fb *fb, size_t pos, size_t size, size_t align)
{
	if (fb->problem)
		return false;
	if (pos & (align - 1)) {
		fail(fb, "flatbuffer: misaligned data");
		return false;
	}
	if (pos > fb->file.len || size > fb->file.len - pos) {
		fail(fb, "flatbuffer: data beyond the end of the file");
		return false;
	}

	return true;
}

static uint64_t load_le(const uint8_t *ptr, size_t size)
{
	uint64_t value = 0;

	for (size_t i = size; i > 0; i--)
		value = value << 8 | ptr[i - 1];

	return value;
}

/* Unsigned, @size 1, 2, 4 or 8; 0 when it cannot be read. */
static uint64_t load_at(struct cml_fb *fb, size_t pos, size_t size)
{
	if (!inside(fb, pos, size, size))
		return 0;

	return load_le(fb->file.ptr + pos, size);
}

/* Where the offset at @pos leads: a place in the file, or its end. */
static size_t follow(struct cml_fb *fb, size_t pos)
{
	size_t offset = load_at(fb, pos, OFFSET_SIZE);

	if (fb->problem)
		return 0;
	if (!offset || offset > fb->file.len - pos) {
		fail(fb, "flatbuffer: offset that leads nowhere");
		return 0;
	}

	return pos + offset;
}

static struct cml_fb_table open_table(struct cml_fb *fb, size_t pos)
{
	struct cml_fb_table table = { 0 };
	struct cml_fb_table absent = { 0 };
	int64_t vtable = 0;
	size_t vtable_size = 0;

	vtable = (int64_t)pos - (int32_t)load_at(fb, pos, OFFSET_SIZE);
	if (fb->problem)
		return absent;
	if (vtable < 0 || vtable > FILE_MAX_LEN) {
		fail(fb, "flatbuffer: vtable outside the file");
		return absent;
	}

	table.pos = pos;
	table.vtable = vtable;
	vtable_size = load_at(fb, table.vtable, 2);
	table.size = load_at(fb, table.vtable + 2, 2);
	if (fb->problem)
		return absent;
	if (vtable_size < VTABLE_HEAD || vtable_size & 1) {
		fail(fb, "flatbuffer: vtable of an impossible size");
		return absent;
	}
	if (table.size < OFFSET_SIZE) {
		fail(fb, "flatbuffer: table smaller than its vtable offset");
		return absent;
	}
	table.field_count = (vtable_size - VTABLE_HEAD) / 2;
	if (!inside(fb, table.vtable, vtable_size, 2) ||
	    !inside(fb, table.pos, table.size, OFFSET_SIZE))
		return absent;

	return table;
}

struct cml_fb_table cml_fb_root(struct cml_fb *fb, const char *id)
{
	struct cml_fb_table absent = { 0 };

	if (fb->file.len < ROOT_SIZE || fb->file.len > FILE_MAX_LEN) {
		fail(fb, "flatbuffer: file of an impossible size");
		return absent;
	}
	if (memcmp(fb->file.ptr + OFFSET_SIZE, id, 4)) {
		fail(fb, "flatbuffer: another file identifier");
		return absent;
	}

	return open_table(fb, follow(fb, 0));
}

/* Place in the file of a field of @size bytes, or 0: it is absent. */
static size_t find_field(struct cml_fb *fb, struct cml_fb_table table,
			 uint32_t field, size_t size)
{
	size_t place = 0;

	if (fb->problem || !table.pos || field >= table.field_count)
		return 0;
	place = load_at(fb, table.vtable + VTABLE_HEAD + 2 * (size_t)field, 2);
	if (!place)
		return 0;
	if (place < OFFSET_SIZE || place > table.size ||
	    size > table.size - place) {
		fail(fb, "flatbuffer: field outside its table");
		return 0;
	}
	if (!inside(fb, table.pos + place, size, size))
		return 0;

	return table.pos + place;
}

bool cml_fb_has(struct cml_fb *fb, struct cml_fb_table table, uint32_t field)
{
	return find_field(fb, table, field, 1) != 0;
}

uint8_t cml_fb_u8(struct cml_fb *fb, struct cml_fb_table table, uint32_t field,
		  uint8_t absent)
{
	size_t pos = find_field(fb, table, field, 1);

	return pos ? load_at(fb, pos, 1) : absent;
}

uint32_t cml_fb_u32(struct cml_fb *fb, struct cml_fb_table table,
		    uint32_t field, uint32_t absent)
{
	size_t pos = find_field(fb, table, field, 4);

	return pos ? load_at(fb, pos, 4) : absent;
}

int32_t cml_fb_i32(struct cml_fb *fb, struct cml_fb_table table,
		   uint32_t field, int32_t absent)
{
	return (int32_t)cml_fb_u32(fb, table, field, (uint32_t)absent);
}

uint64_t cml_fb_u64(struct cml_fb *fb, struct cml_fb_table table,
		    uint32_t field, uint64_t absent)
{
	size_t pos = find_field(fb, table, field, 8);

	return pos ? load_at(fb, pos, 8) : absent;
}

struct cml_fb_table cml_fb_table(struct cml_fb *fb, struct cml_fb_table table,
				 uint32_t field)
{
	struct cml_fb_table absent = { 0 };
	size_t pos = find_field(fb, table, field, OFFSET_SIZE);

	return pos ? open_table(fb, follow(fb, pos)) : absent;
}

struct cml_fb_vector cml_fb_vector(struct cml_fb *fb, struct cml_fb_table table,
				   uint32_t field, size_t element_size)
{
	struct cml_fb_vector vector = { 0 };
	struct cml_fb_vector absent = { 0 };
	size_t pos = find_field(fb, table, field, OFFSET_SIZE);

	if (!pos)
		return absent;
	pos = follow(fb, pos);
	vector.count = load_at(fb, pos, OFFSET_SIZE);
	pos += OFFSET_SIZE;
	if (fb->problem)
		return absent;
	if (vector.count > FILE_MAX_LEN / element_size) {
		fail(fb, "flatbuffer: vector longer than the file");
		return absent;
	}
	/* An empty vector has no element that could be misaligned. */
	if (!inside(fb, pos, vector.count * element_size,
		    vector.count ? element_size : 1))
		return absent;
	vector.data = fb->file.ptr + pos;

	return vector;
}

static uint64_t load_element(struct cml_fb *fb, struct cml_fb_vector vector,
			     uint32_t index, size_t size)
{
	if (fb->problem)
		return 0;
	if (index >= vector.count) {
		fail(fb, "flatbuffer: index beyond a vector");
		return 0;
	}

	return load_le(vector.data + index * size, size);
}

struct cml_fb_table cml_fb_table_at(struct cml_fb *fb,
				    struct cml_fb_vector vector,
				    uint32_t index)
{
	struct cml_fb_table absent = { 0 };
	size_t pos = 0;

	/* Checks the index; the offset itself is read again by follow(). */
	load_element(fb, vector, index, OFFSET_SIZE);
	if (fb->problem)
		return absent;
	pos = vector.data - fb->file.ptr + (size_t)index * OFFSET_SIZE;

	return open_table(fb, follow(fb, pos));
}

int32_t cml_fb_i32_at(struct cml_fb *fb, struct cml_fb_vector vector,
		      uint32_t index)
{
	return (int32_t)load_element(fb, vector, index, 4);
}

int64_t cml_fb_i64_at(struct cml_fb *fb, struct cml_fb_vector vector,
		      uint32_t index)
{
	return (int64_t)load_element(fb, vector, index, 8);
}

float cml_fb_f32_at(struct cml_fb *fb, struct cml_fb_vector vector,
		    uint32_t index)
{
	uint32_t bits = load_element(fb, vector, index, 4);
	float value = 0;

	memcpy(&value, &bits, sizeof(value));

	return value;
}
