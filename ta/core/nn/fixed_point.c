// SPDX-License-Identifier: Apache-2.0
#include <stddef.h>

#include "fixed_point.h"

/* Two constants of Q0, and one in some Qm. */
#define HALF_SQRT_2	1518500250	/* sqrt(1/2) */
#define ONE		INT32_MAX	/* as near as it gets in Q0 */
#define ONE_IN(m)	(1 << (31 - (m)))

/* Of Qa and Qb: the product is Q(a + b). */
static int32_t mul(int32_t a, int32_t b)
{
	return cml_quant_mul_high(a, b);
}

int32_t cml_fixed_shift_left(int32_t x, uint32_t exponent)
{
	int64_t wide = (int64_t)x * ((int64_t)1 << exponent);

	return wide > INT32_MAX ? INT32_MAX :
	       wide < INT32_MIN ? INT32_MIN : wide;
}

/* exp(x) of x in Q0, -1/4 to 0: the series about -1/8, up to x^4. */
static int32_t exp_above_minus_quarter(int32_t x)
{
	const int32_t exp_of_minus_eighth = 1895147668;
	const int32_t third = 715827883;
	int32_t x2 = 0, x3 = 0, x4 = 0, rest = 0;

	x += ONE_IN(0 + 3);
	x2 = mul(x, x);
	x3 = mul(x2, x);
	x4 = mul(x2, x2);
	/* x^2 / 2 + x^3 / 6 + x^4 / 24 */
	rest = mul(cml_quant_shift_right(x4, 2) + x3, third) + x2;
	rest = cml_quant_shift_right(rest, 1);

	return exp_of_minus_eighth + mul(exp_of_minus_eighth, x + rest);
}

int32_t cml_fixed_exp(int32_t x)
{
	/* exp(-1/4), exp(-1/2), exp(-1), ... exp(-16) */
	static const int32_t powers[] = {
		1672461947, 1302514674, 790015084, 290630308, 39332535,
		720401, 242,
	};
	const int32_t quarter = ONE_IN(5 + 2);
	int32_t part = (x & (quarter - 1)) - quarter;
	int32_t quarters = part - x;
	int32_t result = 0;

	if (!x)
		return ONE;
	result = exp_above_minus_quarter(cml_fixed_shift_left(part, 5));
	for (size_t i = 0; i < sizeof(powers) / sizeof(powers[0]); i++)
		if (quarters & quarter << i)
			result = mul(result, powers[i]);

	return result;
}

int32_t cml_fixed_one_over_one_plus(int32_t x)
{
	const int32_t start = 1515870810;	/* 48 / 17, Q2 */
	const int32_t slope = -1010580540;	/* -32 / 17, Q2 */
	int32_t half = ((int64_t)x + ONE + 1) / 2;	/* of 1 + x, Q0 */
	int32_t inverse = start + mul(half, slope);	/* of half, Q2 */

	for (int i = 0; i < 3; i++) {
		int32_t error = ONE_IN(2) - mul(half, inverse);

		inverse += cml_fixed_shift_left(mul(inverse, error), 2);
	}

	/* Half of it, in Q1, to Q0 */
	return cml_fixed_shift_left(inverse, 1);
}

int32_t cml_fixed_reciprocal(int32_t x, int32_t *over_one)
{
	int32_t zeros = __builtin_clz(x);
	uint32_t beyond_one = ((uint32_t)x << zeros) - ((uint32_t)1 << 31);

	*over_one = 12 - zeros;

	return cml_fixed_one_over_one_plus(beyond_one);
}

/* An exponent of 2 (within 31 of 0) plus or minus a quarter, Q6 */
static int32_t exponent_and_quarter(int32_t exponent, int32_t quarters)
{
	int64_t sum = (int64_t)exponent * ONE_IN(6) + quarters * ONE_IN(6 + 2);

	return sum > INT32_MAX ? INT32_MAX : sum;
}

/*
 * The factor r = x / 2^n nearest to 2^(-1/4), of two that are sqrt(2) apart;
 * log(r) is then a quotient of polynomials in r - 2^(-1/4).
 */
int32_t cml_fixed_log(int32_t x)
{
	const int32_t log_2 = 1488522236;
	const int32_t root = 1805811301;	/* 2^(-1/4) */
	/* 11/240 * 2^(1/4), 1/20 * 2^(1/4), 2^(3/4) - 2^(1/4), 2^(1/4) / 4 */
	const int32_t alpha_n = 117049297, alpha_d = 127690142;
	const int32_t alpha_i = 1057819769, alpha_f = 638450708;
	int32_t zeros_a = __builtin_clz(x);
	int32_t zeros_b = __builtin_clz(mul(x, HALF_SQRT_2)) - 1;
	int32_t r_a = cml_fixed_shift_left(x, zeros_a - 1);
	int32_t r_b = cml_fixed_shift_left(x, zeros_b);
	int32_t n_a = exponent_and_quarter(12 - zeros_a, 1);
	int32_t n_b = exponent_and_quarter(12 - zeros_b, -1);
	int32_t n = n_a > n_b ? n_a : n_b;
	int32_t r = 0, p = 0, q = 0, q2 = 0, numerator = 0, divisor = 0;

	r_a = cml_fixed_shift_left(mul(r_a, HALF_SQRT_2), 1);
	r = r_a < r_b ? r_a : r_b;
	p = ((int64_t)r + root + 1) / 2;
	q = (r - root) * 2;
	q2 = mul(q, q);
	numerator = mul(q, r) + mul(mul(q, q2), alpha_n);
	divisor = mul(p, alpha_i + q + mul(alpha_d, q2)) + mul(alpha_f, q);

	/* Q6, to Q5 */
	return cml_fixed_shift_left(
		mul(n, log_2) + mul(cml_quant_shift_right(numerator, 6),
				    cml_fixed_one_over_one_plus(divisor)), 1);
}

struct cml_factor cml_fixed_inverse_sqrt(int32_t x)
{
	const int32_t half_three = ONE_IN(3) + ONE_IN(3 + 1);
	struct cml_factor factor = { .multiplier = ONE };
	int32_t shift = 11, pairs = 0, y = ONE_IN(3);

	if (x <= 1)
		return factor;
	for (; x >= 1 << 29; shift++)
		x /= 4;
	pairs = (__builtin_clz(x) - 1) / 2 - 1;
	shift -= pairs;
	x <<= 2 * pairs;
	x >>= 1;		/* now 1/4 to 1, Q3 */

	for (int i = 0; i < 5; i++) {
		int32_t cube = cml_fixed_shift_left(mul(mul(y, y), y), 6);

		y = cml_fixed_shift_left(mul(half_three, y) -
					 mul(cml_quant_shift_right(x, 1), cube),
					 3);
	}
	y = mul(y, HALF_SQRT_2);
	if (shift < 0) {
		y <<= -shift;
		shift = 0;
	}
	factor.multiplier = y;
	factor.shift = -shift;

	return factor;
}
