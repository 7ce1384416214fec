// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "activation.h"

enum { LEAKY_RELU_ALPHA = 0 };

struct leaky_relu {
	struct cml_activation common;	/* its parameter is alpha */
	struct cml_factor identity, alpha;
	bool alpha_is_negative;
	int32_t zero_point, output_zero_point;
};

static float leaky_relu(float x, float alpha)
{
	return x > 0 ? x : x * alpha;
}

static int32_t quantized(int32_t x, const void *context)
{
	const struct leaky_relu *leaky = context;
	int32_t y = 0;

	x -= leaky->zero_point;
	if (x >= 0)
		y = cml_quant_scale(x, leaky->identity);
	else
		y = cml_quant_scale(x, leaky->alpha);
	/* Afterwards, for halves were rounded upwards. */
	if (x < 0 && leaky->alpha_is_negative)
		y = (int32_t)(0 - (uint32_t)y);

	return cml_quant_add(y, leaky->output_zero_point);
}

static void run_s16(const struct leaky_relu *leaky, const int16_t *in,
		    int16_t *out, struct cml_range range)
{
	for (uint32_t i = range.begin; i < range.end; i++) {
		int32_t y = quantized(in[i], leaky);

		out[i] = y < INT16_MIN ? INT16_MIN :
			 y > INT16_MAX ? INT16_MAX : y;
	}
}

static enum cml_status prepare_quantized(struct cml_node *node,
					 struct leaky_relu *leaky)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	float alpha = input->scale * leaky->common.parameter / output->scale;

	leaky->zero_point = input->zero_point;
	leaky->output_zero_point = output->zero_point;
	leaky->alpha_is_negative = alpha < 0;
	/* Neither infinity nor what is not a number is in range. */
	if (!cml_quant_factor(input->scale / output->scale, &leaky->identity) ||
	    !cml_quant_factor(fabsf(alpha), &leaky->alpha))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "scales are too far apart");
	if (cml_is_byte(input->type))
		cml_activation_table(node, quantized, leaky, &leaky->common);

	return CML_OK;
}

static enum cml_status prepare(struct cml_node *node)
{
	struct leaky_relu *leaky = NULL;
	void *params = NULL;
	enum cml_status status = cml_activation_prepare(node, sizeof(*leaky), 8,
							&params);

	if (status)
		return status;
	leaky = params;
	leaky->common.parameter = cml_activation_option(node, LEAKY_RELU_ALPHA);
	if (cml_node_input(node, 0)->type != CML_TFLITE_FLOAT32)
		status = prepare_quantized(node, leaky);

	return status;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct cml_tensor *input = cml_op_input(run, op, 0);

	if (input->type == CML_TFLITE_INT16)
		run_s16(cml_op_params(run, op), cml_op_in(run, op, 0),
			cml_op_out(run, op, 0),
			cml_tile(op, tile, input->count));
	else
		cml_activation_run(run, op, tile, leaky_relu);
}

const struct cml_op_type cml_op_leaky_relu = {
	.name = "LEAKY_RELU",
	.builtin_code = CML_OP_LEAKY_RELU,
	.options_type = 75,
	.max_version = 2,
	.types = CML_S8 | CML_S16 | CML_F32 | CML_U8,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.prepare = prepare,
	.run = run,
};
