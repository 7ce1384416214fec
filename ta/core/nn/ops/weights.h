// SPDX-License-Identifier: Apache-2.0
/*
 * Operators with weights and a bias: FULLY_CONNECTED and convolutions.
 *
 *   input	weights	bias		quantised
 *   int8	int8	int32		input and output; weights by channel
 *   int16	int8	int64 or int32	likewise, zero points 0
 *   float32	float32	float32		no
 */
#ifndef CML_OPS_WEIGHTS_H
#define CML_OPS_WEIGHTS_H

#include <math.h>

#include "nn/op.h"

/* An operator's inputs, by index, and what is special about its kind. */
struct cml_weighted {
	uint8_t input, weights, bias;
	uint8_t axis;		/* of output channels, in the weights */
	/*
	 * Of the bias and of sums, when the input is int16: CML_TFLITE_INT32 or
	 * CML_TFLITE_INT64; 0, no particular one: the latter.
	 */
	uint8_t bias_type;
};

/* Bounds of the output after the fused activation. */
struct cml_bounds {
	int32_t zero_point, min, max;	/* quantised */
	float low, high;		/* float32 */
};

/*
 * Checks types and quantisation of all but the weights' scales; that weights
 * and bias are constants with at least one element, and that there is one bias
 * a channel. The weights have to have dimension @axis.
 */
enum cml_status cml_weighted_check(struct cml_node *node,
				   const struct cml_weighted *at);
/*
 * The weights' scales by channel, in temporary memory. NULL if they are
 * float32.
 */
enum cml_status cml_weighted_scales(struct cml_node *node,
				    const struct cml_weighted *at,
				    const float **scales);
enum cml_status cml_weighted_bounds(struct cml_node *node, uint32_t activation,
				    struct cml_bounds *bounds);
/* From the accumulator's scale to the output's, as TFLite computes it. */
static inline double cml_weighted_factor(const struct cml_node *node,
					 const struct cml_weighted *at,
					 float scale)
{
	return (double)cml_node_input(node, at->input)->scale * (double)scale /
	       (double)cml_node_output(node, 0)->scale;
}

static inline float cml_bound_f32(float value, const struct cml_bounds *bounds)
{
	return value < bounds->low ? bounds->low :
	       value > bounds->high ? bounds->high : value;
}

/* @sum times @factor, computed in double as TFLite does it for some. */
static inline int32_t cml_bound_scaled(int64_t sum, double factor,
				       const struct cml_bounds *bounds)
{
	const double limit = 1 << 30;	/* far out of any bounds */
	double real = (double)sum * factor;
	int32_t value = 0;

	real = real < -limit ? -limit : real > limit ? limit : real;
	value = (int32_t)round(real) + bounds->zero_point;

	return value < bounds->min ? bounds->min :
	       value > bounds->max ? bounds->max : value;
}

/* What TFLite allows in sums of 64 bits; it is a factor below 128. */
#define CML_WIDE_MAX_SHIFT	7

/* @sum times @factor in TFLite's fixed point for 64 bits. It wraps. */
static inline int32_t cml_bound_wide(int64_t sum, struct cml_factor factor,
				     const struct cml_bounds *bounds)
{
	/* Q0.15 */
	uint64_t multiplier = factor.multiplier < 0x7fff0000 ?
			      (factor.multiplier + (1 << 15)) >> 16 : 0x7fff;
	int32_t shift = 15 - factor.shift;
	uint64_t half = (uint64_t)1 << (shift - 1);
	int64_t scaled = (int64_t)((uint64_t)sum * multiplier + half) >> shift;
	int32_t value = cml_quant_add((int32_t)scaled, bounds->zero_point);

	return value < bounds->min ? bounds->min :
	       value > bounds->max ? bounds->max : value;
}

#endif /* CML_OPS_WEIGHTS_H */
