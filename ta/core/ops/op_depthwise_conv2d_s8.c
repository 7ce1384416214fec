// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "ops.h"

enum { DEPTHWISE_PADDING = 0, DEPTHWISE_STRIDE_W = 1, DEPTHWISE_STRIDE_H = 2,
       DEPTHWISE_MULTIPLIER = 3, DEPTHWISE_ACTIVATION = 4,
       DEPTHWISE_DILATION_W = 5, DEPTHWISE_DILATION_H = 6 };

/* Sum over the patch whose upper left tap is at (@y0, @x0). */
static int32_t patch_sum(const struct cml_op *op, int32_t y0, int32_t x0,
			 int32_t in_channel, int32_t out_channel)
{
	const struct cml_conv *conv = &op->conv;
	const int8_t *weights = conv->weights + out_channel;
	int32_t sum = conv->bias[out_channel];

	for (int32_t ky = 0; ky < conv->kernel_h; ky++) {
		int32_t y = y0 + ky * conv->dilation_h;

		for (int32_t kx = 0; kx < conv->kernel_w; kx++) {
			int32_t x = x0 + kx * conv->dilation_w;
			int32_t value = conv->input_zero_point;

			if (y >= 0 && y < conv->in_h && x >= 0 &&
			    x < conv->in_w)
				value = op->input[0][((size_t)y * conv->in_w +
						      x) * conv->in_c +
						     in_channel];
			sum = cml_quant_add(sum, value * *weights);
			weights += conv->out_c;
		}
	}

	return sum;
}

void op_depthwise_conv2d_s8(const struct cml_op *op)
{
	const struct cml_conv *conv = &op->conv;
	int8_t *output = op->output;	/* (out_h, out_w, out_c) */

	for (int32_t oy = 0; oy < conv->out_h; oy++) {
		int32_t y0 = oy * conv->stride_h - conv->pad_h;

		for (int32_t ox = 0; ox < conv->out_w; ox++) {
			int32_t x0 = ox * conv->stride_w - conv->pad_w;

			for (int32_t c = 0; c < conv->out_c; c++) {
				struct cml_factor factor = {
					.multiplier = conv->multiplier[c],
					.shift = conv->shift[c],
				};
				int32_t sum = 0;

				sum = patch_sum(op, y0, x0,
						c / conv->depth_multiplier, c);
				sum = cml_quant_scale(sum, factor);
				sum = cml_quant_add(sum,
						    conv->output_zero_point);
				*output++ = cml_quant_clamp(sum, conv->min,
							    conv->max);
			}
		}
	}
}

/* @weights: of a model that is checked but for their use here. */
static void choose_kernel(uint32_t cpu, const struct cml_tflite_tensor *weights,
			  struct cml_op *op)
{
	(void)cpu;
	(void)weights;
	op->run = op_depthwise_conv2d_s8;
#if defined(__aarch64__)
	if (!(cpu & CML_CPU_NEON) || op->conv.depth_multiplier != 1 ||
	    op->conv.out_c < CML_DEPTHWISE_NEON_GROUP ||
	    memchr(weights->data.ptr, (uint8_t)INT8_MIN, weights->data.len))
		return;
	op->run = op_depthwise_conv2d_s8_neon;
	op->scratch_size =
		op_depthwise_conv2d_s8_neon_scratch_size(&op->conv);
#endif
}

static enum cml_status check(struct cml_node *node, struct cml_op *op)
{
	const struct cml_tflite_operator *tflite = &node->tflite;
	struct cml_conv *conv = &op->conv;
	struct cml_fb *fb = &node->model->fb;
	struct cml_conv_options options = { 0 };
	struct cml_tflite_tensor weights = { 0 };
	enum cml_status status = CML_INTERNAL;
	uint64_t patch = 0;

	if (tflite->input_count < 2 || tflite->input_count > 3 ||
	    tflite->output_count != 1)
		return cml_refuse(node, CML_MODEL_MALFORMED,
				  "operator has the wrong number of tensors");
	options.padding = cml_fb_u8(fb, tflite->options, DEPTHWISE_PADDING, 0);
	options.activation = cml_fb_u8(fb, tflite->options,
				       DEPTHWISE_ACTIVATION, 0);
	options.stride_h = cml_fb_i32(fb, tflite->options, DEPTHWISE_STRIDE_H,
				      0);
	options.stride_w = cml_fb_i32(fb, tflite->options, DEPTHWISE_STRIDE_W,
				      0);
	options.dilation_h = cml_fb_i32(fb, tflite->options,
					DEPTHWISE_DILATION_H, 1);
	options.dilation_w = cml_fb_i32(fb, tflite->options,
					DEPTHWISE_DILATION_W, 1);
	conv->depth_multiplier = cml_fb_i32(fb, tflite->options,
					    DEPTHWISE_MULTIPLIER, 0);
	if (fb->problem)
		return cml_refuse(node, CML_MODEL_MALFORMED, fb->problem);

	status = cml_conv_tensors(node, op, &weights);
	if (status)
		return status;
	if (weights.dims[0] != 1)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "first dimension of weights is not 1");

	conv->out_c = weights.dims[3];
	if (conv->depth_multiplier < 1 ||
	    (int64_t)conv->depth_multiplier * conv->in_c != conv->out_c)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "weights' channels are not the input's times "
				  "the depth multiplier");
	patch = (uint64_t)conv->kernel_h * conv->kernel_w;
	if (patch > CML_CONV_MAX_PATCH)
		return cml_refuse(node, CML_MODEL_LIMIT,
				  "more than 65536 weights a channel");
	status = cml_conv_check(node, op, &options, &weights, 3);
	if (status)
		return status;

	op->macs = patch * conv->out_h * conv->out_w * conv->out_c;
	choose_kernel(node->cpu, &weights, op);

	return CML_OK;
}

static enum cml_status bind(struct cml_node *node, struct cml_op *op)
{
	struct cml_conv *conv = &op->conv;
	enum cml_status status = cml_conv_bind(node, op);
	const int8_t *weights = conv->weights;	/* (patch, out_c) */
	int32_t patch = conv->kernel_h * conv->kernel_w;

	if (status)
		return status;
	for (int32_t i = 0; i < patch; i++)
		for (int32_t c = 0; c < conv->out_c; c++)
			conv->bias[c] = cml_quant_add(conv->bias[c],
						      -*weights++ *
						      conv->input_zero_point);
	cml_conv_set_fast(conv, patch);

	return CML_OK;
}

const struct cml_op_type cml_op_depthwise_conv2d_s8 = {
	.builtin_code = CML_TFLITE_DEPTHWISE_CONV_2D,
	.options_type = CML_TFLITE_DEPTHWISE_CONV_2D_OPTIONS,
	.max_version = 7,
	.check = check,
	.bind = bind,
};
