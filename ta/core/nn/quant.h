// SPDX-License-Identifier: Apache-2.0
/*
 * Fixed-point arithmetic of quantised tensors, bit for bit as TFLite's
 * reference kernels have it (double rounding: TFLITE_SINGLE_ROUNDING is off).
 *
 * A real factor is a multiplier m (Q0.31, 0 or 2^30 to 2^31 - 1) and a shift
 * s (-31 to 30): m / 2^31 * 2^s.
 */
#ifndef CML_QUANT_H
#define CML_QUANT_H

#include <stdbool.h>
#include <stdint.h>

#define CML_QUANT_MIN_SHIFT	(-31)
#define CML_QUANT_MAX_SHIFT	30

struct cml_factor {
	int32_t multiplier;
	int32_t shift;
};

/*
 * The factor nearest to @real, which is positive and finite; below 2^-32 it is
 * zero. False: @real is 2^30 or more.
 */
bool cml_quant_factor(double real, struct cml_factor *factor);

/*
 * Bounds of a fused activation (enum cml_tflite_activation) in int8.
 * @scale is positive and finite. False: not an activation known here, or one
 * of its bounds does not fit in 32 bits.
 */
bool cml_quant_activation(uint32_t activation, float scale, int32_t zero_point,
			  int32_t *min, int32_t *max);
/* As above, in a type that goes from @low to @high. */
bool cml_quant_activation_within(uint32_t activation, float scale,
				 int32_t zero_point, int32_t low, int32_t high,
				 int32_t *min, int32_t *max);

/*
 * x * multiplier / 2^31, rounded to nearest, halves upwards: what SQRDMULH
 * does, without its saturation, which a multiplier >= 0 cannot reach.
 */
static inline int32_t cml_quant_mul_high(int32_t x, int32_t multiplier)
{
	return ((int64_t)x * multiplier + (1 << 30)) >> 31;
}

/* x / 2^exponent, rounded to nearest, halves away from zero; 0 to 31. */
static inline int32_t cml_quant_shift_right(int32_t x, int32_t exponent)
{
	int64_t mask = ((int64_t)1 << exponent) - 1;
	int64_t threshold = (mask >> 1) + (x < 0);

	return (x >> exponent) + ((x & mask) > threshold);
}

/* x times @factor; a shift to the left wraps, as the reference does. */
static inline int32_t cml_quant_scale(int32_t x, struct cml_factor factor)
{
	int32_t left = factor.shift > 0 ? factor.shift : 0;
	int32_t right = factor.shift > 0 ? 0 : -factor.shift;

	x = (int32_t)((uint32_t)x << left);
	x = cml_quant_mul_high(x, factor.multiplier);

	return cml_quant_shift_right(x, right);
}

/* Sums wrap: unsigned addition, so that the order of terms cannot matter. */
static inline int32_t cml_quant_add(int32_t a, int32_t b)
{
	return (int32_t)((uint32_t)a + (uint32_t)b);
}

static inline int8_t cml_quant_clamp(int32_t x, int32_t min, int32_t max)
{
	return x < min ? min : x > max ? max : x;
}

#endif /* CML_QUANT_H */
