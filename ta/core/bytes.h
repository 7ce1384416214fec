// SPDX-License-Identifier: Apache-2.0
/*
 * Pointer and length travel together, by value. A cursor reads from bytes
 * that are not trusted: the first read past the end makes it bad, every read
 * after that gives zero, and the caller checks once, at the end
 * (cml_cursor_ok).
 */
#ifndef CML_BYTES_H
#define CML_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cml_bytes {
	const uint8_t *ptr;
	size_t len;
};

static inline struct cml_bytes cml_bytes(const void *ptr, size_t len)
{
	return (struct cml_bytes){ .ptr = ptr, .len = len };
}

struct cml_cursor {
	struct cml_bytes bytes;
	size_t offset;
	bool bad;
};

static inline struct cml_cursor cml_cursor(struct cml_bytes bytes)
{
	return (struct cml_cursor){ .bytes = bytes };
}

static inline bool cml_cursor_ok(const struct cml_cursor *cur)
{
	return !cur->bad;
}

static inline size_t cml_cursor_remaining(const struct cml_cursor *cur)
{
	return cur->bad ? 0 : cur->bytes.len - cur->offset;
}

/* The next @len bytes, or {NULL, 0} and a bad cursor. */
static inline struct cml_bytes cml_cursor_take(struct cml_cursor *cur,
					       size_t len)
{
	struct cml_bytes taken = { .ptr = NULL, .len = 0 };

	if (cur->bad || len > cur->bytes.len - cur->offset) {
		cur->bad = true;
		return taken;
	}
	taken.ptr = cur->bytes.ptr + cur->offset;
	taken.len = len;
	cur->offset += len;

	return taken;
}

static inline uint64_t cml_cursor_be(struct cml_cursor *cur, size_t size)
{
	struct cml_bytes taken = cml_cursor_take(cur, size);
	uint64_t value = 0;

	for (size_t i = 0; i < taken.len; i++)
		value = value << 8 | taken.ptr[i];

	return value;
}

static inline uint8_t cml_cursor_u8(struct cml_cursor *cur)
{
	return cml_cursor_be(cur, 1);
}

static inline uint16_t cml_cursor_be16(struct cml_cursor *cur)
{
	return cml_cursor_be(cur, 2);
}

static inline uint32_t cml_cursor_be32(struct cml_cursor *cur)
{
	return cml_cursor_be(cur, 4);
}

static inline uint64_t cml_cursor_be64(struct cml_cursor *cur)
{
	return cml_cursor_be(cur, 8);
}

static inline void cml_store_be32(uint8_t out[4], uint32_t value)
{
	out[0] = value >> 24;
	out[1] = value >> 16;
	out[2] = value >> 8;
	out[3] = value;
}

#endif /* CML_BYTES_H */
