// SPDX-License-Identifier: Apache-2.0
/*
 * From accumulators to int8, four at a time, to the bit as cml_quant_scale()
 * does it. arm64 only.
 *
 * Under emulation an instruction costs what its helper function costs, so
 * this keeps to those that need none where it can: hence struct cml_conv's fast, and
 * packing by shifts and by one table look-up.
 */
#ifndef CML_OPS_NEON_H
#define CML_OPS_NEON_H

#include <arm_neon.h>

#include "nn/quant.h"

/* One vector's worth of struct cml_factor, and what follows from it. */
struct cml_neon_factor {
	int32x4_t multiplier;
	int32x4_t shift;	/* fast: -30 to -1, else -31 to 30 */
	int32x4_t half;		/* fast only: of a step */
};

/* What all channels have in common. */
struct cml_neon_range {
	int32x4_t zero_point, min, max;
};

static inline struct cml_neon_range
cml_neon_range(int32_t zero_point, int32_t min, int32_t max)
{
	return (struct cml_neon_range){
		.zero_point = vdupq_n_s32(zero_point),
		.min = vdupq_n_s32(min),
		.max = vdupq_n_s32(max),
	};
}

static inline struct cml_neon_factor
cml_neon_factor(int32x4_t multiplier, int32x4_t shift)
{
	return (struct cml_neon_factor){
		.multiplier = multiplier,
		.shift = shift,
		/* 2^(-shift - 1) */
		.half = vshlq_s32(vdupq_n_s32(1), vmvnq_s32(shift)),
	};
}

/* As cml_quant_shift_right(); @right is -31 to 0. */
static inline int32x4_t cml_neon_shift_right(int32x4_t x, int32x4_t right)
{
	/* VRSHL rounds halves upwards: first move negative x down by one. */
	int32x4_t fixup = vshrq_n_s32(vandq_s32(x, right), 31);

	return vrshlq_s32(vqaddq_s32(x, fixup), right);
}

/* As cml_quant_scale(). */
static inline int32x4_t cml_neon_scale(int32x4_t x, int32x4_t multiplier,
				       int32x4_t shift)
{
	int32x4_t zero = vdupq_n_s32(0);

	x = vqrdmulhq_s32(vshlq_s32(x, vmaxq_s32(shift, zero)), multiplier);

	return cml_neon_shift_right(x, vminq_s32(shift, zero));
}

/* Scaled, moved to the zero point and clamped. */
static inline int32x4_t cml_neon_output(int32x4_t x, bool fast,
					struct cml_neon_factor factor,
					struct cml_neon_range range)
{
	if (fast) {
		/* Sums stay below 2^31: cml_conv_set_fast() saw to it. */
		x = vqrdmulhq_s32(x, factor.multiplier);
		x = vsraq_n_s32(x, x, 31);	/* negative: one less */
		x = vshlq_s32(vaddq_s32(x, factor.half), factor.shift);
	} else {
		x = cml_neon_scale(x, factor.multiplier, factor.shift);
	}
	x = vaddq_s32(x, range.zero_point);

	return vminq_s32(vmaxq_s32(x, range.min), range.max);
}

/*
 * Sixteen clamped numbers to bytes. Lane i of the result has, lowest first,
 * lane i of each of the four: {a0, b0, c0, d0, a1, b1, ...}.
 */
static inline int8x16_t cml_neon_interleave(int32x4_t a, int32x4_t b,
					    int32x4_t c, int32x4_t d)
{
	a = vsliq_n_s32(a, b, 8);
	a = vsliq_n_s32(a, c, 16);
	a = vsliq_n_s32(a, d, 24);

	return vreinterpretq_s8_s32(a);
}

/* The same in order: {a0, a1, a2, a3, b0, b1, ...}. */
static inline int8x16_t cml_neon_concatenate(int32x4_t a, int32x4_t b,
					     int32x4_t c, int32x4_t d)
{
	static const uint8_t lowest[16] = {
		0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60,
	};
	int8x16x4_t table = {
		.val = {
			vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b),
			vreinterpretq_s8_s32(c), vreinterpretq_s8_s32(d),
		},
	};

	return vqtbl4q_s8(table, vld1q_u8(lowest));
}

#endif /* CML_OPS_NEON_H */
