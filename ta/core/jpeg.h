// SPDX-License-Identifier: Apache-2.0
/*
 * JPEG decoding while the file arrives, on libjpeg-turbo with a suspending
 * source. Baseline and extended sequential files need memory for a few rows;
 * files with several scans (all progressive ones) need all their coefficients,
 * 2 bytes each, and are refused by name when those do not fit.
 *
 * ISLOW DCT and fancy upsampling, so pixels equal Pillow's.
 */
#ifndef CML_JPEG_H
#define CML_JPEG_H

#include "bytes.h"
#include "memory.h"
#include "status.h"

/* Pixels, width times height, and the longer side. */
#define CML_JPEG_MAX_PIXELS	(64u << 20)
#define CML_JPEG_MAX_SIDE	16384
/* Scans of one file: each is a pass over all coefficients. */
#define CML_JPEG_MAX_SCANS	100

/* EXIF orientation, 1 to 8 as in the tag; 1 when there is none. */
struct cml_jpeg_info {
	uint32_t width, height;		/* as stored */
	uint8_t orientation;
};

struct cml_jpeg_sink {
	void *ctx;
	/*
	 * Called once, before the first row. The orientation is known by
	 * then. An error ends the decoding and is what push or finish returns.
	 */
	enum cml_status (*start)(void *ctx, const struct cml_jpeg_info *info);
	/* Whether row @y is to be made: called in order. NULL: all are. */
	bool (*wants)(void *ctx, uint32_t y);
	/* Row @y of info.width pixels, (w, 3) RGB, top to bottom as stored. */
	void (*row)(void *ctx, uint32_t y, const uint8_t *rgb);
};

struct cml_jpeg;

/*
 * @memory_limit: bytes the decoder may have allocated at any one time, its
 * own state included. @sink is copied.
 */
enum cml_status cml_jpeg_new(const struct cml_allocator *allocator,
			     size_t memory_limit,
			     const struct cml_jpeg_sink *sink,
			     struct cml_jpeg **jpeg);
/* Any number of bytes. What follows the end-of-image marker is ignored. */
enum cml_status cml_jpeg_push(struct cml_jpeg *jpeg, struct cml_bytes data);
/* CML_JPEG_TRUNCATED when rows are missing. Corrupt data is an error here,
 * never a grey patch: libjpeg's warnings count as CML_JPEG_CORRUPT. */
enum cml_status cml_jpeg_finish(struct cml_jpeg *jpeg);
size_t cml_jpeg_peak_memory(const struct cml_jpeg *jpeg);
void cml_jpeg_free(struct cml_jpeg *jpeg);	/* wipes; NULL allowed */

#endif /* CML_JPEG_H */
