// SPDX-License-Identifier: Apache-2.0
#include "weights.h"

/* What TFLite allows the bias's scale to be off by, in units of the output. */
#define BIAS_SCALE_TOLERANCE	0.02

static const struct {
	uint8_t input, weights, bias;
} types[] = {
	{ CML_TFLITE_INT8, CML_TFLITE_INT8, CML_TFLITE_INT32 },
	{ CML_TFLITE_INT16, CML_TFLITE_INT8, CML_TFLITE_INT64 },
	{ CML_TFLITE_FLOAT32, CML_TFLITE_FLOAT32, CML_TFLITE_FLOAT32 },
};

static enum cml_status check_types(struct cml_node *node,
				   const struct cml_weighted *at)
{
	const struct cml_tensor *input = cml_node_input(node, at->input);
	const struct cml_tensor *bias = cml_node_input(node, at->bias);
	enum cml_status status = CML_INTERNAL;
	size_t row = 0;
	uint32_t bias_type = 0;

	while (row < sizeof(types) / sizeof(types[0]) &&
	       types[row].input != input->type)
		row++;
	if (row == sizeof(types) / sizeof(types[0]))
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "input is neither int8, int16 nor float32");
	bias_type = types[row].bias;
	if (input->type == CML_TFLITE_INT16 && at->bias_type)
		bias_type = at->bias_type;
	if (input->type == CML_TFLITE_INT16 &&
	    bias_type != CML_TFLITE_INT32 && bias_type != CML_TFLITE_INT64)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "bias is to be neither int32 nor int64");
	if (input->type == CML_TFLITE_FLOAT32 &&
	    cml_node_input(node, at->weights)->type == CML_TFLITE_INT8)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "float32 input and int8 weights do not go "
				  "together (dynamic range quantisation)");
	status = cml_node_type(node, cml_node_input(node, at->weights),
			       types[row].weights);
	if (!status && bias)
		status = cml_node_type(node, bias, bias_type);
	if (!status)
		status = cml_node_type(node, cml_node_output(node, 0),
				       input->type);

	return status;
}

static enum cml_status check_quantization(struct cml_node *node,
					  const struct cml_weighted *at)
{
	const struct cml_tensor *input = cml_node_input(node, at->input);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = CML_OK;

	if (input->type == CML_TFLITE_FLOAT32)
		return CML_OK;
	status = cml_node_quantized(node, input);
	if (!status)
		status = cml_node_quantized(node, output);
	if (!status && input->type == CML_TFLITE_INT16 &&
	    (input->zero_point || output->zero_point))
		status = cml_refuse(node, CML_MODEL_QUANTIZATION,
				    "zero point of an int16 tensor is not 0");

	return status;
}

enum cml_status cml_weighted_check(struct cml_node *node,
				   const struct cml_weighted *at)
{
	const struct cml_tensor *weights = cml_node_input(node, at->weights);
	const struct cml_tensor *bias = cml_node_input(node, at->bias);
	enum cml_status status = check_types(node, at);
	const void *data = NULL;

	if (!status)
		status = cml_node_need_constant(node, at->weights, &data);
	if (!status && bias)
		status = cml_node_need_constant(node, at->bias, &data);
	if (!status)
		status = check_quantization(node, at);
	if (status)
		return status;
	if (weights->rank <= at->axis)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "weights do not have enough dimensions");
	if (!weights->count)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "weights have no elements");
	if (bias && (bias->rank != 1 ||
		     bias->dims[0] != weights->dims[at->axis]))
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "bias does not have one value a channel");

	return CML_OK;
}

static enum cml_status check_bias_scales(struct cml_node *node,
					 const struct cml_weighted *at,
					 uint32_t channels,
					 const float *scales)
{
	float in = cml_node_input(node, at->input)->scale;
	float out = cml_node_output(node, 0)->scale;
	struct cml_fb_vector own = { 0 };
	enum cml_status status = cml_node_scales(node, at->bias, &own);

	if (status)
		return status;
	if (own.count && own.count != 1 && own.count != channels)
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "bias has neither one scale nor one a "
				  "channel");
	for (uint32_t i = 0; i < own.count; i++) {
		float scale = cml_fb_f32_at(node->fb, own, i);
		double difference = (double)in * scales[i] - scale;

		if (difference < 0)
			difference = -difference;
		/* Also true for NaN */
		if (!(difference / out <= BIAS_SCALE_TOLERANCE))
			return cml_refuse(node, CML_MODEL_QUANTIZATION,
					  "bias's scale is not input's times "
					  "weights'");
	}

	return CML_OK;
}

enum cml_status cml_weighted_scales(struct cml_node *node,
				    const struct cml_weighted *at,
				    const float **scales)
{
	const struct cml_tensor *weights = cml_node_input(node, at->weights);
	uint32_t channels = weights->dims[at->axis];
	enum cml_status status = CML_OK;
	void *memory = NULL;

	*scales = NULL;
	if (weights->type == CML_TFLITE_FLOAT32)
		return CML_OK;
	status = cml_node_temporary(node, channels * sizeof(float), &memory);
	if (!status)
		status = cml_node_channel_scales(node, at->weights, at->axis,
						 channels, memory);
	if (!status && cml_node_input(node, at->bias))
		status = check_bias_scales(node, at, channels, memory);
	*scales = memory;

	return status;
}

static bool float_bounds(uint32_t activation, float *low, float *high)
{
	*low = activation == CML_ACT_NONE ? -__FLT_MAX__ :
	       activation == CML_ACT_RELU_N1_TO_1 ? -1 : 0;
	*high = activation == CML_ACT_RELU6 ? 6 :
		activation == CML_ACT_RELU_N1_TO_1 ? 1 : __FLT_MAX__;

	return activation <= CML_ACT_RELU6;
}

enum cml_status cml_weighted_bounds(struct cml_node *node, uint32_t activation,
				    struct cml_bounds *bounds)
{
	const struct cml_tensor *output = cml_node_output(node, 0);
	bool wide = output->type == CML_TFLITE_INT16;
	bool known = false;

	bounds->zero_point = output->zero_point;
	if (output->type == CML_TFLITE_FLOAT32)
		known = float_bounds(activation, &bounds->low, &bounds->high);
	else
		known = cml_quant_activation_within(
				activation, output->scale, output->zero_point,
				wide ? INT16_MIN : INT8_MIN,
				wide ? INT16_MAX : INT8_MAX, &bounds->min,
				&bounds->max);
	if (!known)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "fused activation is unknown or does not fit "
				  "the output's scale");

	return CML_OK;
}
