// SPDX-License-Identifier: Apache-2.0
#include "inverse_sqrt.h"

#define ITERATIONS	5

/* Fixed point with three bits before the point: Q3.28 */
#define ONE		(1 << 28)
#define ONE_AND_A_HALF	(3 << 27)
/* sqrt(1 / 2) in Q0.31 */
#define HALF_SQRT_2	1518500250

/* x * 2^exponent, clamped */
static int32_t shift_left(int32_t x, int32_t exponent)
{
	int32_t limit = (1 << (31 - exponent)) - 1;

	return x > limit ? INT32_MAX : x < -limit ? INT32_MIN :
	       x * (1 << exponent);
}

/* 1 / sqrt(2 * x), by Newton's method: y becomes y * (1.5 - x * y * y) */
static int32_t newton(int32_t x)
{
	int32_t y = ONE;

	for (int i = 0; i < ITERATIONS; i++) {
		/* A product has six bits before the point, y^3 has nine. */
		int32_t square = cml_quant_mul_high(y, y);
		int32_t cube = shift_left(cml_quant_mul_high(square, y), 6);

		y = cml_quant_mul_high(ONE_AND_A_HALF, y) -
		    cml_quant_mul_high(x, cube);
		y = shift_left(y, 3);
	}

	return y;
}

struct cml_factor cml_inverse_sqrt(int32_t x)
{
	struct cml_factor factor = { .multiplier = INT32_MAX };
	int32_t shift = 11;
	int32_t pairs = 0;

	/* 1 would be 2^31 */
	if (x <= 1)
		return factor;
	while (x >= 1 << 29) {
		x /= 4;
		shift++;
	}
	/* To between 2^27 and 2^29, by pairs of bits */
	pairs = (__builtin_clz(x) - 1) / 2 - 1;
	shift -= pairs;
	x <<= 2 * pairs;
	/* x / 2 in Q3.28, and half of that for the method */
	x = newton(cml_quant_shift_right(x >> 1, 1));
	x = cml_quant_mul_high(x, HALF_SQRT_2);
	if (shift < 0) {
		x <<= -shift;
		shift = 0;
	}
	factor.multiplier = x;
	factor.shift = -shift;

	return factor;
}
