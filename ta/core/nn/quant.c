// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "quant.h"
#include "tflite.h"

/* IEEE 754 binary64 */
#define EXPONENT_BITS	0x7ff
#define EXPONENT_BIAS	1023
#define FRACTION_BITS	52

bool cml_quant_factor(double real, struct cml_factor *factor)
{
	uint64_t bits = 0;
	int64_t fraction = 0;
	int32_t shift = 0;

	memcpy(&bits, &real, sizeof(bits));
	/* As frexp(): fraction / 2^53 * 2^shift, fraction from 2^52 on */
	shift = (int32_t)(bits >> FRACTION_BITS & EXPONENT_BITS) -
		(EXPONENT_BIAS - 1);
	fraction = bits & (((uint64_t)1 << FRACTION_BITS) - 1);
	fraction |= (int64_t)1 << FRACTION_BITS;

	/* To 31 bits, halves away from zero */
	fraction = (fraction + (1 << 21)) >> 22;
	if (fraction == (int64_t)1 << 31) {
		fraction >>= 1;
		shift++;
	}
	if (shift > CML_QUANT_MAX_SHIFT)
		return false;
	if (shift < CML_QUANT_MIN_SHIFT) {
		fraction = 0;
		shift = 0;
	}
	factor->multiplier = fraction;
	factor->shift = shift;

	return true;
}

/* @value / @scale in float, rounded, halves away from zero. */
static bool quantize(float value, float scale, int32_t zero_point,
		     int32_t *quantized)
{
	float ratio = value / scale;
	double rounded = ratio;		/* exact, and so is adding a half */

	/* INT32_MAX as a float is 2^31. */
	if (!(ratio >= -2147483648.0f && ratio < 2147483648.0f))
		return false;
	rounded += ratio < 0 ? -0.5 : 0.5;

	return !__builtin_add_overflow((int32_t)rounded, zero_point, quantized);
}

static int32_t max_of(int32_t a, int32_t b)
{
	return a > b ? a : b;
}

static int32_t min_of(int32_t a, int32_t b)
{
	return a < b ? a : b;
}

bool cml_quant_activation_within(uint32_t activation, float scale,
				 int32_t zero_point, int32_t low, int32_t high,
				 int32_t *min, int32_t *max)
{
	*min = low;
	*max = high;
	switch (activation) {
	case CML_ACT_NONE:
		break;
	case CML_ACT_RELU:
		*min = zero_point;
		break;
	case CML_ACT_RELU_N1_TO_1:
		if (!quantize(-1.0f, scale, zero_point, min) ||
		    !quantize(1.0f, scale, zero_point, max))
			return false;
		break;
	case CML_ACT_RELU6:
		*min = zero_point;
		if (!quantize(6.0f, scale, zero_point, max))
			return false;
		break;
	default:
		return false;
	}
	*min = max_of(*min, low);
	*max = min_of(*max, high);

	return true;
}

bool cml_quant_activation(uint32_t activation, float scale, int32_t zero_point,
			  int32_t *min, int32_t *max)
{
	return cml_quant_activation_within(activation, scale, zero_point,
					   INT8_MIN, INT8_MAX, min, max);
}
