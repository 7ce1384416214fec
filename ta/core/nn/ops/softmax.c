// SPDX-License-Identifier: Apache-2.0
#include "nn/fixed_point.h"
#include "softmax.h"

bool cml_softmax_scale(double real, struct cml_softmax_scale *scale)
{
	const double most = INT32_MAX;

	real *= 1 << 26;
	/* Also false for NaN */
	if (!(real > 1))
		return false;
	if (real > most)
		real = most;
	/* Half of it is in range, and halving is exact. */
	if (!cml_quant_factor(real / 2, &scale->factor))
		return false;
	scale->factor.shift++;
	scale->min = -((31 << 26) >> scale->factor.shift);

	return true;
}

int32_t cml_softmax_exp(const struct cml_softmax_scale *scale,
			int32_t difference)
{
	if (difference < scale->min)
		return 0;

	return cml_fixed_exp(cml_quant_scale(difference, scale->factor));
}

int8_t cml_softmax_max(const uint8_t *row, uint32_t depth, uint8_t flip)
{
	int8_t max = INT8_MIN;

	for (uint32_t i = 0; i < depth; i++) {
		int8_t x = row[i] ^ flip;

		if (x > max)
			max = x;
	}

	return max;
}
