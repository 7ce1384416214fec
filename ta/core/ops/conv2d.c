// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "ops.h"

/* What TFLite allows the bias's scale to be off by, in units of the output. */
#define BIAS_SCALE_TOLERANCE	0.02

/*
 * Output size and padding of one side, as in TFLite's padding.h. Both sizes
 * are 1 to CML_TFLITE_MAX_DIM, so with strides and dilations of 1024 at most
 * every coordinate of a tap is below 2^27 in magnitude.
 */
static enum cml_status window(struct cml_node *node, uint32_t padding,
			      int32_t in, int32_t kernel, int32_t stride,
			      int32_t dilation, int32_t *out, int32_t *pad)
{
	int64_t extent = (int64_t)(kernel - 1) * dilation + 1;
	int64_t size = 0;
	int64_t total = 0;

	if (stride < 1 || dilation < 1)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "stride or dilation below 1");
	if (stride > CML_CONV_MAX_STRIDE || dilation > CML_CONV_MAX_STRIDE)
		return cml_refuse(node, CML_MODEL_LIMIT,
				  "stride or dilation over 1024");

	switch (padding) {
	case CML_TFLITE_SAME:
		size = ((int64_t)in + stride - 1) / stride;
		break;
	case CML_TFLITE_VALID:
		if (extent > in)
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "kernel is larger than its input");
		size = (in - extent + stride) / stride;
		break;
	default:
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "padding is neither SAME nor VALID");
	}
	total = (size - 1) * stride + extent - in;
	*out = size;
	*pad = total > 0 ? total / 2 : 0;

	return CML_OK;
}

static enum cml_status check_bias(struct cml_node *node, struct cml_op *op,
				  const struct cml_tflite_tensor *weights,
				  float input_scale, float output_scale)
{
	struct cml_tflite_tensor bias = { 0 };
	enum cml_status status = CML_INTERNAL;
	bool per_channel = weights->scale.count > 1;
	float scale = 0;
	float weights_scale = 0;
	double difference = 0;

	if (op->bias_tensor < 0)
		return CML_OK;
	status = cml_node_constant(node, op->bias_tensor, CML_TFLITE_INT32,
				   sizeof(int32_t), &bias);
	if (status)
		return status;
	if (bias.rank != 1 || bias.dims[3] != op->conv.out_c)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "bias does not have one value a channel");
	if (bias.scale.count && bias.scale.count != weights->scale.count)
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "bias does not have as many scales as the "
				  "weights");
	status = cml_node_symmetric(node, &bias);
	if (status)
		return status;

	for (uint32_t i = 0; i < bias.scale.count; i++) {
		status = cml_node_scale(node, bias.scale, i, &scale);
		if (status)
			return status;
		status = cml_node_scale(node, weights->scale,
					per_channel ? i : 0, &weights_scale);
		if (status)
			return status;
		difference = (double)input_scale * weights_scale - scale;
		if (difference < 0)
			difference = -difference;
		if (difference / output_scale > BIAS_SCALE_TOLERANCE)
			return cml_refuse(node, CML_MODEL_QUANTIZATION,
					  "bias's scale is not input's times "
					  "weights'");
	}

	return CML_OK;
}

/* The real factor from accumulator to output, of one channel. */
static bool channel_factor(float input_scale, float weights_scale,
			   float output_scale, struct cml_factor *factor)
{
	return cml_quant_factor((double)input_scale * (double)weights_scale /
				(double)output_scale, factor);
}

static enum cml_status check_factors(struct cml_node *node,
				     const struct cml_tflite_tensor *weights,
				     float input_scale, float output_scale)
{
	struct cml_factor factor = { 0 };
	enum cml_status status = CML_INTERNAL;
	float scale = 0;

	for (uint32_t i = 0; i < weights->scale.count; i++) {
		status = cml_node_scale(node, weights->scale, i, &scale);
		if (status)
			return status;
		if (!channel_factor(input_scale, scale, output_scale, &factor))
			return cml_refuse(node, CML_MODEL_QUANTIZATION,
					  "output's scale is too small for its "
					  "inputs'");
	}

	return CML_OK;
}

enum cml_status cml_conv_tensors(struct cml_node *node, struct cml_op *op,
				 struct cml_tflite_tensor *weights)
{
	const struct cml_tflite_operator *tflite = &node->tflite;
	struct cml_conv *conv = &op->conv;
	struct cml_activation input = { 0 };
	enum cml_status status = CML_INTERNAL;

	op->input_tensor[0] = tflite->inputs[0];
	op->weights_tensor = tflite->inputs[1];
	op->bias_tensor = tflite->input_count > 2 ? tflite->inputs[2] : -1;
	op->output_tensor = tflite->outputs[0];
	status = cml_node_activation(node, op->input_tensor[0], &input);
	if (status)
		return status;
	status = cml_node_constant(node, op->weights_tensor, CML_TFLITE_INT8,
				   1, weights);
	if (status)
		return status;
	if (input.tensor.rank != 4 || weights->rank != 4)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "input or weights do not have 4 dimensions");

	conv->in_h = input.tensor.dims[1];
	conv->in_w = input.tensor.dims[2];
	conv->in_c = input.tensor.dims[3];
	conv->kernel_h = weights->dims[1];
	conv->kernel_w = weights->dims[2];

	return CML_OK;
}

enum cml_status cml_conv_check(struct cml_node *node, struct cml_op *op,
			       const struct cml_conv_options *options,
			       const struct cml_tflite_tensor *weights,
			       int32_t axis)
{
	struct cml_conv *conv = &op->conv;
	struct cml_activation input = { 0 };
	struct cml_activation output = { 0 };
	enum cml_status status = CML_INTERNAL;
	int32_t dims[4] = { 1, 0, 0, conv->out_c };

	status = cml_node_activation(node, op->input_tensor[0], &input);
	if (status)
		return status;
	status = cml_node_activation(node, op->output_tensor, &output);
	if (status)
		return status;
	conv->input_zero_point = input.zero_point;
	conv->output_zero_point = output.zero_point;

	conv->stride_h = options->stride_h;
	conv->stride_w = options->stride_w;
	conv->dilation_h = options->dilation_h;
	conv->dilation_w = options->dilation_w;
	status = window(node, options->padding, conv->in_h, conv->kernel_h,
			conv->stride_h, conv->dilation_h, &conv->out_h,
			&conv->pad_h);
	if (status)
		return status;
	status = window(node, options->padding, conv->in_w, conv->kernel_w,
			conv->stride_w, conv->dilation_w, &conv->out_w,
			&conv->pad_w);
	if (status)
		return status;
	dims[1] = conv->out_h;
	dims[2] = conv->out_w;
	status = cml_node_output_shape(node, &output.tensor, 4, dims);
	if (status)
		return status;

	if (weights->scale.count != 1 &&
	    (weights->scale.count != (uint32_t)conv->out_c ||
	     weights->quantized_dimension != axis))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "weights have neither one scale nor one an "
				  "output channel");
	status = cml_node_symmetric(node, weights);
	if (status)
		return status;
	status = check_factors(node, weights, input.scale, output.scale);
	if (status)
		return status;
	status = check_bias(node, op, weights, input.scale, output.scale);
	if (status)
		return status;
	if (!cml_quant_activation(options->activation, output.scale,
				  output.zero_point, &conv->min, &conv->max))
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "fused activation is unknown or does not fit "
				  "the output's scale");

	op->channel_count = conv->out_c;

	return CML_OK;
}

enum cml_status cml_conv_bind(struct cml_node *node, struct cml_op *op)
{
	struct cml_conv *conv = &op->conv;
	struct cml_tflite_tensor weights = { 0 };
	struct cml_tflite_tensor bias = { 0 };
	struct cml_activation input = { 0 };
	struct cml_activation output = { 0 };
	struct cml_factor factor = { 0 };
	enum cml_status status = CML_INTERNAL;
	float scale = 0;

	/* All was checked; a failure here is a bug of ours. */
	status = cml_node_activation(node, op->input_tensor[0], &input);
	if (status)
		return status;
	status = cml_node_activation(node, op->output_tensor, &output);
	if (status)
		return status;
	status = cml_node_constant(node, op->weights_tensor, CML_TFLITE_INT8,
				   1, &weights);
	if (status)
		return status;
	if (op->bias_tensor >= 0) {
		status = cml_node_constant(node, op->bias_tensor,
					   CML_TFLITE_INT32, sizeof(int32_t),
					   &bias);
		if (status)
			return status;
	}

	conv->weights = (const int8_t *)weights.data.ptr;
	for (int32_t c = 0; c < conv->out_c; c++) {
		status = cml_node_scale(node, weights.scale,
					weights.scale.count > 1 ? c : 0,
					&scale);
		if (status)
			return status;
		if (!channel_factor(input.scale, scale, output.scale, &factor))
			return CML_INTERNAL;
		conv->multiplier[c] = factor.multiplier;
		conv->shift[c] = factor.shift;
		/* Little endian, as the machines this runs on */
		if (bias.data.ptr)
			memcpy(&conv->bias[c], bias.data.ptr +
			       sizeof(int32_t) * (size_t)c, sizeof(int32_t));
	}

	return CML_OK;
}

void cml_conv_set_fast(struct cml_conv *conv, int32_t patch)
{
	/* Each product is at most 2^14, an addend 257 * 2^21. */
	int64_t products = (int64_t)patch << 14;

	conv->fast = true;
	for (int32_t c = 0; c < conv->out_c; c++) {
		int64_t bias = conv->bias[c];

		if ((bias < 0 ? -bias : bias) + products >= 1 << 29 ||
		    conv->shift[c] > -1 || conv->shift[c] < -22)
			conv->fast = false;
	}
}
