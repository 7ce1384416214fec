// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "nn/fixed_point.h"
#include "activation.h"
#include "softmax.h"

/* Of 8-bit elements: a sum of as many exponentials fits in Q12. */
#define MAX_DEPTH	4095

struct log_softmax {
	uint32_t depth, rows;
	struct cml_softmax_scale scale;
	struct cml_factor inverse_scale;
	int32_t exp[256];	/* Q12, by how far below the maximum */
};

static enum cml_status prepare_s8(struct cml_node *node,
				  struct log_softmax *log_softmax)
{
	const struct cml_tensor *output = cml_node_output(node, 0);
	struct cml_softmax_scale *scale = &log_softmax->scale;
	double inverse = 0;

	if (output->zero_point != INT8_MAX || output->scale != 16.0f / 256)
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "output's scale and zero point do not span "
				  "-16 to 0");
	if (log_softmax->depth > MAX_DEPTH)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "more than 4095 elements along the last "
				  "axis");
	if (cml_softmax_scale(cml_node_input(node, 0)->scale, scale))
		inverse = (double)(1 << (31 - scale->factor.shift)) /
			  scale->factor.multiplier;
	if (!(inverse > 0 && inverse < 1) ||
	    !cml_quant_factor(inverse, &log_softmax->inverse_scale))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "input's scale is 2^-26 or less");
	for (int32_t i = 0; i < 256; i++)
		log_softmax->exp[i] = cml_quant_shift_right(
			cml_softmax_exp(scale, -i), 12);

	return CML_OK;
}

static void s8_row(const struct log_softmax *log_softmax, const int8_t *in,
		   int8_t *out)
{
	const struct cml_softmax_scale *scale = &log_softmax->scale;
	int8_t max = cml_softmax_max((const uint8_t *)in, log_softmax->depth,
				     0);
	int32_t log_sum = 0, sum = 0, min = 0;

	for (uint32_t i = 0; i < log_softmax->depth; i++)
		sum += log_softmax->exp[max - in[i]];
	log_sum = cml_fixed_log(sum);
	/* Below it Q5 would overflow. */
	min = cml_quant_scale(log_sum + INT32_MIN, log_softmax->inverse_scale);
	if (min < scale->min - 1)
		min = scale->min - 1;

	for (uint32_t i = 0; i < log_softmax->depth; i++) {
		int32_t x = in[i] - max;
		int32_t y = INT8_MIN;

		if (x > min) {
			x = cml_quant_scale(x, scale->factor) - log_sum;
			/* Q5 to units of 1/16 */
			y = cml_quant_shift_right(x, 22) + INT8_MAX;
		}
		out[i] = cml_quant_clamp(y, INT8_MIN, INT8_MAX);
	}
}

static void f32_row(const struct log_softmax *log_softmax, const float *in,
		    float *out)
{
	float max = -__FLT_MAX__;
	float sum = 0;

	for (uint32_t i = 0; i < log_softmax->depth; i++)
		if (in[i] > max)
			max = in[i];
	for (uint32_t i = 0; i < log_softmax->depth; i++)
		sum += expf(in[i] - max);
	sum = logf(sum);
	for (uint32_t i = 0; i < log_softmax->depth; i++)
		out[i] = in[i] - max - sum;
}

static enum cml_status prepare(struct cml_node *node)
{
	enum cml_status status = cml_activation_check(node);
	struct log_softmax *log_softmax = NULL;
	void *params = NULL;

	if (!status)
		status = cml_node_params(node, sizeof(*log_softmax), &params);
	if (status)
		return status;
	log_softmax = params;
	status = cml_activation_rows(node, &log_softmax->depth,
				     &log_softmax->rows);
	if (!status && cml_node_input(node, 0)->type == CML_TFLITE_INT8)
		status = prepare_s8(node, log_softmax);
	if (status)
		return status;
	cml_node_in_place(node, 0);
	cml_node_tiles(node, log_softmax->rows, 16ull * log_softmax->depth);

	return CML_OK;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct log_softmax *log_softmax = cml_op_params(run, op);
	struct cml_range rows = cml_tile(op, tile, log_softmax->rows);
	bool real = cml_op_input(run, op, 0)->type == CML_TFLITE_FLOAT32;
	const void *input = cml_op_in(run, op, 0);
	void *output = cml_op_out(run, op, 0);

	for (uint32_t row = rows.begin; row < rows.end; row++) {
		size_t at = (size_t)row * log_softmax->depth;

		if (real)
			f32_row(log_softmax, (const float *)input + at,
				(float *)output + at);
		else
			s8_row(log_softmax, (const int8_t *)input + at,
			       (int8_t *)output + at);
	}
}

const struct cml_op_type cml_op_log_softmax = {
	.name = "LOG_SOFTMAX",
	.builtin_code = CML_OP_LOG_SOFTMAX,
	.options_type = 36,
	.max_version = 2,
	.types = CML_S8 | CML_F32,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "INT8: at most 4095 elements along the last axis.",
	.prepare = prepare,
	.run = run,
};
