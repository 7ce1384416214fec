// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "conv.h"

/* What TFLite allows the bias's scale to be off by, in units of the output. */
#define BIAS_SCALE_TOLERANCE	0.02
#define ARRAYS			3

enum { INPUT, WEIGHTS, BIAS };

static enum cml_status check_tensors(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, INPUT);
	const struct cml_tensor *weights = cml_node_input(node, WEIGHTS);
	const struct cml_tensor *output = cml_node_output(node, 0);
	const struct cml_tensor *bias = cml_node_input(node, BIAS);
	enum cml_status status = CML_INTERNAL;
	const void *data = NULL;

	status = cml_node_type(node, input, CML_TFLITE_INT8);
	if (!status)
		status = cml_node_type(node, weights, CML_TFLITE_INT8);
	if (!status)
		status = cml_node_type(node, output, CML_TFLITE_INT8);
	if (!status && bias)
		status = cml_node_type(node, bias, CML_TFLITE_INT32);
	if (!status)
		status = cml_node_need_constant(node, WEIGHTS, &data);
	if (!status && bias)
		status = cml_node_need_constant(node, BIAS, &data);
	if (!status)
		status = cml_node_quantized(node, input);
	if (!status)
		status = cml_node_quantized(node, output);
	if (status)
		return status;
	if (input->rank != 4 || weights->rank != 4)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "input or weights do not have 4 dimensions");
	if (!weights->count)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "weights have no elements");

	return CML_OK;
}

/* Everything that follows from shapes and options. */
static enum cml_status fill_shape(struct cml_node *node,
				  const struct cml_conv_options *options,
				  struct cml_conv *conv)
{
	const struct cml_tensor *input = cml_node_input(node, INPUT);
	const struct cml_tensor *weights = cml_node_input(node, WEIGHTS);
	const struct cml_tensor *output = cml_node_output(node, 0);
	struct cml_window h = {
		.in = input->dims[1], .kernel = weights->dims[1],
		.stride = options->stride_h, .dilation = options->dilation_h,
	};
	struct cml_window w = {
		.in = input->dims[2], .kernel = weights->dims[2],
		.stride = options->stride_w, .dilation = options->dilation_w,
	};
	enum cml_status status = cml_window(node, options->padding, &h);

	if (!status)
		status = cml_window(node, options->padding, &w);
	if (status)
		return status;
	conv->batch = input->dims[0];
	conv->in_h = h.in;
	conv->in_w = w.in;
	conv->in_c = input->dims[3];
	conv->out_h = h.out;
	conv->out_w = w.out;
	conv->kernel_h = h.kernel;
	conv->kernel_w = w.kernel;
	conv->stride_h = h.stride;
	conv->stride_w = w.stride;
	conv->dilation_h = h.dilation;
	conv->dilation_w = w.dilation;
	conv->pad_h = h.pad;
	conv->pad_w = w.pad;

	return cml_node_shape(node, output, 4, (const int32_t[]){
			conv->batch, conv->out_h, conv->out_w, conv->out_c });
}

static enum cml_status check_bias(struct cml_node *node, int32_t channels,
				  const float *scales)
{
	const struct cml_tensor *bias = cml_node_input(node, BIAS);
	float in = cml_node_input(node, INPUT)->scale;
	float out = cml_node_output(node, 0)->scale;
	struct cml_fb_vector own = { 0 };
	enum cml_status status = CML_INTERNAL;

	if (!bias)
		return CML_OK;
	if (bias->rank != 1 || bias->dims[0] != channels)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "bias does not have one value a channel");
	status = cml_node_scales(node, BIAS, &own);
	if (status)
		return status;
	if (own.count && own.count != 1 && own.count != (uint32_t)channels)
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

/* Bias and factors, without the weights' part of the bias. */
static enum cml_status fill_numbers(struct cml_node *node,
				    const float *scales, struct cml_conv *conv)
{
	float in = cml_node_input(node, INPUT)->scale;
	float out = cml_node_output(node, 0)->scale;
	const int32_t *bias = cml_node_constant(node, BIAS);
	int32_t *numbers = conv->numbers;

	for (int32_t c = 0; c < conv->out_c; c++) {
		struct cml_factor factor = { 0 };

		if (!cml_quant_factor((double)in * (double)scales[c] /
				      (double)out, &factor))
			return cml_refuse(node, CML_MODEL_QUANTIZATION,
					  "output's scale is too small for its "
					  "inputs'");
		numbers[c] = bias ? bias[c] : 0;
		numbers[conv->channels + c] = factor.multiplier;
		numbers[2 * conv->channels + c] = factor.shift;
	}

	return CML_OK;
}

enum cml_status cml_conv_prepare(struct cml_node *node,
				 const struct cml_conv_options *options,
				 int32_t axis, struct cml_conv **conv)
{
	const struct cml_tensor *output = cml_node_output(node, 0);
	struct cml_conv *made = NULL;
	enum cml_status status = check_tensors(node);
	int32_t channels = 0;
	int32_t whole = 0;
	void *memory = NULL;
	float *scales = NULL;

	if (status)
		return status;
	channels = cml_node_input(node, WEIGHTS)->dims[axis];
	if (channels > CML_CONV_MAX_CHANNELS)
		return cml_refuse(node, CML_MODEL_LIMIT,
				  "more than 262144 output channels");
	status = cml_node_temporary(node, channels * sizeof(*scales), &memory);
	if (status)
		return status;
	scales = memory;
	status = cml_node_channel_scales(node, WEIGHTS, axis, channels, scales);
	if (!status)
		status = check_bias(node, channels, scales);
	if (status)
		return status;

	whole = (channels + CML_CHANNEL_GROUP - 1) / CML_CHANNEL_GROUP *
		CML_CHANNEL_GROUP;
	status = cml_node_params(node, sizeof(*made) + ARRAYS * sizeof(int32_t) *
				 whole, &memory);
	if (status)
		return status;
	made = memory;
	made->out_c = channels;
	made->channels = whole;
	made->input_zero_point = cml_node_input(node, INPUT)->zero_point;
	made->output_zero_point = output->zero_point;
	status = fill_shape(node, options, made);
	if (!status)
		status = fill_numbers(node, scales, made);
	if (status)
		return status;
	if (!cml_quant_activation(options->activation, output->scale,
				  output->zero_point, &made->min, &made->max))
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "fused activation is unknown or does not fit "
				  "the output's scale");
	*conv = made;

	return CML_OK;
}

void cml_conv_set_fast(struct cml_conv *conv, int32_t patch)
{
	const int32_t *shift = conv->numbers + 2 * conv->channels;
	/* Each product is at most 2^14, an addend 257 * 2^21. */
	int64_t products = (int64_t)patch << 14;

	conv->fast = true;
	for (int32_t c = 0; c < conv->out_c; c++) {
		int64_t bias = conv->numbers[c];

		if ((bias < 0 ? -bias : bias) + products >= 1 << 29 ||
		    shift[c] > -1 || shift[c] < -22)
			conv->fast = false;
	}
}

struct cml_conv_call cml_conv_call(const struct cml_run *run,
				   const struct cml_op *op, uint32_t tile)
{
	const struct cml_conv *conv = cml_op_params(run, op);

	return (struct cml_conv_call){
		.conv = conv,
		.input = cml_op_in(run, op, INPUT),
		.weights = cml_op_in(run, op, WEIGHTS),
		.output = cml_op_out(run, op, 0),
		.bias = conv->numbers,
		.multiplier = conv->numbers + conv->channels,
		.shift = conv->numbers + 2 * conv->channels,
		.scratch = run->scratch,
		.pixels = cml_tile(op, tile, (uint32_t)conv->batch *
				   conv->out_h * conv->out_w),
	};
}

const int8_t *cml_conv_gather(const struct cml_conv *conv, const int8_t *image,
			      int32_t oy, int32_t ox, bool in_place, int8_t *row)
{
	int32_t y0 = oy * conv->stride_h - conv->pad_h;
	int32_t x0 = ox * conv->stride_w - conv->pad_w;
	size_t line = (size_t)conv->kernel_w * conv->in_c;
	int32_t last = x0 + (conv->kernel_w - 1) * conv->dilation_w;
	bool whole = conv->dilation_w == 1 && x0 >= 0 && last < conv->in_w;
	int8_t *out = row;

	if (in_place)
		return image + ((size_t)y0 * conv->in_w + x0) * conv->in_c;

	for (int32_t ky = 0; ky < conv->kernel_h; ky++, out += line) {
		int32_t y = y0 + ky * conv->dilation_h;
		const int8_t *in = NULL;	/* (in_w, in_c) */

		if (y < 0 || y >= conv->in_h) {
			memset(out, conv->input_zero_point, line);
			continue;
		}
		in = image + (size_t)y * conv->in_w * conv->in_c;
		if (whole) {
			memcpy(out, in + (size_t)x0 * conv->in_c, line);
			continue;
		}
		for (int32_t kx = 0; kx < conv->kernel_w; kx++) {
			int32_t x = x0 + kx * conv->dilation_w;
			int8_t *tap = out + (size_t)kx * conv->in_c;

			if (x < 0 || x >= conv->in_w)
				memset(tap, conv->input_zero_point,
				       conv->in_c);
			else
				memcpy(tap, in + (size_t)x * conv->in_c,
				       conv->in_c);
		}
	}

	return row;
}
