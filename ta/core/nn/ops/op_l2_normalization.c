// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "nn/fixed_point.h"
#include "activation.h"

enum { L2_NORM_ACTIVATION = 0 };

/* Of 8-bit elements, so that a sum of squares of 255 fits in 32 bits */
#define MAX_DEPTH	32768

struct l2_norm {
	uint32_t depth, rows;
	int32_t zero_point;
};

static void s8_row(const struct l2_norm *l2_norm, const int8_t *in, int8_t *out)
{
	struct cml_factor factor = { 0 };
	int32_t sum = 0;

	for (uint32_t i = 0; i < l2_norm->depth; i++) {
		int32_t x = in[i] - l2_norm->zero_point;

		sum += x * x;
	}
	factor = cml_fixed_inverse_sqrt(sum);
	/* To units of 1/128 */
	factor.shift += 7;
	for (uint32_t i = 0; i < l2_norm->depth; i++)
		out[i] = cml_quant_clamp(
			cml_quant_scale(in[i] - l2_norm->zero_point, factor),
			INT8_MIN, INT8_MAX);
}

static void f32_row(const struct l2_norm *l2_norm, const float *in, float *out)
{
	float sum = 0;
	float norm = 0;

	for (uint32_t i = 0; i < l2_norm->depth; i++)
		sum += in[i] * in[i];
	norm = sqrtf(sum);
	if (norm < 1e-6f)
		norm = 1e-6f;
	for (uint32_t i = 0; i < l2_norm->depth; i++)
		out[i] = in[i] / norm;
}

static enum cml_status check_s8(struct cml_node *node,
				const struct l2_norm *l2_norm)
{
	const struct cml_tensor *output = cml_node_output(node, 0);

	if (output->zero_point || output->scale != 1.0f / 128)
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "output's scale and zero point do not span "
				  "-1 to 1");
	if (l2_norm->depth > MAX_DEPTH)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "more than 32768 elements along the last "
				  "axis");

	return CML_OK;
}

static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	enum cml_status status = cml_activation_check(node);
	struct l2_norm *l2_norm = NULL;
	void *params = NULL;

	if (!status)
		status = cml_node_params(node, sizeof(*l2_norm), &params);
	if (status)
		return status;
	l2_norm = params;
	if (cml_fb_u8(node->fb, node->tflite.options, L2_NORM_ACTIVATION, 0) !=
	    CML_ACT_NONE)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "operator does not have a fused activation");
	l2_norm->zero_point = input->zero_point;
	status = cml_activation_rows(node, &l2_norm->depth, &l2_norm->rows);
	if (!status && input->type == CML_TFLITE_INT8)
		status = check_s8(node, l2_norm);
	if (status)
		return status;
	cml_node_in_place(node, 0);
	cml_node_tiles(node, l2_norm->rows, 8ull * l2_norm->depth);

	return CML_OK;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct l2_norm *l2_norm = cml_op_params(run, op);
	struct cml_range rows = cml_tile(op, tile, l2_norm->rows);
	bool real = cml_op_input(run, op, 0)->type == CML_TFLITE_FLOAT32;
	const void *input = cml_op_in(run, op, 0);
	void *output = cml_op_out(run, op, 0);

	for (uint32_t row = rows.begin; row < rows.end; row++) {
		size_t at = (size_t)row * l2_norm->depth;

		if (real)
			f32_row(l2_norm, (const float *)input + at,
				(float *)output + at);
		else
			s8_row(l2_norm, (const int8_t *)input + at,
			       (int8_t *)output + at);
	}
}

const struct cml_op_type cml_op_l2_normalization = {
	.name = "L2_NORMALIZATION",
	.builtin_code = CML_OP_L2_NORMALIZATION,
	.options_type = 12,
	.max_version = 2,
	.types = CML_S8 | CML_F32,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "Along the last axis. INT8: at most 32768 elements along it.",
	.prepare = prepare,
	.run = run,
};
