// SPDX-License-Identifier: Apache-2.0
/*
 * cml_quant_scale() and its surroundings for four values at a time, the same
 * to the bit. arm64 only.
 */
#ifndef CML_OPS_NEON_H
#define CML_OPS_NEON_H

#include <arm_neon.h>

/* x * 2^@right, halves away from zero; @right is -31 to 0. */
static inline int32x4_t cml_neon_shift_right(int32x4_t x, int32x4_t right)
{
	/* VRSHL rounds halves upwards: first move negative x down by one. */
	int32x4_t fixup = vshrq_n_s32(vandq_s32(x, right), 31);

	return vrshlq_s32(vqaddq_s32(x, fixup), right);
}

/* @left is 0 to 30 and @right -31 to 0, one of them 0. */
static inline int32x4_t cml_neon_scale(int32x4_t x, int32x4_t multiplier,
				       int32x4_t left, int32x4_t right)
{
	x = vqrdmulhq_s32(vshlq_s32(x, left), multiplier);

	return cml_neon_shift_right(x, right);
}

/*
 * Two times four numbers to int8. Adding the zero point wraps, as it does in
 * the reference; narrowing saturates, and @min and @max are within int8, so
 * it loses nothing.
 */
struct cml_neon_output {
	int32x4_t zero_point;
	int8x8_t min, max;
};

static inline struct cml_neon_output cml_neon_output(int32_t zero_point,
						     int32_t min, int32_t max)
{
	return (struct cml_neon_output){
		.zero_point = vdupq_n_s32(zero_point),
		.min = vdup_n_s8(min),
		.max = vdup_n_s8(max),
	};
}

static inline int8x8_t cml_neon_narrow(int32x4_t low, int32x4_t high,
				       struct cml_neon_output output)
{
	int16x8_t halves = vcombine_s16(
		vqmovn_s32(vaddq_s32(low, output.zero_point)),
		vqmovn_s32(vaddq_s32(high, output.zero_point)));
	int8x8_t bytes = vqmovn_s16(halves);

	return vmin_s8(vmax_s8(bytes, output.min), output.max);
}

/* The channels' numbers for a group of eight. */
struct cml_neon_channels {
	int32x4_t multiplier[2], left[2], right[2];
};

static inline struct cml_neon_channels
cml_neon_channels(const int32_t *multiplier, const int32_t *shift)
{
	struct cml_neon_channels channels;
	int32x4_t zero = vdupq_n_s32(0);

	for (int i = 0; i < 2; i++) {
		int32x4_t both = vld1q_s32(shift + 4 * i);

		channels.multiplier[i] = vld1q_s32(multiplier + 4 * i);
		channels.left[i] = vmaxq_s32(both, zero);
		channels.right[i] = vminq_s32(both, zero);
	}

	return channels;
}

static inline int8x8_t cml_neon_requantize(int32x4_t low, int32x4_t high,
					   const struct cml_neon_channels *c,
					   struct cml_neon_output output)
{
	low = cml_neon_scale(low, c->multiplier[0], c->left[0], c->right[0]);
	high = cml_neon_scale(high, c->multiplier[1], c->left[1],
			      c->right[1]);

	return cml_neon_narrow(low, high, output);
}

#endif /* CML_OPS_NEON_H */
