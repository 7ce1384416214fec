// SPDX-License-Identifier: Apache-2.0
/*
 * Numbers are Qi.f, i integer and f = 15 - i fractional bits. A product of Qi
 * and Qj is Q(i + j).
 */
#include <stddef.h>

#include "nn/quant.h"
#include "fixed16.h"

#define ONE_Q0		INT16_MAX
#define ONE_Q2		(1 << 13)
#define EIGHTH_Q0	(1 << 12)
#define SIGMOID_BITS	3

/* Constants of 31 bits, rounded to 15 */
#define CONSTANT(x)	(((x) + (1 << 15)) >> 16)

static int16_t saturate(int32_t x)
{
	return x < INT16_MIN ? INT16_MIN : x > INT16_MAX ? INT16_MAX : x;
}

/* Rounded to nearest, halves upwards. */
static int16_t multiply(int16_t a, int16_t b)
{
	int32_t product = a * b;
	int32_t nudge = product >= 0 ? 1 << 14 : 1 - (1 << 14);

	/* Only -1 times -1 saturates. */
	return saturate((product + nudge) / (1 << 15));
}

/* Sums wrap, as they do there. */
static int16_t add(int32_t a, int32_t b)
{
	return (int16_t)(a + b);
}

/* e^x for x in [-1/4, 0), Q0: a series around -1/8. */
static int16_t exp_of_quarter(int16_t x)
{
	const int16_t exp_of_eighth = CONSTANT(1895147668);
	const int16_t third = CONSTANT(715827883);
	int16_t x1 = add(x, EIGHTH_Q0);
	int16_t x2 = multiply(x1, x1);
	int16_t x3 = multiply(x2, x1);
	int16_t x4 = multiply(x2, x2);
	int16_t rest = add(cml_quant_shift_right(x4, 2), x3);

	rest = add(multiply(rest, third), x2);
	rest = cml_quant_shift_right(rest, 1);

	return saturate(exp_of_eighth +
			multiply(exp_of_eighth, add(x1, rest)));
}

/* e^x for x <= 0 of @bits integer bits, 1 to 7; Q0. */
static int16_t exp_of_negative(int16_t x, int32_t bits)
{
	/* e^-(2^i), i from -2 */
	static const int32_t factors[] = {
		CONSTANT(1672461947), CONSTANT(1302514674),
		CONSTANT(790015084), CONSTANT(290630308),
		CONSTANT(39332535), CONSTANT(720401), CONSTANT(242),
	};
	int32_t fraction = 15 - bits;
	int32_t quarter = 1 << (fraction - 2);
	int32_t part = (x & (quarter - 1)) - quarter;	/* [-1/4, 0) */
	int32_t remainder = part - x;
	int16_t result = exp_of_quarter(saturate(part * (1 << bits)));

	if (!x)
		return ONE_Q0;
	for (int32_t i = 0; i < 7 && i - 2 < bits; i++)
		if (remainder >> (fraction + i - 2) & 1)
			result = multiply(result, factors[i]);
	/* Below -32 */
	if (bits > 5 && x < -(1 << (20 - bits)))
		return 0;

	return result;
}

/* 2 / (1 + x) for x in (0, 1), Q0; by Newton and Raphson's division, Q2. */
static int16_t two_over_one_plus(int16_t x)
{
	int32_t sum = x + ONE_Q0;	/* not negative */
	int16_t half = (sum + 1) / 2;
	int16_t result = add(CONSTANT(1515870810),
			     multiply(half, CONSTANT(-1010580540)));

	for (size_t i = 0; i < 3; i++) {
		int16_t rest = add(ONE_Q2, -multiply(half, result));

		result = add(result, saturate(multiply(result, rest) * 4));
	}

	return result;
}

int16_t cml_fixed16_sigmoid(int16_t x)
{
	int16_t negative = x > 0 ? -x : x;
	int16_t result = 0;

	if (!x)
		return 1 << 14;
	result = two_over_one_plus(exp_of_negative(negative, SIGMOID_BITS));
	result = saturate(result * 2);

	return x > 0 ? result : ONE_Q0 - result;
}

int16_t cml_fixed16_tanh(int16_t x, int32_t integer_bits)
{
	int16_t negative = x > 0 ? -x : x;
	int16_t result = 0;

	if (!x)
		return 0;
	/* (1 - e^-2x) / (1 + e^-2x) */
	result = two_over_one_plus(exp_of_negative(negative,
						   integer_bits + 1));
	result = saturate(add(result, -ONE_Q2) * 4);

	return x < 0 ? -result : result;
}
