// SPDX-License-Identifier: Apache-2.0
/*
 * EXIF segment:	"Exif" 0 0 | TIFF file
 * TIFF file:		"II" or "MM" | u16 42 | u32 offset of a directory
 * directory:		u16 count | count times an entry | u32 next
 * entry:		u16 tag | u16 type | u32 count | 4 bytes: the value,
 *			or its offset in the TIFF file when it is larger
 *
 * XMP segment:		"http://ns.adobe.com/xap/1.0/" 0 | XML
 */
#include <string.h>

#include "exif.h"

#define EXIF_TAG_ORIENTATION	0x0112
#define EXIF_INLINE_SIZE	4

static const char exif_prefix[6] = "Exif\0";
static const char xmp_prefix[29] = "http://ns.adobe.com/xap/1.0/";

/* Bytes of one value of a TIFF type, 0 for no type. */
static const uint8_t type_sizes[] = {
	[1] = 1, [2] = 1, [3] = 2, [4] = 4, [5] = 8, [6] = 1, [7] = 1,
	[8] = 2, [9] = 4, [10] = 8, [11] = 4, [12] = 8, [13] = 4, [16] = 8,
};

struct tiff {
	struct cml_bytes bytes;
	bool little_endian;
};

static bool starts_with(struct cml_bytes bytes, const void *prefix, size_t len)
{
	return bytes.len >= len && !memcmp(bytes.ptr, prefix, len);
}

static struct cml_bytes rest_of(struct cml_bytes bytes, size_t offset)
{
	return cml_bytes(bytes.ptr + offset, bytes.len - offset);
}

static uint64_t tiff_uint(const struct tiff *tiff, struct cml_cursor *cur,
			  size_t size)
{
	uint64_t value = cml_cursor_be(cur, size);

	if (tiff->little_endian)
		value = __builtin_bswap64(value) >> (64 - 8 * size);

	return value;
}

/* What the first value of @type at @cur says about the orientation. */
static uint8_t orientation_of(const struct tiff *tiff, uint16_t type,
			      struct cml_cursor *cur)
{
	uint64_t value = 0;

	switch (type) {
	case 3:		/* SHORT */
	case 4:		/* LONG */
	case 6:		/* SBYTE */
	case 8:		/* SSHORT */
	case 9:		/* SLONG */
	case 13:	/* IFD */
	case 16:	/* LONG8 */
		value = tiff_uint(tiff, cur, type_sizes[type]);
		break;
	default:
		break;
	}

	/* Negative numbers are large ones here: no orientation either. */
	return cml_cursor_ok(cur) && value >= 1 && value <= 8 ? value : 1;
}

static uint8_t directory_orientation(const struct tiff *tiff, uint32_t offset)
{
	struct cml_cursor cur = cml_cursor(tiff->bytes);
	struct cml_cursor data = { 0 };
	uint64_t out_of_line = 0;
	uint64_t size = 0;
	uint32_t count = 0;
	uint16_t entries = 0;
	uint16_t type = 0;
	uint16_t tag = 0;

	cml_cursor_take(&cur, offset);
	entries = tiff_uint(tiff, &cur, 2);

	for (uint16_t i = 0; i < entries && cml_cursor_ok(&cur); i++) {
		tag = tiff_uint(tiff, &cur, 2);
		type = tiff_uint(tiff, &cur, 2);
		count = tiff_uint(tiff, &cur, 4);
		data = cml_cursor(cml_cursor_take(&cur, EXIF_INLINE_SIZE));
		if (!cml_cursor_ok(&cur))
			break;
		if (type >= sizeof(type_sizes) || !type_sizes[type])
			continue;

		size = (uint64_t)count * type_sizes[type];
		if (size > EXIF_INLINE_SIZE) {
			/* Entries may not hold more than the file does. */
			out_of_line += size;
			if (out_of_line > tiff->bytes.len)
				continue;
			offset = tiff_uint(tiff, &data, 4);
			data = cml_cursor(tiff->bytes);
			cml_cursor_take(&data, offset);
			if (size > cml_cursor_remaining(&data))
				break;
		}
		if (tag == EXIF_TAG_ORIENTATION && size)
			return orientation_of(tiff, type, &data);
	}

	return 0;
}

static uint8_t tiff_orientation(struct cml_bytes bytes)
{
	struct tiff tiff = { .bytes = bytes };
	struct cml_cursor cur = cml_cursor(bytes);

	/* Some writers get the order of the 42 wrong. */
	if (starts_with(bytes, "II*\0", 4) || starts_with(bytes, "II\0*", 4))
		tiff.little_endian = true;
	else if (!starts_with(bytes, "MM\0*", 4) &&
		 !starts_with(bytes, "MM*\0", 4))
		return 0;
	cml_cursor_take(&cur, 4);

	return directory_orientation(&tiff, tiff_uint(&tiff, &cur, 4));
}

/* The first match of tiff:Orientation(="|>)[0-9] */
static uint8_t xmp_orientation(struct cml_bytes xml)
{
	static const char name[16] = "tiff:Orientation";
	uint8_t value = 0;

	for (size_t i = 0; i + sizeof(name) < xml.len; i++) {
		struct cml_bytes rest = rest_of(xml, i);
		size_t at = sizeof(name);

		if (!starts_with(rest, name, sizeof(name)))
			continue;
		if (starts_with(rest_of(rest, at), "=\"", 2))
			at += 2;
		else if (rest.ptr[at] == '>')
			at += 1;
		else
			continue;
		if (at < rest.len && rest.ptr[at] >= '0' &&
		    rest.ptr[at] <= '9') {
			value = rest.ptr[at] - '0';
			return value >= 1 && value <= 8 ? value : 1;
		}
	}

	return 0;
}

enum cml_exif_source cml_exif_read(struct cml_bytes app1,
				   uint8_t *orientation)
{
	*orientation = 0;
	if (starts_with(app1, xmp_prefix, sizeof(xmp_prefix))) {
		*orientation = xmp_orientation(rest_of(app1,
						       sizeof(xmp_prefix)));
		return CML_EXIF_XMP;
	}
	if (!starts_with(app1, exif_prefix, sizeof(exif_prefix)))
		return CML_EXIF_NONE;

	/* Some writers put the prefix twice. */
	app1 = rest_of(app1, sizeof(exif_prefix));
	if (starts_with(app1, exif_prefix, sizeof(exif_prefix)))
		app1 = rest_of(app1, sizeof(exif_prefix));
	*orientation = tiff_orientation(app1);

	return CML_EXIF_TIFF;
}
