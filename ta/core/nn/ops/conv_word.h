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
 */
#ifndef CML_OPS_CONV_WORD_H
#define CML_OPS_CONV_WORD_H

#include "conv.h"
#include "one_product.h"

#define CML_FIELDS	3
#define CML_FIELD_BITS	21
#define CML_HALF	(UINT64_C(1) << (CML_FIELD_BITS - 1))

static CML_INLINE uint64_t cml_word(uint64_t a, uint64_t b, uint64_t c)
{
	return a + (b << CML_FIELD_BITS) + (c << 2 * CML_FIELD_BITS);
}

/* Number @i, if none is negative. */
static CML_INLINE uint64_t cml_field(uint64_t word, size_t i)
{
	uint64_t mask = (UINT64_C(1) << CML_FIELD_BITS) - 1;

	return word >> CML_FIELD_BITS * i & mask;
}

/* Byte @i of eight, lowest first, as the machines this runs on have it */
static CML_INLINE uint64_t cml_byte(uint64_t eight, size_t i)
{
	return (uint64_t)(int64_t)(int8_t)(eight >> 8 * i);
}

/* How weights are packed: (out_c / 4, patch, 4), whole steps of patch */
#define CML_WORD_CHANNELS	CML_CONV_SCALAR_CHANNELS
#define CML_WORD_STEP		4

static inline size_t cml_word_round(size_t size, size_t part)
{
	return (size + part - 1) / part * part;
}

static inline size_t cml_word_patch(const struct cml_conv *conv)
{
	return cml_word_round(cml_conv_patch(conv), CML_WORD_STEP);
}

/* Of a channel; sums start at @start. Only if conv->one_product. */
static CML_INLINE struct cml_scale
cml_scale_of(const struct cml_conv_call *call, int32_t c, int64_t start)
{
	struct cml_factor factor = {
		.multiplier = call->multiplier[c], .shift = call->shift[c],
	};

	return cml_scale(factor, call->bias[c] - start,
			 call->conv->output_zero_point, call->conv->min);
}

/* What all channels have in common. */
struct cml_limits {
	int64_t range;		/* largest output less the least */
	uint32_t max;		/* the largest one and 128, in each byte */
	bool clamped;		/* see cml_below_max() */
};

static inline struct cml_limits cml_limits_of(const struct cml_conv *conv)
{
	return (struct cml_limits){
		.range = conv->max - conv->min,
		.max = (conv->max + 128) * UINT32_C(0x01010101),
		.clamped = conv->min >= conv->output_zero_point,
	};
}

#endif /* CML_OPS_CONV_WORD_H */
