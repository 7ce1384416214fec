// SPDX-License-Identifier: Apache-2.0
/* float32, in plain C: inner loops are over channels, for vector units. */
#include <string.h>

#include "conv_walk.h"
#include "dot.h"

struct tensors {
	const struct cml_conv *conv;
	const float *input, *weights;
	const float *bias;		/* NULL: none */
	float *output;
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

/* Bias and activation of one pixel. */
static void finish(const struct tensors *at, float *output)
{
	for (int32_t c = 0; c < at->conv->out_c; c++) {
		float sum = output[c] + (at->bias ? at->bias[c] : 0);

		output[c] = cml_bound_f32(sum, &at->conv->bounds);
	}
}

void cml_conv_f32(const struct cml_run *run, const struct cml_op *op,
		  uint32_t tile)
{
	const struct tensors at = tensors(run, op, tile);
	const struct cml_conv *conv = at.conv;
	size_t patch = cml_conv_patch(conv);

	for (uint32_t p = at.pixels.begin; p < at.pixels.end; p++) {
		const struct cml_conv_walk start = cml_conv_walk(conv, p, true);
		float *output = at.output + (size_t)p * conv->out_c;

		for (int32_t c = 0; c < conv->out_c; c++) {
			const float *weights = at.weights + c * patch;
			struct cml_conv_walk walk = start;

			output[c] = 0;
			while (cml_conv_next(conv, &walk))
				output[c] += cml_dot_f32(at.input + walk.input,
					weights + (size_t)walk.tap * conv->in_c,
					(size_t)walk.taps * conv->in_c);
		}
		finish(&at, output);
	}
}

/* Adds what one tap contributes to all channels of a pixel. */
static void add_tap(const struct cml_conv *conv, const float *restrict input,
		    const float *restrict weights, float *restrict output)
{
	if (conv->depth_multiplier == 1) {
		for (int32_t c = 0; c < conv->out_c; c++)
			output[c] += input[c] * weights[c];
		return;
	}
	for (int32_t c = 0; c < conv->in_c; c++)
		for (int32_t m = 0; m < conv->depth_multiplier; m++)
			*output++ += input[c] * *weights++;
}

void cml_depthwise_f32(const struct cml_run *run, const struct cml_op *op,
		       uint32_t tile)
{
	const struct tensors at = tensors(run, op, tile);
	const struct cml_conv *conv = at.conv;

	for (uint32_t p = at.pixels.begin; p < at.pixels.end; p++) {
		struct cml_conv_walk walk = cml_conv_walk(conv, p, false);
		float *output = at.output + (size_t)p * conv->out_c;

		memset(output, 0, conv->out_c * sizeof(*output));
		while (cml_conv_next(conv, &walk))
			add_tap(conv, at.input + walk.input,
				at.weights + (size_t)walk.tap * conv->out_c,
				output);
		finish(&at, output);
	}
}
