// SPDX-License-Identifier: Apache-2.0
/*
 * Depthwise convolution by plain multiplication: three neighbouring outputs of
 * a channel in one word, as conv_word.h has it. For kernels of 3 x 3.
 *
 * Eight channels at a time, and some rows of the output. The rows of the input
 * under them are made into words: for a stride of 1, word i has the columns
 * that the first tap of outputs 3i, 3i + 1 and 3i + 2 reads; other taps' words
 * are cut from two that follow each other. For a stride of 2 there are two
 * such rows, of the columns that the first tap reads and of those between.
 * Values in words have 128 added, so that none borrows from the next.
 */
#include <string.h>

#include "conv_word.h"

#define GROUP		CML_DEPTHWISE_SCALAR_GROUP
#define KERNEL		3
#define TAPS		(KERNEL * KERNEL)
#define MAX_ROWS	8	/* of the output, at once */
#define WORDS_SIZE	24576	/* of what is made of them, if it can be */
#define SIGNS		UINT64_C(0x8080808080808080)

/* Words of a row: (words, strides_w, channels), one more than is output */
static size_t row_words(const struct cml_conv *conv)
{
	size_t words = (conv->out_w + CML_FIELDS - 1) / CML_FIELDS;

	return (words + 1) * conv->stride_w * GROUP;
}

static size_t input_rows(const struct cml_conv *conv, size_t rows)
{
	return (rows - 1) * conv->stride_h + KERNEL;
}

static size_t most_rows(const struct cml_conv *conv)
{
	size_t size = row_words(conv) * sizeof(uint64_t);
	size_t rows = MAX_ROWS;

	while (rows > 1 && input_rows(conv, rows) * size > WORDS_SIZE)
		rows--;

	return rows;
}

/* Words of rows, and outputs (rows, pixels up to whole words, channels). */
size_t cml_depthwise_s8_scalar_scratch(const struct cml_conv *conv)
{
	size_t rows = most_rows(conv);

	return row_words(conv) * sizeof(uint64_t) * input_rows(conv, rows) +
	       rows * (conv->out_w + CML_FIELDS) * GROUP;
}

static inline uint64_t load(const int8_t *from)
{
	uint64_t eight = 0;

	memcpy(&eight, from, sizeof(eight));

	return eight ^ SIGNS;
}

/* Eight words from eight channels of three pixels. */
static CML_INLINE void put_words(const int8_t *first, const int8_t *second,
			     const int8_t *third, uint64_t *words)
{
	uint64_t a = load(first);
	uint64_t b = load(second);
	uint64_t c = load(third);

#pragma GCC unroll 8
	for (size_t i = 0; i < GROUP; i++) {
		uint64_t word = cml_word(a >> 8 * i & 255, b >> 8 * i & 255,
					 c >> 8 * i & 255);

		CML_KEEP(word);
		words[i] = word;
	}
}

/* Column @x of a row (in_w, in_c) */
static const int8_t *column(const struct cml_conv *conv, const int8_t *row,
			    int32_t x, const int8_t *padding)
{
	return x >= 0 && x < conv->in_w ? row + (size_t)x * conv->in_c :
	       padding;
}

/* @count words @step apart, of columns @stride bytes apart, all inside. */
CML_IN_A_PAGE(1024) static void
fill_inside(const int8_t *first, size_t stride, size_t count, uint64_t *words,
	    size_t step)
{
	const int8_t *second = first + stride;
	const int8_t *third = second + stride;

	while (count) {
		put_words(first, second, third, words);
		first += CML_FIELDS * stride;
		second += CML_FIELDS * stride;
		third += CML_FIELDS * stride;
		words += step;
		count--;
		CML_KEEP(count);
	}
}

/*
 * Words of one phase of a row (in_w, in_c), from its first channel of eight:
 * the first begins at column @x, and they are @step apart.
 */
static void fill_phase(const struct cml_conv *conv, const int8_t *row,
		       int32_t x, uint64_t *words, size_t step)
{
	int32_t stride = conv->stride_w;
	int32_t last = 2 * stride;	/* from the first column of a word */
	size_t count = row_words(conv) / step;
	int8_t padding[GROUP];

	memset(padding, conv->input_zero_point, GROUP);
	while (count) {
		size_t inside = 1;

		if (x >= 0 && x + last < conv->in_w) {
			inside = (conv->in_w - last - x - 1) /
				 (CML_FIELDS * stride) + 1;
			inside = inside < count ? inside : count;
			fill_inside(row + (size_t)x * conv->in_c,
				    (size_t)stride * conv->in_c, inside, words,
				    step);
		} else {
			put_words(column(conv, row, x, padding),
				  column(conv, row, x + stride, padding),
				  column(conv, row, x + last, padding), words);
		}
		x += CML_FIELDS * stride * inside;
		words += step * inside;
		count -= inside;
	}
}

static void fill_row(const struct cml_conv *conv, const int8_t *row,
		     uint64_t *words)
{
	size_t step = (size_t)conv->stride_w * GROUP;

	for (int32_t phase = 0; phase < conv->stride_w; phase++)
		fill_phase(conv, row, phase - conv->pad_w,
			   words + phase * GROUP, step);
}

/* A row of padding. */
static void pad_row(const struct cml_conv *conv, uint64_t *words)
{
	uint64_t value = conv->input_zero_point + 128;
	uint64_t word = cml_word(value, value, value);
	size_t count = row_words(conv);

#pragma GCC unroll 8
	for (size_t i = 0; i < count; i++)
		words[i] = word;
}

/* One channel of a tile, whose words and outputs are 8 apart. */
struct channel {
	const struct cml_conv *conv;
	uint64_t weights[TAPS];
	struct cml_scale scale;
	int64_t range;
	const uint64_t *words;
	uint8_t *below;		/* how far outputs are from the largest one */
	size_t rows;		/* of the output */
	size_t pitch;		/* words from row to row of the input */
	size_t width;		/* bytes from row to row of the output */
	size_t count;		/* words of an output row */
};

/* What the three taps of a row read. */
struct taps {
	uint64_t first, second, third;
};

/* @next follows @word, @between is of the columns between, if there are any. */
static CML_INLINE struct taps taps_of(uint64_t word, uint64_t between,
				      uint64_t next, size_t stride)
{
	uint64_t one_on = word >> CML_FIELD_BITS | next << 2 * CML_FIELD_BITS;
	uint64_t two_on = word >> 2 * CML_FIELD_BITS | next << CML_FIELD_BITS;

	return (struct taps){
		.first = word,
		.second = stride == 1 ? one_on : between,
		.third = stride == 1 ? two_on : one_on,
	};
}

static CML_INLINE uint64_t add_row(uint64_t sum, struct taps taps,
				   const uint64_t weights[KERNEL])
{
	sum += taps.first * weights[0];
	CML_KEEP(sum);
	sum += taps.second * weights[1];
	CML_KEEP(sum);
	sum += taps.third * weights[2];
	CML_KEEP(sum);

	return sum;
}

static CML_INLINE void put_three(uint64_t sum, const struct channel *at,
				 bool clamped, uint8_t *below)
{
#pragma GCC unroll 3
	for (size_t i = 0; i < CML_FIELDS; i++)
		below[i * GROUP] = cml_below_max(cml_field(sum, i), &at->scale,
						 at->range, clamped);
}

/* One row of the output, from the words of its first input row on. */
static CML_INLINE void one_row(const struct channel *at, size_t stride,
			       bool clamped, const uint64_t *row0,
			       uint8_t *below)
{
	const uint64_t *weights = at->weights;
	const uint64_t *row1 = row0 + at->pitch;
	const uint64_t *row2 = row1 + at->pitch;
	uint64_t word0 = *row0;
	uint64_t word1 = *row1;
	uint64_t word2 = *row2;
	size_t left = at->count;

	do {
		uint64_t sum = cml_word(CML_HALF, CML_HALF, CML_HALF);
		uint64_t next = row0[stride * GROUP];

		sum = add_row(sum, taps_of(word0, row0[GROUP], next, stride),
			      weights);
		word0 = next;
		row0 += stride * GROUP;
		next = row1[stride * GROUP];
		sum = add_row(sum, taps_of(word1, row1[GROUP], next, stride),
			      weights + KERNEL);
		word1 = next;
		row1 += stride * GROUP;
		next = row2[stride * GROUP];
		sum = add_row(sum, taps_of(word2, row2[GROUP], next, stride),
			      weights + 2 * KERNEL);
		word2 = next;
		row2 += stride * GROUP;
		put_three(sum, at, clamped, below);
		below += CML_FIELDS * GROUP;
		left--;
		CML_KEEP(left);
	} while (left);
}

/* Two rows, which have two of the four input rows in common: strides of 1. */
static CML_INLINE void two_rows(const struct channel *at, bool clamped,
				const uint64_t *row0, uint8_t *below)
{
	const uint64_t *weights = at->weights;
	const uint64_t *row2 = row0 + 2 * at->pitch;
	size_t pitch = at->pitch;
	uint64_t word0 = *row0;
	uint64_t word1 = row0[pitch];
	uint64_t word2 = *row2;
	uint64_t word3 = row2[pitch];
	size_t left = at->count;

	do {
		uint64_t upper = cml_word(CML_HALF, CML_HALF, CML_HALF);
		uint64_t lower = upper;
		uint64_t next = 0;
		struct taps taps;

		row0 += GROUP;
		next = *row0;
		upper = add_row(upper, taps_of(word0, 0, next, 1), weights);
		word0 = next;
		next = row0[pitch];
		taps = taps_of(word1, 0, next, 1);
		upper = add_row(upper, taps, weights + KERNEL);
		lower = add_row(lower, taps, weights);
		word1 = next;
		row2 += GROUP;
		next = *row2;
		taps = taps_of(word2, 0, next, 1);
		upper = add_row(upper, taps, weights + 2 * KERNEL);
		lower = add_row(lower, taps, weights + KERNEL);
		word2 = next;
		put_three(upper, at, clamped, below);
		next = row2[pitch];
		lower = add_row(lower, taps_of(word3, 0, next, 1),
				weights + 2 * KERNEL);
		word3 = next;
		put_three(lower, at, clamped, below + at->width);
		below += CML_FIELDS * GROUP;
		left--;
		CML_KEEP(left);
	} while (left);
}

static CML_INLINE void all_rows(const struct channel *at, size_t stride,
				bool clamped)
{
	const struct channel own = *at;		/* nothing changes it */
	size_t step = at->conv->stride_h * at->pitch;
	const uint64_t *words = at->words;
	uint8_t *below = at->below;
	size_t left = at->rows;

	if (stride == 1 && at->conv->stride_h == 1) {
		for (; left >= 2; left -= 2) {
			two_rows(&own, clamped, words, below);
			words += 2 * step;
			below += 2 * own.width;
		}
	}
	for (; left; left--) {
		one_row(&own, stride, clamped, words, below);
		words += step;
		below += own.width;
	}
}

CML_IN_A_PAGE(4096) static void
run_channel(const struct channel *at, bool clamped)
{
	if (at->conv->stride_w == 1 && clamped)
		all_rows(at, 1, true);
	else if (at->conv->stride_w == 1)
		all_rows(at, 1, false);
	else if (clamped)
		all_rows(at, 2, true);
	else
		all_rows(at, 2, false);
}

/* Channel @c, which is number @index of the tile. */
static void one_channel(const struct cml_conv_call *call, int32_t c,
			size_t index, const uint64_t *words, size_t rows,
			uint8_t *below)
{
	const struct cml_conv *conv = call->conv;
	struct cml_limits limits = cml_limits_of(conv);
	struct channel at = {
		.conv = conv, .range = limits.range, .words = words + index,
		.below = below + index, .rows = rows, .pitch = row_words(conv),
		.count = (conv->out_w + CML_FIELDS - 1) / CML_FIELDS,
	};
	const int8_t *weights = call->weights + c;
	int64_t sum = 0;

#pragma GCC unroll 9
	for (size_t i = 0; i < TAPS; i++, weights += conv->out_c) {
		int64_t weight = *weights;

		at.weights[i] = weight;
		sum += weight;
	}
	at.width = at.count * CML_FIELDS * GROUP;
	at.scale = cml_scale_of(call, c, CML_HALF + 128 * sum);
	run_channel(&at, limits.clamped);
}

/* Eight channels of a row; gives where the next row is. */
static int8_t *put_row(const uint8_t *below, size_t width, uint64_t max,
		       size_t stride, int8_t *output)
{
#pragma GCC unroll 4
	for (size_t x = 0; x < width; x++) {
		uint64_t eight = 0;

		memcpy(&eight, below, GROUP);
		eight = (max - eight) ^ SIGNS;
		memcpy(output, &eight, GROUP);
		below += GROUP;
		output += stride;
	}

	return output;
}

/* Eight channels from @c on, of @rows rows of an image from row @oy on. */
static void group(const struct cml_conv_call *call, int32_t c,
		  const int8_t *image, int32_t oy, size_t rows, int8_t *output)
{
	const struct cml_conv *conv = call->conv;
	uint64_t max = cml_limits_of(conv).max * UINT64_C(0x100000001);
	size_t width = (conv->out_w + CML_FIELDS - 1) / CML_FIELDS *
		       CML_FIELDS;
	size_t count = input_rows(conv, rows);
	uint64_t *words = call->scratch;
	uint8_t *below = (uint8_t *)(words + count * row_words(conv));

	for (size_t i = 0; i < count; i++) {
		int32_t y = oy * conv->stride_h - conv->pad_h + i;
		size_t line = (size_t)y * conv->in_w * conv->in_c;

		if (y >= 0 && y < conv->in_h)
			fill_row(conv, image + line + c,
				 words + i * row_words(conv));
		else
			pad_row(conv, words + i * row_words(conv));
	}
	output += c;
	for (size_t i = 0; i < GROUP; i++)
		one_channel(call, c + i, i, words, rows, below);
	for (size_t i = 0; i < rows; i++, below += width * GROUP)
		output = put_row(below, conv->out_w, max, conv->out_c, output);
}

/* Stack: 560 bytes, among them what is known of one channel. */
void cml_depthwise_s8_scalar(const struct cml_conv_call *call)
{
	const struct cml_conv *conv = call->conv;
	size_t image_size = (size_t)conv->in_h * conv->in_w * conv->in_c;
	int32_t limit = most_rows(conv);
	int32_t line = call->pixels.begin / conv->out_w;
	int32_t end = call->pixels.end / conv->out_w;
	/* The last group may overlap the one before. */
	int32_t last = conv->out_c - GROUP;

	while (line < end) {
		const int8_t *image = call->input +
				      line / conv->out_h * image_size;
		int8_t *output = call->output +
				 (size_t)line * conv->out_w * conv->out_c;
		int32_t oy = line % conv->out_h;
		int32_t rows = end - line;

		if (rows > limit)
			rows = limit;
		if (rows > conv->out_h - oy)
			rows = conv->out_h - oy;
		for (int32_t c = 0; c < conv->out_c; c += GROUP)
			group(call, c < last ? c : last, image, oy, rows,
			      output);
		line += rows;
	}
}
