// SPDX-License-Identifier: Apache-2.0
#include "activation.h"
#include "broadcast.h"

struct prelu {
	struct cml_broadcast shape;
	struct cml_factor identity, alpha;
	int32_t zero_point, alpha_zero_point, output_zero_point;
};

static void f32(const float *in, const float *alpha, uint32_t alpha_step,
		float *out, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++, alpha += alpha_step)
		out[i] = in[i] >= 0 ? in[i] : in[i] * *alpha;
}

static void s8(const struct prelu *prelu, const int8_t *in,
	       const int8_t *alpha, int8_t *out, uint32_t count)
{
	uint32_t alpha_step = prelu->shape.step[1];

	for (uint32_t i = 0; i < count; i++, alpha += alpha_step) {
		int32_t x = in[i] - prelu->zero_point;
		int32_t y = 0;

		if (x >= 0)
			y = cml_quant_scale(x, prelu->identity);
		else
			y = cml_quant_scale(x * (*alpha -
						 prelu->alpha_zero_point),
					    prelu->alpha);
		y = cml_quant_add(y, prelu->output_zero_point);
		out[i] = cml_quant_clamp(y, INT8_MIN, INT8_MAX);
	}
}

static enum cml_status prepare_quantized(struct cml_node *node,
					 struct prelu *prelu)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *alpha = cml_node_input(node, 1);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = cml_node_quantized(node, alpha);

	if (status)
		return status;
	/* In float, as TFLite does it; infinity is refused below. */
	if (!cml_quant_factor(input->scale / output->scale, &prelu->identity) ||
	    !cml_quant_factor(input->scale * alpha->scale / output->scale,
			      &prelu->alpha))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "scales are too far apart");
	prelu->zero_point = input->zero_point;
	prelu->alpha_zero_point = alpha->zero_point;
	prelu->output_zero_point = output->zero_point;

	return CML_OK;
}

/* The output has the input's shape: only alpha may be broadcast. */
static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *alpha = cml_node_input(node, 1);
	enum cml_status status = cml_activation_check(node);
	struct prelu *prelu = NULL;
	void *params = NULL;

	if (!status)
		status = cml_node_type(node, alpha, input->type);
	if (!status)
		status = cml_node_params(node, sizeof(*prelu), &params);
	if (status)
		return status;
	prelu = params;
	status = cml_broadcast_prepare(node, 2, &prelu->shape);
	if (!status && input->type == CML_TFLITE_INT8)
		status = prepare_quantized(node, prelu);
	if (status)
		return status;
	cml_node_in_place(node, 0);
	cml_node_tiles(node, input->count, 8);

	return CML_OK;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct prelu *prelu = cml_op_params(run, op);
	struct cml_range rest = cml_tile(op, tile, prelu->shape.count);
	bool real = cml_op_input(run, op, 0)->type == CML_TFLITE_FLOAT32;
	const void *in = cml_op_in(run, op, 0);
	const void *alpha = cml_op_in(run, op, 1);
	void *out = cml_op_out(run, op, 0);
	struct cml_segment part = { 0 };

	while (cml_broadcast_next(&prelu->shape, &rest, &part)) {
		if (real)
			f32((const float *)in + part.in[0],
			    (const float *)alpha + part.in[1],
			    prelu->shape.step[1], (float *)out + part.out,
			    part.count);
		else
			s8(prelu, (const int8_t *)in + part.in[0],
			   (const int8_t *)alpha + part.in[1],
			   (int8_t *)out + part.out, part.count);
	}
}

const struct cml_op_type cml_op_prelu = {
	.name = "PRELU",
	.builtin_code = CML_OP_PRELU,
	.max_version = 1,
	.types = CML_S8 | CML_F32,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.prepare = prepare,
	.run = run,
};
