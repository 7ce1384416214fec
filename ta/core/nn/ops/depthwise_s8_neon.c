// SPDX-License-Identifier: Apache-2.0
/*
 * For a block of output pixels, lists are made of where their taps are in the
 * input; taps outside of it point to a row of zero points. Then sixteen
 * channels at a time, all pixels of the block, without a branch.
 *
 * Their weights are widened to 16 bits once a block. Of two taps at a time,
 * products are added in 16 bits, then the odd and the even channels of that
 * onto sums of 32. These are instructions that an emulator has in its host,
 * too; those that widen are calls there.
 */
#if defined(__aarch64__)

#include <string.h>

#include "conv.h"
#include "neon.h"

#define GROUP		CML_DEPTHWISE_NEON_GROUP
#define BLOCK_TAPS	512	/* in the lists of a block, about */

static size_t tap_count(const struct cml_conv *conv)
{
	return (size_t)conv->kernel_h * conv->kernel_w;
}

static size_t block_pixels(const struct cml_conv *conv)
{
	size_t taps = tap_count(conv);

	return taps < BLOCK_TAPS ? BLOCK_TAPS / taps : 1;
}

/* Weights of one group, the lists of taps, and the row of zero points. */
size_t cml_depthwise_s8_neon_scratch(const struct cml_conv *conv)
{
	size_t tap = sizeof(const int8_t *) * block_pixels(conv) +
		     sizeof(int16_t) * GROUP;

	return tap_count(conv) * tap + conv->in_c;
}

/* Taps of output pixel (@oy, @ox) of @image: each (in_c) values. */
static void find_taps(const struct cml_conv *conv, const int8_t *image,
		      int32_t oy, int32_t ox, const int8_t *zero_points,
		      const int8_t **taps)
{
	int32_t y = oy * conv->stride_h - conv->pad_h;

	for (int32_t ky = 0; ky < conv->kernel_h; ky++) {
		int32_t x = ox * conv->stride_w - conv->pad_w;
		bool inside = y >= 0 && y < conv->in_h;

		for (int32_t kx = 0; kx < conv->kernel_w; kx++) {
			*taps = zero_points;
			if (inside && x >= 0 && x < conv->in_w)
				*taps = image + ((size_t)y * conv->in_w + x) *
						conv->in_c;
			taps++;
			x += conv->dilation_w;
		}
		y += conv->dilation_h;
	}
}

/* Eight channels: those with even numbers, and those with odd ones. */
struct eight {
	int32x4_t even, odd;
};

static inline struct eight split(int32x4_t low, int32x4_t high)
{
	return (struct eight){
		.even = vuzp1q_s32(low, high), .odd = vuzp2q_s32(low, high),
	};
}

static inline struct eight load(const int32_t *numbers)
{
	return split(vld1q_s32(numbers), vld1q_s32(numbers + 4));
}

static inline struct eight add(struct eight sums, int16x8_t products)
{
	int32x4_t pairs = vreinterpretq_s32_s16(products);

	return (struct eight){
		.even = vsraq_n_s32(sums.even, vshlq_n_s32(pairs, 16), 16),
		.odd = vsraq_n_s32(sums.odd, pairs, 16),
	};
}

struct factors {
	struct cml_neon_factor even, odd;
};

static inline struct factors factors(const struct cml_conv_call *call,
				     int32_t c)
{
	struct eight multiplier = load(call->multiplier + c);
	struct eight shift = load(call->shift + c);

	return (struct factors){
		.even = cml_neon_factor(multiplier.even, shift.even),
		.odd = cml_neon_factor(multiplier.odd, shift.odd),
	};
}

/* Two outputs in the lower half of each lane. */
static inline int16x8_t outputs(struct eight sums, bool fast,
				const struct factors *factors,
				struct cml_neon_range range)
{
	int32x4_t even = cml_neon_output(sums.even, fast, factors->even, range);
	int32x4_t odd = cml_neon_output(sums.odd, fast, factors->odd, range);

	return vreinterpretq_s16_s32(vsliq_n_s32(even, odd, 8));
}

/* Sixteen channels: sums, and what makes outputs of them. */
struct sixteen {
	struct eight low, high;
};

struct sixteen_factors {
	struct factors low, high;
	struct sixteen bias;
	struct cml_neon_range range;
};

static inline struct sixteen_factors
sixteen_factors(const struct cml_conv_call *call, int32_t c)
{
	const struct cml_conv *conv = call->conv;

	return (struct sixteen_factors){
		.low = factors(call, c),
		.high = factors(call, c + 8),
		.bias = {
			.low = load(call->bias + c),
			.high = load(call->bias + c + 8),
		},
		.range = cml_neon_range(conv->output_zero_point, conv->min,
					conv->max),
	};
}

static inline void store(struct sixteen sums, bool fast,
			 const struct sixteen_factors *by, int8_t *output)
{
	int16x8_t low = outputs(sums.low, fast, &by->low, by->range);
	int16x8_t high = outputs(sums.high, fast, &by->high, by->range);

	vst1q_s8(output, vreinterpretq_s8_s16(vuzp1q_s16(low, high)));
}

/*
 * Onto the sums, one tap's products or two. Two are added in 16 bits: at most
 * 2 * 128 * 127, as no weight is -128.
 */
static inline struct sixteen add_one(struct sixteen sums, const int8_t *tap,
				     const int16x8_t weights[2])
{
	int8x16_t x = vld1q_s8(tap);

	return (struct sixteen){
		.low = add(sums.low, vmulq_s16(vmovl_s8(vget_low_s8(x)),
					       weights[0])),
		.high = add(sums.high, vmulq_s16(vmovl_high_s8(x),
						 weights[1])),
	};
}

static inline struct sixteen add_two(struct sixteen sums, const int8_t *tap0,
				     const int8_t *tap1,
				     const int16x8_t weights[4])
{
	int8x16_t x = vld1q_s8(tap0);
	int8x16_t y = vld1q_s8(tap1);
	int16x8_t a = vmulq_s16(vmovl_s8(vget_low_s8(x)), weights[0]);
	int16x8_t b = vmulq_s16(vmovl_high_s8(x), weights[1]);

	a = vmlaq_s16(a, vmovl_s8(vget_low_s8(y)), weights[2]);
	b = vmlaq_s16(b, vmovl_high_s8(y), weights[3]);

	return (struct sixteen){
		.low = add(sums.low, a), .high = add(sums.high, b),
	};
}

/* Channels @c to @c + 15 of @pixels pixels. */
static inline __attribute__((always_inline)) void
channels(const struct cml_conv_call *call, int32_t c,
	 const int16x8_t *weights, const int8_t **taps, size_t count,
	 size_t pixels, bool fast, int8_t *output)
{
	struct sixteen_factors by = sixteen_factors(call, c);

	for (; pixels; pixels--, output += call->conv->out_c) {
		struct sixteen sums = by.bias;
		size_t i = 0;

		for (; i + 1 < count; i += 2)
			sums = add_two(sums, taps[i] + c, taps[i + 1] + c,
				       weights + 2 * i);
		if (i < count)
			sums = add_one(sums, taps[i] + c, weights + 2 * i);
		taps += count;
		store(sums, fast, &by, output);
	}
}

/* The same of a kernel of 3 x 3, whose weights stay in registers. */
static inline __attribute__((always_inline)) void
nine_taps(const struct cml_conv_call *call, int32_t c,
	  const int16x8_t *widened, const int8_t **taps, size_t pixels,
	  bool fast, int8_t *output)
{
	struct sixteen_factors by = sixteen_factors(call, c);
	int16x8_t weights[2 * 9];

#pragma GCC unroll 18
	for (size_t i = 0; i < 2 * 9; i++)
		weights[i] = widened[i];
	for (; pixels; pixels--, output += call->conv->out_c, taps += 9) {
		struct sixteen sums = by.bias;

#pragma GCC unroll 4
		for (size_t i = 0; i < 8; i += 2)
			sums = add_two(sums, taps[i] + c, taps[i + 1] + c,
				       weights + 2 * i);
		sums = add_one(sums, taps[8] + c, weights + 2 * 8);
		store(sums, fast, &by, output);
	}
}

/* Weights of channels @c to @c + 15: (taps, 2). */
static void widen(const struct cml_conv_call *call, int32_t c, size_t count,
		  int16x8_t *to)
{
	const int8_t *weights = call->weights + c;

	for (; count; count--, weights += call->conv->out_c) {
		int8x16_t w = vld1q_s8(weights);

		*to++ = vmovl_s8(vget_low_s8(w));
		*to++ = vmovl_high_s8(w);
	}
}

static void block(const struct cml_conv_call *call, int16x8_t *widened,
		  const int8_t **taps, size_t count, size_t pixels,
		  int8_t *output)
{
	/* The last group may overlap the one before. */
	int32_t last = call->conv->out_c - GROUP;

	for (int32_t c = 0; c < call->conv->out_c; c += GROUP) {
		int32_t first = c < last ? c : last;

		widen(call, first, count, widened);
		if (!call->conv->fast)
			channels(call, first, widened, taps, count, pixels,
				 false, output + first);
		else if (count == 9)
			nine_taps(call, first, widened, taps, pixels, true,
				  output + first);
		else
			channels(call, first, widened, taps, count, pixels,
				 true, output + first);
	}
}

void cml_depthwise_s8_neon(const struct cml_conv_call *call)
{
	const struct cml_conv *conv = call->conv;
	size_t image_size = (size_t)conv->in_h * conv->in_w * conv->in_c;
	size_t count = tap_count(conv);
	size_t limit = block_pixels(conv);
	int16x8_t *widened = call->scratch;
	const int8_t **taps = (const int8_t **)(widened + 2 * count);
	int8_t *zero_points = (int8_t *)(taps + limit * count);
	/* (batch, out_h, out_w, out_c) */
	int8_t *output = call->output + (size_t)call->pixels.begin * conv->out_c;
	uint32_t p = call->pixels.begin;

	memset(zero_points, conv->input_zero_point, conv->in_c);
	while (p < call->pixels.end) {
		size_t pixels = 0;

		for (; pixels < limit && p < call->pixels.end; pixels++, p++) {
			int32_t row = p / conv->out_w;

			find_taps(conv,
				  call->input + row / conv->out_h * image_size,
				  row % conv->out_h, p % conv->out_w,
				  zero_points, taps + pixels * count);
		}
		block(call, widened, taps, count, pixels, output);
		output += pixels * conv->out_c;
	}
}

#else
/* ISO C wants a declaration in a file. */
typedef int depthwise_s8_neon_is_for_arm64;
#endif
