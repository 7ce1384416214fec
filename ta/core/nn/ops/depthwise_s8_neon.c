// SPDX-License-Identifier: Apache-2.0
/*
 * For each output pixel a list of where its taps are in the input is made;
 * taps outside of it point to a row of zero points. Then sixteen
 * channels at a time, all taps, without a branch.
 */
#if defined(__aarch64__)

#include <string.h>

#include "conv.h"
#include "neon.h"

static size_t tap_count(const struct cml_conv *conv)
{
	return (size_t)conv->kernel_h * conv->kernel_w;
}

/* The list of taps, and the row of zero points. */
size_t cml_depthwise_s8_neon_scratch(const struct cml_conv *conv)
{
	return tap_count(conv) * sizeof(const int8_t *) + conv->in_c;
}

/* Taps of output pixel (@oy, @ox): each (in_c) values. */
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

/* Onto sixteen sums, eight of which are in @product's lanes. */
#define ADD_WIDE(low, high, product) \
	do { \
		low = vaddw_s16(low, vget_low_s16(product)); \
		high = vaddw_high_s16(high, product); \
	} while (0)

static inline int32x4_t four_outputs(const struct cml_conv_call *call, int32_t c,
				     int32x4_t acc,
				     struct cml_neon_range range)
{
	struct cml_neon_factor factor =
		cml_neon_factor(vld1q_s32(call->multiplier + c),
				vld1q_s32(call->shift + c), range);

	return cml_neon_output(acc, call->conv->fast, factor, range);
}

/*
 * Channels @c to @c + 15 of one pixel. Two products are added in 16 bits
 * first: at most 2 * 128 * 127, as no weight is -128.
 */
static int8x16_t outputs(const struct cml_conv_call *call, int32_t c,
			 const int8_t *const *taps, size_t count,
			 struct cml_neon_range range)
{
	const int8_t *weights = call->weights + c;	/* (taps, out_c) */
	int32x4_t acc0 = vld1q_s32(call->bias + c);
	int32x4_t acc1 = vld1q_s32(call->bias + c + 4);
	int32x4_t acc2 = vld1q_s32(call->bias + c + 8);
	int32x4_t acc3 = vld1q_s32(call->bias + c + 12);
	size_t stride = call->conv->out_c;
	int16x8_t low = vdupq_n_s16(0);
	int16x8_t high = vdupq_n_s16(0);
	size_t i = 0;

	for (; i < count; i++) {
		int8x16_t x = vld1q_s8(taps[i] + c);
		int8x16_t w = vld1q_s8(weights);

		low = vmull_s8(vget_low_s8(x), vget_low_s8(w));
		high = vmull_high_s8(x, w);
		weights += stride;
		if (++i < count) {
			x = vld1q_s8(taps[i] + c);
			w = vld1q_s8(weights);
			low = vmlal_s8(low, vget_low_s8(x), vget_low_s8(w));
			high = vmlal_high_s8(high, x, w);
			weights += stride;
		}
		ADD_WIDE(acc0, acc1, low);
		ADD_WIDE(acc2, acc3, high);
	}

	return cml_neon_concatenate(four_outputs(call, c, acc0, range),
				    four_outputs(call, c + 4, acc1, range),
				    four_outputs(call, c + 8, acc2, range),
				    four_outputs(call, c + 12, acc3, range));
}

/* All channels of one pixel; the last group may overlap the one before. */
static void pixel(const struct cml_conv_call *call, const int8_t *const *taps,
		  size_t count, struct cml_neon_range range, int8_t *output)
{
	int32_t last = call->conv->out_c - CML_DEPTHWISE_NEON_GROUP;

	for (int32_t c = 0; c < last; c += CML_DEPTHWISE_NEON_GROUP)
		vst1q_s8(output + c, outputs(call, c, taps, count, range));
	vst1q_s8(output + last, outputs(call, last, taps, count, range));
}

void cml_depthwise_s8_neon(const struct cml_conv_call *call)
{
	const struct cml_conv *conv = call->conv;
	struct cml_neon_range range = cml_neon_range(conv->output_zero_point,
						     conv->min, conv->max);
	size_t image_size = (size_t)conv->in_h * conv->in_w * conv->in_c;
	const int8_t **taps = call->scratch;
	size_t count = tap_count(conv);
	int8_t *zero_points = (int8_t *)(taps + count);
	/* (batch, out_h, out_w, out_c) */
	int8_t *output = call->output + (size_t)call->pixels.begin * conv->out_c;

	memset(zero_points, conv->input_zero_point, conv->in_c);
	for (uint32_t p = call->pixels.begin; p < call->pixels.end; p++) {
		int32_t row = p / conv->out_w;

		find_taps(conv, call->input + row / conv->out_h * image_size,
			  row % conv->out_h, p % conv->out_w, zero_points,
			  taps);
		pixel(call, taps, count, range, output);
		output += conv->out_c;
	}
}

#else
/* ISO C wants a declaration in a file. */
typedef int depthwise_s8_neon_is_for_arm64;
#endif
