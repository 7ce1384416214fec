// SPDX-License-Identifier: Apache-2.0
/*
 * The patch of the input that an output pixel is computed from, as far as it
 * lies inside of the image, in stretches that lie together in memory.
 */
#ifndef CML_OPS_CONV_WALK_H
#define CML_OPS_CONV_WALK_H

#include "conv.h"

struct cml_conv_walk {
	size_t image;		/* elements of the input before this image */
	int32_t y, x;		/* of the kernel's first tap; may be outside */
	int32_t row, row_end;	/* taps inside of the image */
	int32_t first, column, column_end;
	int32_t step;		/* taps a stretch */
	/* The stretch: its taps, and the element where its pixels begin */
	uint32_t tap, taps;
	size_t input;
};

/* The taps from @begin on and below @end lie in 0 to @size - 1. */
static inline void cml_conv_inside(int32_t from, int32_t dilation,
				   int32_t kernel, int32_t size,
				   int32_t *begin, int32_t *end)
{
	int32_t last = from < size ? (size - 1 - from) / dilation + 1 : 0;

	*begin = from < 0 ? (dilation - 1 - from) / dilation : 0;
	*end = last < kernel ? last : kernel;
}

/* @joined: a stretch may have several taps, one after the other in a row. */
static inline struct cml_conv_walk cml_conv_walk(const struct cml_conv *conv,
						 uint32_t pixel, bool joined)
{
	uint32_t row = pixel / conv->out_w;
	uint32_t image = row / conv->out_h;
	struct cml_conv_walk walk = {
		.image = (size_t)image * conv->in_h * conv->in_w * conv->in_c,
		.y = (int32_t)(row % conv->out_h) * conv->stride_h -
		     conv->pad_h,
		.x = (int32_t)(pixel % conv->out_w) * conv->stride_w -
		     conv->pad_w,
	};

	cml_conv_inside(walk.y, conv->dilation_h, conv->kernel_h, conv->in_h,
			&walk.row, &walk.row_end);
	cml_conv_inside(walk.x, conv->dilation_w, conv->kernel_w, conv->in_w,
			&walk.first, &walk.column_end);
	walk.column = walk.first;
	walk.step = joined && conv->dilation_w == 1 ?
		    walk.column_end - walk.first : 1;

	return walk;
}

/* False: that was all. */
static inline bool cml_conv_next(const struct cml_conv *conv,
				 struct cml_conv_walk *walk)
{
	size_t y = 0;
	size_t x = 0;

	if (walk->column >= walk->column_end) {
		walk->column = walk->first;
		walk->row++;
	}
	if (walk->row >= walk->row_end || walk->first >= walk->column_end)
		return false;
	y = walk->y + walk->row * conv->dilation_h;
	x = walk->x + walk->column * conv->dilation_w;
	walk->tap = (uint32_t)walk->row * conv->kernel_w + walk->column;
	walk->taps = walk->step;
	walk->input = walk->image + (y * conv->in_w + x) * conv->in_c;
	walk->column += walk->step;

	return true;
}

#endif /* CML_OPS_CONV_WALK_H */
