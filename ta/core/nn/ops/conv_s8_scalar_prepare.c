// SPDX-License-Identifier: Apache-2.0
/* What conv_s8_scalar.c needs of weights, made while a model is prepared. */
#include <string.h>

#include "conv_word.h"

/* Products of -128 and -128 whose sum fits in any case */
#define LEAST_RUN	60

size_t cml_conv_s8_scalar_packed_size(const struct cml_conv *conv)
{
	return cml_word_round(conv->out_c, CML_WORD_CHANNELS) *
	       cml_word_patch(conv);
}

/* Where there are fewer channels, the last is repeated, and its sums unused. */
void cml_conv_s8_scalar_pack(const struct cml_conv *conv, const int8_t *from,
			     int8_t *to)
{
	size_t patch = cml_conv_patch(conv);
	size_t padding = (cml_word_patch(conv) - patch) * CML_WORD_CHANNELS;
	int32_t last = conv->out_c - 1;

	for (int32_t c = 0; c <= last; c += CML_WORD_CHANNELS) {
		const uint8_t *row0 = (const uint8_t *)from + c * patch;
		const uint8_t *row1 = row0 + (c + 1 <= last ? patch : 0);
		const uint8_t *row2 = row1 + (c + 2 <= last ? patch : 0);
		const uint8_t *row3 = row2 + (c + 3 <= last ? patch : 0);

		for (size_t k = 0; k < patch; k++, to += CML_WORD_CHANNELS) {
			uint32_t four = row0[k] | row1[k] << 8 |
					row2[k] << 16 |
					(uint32_t)row3[k] << 24;

			memcpy(to, &four, CML_WORD_CHANNELS);
		}
		memset(to, 0, padding);
		to += padding;
	}
}

/* Whether sums of @run products fit in a field, whatever the inputs. */
static bool run_fits(const int8_t *weights, size_t channels, size_t patch,
		     size_t run)
{
	for (size_t c = 0; c < channels; c++) {
		for (size_t begin = 0; begin < patch; begin += run) {
			size_t end = patch - begin < run ? patch : begin + run;
			uint32_t sum = cml_conv_magnitude(weights + begin,
							  end - begin);

			if (128 * sum >= CML_HALF)
				return false;
		}
		weights += patch;
	}

	return true;
}

void cml_conv_s8_scalar_set_run(struct cml_conv *conv, const int8_t *weights)
{
	size_t patch = cml_conv_patch(conv);
	size_t run = cml_word_patch(conv);

	for (size_t runs = 2; run > LEAST_RUN &&
	     !run_fits(weights, conv->out_c, patch, run);
	     runs += (runs + 2) / 4)
		run = cml_word_round((patch + runs - 1) / runs, CML_WORD_STEP);
	conv->run = run;
	conv->one_product = true;
	for (int32_t c = 0; c < conv->out_c; c++, weights += patch) {
		uint32_t sum = cml_conv_magnitude(weights, patch);

		if (!cml_conv_one_product(conv, c, sum))
			conv->one_product = false;
	}
}

