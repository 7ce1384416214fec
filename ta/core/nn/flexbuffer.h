// SPDX-License-Identifier: Apache-2.0
/*
 * Numbers by name from a FlexBuffer that is not trusted: the options of custom
 * operators.
 *
 *   buffer:	..., root value, u8 packed type of the root, u8 its width
 *   map:	(keys offset, width of keys, count), values, packed types;
 *		the map is where its values begin
 *   keys:	(count), offsets of strings that end with 0
 *   offset:	unsigned, backwards, from the place where it stands
 *   packed:	type << 2 | log2 of the width of what it leads to
 *
 * Everything is little endian, of 1, 2, 4 or 8 bytes, at any address. Nothing
 * is followed further than from the root to a map, and from there to numbers:
 * time is bounded by the number of entries, which is at most CML_FLEX_MAX.
 */
#ifndef CML_FLEXBUFFER_H
#define CML_FLEXBUFFER_H

#include "bytes.h"

#define CML_FLEX_MAX	64

struct cml_flex_map {
	struct cml_bytes buffer;
	size_t values, types, keys;	/* places in the buffer */
	uint32_t count;
	uint8_t width, key_width;
};

enum cml_flex_kind {
	CML_FLEX_ABSENT,	/* also null */
	CML_FLEX_INTEGER,	/* also booleans */
	CML_FLEX_REAL,
	CML_FLEX_OTHER,		/* no number, or damaged */
};

struct cml_flex_value {
	enum cml_flex_kind kind;
	int64_t integer;
	double real;
};

/* False: the root is no map, or one that is damaged or too large. */
bool cml_flex_open(struct cml_bytes buffer, struct cml_flex_map *map);
struct cml_flex_value cml_flex_find(const struct cml_flex_map *map,
				    const char *key);

/* As int32 or float; absent: @number stays. False: no number that fits. */
bool cml_flex_i32(const struct cml_flex_map *map, const char *key,
		  int32_t *number);
bool cml_flex_f32(const struct cml_flex_map *map, const char *key,
		  float *number);

#endif /* CML_FLEXBUFFER_H */
