// SPDX-License-Identifier: Apache-2.0
/*
 * From accumulators to int8 by one 64-bit product, to the bit as
 * cml_quant_scale() does it: both roundings are one shift, for a floor of a
 * floor is a floor.
 *
 * This is for emulators. They have the 64-bit multiplication of their host, but
 * SQRDMULH and SMMLA only as calls. They translate a stretch of code without
 * branches at a time, and move registers from and to memory at its ends; within
 * it they take the instructions as they come. Hence long bodies of loops, in
 * the order in which as much as possible is done onto one number before the
 * next one; and signs instead of comparisons, which set flags.
 */
#ifndef CML_OPS_ONE_PRODUCT_H
#define CML_OPS_ONE_PRODUCT_H

#include "nn/quant.h"

/* So that what is constant at the call is constant inside */
#define CML_INLINE		inline __attribute__((always_inline))
/*
 * For a function with a loop that counts, of less than @size bytes, which is a
 * power of two up to 4096: what is translated at once ends with a page.
 */
#define CML_IN_A_PAGE(size)	__attribute__((aligned(size), noinline))
/* Keeps the compiler from another order, and from comparisons. */
#define CML_KEEP(x)	__asm__ volatile("" : "+r"(x))

/*
 * From a sum to what is below the largest output. In the addend are a half for
 * each rounding, and the zero point less the least output.
 */
struct cml_scale {
	int64_t multiplier, addend;
	int64_t rest;		/* of the addend: but for the first half */
	int32_t shift;		/* 32 to 62 */
};

/*
 * Whether that holds outputs of sums within 32 bits: the shift is 1 to 31 bits
 * to the right, and what is added to the product below 2^62.
 */
static inline bool cml_scale_fits(struct cml_factor factor, int32_t zero_point,
				  int32_t min)
{
	int64_t offset = zero_point - min;
	int64_t halves = offset < 0 ? -2 * offset : 2 * offset + 1;

	return factor.shift <= -1 && factor.shift >= -31 &&
	       halves < INT64_C(1) << (31 + factor.shift);
}

/* @bias is added to every sum. */
static CML_INLINE struct cml_scale
cml_scale(struct cml_factor factor, int64_t bias, int32_t zero_point,
	  int32_t min)
{
	int32_t shift = 31 - factor.shift;
	int64_t halves = 2 * (zero_point - min) + 1;
	int64_t rest = halves * (INT64_C(1) << (shift - 1));

	return (struct cml_scale){
		.multiplier = factor.multiplier,
		.addend = bias * factor.multiplier + (1 << 30) + rest,
		.rest = rest,
		.shift = shift,
	};
}

/*
 * How far the output is from the largest one, which is @range above the least.
 * The second rounding takes halves away from zero: of a negative number, what
 * the first one made is one less. Where outputs below the zero point are
 * clamped anyway (@clamped), that makes no difference.
 */
static CML_INLINE uint64_t cml_below_max(int64_t sum,
				     const struct cml_scale *scale,
				     int64_t range, bool clamped)
{
	int64_t product = sum * scale->multiplier + scale->addend;
	int64_t sign = 0;

	if (!clamped) {
		sign = (product - scale->rest) >> 63;
		product += sign & -(INT64_C(1) << 31);
	}
	product >>= scale->shift;
	sign = product >> 63;
	CML_KEEP(sign);
	product = range - (product & ~sign);
	sign = product >> 63;
	CML_KEEP(sign);

	return product & ~sign;
}

#endif /* CML_OPS_ONE_PRODUCT_H */
