// SPDX-License-Identifier: Apache-2.0
/*
 * Convolution by plain multiplication: three pixels in one of 64 bits. Only the
 * last step, from sums to bytes, uses vectors where there are any.
 *
 * A word has the values of three pixels in fields of 21 bits, each added to
 * what is above it, so a negative value borrows from there. The word times a
 * weight is the three products in the same form, and sums of such words are
 * the sums in the same form, as long as each fits in its field. It does for
 * conv->run of products; then the fields are taken apart and added up.
 *
 * The output is made in tiles of 6 pixels times 8 channels. Values under the
 * kernel are gathered into (patch, 2) words; weights were packed to
 * (out_c / 8, patch, 8).
 */
#include <string.h>

#include "conv.h"
#if defined(__ARM_NEON)
#include "neon.h"
#endif

#define FIELD_BITS	21
#define FIELD_PIXELS	3
#define WORDS		2
#define PIXELS		(WORDS * FIELD_PIXELS)
#define CHANNELS	8
#define BLOCK		8	/* values that are put into words at once */

static size_t whole_blocks(size_t size)
{
	return (size + BLOCK - 1) / BLOCK * BLOCK;
}

/* Words, and the values of each pixel in a row. */
size_t cml_conv_s8_scalar_scratch(const struct cml_conv *conv)
{
	size_t patch = whole_blocks(cml_conv_patch(conv));

	return patch * WORDS * sizeof(uint64_t) + patch * PIXELS;
}

size_t cml_conv_s8_scalar_packed_size(const struct cml_conv *conv)
{
	return (size_t)conv->channels * cml_conv_patch(conv);
}

void cml_conv_s8_scalar_pack(const struct cml_conv *conv, const int8_t *from,
			     int8_t *to)
{
	size_t patch = cml_conv_patch(conv);

	for (int32_t first = 0; first < conv->channels; first += CHANNELS) {
		for (size_t k = 0; k < patch; k++) {
			for (int32_t c = first; c < first + CHANNELS; c++)
				*to++ = c < conv->out_c ? from[c * patch + k] :
					0;
		}
	}
}

/* At most 2^20 in a field: 64 products of -128 and -128, or all of a channel. */
void cml_conv_s8_scalar_set_run(struct cml_conv *conv, const int8_t *weights)
{
	size_t patch = cml_conv_patch(conv);
	uint32_t largest = 0;	/* sum of a channel's magnitudes */

	for (int32_t c = 0; c < conv->out_c; c++) {
		uint32_t sum = 0;	/* at most 2^23 */

		for (size_t k = 0; k < patch; k++, weights++)
			sum += *weights < 0 ? -*weights : *weights;
		if (sum > largest)
			largest = sum;
	}
	conv->run = largest * 128 < 1 << (FIELD_BITS - 1) ? patch : 63;
}

/* Byte @shift / 8 of three pixels' values, in fields. */
static inline uint64_t word(const uint64_t *values, size_t shift)
{
	uint64_t a = (int64_t)(values[0] << (56 - shift)) >> 56;
	uint64_t b = (int64_t)(values[1] << (56 - shift)) >> 56;
	uint64_t c = (int64_t)(values[2] << (56 - shift)) >> 56;

	return a + (b << FIELD_BITS) + (c << 2 * FIELD_BITS);
}

static void fill_words(const int8_t *const rows[PIXELS], size_t patch,
		       uint64_t *words)
{
	for (size_t k = 0; k < patch; k += BLOCK) {
		uint64_t values[PIXELS];

		for (size_t i = 0; i < PIXELS; i++)
			memcpy(&values[i], rows[i] + k, BLOCK);
		for (size_t shift = 0; shift < 64; shift += 8) {
			*words++ = word(values, shift);
			*words++ = word(values + FIELD_PIXELS, shift);
		}
	}
}

/* Onto the sums of three pixels, what the fields of @word are. */
static inline __attribute__((always_inline)) void
take_apart(uint64_t word, int32_t *sums, size_t step)
{
	int64_t first = (int64_t)(word << (64 - FIELD_BITS)) >>
			(64 - FIELD_BITS);
	int64_t rest = (int64_t)(word - first) >> FIELD_BITS;
	int64_t second = (int64_t)((uint64_t)rest << (64 - FIELD_BITS)) >>
			 (64 - FIELD_BITS);
	int64_t third = (rest - second) >> FIELD_BITS;

	sums[0] = cml_quant_add(sums[0], first);
	sums[step] = cml_quant_add(sums[step], second);
	sums[2 * step] = cml_quant_add(sums[2 * step], third);
}

/* (6 pixels, 8 channels) onto @sums, for @count values of the patch. */
static void multiply(const uint64_t *words, const int8_t *weights,
		     size_t count, int32_t sums[PIXELS * CHANNELS])
{
	uint64_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
	uint64_t a4 = 0, a5 = 0, a6 = 0, a7 = 0;
	uint64_t b0 = 0, b1 = 0, b2 = 0, b3 = 0;
	uint64_t b4 = 0, b5 = 0, b6 = 0, b7 = 0;

	for (size_t k = 0; k < count; k++) {
		uint64_t a = words[WORDS * k];
		uint64_t b = words[WORDS * k + 1];
		int64_t eight = 0;
		uint64_t w = 0;

		/* Lowest byte first, as the machines this runs on have it */
		memcpy(&eight, weights + CHANNELS * k, CHANNELS);
#define ONE(i) \
		w = (uint64_t)(int64_t)(int8_t)(eight >> 8 * (i)); \
		a ## i += a * w; \
		b ## i += b * w
		ONE(0);
		ONE(1);
		ONE(2);
		ONE(3);
		ONE(4);
		ONE(5);
		ONE(6);
		ONE(7);
#undef ONE
	}

#define TAKE(i) \
	take_apart(a ## i, sums + (i), CHANNELS); \
	take_apart(b ## i, sums + FIELD_PIXELS * CHANNELS + (i), CHANNELS)
	TAKE(0);
	TAKE(1);
	TAKE(2);
	TAKE(3);
	TAKE(4);
	TAKE(5);
	TAKE(6);
	TAKE(7);
#undef TAKE
}

/* Channels from @first on of @pixels pixels, from (pixels, 8) sums. */
static void store_any(const struct cml_conv_call *call, const int32_t *sums,
		      int32_t first, size_t pixels, int8_t *output)
{
	const struct cml_conv *conv = call->conv;
	int32_t count = conv->out_c - first;

	if (count > CHANNELS)
		count = CHANNELS;
	for (size_t i = 0; i < pixels; i++, sums += CHANNELS) {
		for (int32_t c = 0; c < count; c++) {
			struct cml_factor factor = {
				.multiplier = call->multiplier[first + c],
				.shift = call->shift[first + c],
			};
			int32_t sum = cml_quant_scale(sums[c], factor);

			sum = cml_quant_add(sum, conv->output_zero_point);
			output[i * conv->out_c + first + c] =
				cml_quant_clamp(sum, conv->min, conv->max);
		}
	}
}

#if defined(__ARM_NEON)
/* The same for a whole tile's channels, with what vectors there are. */
static void store_eight(const struct cml_conv_call *call, const int32_t *sums,
			int32_t first, size_t pixels, int8_t *output)
{
	const struct cml_conv *conv = call->conv;
	struct cml_neon_range range = cml_neon_range(conv->output_zero_point,
						     conv->min, conv->max);
	struct cml_neon_factor low =
		cml_neon_factor(vld1q_s32(call->multiplier + first),
				vld1q_s32(call->shift + first), range);
	struct cml_neon_factor high =
		cml_neon_factor(vld1q_s32(call->multiplier + first + 4),
				vld1q_s32(call->shift + first + 4), range);

	output += first;
	for (size_t i = 0; i < pixels; i++, sums += CHANNELS) {
		int32x4_t a = cml_neon_output(vld1q_s32(sums), true, low,
					      range);
		int32x4_t b = cml_neon_output(vld1q_s32(sums + 4), true, high,
					      range);
		int16x8_t both = vuzp1q_s16(vreinterpretq_s16_s32(a),
					    vreinterpretq_s16_s32(b));
		int8x16_t bytes = vreinterpretq_s8_s16(both);

		vst1_s8(output, vget_low_s8(vuzp1q_s8(bytes, bytes)));
		output += conv->out_c;
	}
}
#else
static void store_eight(const struct cml_conv_call *call, const int32_t *sums,
			int32_t first, size_t pixels, int8_t *output)
{
	store_any(call, sums, first, pixels, output);
}
#endif

/* All channels of up to six pixels. */
static void pixels_tile(const struct cml_conv_call *call,
			const uint64_t *words, size_t pixels, int8_t *output)
{
	const struct cml_conv *conv = call->conv;
	const int8_t *weights = call->weights;
	size_t patch = cml_conv_patch(conv);

	for (int32_t first = 0; first < conv->out_c; first += CHANNELS) {
		int32_t sums[PIXELS * CHANNELS];

		for (size_t i = 0; i < PIXELS; i++)
			memcpy(sums + i * CHANNELS, call->bias + first,
			       CHANNELS * sizeof(*sums));
		for (size_t k = 0; k < patch; k += conv->run) {
			size_t count = patch - k;

			if (count > conv->run)
				count = conv->run;
			multiply(words + WORDS * k, weights, count, sums);
			weights += CHANNELS * count;
		}
		if (conv->fast && first + CHANNELS <= conv->out_c)
			store_eight(call, sums, first, pixels, output);
		else
			store_any(call, sums, first, pixels, output);
	}
}

void cml_conv_s8_scalar(const struct cml_conv_call *call)
{
	const struct cml_conv *conv = call->conv;
	size_t image_size = (size_t)conv->in_h * conv->in_w * conv->in_c;
	size_t patch = cml_conv_patch(conv);
	size_t room = whole_blocks(patch);
	uint64_t *words = call->scratch;
	int8_t *values = (int8_t *)(words + WORDS * room);
	/* (batch * out_h * out_w, out_c) */
	int8_t *output = call->output + (size_t)call->pixels.begin * conv->out_c;
	/* A kernel of 1 x 1 never reads padding. */
	bool in_place = conv->kernel_h == 1 && conv->kernel_w == 1 &&
			patch % BLOCK == 0;
	uint32_t p = call->pixels.begin;

	while (p < call->pixels.end) {
		const int8_t *rows[PIXELS];
		size_t pixels = 0;

		for (; pixels < PIXELS && p < call->pixels.end; pixels++, p++) {
			int32_t line = p / conv->out_w;
			const int8_t *image = call->input + line / conv->out_h *
							    image_size;

			rows[pixels] = cml_conv_gather(conv, image,
						       line % conv->out_h,
						       p % conv->out_w,
						       in_place,
						       values + pixels * room);
		}
		for (size_t i = pixels; i < PIXELS; i++)
			rows[i] = rows[0];
		fill_words(rows, patch, words);
		pixels_tile(call, words, pixels, output);
		output += pixels * conv->out_c;
	}
}
