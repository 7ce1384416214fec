// SPDX-License-Identifier: Apache-2.0
#include "binary.h"

enum { OPTIONS_ACTIVATION = 0 };

#define ELEMENT_COST	32

static const struct cml_binary_row *find_row(struct cml_node *node,
					     const struct cml_binary_row *rows,
					     size_t count)
{
	uint32_t type = cml_node_input(node, 0)->type;

	for (size_t i = 0; i < count; i++)
		if (rows[i].builtin_code == node->tflite.builtin_code &&
		    rows[i].type == type) {
			node->op->kernel = i;
			return &rows[i];
		}

	return NULL;
}

enum cml_status cml_binary_prepare(struct cml_node *node,
				   const struct cml_binary_row *rows,
				   size_t count, struct cml_binary **binary)
{
	const struct cml_binary_row *row = find_row(node, rows, count);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = CML_INTERNAL;
	void *params = NULL;

	if (!row)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "operator is not supported for this type");
	status = cml_node_type(node, cml_node_input(node, 1), row->type);
	if (!status)
		status = cml_node_type(node, output, row->output_type);
	if (!status)
		status = cml_node_params(node, sizeof(**binary), &params);
	if (status)
		return status;
	*binary = params;
	status = cml_broadcast_prepare(node, 2, &(*binary)->shape);
	if (!status)
		cml_node_tiles(node, output->count, ELEMENT_COST);

	return status;
}

void cml_binary_run(const struct cml_run *run, const struct cml_op *op,
		    uint32_t tile, const struct cml_binary_row *rows)
{
	const struct cml_binary *binary = cml_op_params(run, op);
	const struct cml_binary_row *row = &rows[op->kernel];
	size_t size = cml_tflite_type_size(row->type);
	size_t output_size = cml_tflite_type_size(row->output_type);
	struct cml_range rest = cml_tile(op, tile, binary->shape.count);
	const uint8_t *a = cml_op_in(run, op, 0);
	const uint8_t *b = cml_op_in(run, op, 1);
	uint8_t *output = cml_op_out(run, op, 0);
	struct cml_segment part = { 0 };

	while (cml_broadcast_next(&binary->shape, &rest, &part))
		row->kernel(binary, a + part.in[0] * size,
			    b + part.in[1] * size,
			    output + part.out * output_size, part.count);
}

/* Activations -------------------------------------------------------------*/

static const struct {
	bool low, high;		/* bounded there */
	int8_t min, max;
} activations[] = {
	[CML_ACT_NONE] = { 0 },
	[CML_ACT_RELU] = { .low = true },
	[CML_ACT_RELU_N1_TO_1] = { true, true, -1, 1 },
	[CML_ACT_RELU6] = { true, true, 0, 6 },
};

static enum cml_status quantized_bounds(struct cml_node *node,
					uint32_t activation, int32_t low,
					int32_t high,
					struct cml_binary *binary)
{
	const struct cml_tensor *output = cml_node_output(node, 0);
	int32_t min = 0;
	int32_t max = 0;

	if (!cml_quant_activation_within(activation, output->scale,
					 output->zero_point, low, high, &min,
					 &max))
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "fused activation is unknown or does not fit "
				  "the output's scale");
	binary->min = min;
	binary->max = max;

	return CML_OK;
}

enum cml_status cml_binary_activation(struct cml_node *node,
				      uint32_t activation,
				      struct cml_binary *binary)
{
	uint32_t type = cml_node_output(node, 0)->type;
	bool wide = type == CML_TFLITE_INT64;

	switch (type) {
	case CML_TFLITE_INT8:
		return quantized_bounds(node, activation, INT8_MIN, INT8_MAX,
					binary);
	case CML_TFLITE_UINT8:
		return quantized_bounds(node, activation, 0, UINT8_MAX, binary);
	case CML_TFLITE_INT16:
		return quantized_bounds(node, activation, INT16_MIN, INT16_MAX,
					binary);
	}
	if (activation >= sizeof(activations) / sizeof(activations[0]))
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "fused activation is not supported");
	binary->min = wide ? INT64_MIN : INT32_MIN;
	binary->max = wide ? INT64_MAX : INT32_MAX;
	binary->min_f32 = -__FLT_MAX__;
	binary->max_f32 = __FLT_MAX__;
	if (activations[activation].low)
		binary->min_f32 = binary->min = activations[activation].min;
	if (activations[activation].high)
		binary->max_f32 = binary->max = activations[activation].max;

	return CML_OK;
}

enum cml_status cml_binary_fused_activation(struct cml_node *node,
					    struct cml_binary *binary)
{
	uint32_t activation = cml_fb_u8(node->fb, node->tflite.options,
					OPTIONS_ACTIVATION, CML_ACT_NONE);

	return cml_binary_activation(node, activation, binary);
}

/* Quantisation ------------------------------------------------------------*/

static enum cml_status zero_point_of(struct cml_node *node,
				     const struct cml_tensor *tensor,
				     int32_t *zero_point)
{
	enum cml_status status = cml_node_quantized(node, tensor);

	if (!status && tensor->type == CML_TFLITE_INT16 && tensor->zero_point)
		status = cml_refuse(node, CML_MODEL_QUANTIZATION,
				    "zero point of int16 is not 0");
	*zero_point = tensor->zero_point;

	return status;
}

enum cml_status cml_binary_quantized_inputs(struct cml_node *node,
					    struct cml_binary *binary)
{
	enum cml_status status = CML_OK;

	for (size_t i = 0; !status && i < 2; i++)
		status = zero_point_of(node, cml_node_input(node, i),
				       &binary->zero_point[i]);

	return status;
}

enum cml_status cml_binary_quantized_output(struct cml_node *node,
					    struct cml_binary *binary)
{
	return zero_point_of(node, cml_node_output(node, 0),
			     &binary->output_zero_point);
}

bool cml_binary_small_factor(double real, struct cml_factor *factor)
{
	return real > 0 && real < 1 && cml_quant_factor(real, factor) &&
	       factor->shift <= 0;
}

enum cml_status cml_binary_common_scale(struct cml_node *node,
					int32_t left_shift, int32_t power,
					struct cml_binary *binary)
{
	double scale0 = cml_node_input(node, 0)->scale;
	double scale1 = cml_node_input(node, 1)->scale;
	double output_scale = cml_node_output(node, 0)->scale;
	double twice_max = 2 * (scale0 > scale1 ? scale0 : scale1);
	/* Exact, and so is its square: scales have 24 bits. */
	double unit = twice_max / (1 << left_shift);
	double result = power == 2 ? unit * unit : unit;

	binary->left_shift = left_shift;
	/* TFLite has these two in float. */
	if (twice_max > (double)__FLT_MAX__ ||
	    output_scale * (1 << power * left_shift) > (double)__FLT_MAX__ ||
	    !cml_binary_small_factor(scale0 / twice_max, &binary->factor[0]) ||
	    !cml_binary_small_factor(scale1 / twice_max, &binary->factor[1]) ||
	    !cml_binary_small_factor(result / output_scale,
				     &binary->output_factor))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "scales of the operator's tensors are too "
				  "far apart");

	return CML_OK;
}
