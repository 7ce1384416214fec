// SPDX-License-Identifier: Apache-2.0
/*
 * Works along the two axes of the photo as stored. An output line (a row of
 * the tensor, or a column when the orientation transposes) needs two
 * neighbouring rows at most, so two rows reduced to the tensor's width are
 * all that is kept: "above" and "row". Rows that no line needs are skipped.
 *
 * Ranges: a weight is at most 1024, a reduced sample at most 255 * 1024, a
 * sum of weighted ones at most 255 * 1024 * 1024: all fit 32 bits.
 */
#include "jpeg.h"
#include "resize.h"

#define RESIZE_MAX_OUT	1024

/* Where one output index reads: @low has the smaller stored index. */
struct resize_tap {
	uint16_t low, high;
	uint16_t low_weight, high_weight;
};

struct cml_resize {
	const struct cml_allocator *allocator;
	uint32_t width, height, out_size;
	bool transpose;
	int8_t *out;			/* (out_size, out_size, 3) */
	/* (out_size) each, in order of the output */
	struct resize_tap *columns, *lines;
	uint32_t *above, *row;		/* (out_size, 3) */
	bool lines_backward;		/* upside down: last line first */
	uint32_t lines_done;
	size_t taps_size, row_size;
};

/*
 * TensorFlow's rule, in the order of the photo as displayed; when that runs
 * against the stored order (@flip), the indices are mirrored.
 */
static void fill_taps(struct resize_tap *taps, uint32_t out_size,
		      uint32_t size, bool flip)
{
	for (uint32_t t = 0; t < out_size; t++) {
		uint32_t first = t * size / out_size;
		uint32_t second = first + 1 < size ? first + 1 : size - 1;
		uint32_t weight = t * size % out_size;

		if (flip)
			taps[t] = (struct resize_tap){
				.low = size - 1 - second,
				.high = size - 1 - first,
				.low_weight = weight,
				.high_weight = out_size - weight,
			};
		else
			taps[t] = (struct resize_tap){
				.low = first,
				.high = second,
				.low_weight = out_size - weight,
				.high_weight = weight,
			};
	}
}

enum cml_status cml_resize_new(const struct cml_allocator *allocator,
			       uint32_t width, uint32_t height,
			       uint8_t orientation, uint32_t out_size,
			       int8_t *out, struct cml_resize **resize)
{
	/* Stored x runs right to left, stored y bottom to top, as displayed */
	const bool flip_x = orientation == 2 || orientation == 3 ||
			    orientation == 7 || orientation == 8;
	const bool flip_y = orientation == 3 || orientation == 4 ||
			    orientation == 6 || orientation == 7;
	enum cml_status status = CML_NO_MEMORY;
	struct cml_resize *self = NULL;

	*resize = NULL;
	if (!width || width > CML_JPEG_MAX_SIDE || !height ||
	    height > CML_JPEG_MAX_SIDE || !out_size ||
	    out_size > RESIZE_MAX_OUT || orientation < 1 || orientation > 8)
		return CML_INTERNAL;

	self = allocator->alloc(allocator->ctx, sizeof(*self));
	if (!self)
		return CML_NO_MEMORY;
	self->allocator = allocator;
	self->width = width;
	self->height = height;
	self->out_size = out_size;
	self->out = out;
	self->transpose = orientation >= 5;
	self->lines_backward = flip_y;
	self->taps_size = out_size * sizeof(struct resize_tap);
	self->row_size = out_size * 3 * sizeof(uint32_t);

	self->columns = allocator->alloc(allocator->ctx, self->taps_size);
	self->lines = allocator->alloc(allocator->ctx, self->taps_size);
	self->above = allocator->alloc(allocator->ctx, self->row_size);
	self->row = allocator->alloc(allocator->ctx, self->row_size);
	if (!self->columns || !self->lines || !self->above || !self->row)
		goto out;
	fill_taps(self->columns, out_size, width, flip_x);
	fill_taps(self->lines, out_size, height, flip_y);
	*resize = self;
	self = NULL;	/* handed over */
	status = CML_OK;

out:
	cml_resize_free(self);
	return status;
}

static void reduce_row(struct cml_resize *resize, const uint8_t *rgb)
{
	uint32_t *out = resize->row;

	for (uint32_t t = 0; t < resize->out_size; t++) {
		const struct resize_tap *tap = &resize->columns[t];
		const uint8_t *low = rgb + (size_t)tap->low * 3;
		const uint8_t *high = rgb + (size_t)tap->high * 3;

		for (uint32_t c = 0; c < 3; c++)
			*out++ = low[c] * tap->low_weight +
				 high[c] * tap->high_weight;
	}
}

/* @line: index of an output line whose lower row is in resize->row. */
static void write_line(struct cml_resize *resize, uint32_t line)
{
	const struct resize_tap *tap = &resize->lines[line];
	const uint32_t *high = resize->row;
	const uint32_t *low = tap->low == tap->high ? high : resize->above;
	const uint32_t size = resize->out_size;
	const uint32_t area = size * size;
	const size_t step = resize->transpose ? (size_t)size * 3 : 3;
	int8_t *out = resize->out +
		      (size_t)line * (resize->transpose ? 3 : size * 3);

	for (uint32_t t = 0; t < size; t++) {
		for (uint32_t c = 0; c < 3; c++) {
			uint32_t sum = *low++ * tap->low_weight +
				       *high++ * tap->high_weight;

			out[c] = (int32_t)(sum / area) - 128;
		}
		out += step;
	}
}

/* The output line to finish next; lines finish in order of stored rows. */
static uint32_t next_line(const struct cml_resize *resize)
{
	return resize->lines_backward ?
	       resize->out_size - 1 - resize->lines_done : resize->lines_done;
}

bool cml_resize_wants(const struct cml_resize *resize, uint32_t y)
{
	return resize->lines_done < resize->out_size &&
	       resize->lines[next_line(resize)].low <= y;
}

void cml_resize_row(struct cml_resize *resize, uint32_t y, const uint8_t *rgb)
{
	uint32_t *spare = NULL;

	if (!cml_resize_wants(resize, y))
		return;

	spare = resize->above;
	resize->above = resize->row;
	resize->row = spare;
	reduce_row(resize, rgb);

	while (resize->lines_done < resize->out_size &&
	       resize->lines[next_line(resize)].high == y) {
		write_line(resize, next_line(resize));
		resize->lines_done++;
	}
}

void cml_resize_free(struct cml_resize *resize)
{
	const struct cml_allocator *allocator = NULL;

	if (!resize)
		return;
	allocator = resize->allocator;
	allocator->release(allocator->ctx, resize->row, resize->row_size);
	allocator->release(allocator->ctx, resize->above, resize->row_size);
	allocator->release(allocator->ctx, resize->lines, resize->taps_size);
	allocator->release(allocator->ctx, resize->columns, resize->taps_size);
	allocator->release(allocator->ctx, resize, sizeof(*resize));
}
