// SPDX-License-Identifier: Apache-2.0
/*
 * Three pixels in one word of 64 bits, for the kernels without vectors.
 *
 * A word has the values of three pixels in fields of 21 bits, each added to
 * what is above it, so a negative value borrows from there. The word times a
 * weight is the three products in the same form, and sums of such words are
 * the sums in the same form, as long as each fits in its field. Sums start at
 * half of a field's range, so that in the end none is negative and the fields
 * can be cut out.
 *
 * All of this is for emulators. They have the 64-bit multiplication of their
 * host, but SMMLA and the like only as calls. They translate a stretch of code
 * without branches at a time, and move registers from and to memory at its
 * ends; within it they take the instructions as they come. Hence long bodies
 * of loops, in the order in which as much as possible is done onto one number
 * before the next one; and signs instead of comparisons, which set flags.
 */
#ifndef CML_OPS_CONV_WORD_H
#define CML_OPS_CONV_WORD_H

#include "conv.h"

#define FIELD_BITS	21
#define FIELD_MASK	((UINT64_C(1) << FIELD_BITS) - 1)
#define FIELD_PIXELS	3
#define HALF		(UINT64_C(1) << (FIELD_BITS - 1))
#define HALVES		(HALF | HALF << FIELD_BITS | HALF << 2 * FIELD_BITS)
/* So that what is constant at the call is constant inside */
#define INLINE		inline __attribute__((always_inline))
/* Keeps the compiler from another order, and from comparisons. */
#define BARRIER(x)	__asm__ volatile("" : "+r"(x))

/* From the sums of a channel to its outputs, if conv->one_product. */
struct cml_scale {
	int64_t multiplier, addend;
	int64_t rest;		/* of the addend, which is not the product's */
	int32_t shift;		/* 32 to 62 */
};

/*
 * Both roundings of cml_quant_scale() are one, of a product of 64 bits: a
 * floor of a floor is a floor. Added to the product are the bias, less what
 * sums start with (@start), a half for each rounding, and the zero point, less
 * the least output.
 */
static INLINE struct cml_scale cml_scale_of(const struct cml_conv_call *call,
					    int32_t c, int64_t start)
{
	int32_t shift = 31 - call->shift[c];
	int64_t offset = call->conv->output_zero_point - call->conv->min;
	int64_t rest = (2 * offset + 1) * (INT64_C(1) << (shift - 1));

	return (struct cml_scale){
		.multiplier = call->multiplier[c],
		.addend = (call->bias[c] - start) * call->multiplier[c] +
			  (1 << 30) + rest,
		.rest = rest,
		.shift = shift,
	};
}

/* What all channels have in common. */
struct cml_limits {
	int64_t range;		/* largest output less the least */
	uint32_t max;		/* the largest one and 128, in each byte */
	/*
	 * The second rounding takes halves away from zero: of a negative
	 * number, what the first one made is one less. Where outputs below the
	 * zero point are clamped, that makes no difference.
	 */
	bool clamped;
};

static inline struct cml_limits cml_limits_of(const struct cml_conv *conv)
{
	return (struct cml_limits){
		.range = conv->max - conv->min,
		.max = (conv->max + 128) * UINT32_C(0x01010101),
		.clamped = conv->min >= conv->output_zero_point,
	};
}

/* How far the output is from the largest. */
static INLINE uint32_t cml_below_max(int64_t sum,
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
	BARRIER(sign);
	product = range - (product & ~sign);
	sign = product >> 63;
	BARRIER(sign);

	return product & ~sign;
}

/* Byte @i of eight, lowest first, as the machines this runs on have it */
#define BYTE(eight, i)	((uint64_t)(int64_t)(int8_t)((eight) >> 8 * (i)))

#endif /* CML_OPS_CONV_WORD_H */
