// SPDX-License-Identifier: Apache-2.0
/*
 * For each output pixel a list of where its taps are in the input is made;
 * taps outside of it point to a row of zero points. Then eight channels at a
 * time, all taps, without a branch.
 */
#if defined(__aarch64__)

#include <string.h>

#include "neon.h"
#include "ops.h"

static size_t tap_count(const struct cml_conv *conv)
{
	return (size_t)conv->kernel_h * conv->kernel_w;
}

/* The list of taps, and the row of zero points. */
size_t op_depthwise_conv2d_s8_neon_scratch_size(const struct cml_conv *conv)
{
	return tap_count(conv) * sizeof(const int8_t *) + conv->in_c;
}

/* Taps of output pixel (@oy, @ox): each (in_c) values. */
static void find_taps(const struct cml_op *op, int32_t oy, int32_t ox,
		      const int8_t *zero_points, const int8_t **taps)
{
	const struct cml_conv *conv = &op->conv;
	int32_t y = oy * conv->stride_h - conv->pad_h;

	for (int32_t ky = 0; ky < conv->kernel_h; ky++) {
		int32_t x = ox * conv->stride_w - conv->pad_w;
		bool inside = y >= 0 && y < conv->in_h;

		for (int32_t kx = 0; kx < conv->kernel_w; kx++) {
			*taps = zero_points;
			if (inside && x >= 0 && x < conv->in_w)
				*taps = op->input[0] +
					((size_t)y * conv->in_w + x) *
					conv->in_c;
			taps++;
			x += conv->dilation_w;
		}
		y += conv->dilation_h;
	}
}

/*
 * Channels @c to @c + 7 of one pixel. Two products are added in 16 bits
 * first: at most 2 * 128 * 127, as no weight is -128.
 */
static int8x8_t eight_channels(const struct cml_conv *conv, int32_t c,
			       const int8_t *const *taps,
			       struct cml_neon_output range)
{
	struct cml_neon_channels numbers =
		cml_neon_channels(conv->multiplier + c, conv->shift + c);
	const int8_t *weights = conv->weights + c;	/* (taps, out_c) */
	int32x4_t low = vld1q_s32(conv->bias + c);
	int32x4_t high = vld1q_s32(conv->bias + c + 4);
	size_t count = tap_count(conv);
	size_t stride = conv->out_c;
	size_t i = 0;

	for (; i + 1 < count; i += 2) {
		int16x8_t sum = vmull_s8(vld1_s8(taps[i] + c),
					 vld1_s8(weights));

		sum = vmlal_s8(sum, vld1_s8(taps[i + 1] + c),
			       vld1_s8(weights + stride));
		low = vaddw_s16(low, vget_low_s16(sum));
		high = vaddw_high_s16(high, sum);
		weights += 2 * stride;
	}
	if (i < count) {
		int16x8_t sum = vmull_s8(vld1_s8(taps[i] + c),
					 vld1_s8(weights));

		low = vaddw_s16(low, vget_low_s16(sum));
		high = vaddw_high_s16(high, sum);
	}

	return cml_neon_requantize(low, high, &numbers, range);
}

void op_depthwise_conv2d_s8_neon(const struct cml_op *op)
{
	const struct cml_conv *conv = &op->conv;
	struct cml_neon_output range = cml_neon_output(conv->output_zero_point,
						       conv->min, conv->max);
	const int8_t **taps = op->scratch;
	int8_t *zero_points = (int8_t *)(taps + tap_count(conv));
	int32_t last = conv->out_c - CML_CHANNEL_GROUP;
	int8_t *output = op->output;	/* (out_h, out_w, out_c) */

	memset(zero_points, conv->input_zero_point, conv->in_c);
	for (int32_t oy = 0; oy < conv->out_h; oy++) {
		for (int32_t ox = 0; ox < conv->out_w; ox++) {
			find_taps(op, oy, ox, zero_points, taps);
			for (int32_t c = 0; c < last; c += CML_CHANNEL_GROUP)
				vst1_s8(output + c,
					eight_channels(conv, c, taps, range));
			/* May overlap the group before it. */
			vst1_s8(output + last,
				eight_channels(conv, last, taps, range));
			output += conv->out_c;
		}
	}
}

#else
/* ISO C wants a declaration in a file. */
typedef int op_depthwise_conv2d_s8_neon_is_for_arm64;
#endif
