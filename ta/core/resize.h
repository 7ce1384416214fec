// SPDX-License-Identifier: Apache-2.0
/*
 * Bilinear resize of a photo, row by row as it is decoded, into an int8
 * tensor (height, width, 3), turned as its EXIF orientation says.
 *
 * As TensorFlow's resize_bilinear with align_corners and half_pixel_centers
 * false, in exact integers: output index t of N over an input of size S reads
 * i0 = t * S div N and i1 = min(i0 + 1, S - 1), the latter with weight
 * (t * S mod N) / N. The value v of the four taps is exact; the tensor gets
 * floor(v) - 128.
 */
#ifndef CML_RESIZE_H
#define CML_RESIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "memory.h"
#include "status.h"

struct cml_resize;

/*
 * @width, @height: the photo as stored, 1 to CML_JPEG_MAX_SIDE.
 * @out: (out_size, out_size, 3), out_size 1 to 1024.
 */
enum cml_status cml_resize_new(const struct cml_allocator *allocator,
			       uint32_t width, uint32_t height,
			       uint8_t orientation, uint32_t out_size,
			       int8_t *out, struct cml_resize **resize);
/* Rows in order, @y from 0 to height - 1. Those not wanted may be left out. */
bool cml_resize_wants(const struct cml_resize *resize, uint32_t y);
void cml_resize_row(struct cml_resize *resize, uint32_t y, const uint8_t *rgb);
/* Wipes; NULL allowed. */
void cml_resize_free(struct cml_resize *resize);

#endif /* CML_RESIZE_H */
