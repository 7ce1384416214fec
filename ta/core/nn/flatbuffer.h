// SPDX-License-Identifier: Apache-2.0
/*
 * Reading a FlatBuffer that is not trusted, without generated code.
 *
 *   file:	u32 offset of the root table, 4 byte file identifier, ...
 *   table:	i32 back to its vtable, then its fields, inline
 *   vtable:	u16 own size, u16 size of the table, u16 place of each field
 *		in the table (0: absent, take the default)
 *   vector:	u32 count, then the elements
 *   offset:	u32, forwards, from the place where it stands
 *
 * Everything is little endian and aligned to its size, counted from the start
 * of the file. Each function checks the bounds and the alignment of what it
 * reads. The first problem sticks in cml_fb.problem; after it every read gives
 * an absent table, an empty vector or zero, and the caller checks once, at
 * the end. Only what is read is checked: the rest of the file cannot matter.
 */
#ifndef CML_FLATBUFFER_H
#define CML_FLATBUFFER_H

#include "bytes.h"

struct cml_fb {
	struct cml_bytes file;
	const char *problem;	/* static text; NULL: none so far */
};

/* All zero: absent. The vtable and @size bytes from @pos are in the file. */
struct cml_fb_table {
	size_t pos, vtable;
	uint32_t field_count, size;
};

/* @data NULL: absent. @count elements are in the file. */
struct cml_fb_vector {
	const uint8_t *data;
	uint32_t count;
};

/* @id: four characters. */
struct cml_fb_table cml_fb_root(struct cml_fb *fb, const char *id);

bool cml_fb_has(struct cml_fb *fb, struct cml_fb_table table, uint32_t field);
uint8_t cml_fb_u8(struct cml_fb *fb, struct cml_fb_table table, uint32_t field,
		  uint8_t absent);
uint32_t cml_fb_u32(struct cml_fb *fb, struct cml_fb_table table,
		    uint32_t field, uint32_t absent);
int32_t cml_fb_i32(struct cml_fb *fb, struct cml_fb_table table,
		   uint32_t field, int32_t absent);
uint64_t cml_fb_u64(struct cml_fb *fb, struct cml_fb_table table,
		    uint32_t field, uint64_t absent);
struct cml_fb_table cml_fb_table(struct cml_fb *fb, struct cml_fb_table table,
				 uint32_t field);
/* @element_size: 1, 4 or 8. */
struct cml_fb_vector cml_fb_vector(struct cml_fb *fb, struct cml_fb_table table,
				   uint32_t field, size_t element_size);

/* Elements; @index beyond the count is a problem like any other. */
struct cml_fb_table cml_fb_table_at(struct cml_fb *fb,
				    struct cml_fb_vector vector,
				    uint32_t index);
int32_t cml_fb_i32_at(struct cml_fb *fb, struct cml_fb_vector vector,
		      uint32_t index);
int64_t cml_fb_i64_at(struct cml_fb *fb, struct cml_fb_vector vector,
		      uint32_t index);
float cml_fb_f32_at(struct cml_fb *fb, struct cml_fb_vector vector,
		    uint32_t index);

#endif /* CML_FLATBUFFER_H */
