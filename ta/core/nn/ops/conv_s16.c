// SPDX-License-Identifier: Apache-2.0
/*
 * int16 with weights of int8. Sums are 64 bits. Zero points are 0, so what
 * is outside of the image adds nothing.
 */
#include "conv_walk.h"
#include "dot.h"

struct tensors {
	const struct cml_conv *conv;
	const int16_t *input;
	const int8_t *weights;
	const int64_t *bias;		/* NULL: none */
	int16_t *output;
	struct cml_range pixels;
};

static struct tensors tensors(const struct cml_run *run,
			      const struct cml_op *op, uint32_t tile)
{
	const struct cml_conv *conv = cml_op_params(run, op);

	return (struct tensors){
		.conv = conv,
		.input = cml_op_in(run, op, 0),
		.weights = cml_op_in(run, op, 1),
		.bias = cml_op_in(run, op, 2),
		.output = cml_op_out(run, op, 0),
		.pixels = cml_conv_pixels(op, conv, tile),
	};
}

static int16_t finish(const struct tensors *at, int32_t channel, int64_t sum)
{
	uint64_t whole = (uint64_t)sum;		/* a bias may make it wrap */

	if (at->bias)
		whole += (uint64_t)at->bias[channel];

	return cml_bound_wide((int64_t)whole,
			      cml_conv_factor(at->conv, channel),
			      &at->conv->bounds);
}

void cml_conv_s16(const struct cml_run *run, const struct cml_op *op,
		  uint32_t tile)
{
	const struct tensors at = tensors(run, op, tile);
	const struct cml_conv *conv = at.conv;
	size_t patch = cml_conv_patch(conv);

	for (uint32_t p = at.pixels.begin; p < at.pixels.end; p++) {
		const struct cml_conv_walk start = cml_conv_walk(conv, p, true);
		int16_t *output = at.output + (size_t)p * conv->out_c;

		for (int32_t c = 0; c < conv->out_c; c++) {
			const int8_t *weights = at.weights + c * patch;
			struct cml_conv_walk walk = start;
			int64_t sum = 0;

			while (cml_conv_next(conv, &walk))
				sum += cml_dot_s16(at.input + walk.input,
					weights + (size_t)walk.tap * conv->in_c,
					(size_t)walk.taps * conv->in_c);
			output[c] = finish(&at, c, sum);
		}
	}
}

void cml_depthwise_s16(const struct cml_run *run, const struct cml_op *op,
		       uint32_t tile)
{
	const struct tensors at = tensors(run, op, tile);
	const struct cml_conv *conv = at.conv;

	for (uint32_t p = at.pixels.begin; p < at.pixels.end; p++) {
		const struct cml_conv_walk start = cml_conv_walk(conv, p,
								 false);
		int16_t *output = at.output + (size_t)p * conv->out_c;

		for (int32_t c = 0; c < conv->out_c; c++) {
			const int16_t *input = at.input +
					       c / conv->depth_multiplier;
			struct cml_conv_walk walk = start;
			int64_t sum = 0;

			while (cml_conv_next(conv, &walk))
				sum += input[walk.input] *
				       at.weights[(size_t)walk.tap *
						  conv->out_c + c];
			output[c] = finish(&at, c, sum);
		}
	}
}
