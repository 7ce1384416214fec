// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "flexbuffer.h"

/* Types of FlexBuffers that are read. */
enum { FLEX_NULL = 0, FLEX_INT = 1, FLEX_UINT = 2, FLEX_FLOAT = 3,
       FLEX_INDIRECT_INT = 6, FLEX_INDIRECT_UINT = 7, FLEX_INDIRECT_FLOAT = 8,
       FLEX_MAP = 9, FLEX_BOOL = 26 };

#define MAX_WIDTH	8

static bool inside(struct cml_bytes buffer, size_t pos, size_t size)
{
	return pos <= buffer.len && size <= buffer.len - pos;
}

/* @width bytes at @pos, which are in the buffer. */
static uint64_t load(struct cml_bytes buffer, size_t pos, size_t width)
{
	uint64_t value = 0;

	for (size_t i = width; i > 0; i--)
		value = value << 8 | buffer.ptr[pos + i - 1];

	return value;
}

/* Where the offset at @pos leads, at least @head bytes from the start. */
static bool follow(struct cml_bytes buffer, size_t pos, size_t width,
		   size_t head, size_t *target)
{
	uint64_t offset = 0;

	if (!inside(buffer, pos, width))
		return false;
	offset = load(buffer, pos, width);
	if (offset > pos || pos - offset < head)
		return false;
	*target = pos - offset;

	return true;
}

static size_t width_of(uint8_t packed)
{
	return (size_t)1 << (packed & 3);
}

bool cml_flex_open(struct cml_bytes buffer, struct cml_flex_map *map)
{
	size_t end = buffer.len;
	size_t root_width = 0;
	uint64_t count = 0, key_width = 0;
	uint8_t packed = 0;

	if (!buffer.ptr || end < 3)
		return false;
	root_width = buffer.ptr[end - 1];
	packed = buffer.ptr[end - 2];
	if (!root_width || root_width > MAX_WIDTH ||
	    root_width & (root_width - 1) || root_width > end - 2 ||
	    packed >> 2 != FLEX_MAP)
		return false;
	*map = (struct cml_flex_map){
		.buffer = buffer,
		.width = width_of(packed),
	};
	if (!follow(buffer, end - 2 - root_width, root_width,
		    3 * (size_t)map->width, &map->values))
		return false;

	/* In front of the values: where the keys are, their width, the count */
	count = load(buffer, map->values - map->width, map->width);
	key_width = load(buffer, map->values - 2 * map->width, map->width);
	if (count > CML_FLEX_MAX || !key_width || key_width > MAX_WIDTH ||
	    key_width & (key_width - 1) ||
	    !inside(buffer, map->values, count * (map->width + 1)))
		return false;
	map->count = count;
	map->key_width = key_width;
	map->types = map->values + count * map->width;

	return follow(buffer, map->values - 3 * map->width, map->width,
		      key_width, &map->keys) &&
	       load(buffer, map->keys - key_width, key_width) == count &&
	       inside(buffer, map->keys, count * key_width);
}

/* Key @index is @key, with the 0 at its end. */
static bool key_is(const struct cml_flex_map *map, uint32_t index,
		   const char *key)
{
	size_t size = strlen(key) + 1;
	size_t pos = 0;

	return follow(map->buffer, map->keys + index * map->key_width,
		      map->key_width, 0, &pos) &&
	       inside(map->buffer, pos, size) &&
	       !memcmp(map->buffer.ptr + pos, key, size);
}

static struct cml_flex_value signed_value(uint64_t bits, size_t width)
{
	unsigned int unused = 64 - 8 * width;

	return (struct cml_flex_value){
		.kind = CML_FLEX_INTEGER,
		.integer = (int64_t)(bits << unused) >> unused,
	};
}

static struct cml_flex_value unsigned_value(uint64_t bits)
{
	return (struct cml_flex_value){
		.kind = bits > INT64_MAX ? CML_FLEX_OTHER : CML_FLEX_INTEGER,
		.integer = bits > INT64_MAX ? 0 : bits,
	};
}

static struct cml_flex_value real_value(uint64_t bits, size_t width)
{
	struct cml_flex_value value = { .kind = CML_FLEX_REAL };
	uint32_t half = bits;
	float real = 0;

	switch (width) {
	case 4:
		memcpy(&real, &half, sizeof(real));
		value.real = real;
		break;
	case 8:
		memcpy(&value.real, &bits, sizeof(value.real));
		break;
	default:
		value.kind = CML_FLEX_OTHER;
		break;
	}

	return value;
}

static struct cml_flex_value entry(const struct cml_flex_map *map,
				   uint32_t index)
{
	const struct cml_flex_value other = { .kind = CML_FLEX_OTHER };
	uint8_t packed = map->buffer.ptr[map->types + index];
	size_t pos = map->values + index * map->width;
	size_t width = map->width;
	uint32_t type = packed >> 2;
	uint64_t bits = 0;

	if (type >= FLEX_INDIRECT_INT && type <= FLEX_INDIRECT_FLOAT) {
		if (!follow(map->buffer, pos, width, 0, &pos) ||
		    !inside(map->buffer, pos, width_of(packed)))
			return other;
		width = width_of(packed);
	}
	bits = load(map->buffer, pos, width);
	switch (type) {
	case FLEX_NULL:
		return (struct cml_flex_value){ 0 };
	case FLEX_INT:
	case FLEX_INDIRECT_INT:
		return signed_value(bits, width);
	case FLEX_UINT:
	case FLEX_INDIRECT_UINT:
	case FLEX_BOOL:
		return unsigned_value(bits);
	case FLEX_FLOAT:
	case FLEX_INDIRECT_FLOAT:
		return real_value(bits, width);
	default:
		return other;
	}
}

struct cml_flex_value cml_flex_find(const struct cml_flex_map *map,
				    const char *key)
{
	for (uint32_t i = 0; i < map->count; i++)
		if (key_is(map, i, key))
			return entry(map, i);

	return (struct cml_flex_value){ 0 };
}

bool cml_flex_i32(const struct cml_flex_map *map, const char *key,
		  int32_t *number)
{
	struct cml_flex_value value = cml_flex_find(map, key);

	switch (value.kind) {
	case CML_FLEX_ABSENT:
		return true;
	case CML_FLEX_INTEGER:
		if (value.integer < INT32_MIN || value.integer > INT32_MAX)
			return false;
		*number = value.integer;
		return true;
	default:
		return false;
	}
}

bool cml_flex_f32(const struct cml_flex_map *map, const char *key,
		  float *number)
{
	struct cml_flex_value value = cml_flex_find(map, key);

	switch (value.kind) {
	case CML_FLEX_ABSENT:
		return true;
	case CML_FLEX_INTEGER:
		*number = value.integer;
		return true;
	case CML_FLEX_REAL:
		/* Also false for NaN */
		if (!(value.real >= -(double)__FLT_MAX__ &&
		      value.real <= (double)__FLT_MAX__))
			return false;
		*number = value.real;
		return true;
	default:
		return false;
	}
}
