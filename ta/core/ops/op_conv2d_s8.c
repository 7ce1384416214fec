// SPDX-License-Identifier: Apache-2.0
#include "ops.h"

enum { CONV_PADDING = 0, CONV_STRIDE_W = 1, CONV_STRIDE_H = 2,
       CONV_ACTIVATION = 3, CONV_DILATION_W = 4, CONV_DILATION_H = 5 };

/* Sum over the patch whose upper left tap is at (@y0, @x0). */
static int32_t patch_sum(const struct cml_op *op, int32_t y0, int32_t x0,
			 int32_t out_channel)
{
	const struct cml_conv *conv = &op->conv;
	const int8_t *weights = conv->weights;	/* (kh, kw, in_c) */
	int32_t sum = conv->bias[out_channel];

	weights += (size_t)out_channel * conv->kernel_h * conv->kernel_w *
		   conv->in_c;
	for (int32_t ky = 0; ky < conv->kernel_h; ky++) {
		int32_t y = y0 + ky * conv->dilation_h;

		for (int32_t kx = 0; kx < conv->kernel_w; kx++) {
			int32_t x = x0 + kx * conv->dilation_w;
			bool inside = y >= 0 && y < conv->in_h && x >= 0 &&
				      x < conv->in_w;
			const int8_t *pixel = NULL;	/* (in_c) */

			if (inside)
				pixel = op->input[0] + ((size_t)y * conv->in_w +
							x) * conv->in_c;
			for (int32_t c = 0; c < conv->in_c; c++) {
				int32_t value = inside ? pixel[c] :
						conv->input_zero_point;

				sum = cml_quant_add(sum, value * *weights++);
			}
		}
	}

	return sum;
}

void op_conv2d_s8(const struct cml_op *op)
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
				int32_t sum = patch_sum(op, y0, x0, c);

				sum = cml_quant_scale(sum, factor);
				sum = cml_quant_add(sum,
						    conv->output_zero_point);
				*output++ = cml_quant_clamp(sum, conv->min,
							    conv->max);
			}
		}
	}
}

static void choose_kernel(uint32_t cpu, struct cml_op *op)
{
	(void)cpu;
	op->run = op_conv2d_s8;
#if defined(__aarch64__)
	if (!(cpu & CML_CPU_NEON))
		return;
	op->scratch_size = op_conv2d_s8_neon_scratch_size(&op->conv);
	if (cpu & CML_CPU_I8MM)
		op->run = op_conv2d_s8_i8mm;
	else if (cpu & CML_CPU_DOTPROD)
		op->run = op_conv2d_s8_dotprod;
	else
		op->run = op_conv2d_s8_neon;
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
	options.padding = cml_fb_u8(fb, tflite->options, CONV_PADDING, 0);
	options.activation = cml_fb_u8(fb, tflite->options, CONV_ACTIVATION,
				       0);
	options.stride_h = cml_fb_i32(fb, tflite->options, CONV_STRIDE_H, 0);
	options.stride_w = cml_fb_i32(fb, tflite->options, CONV_STRIDE_W, 0);
	options.dilation_h = cml_fb_i32(fb, tflite->options, CONV_DILATION_H,
					1);
	options.dilation_w = cml_fb_i32(fb, tflite->options, CONV_DILATION_W,
					1);
	if (fb->problem)
		return cml_refuse(node, CML_MODEL_MALFORMED, fb->problem);

	status = cml_conv_tensors(node, op, &weights);
	if (status)
		return status;
	if (weights.dims[3] != conv->in_c)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "weights do not have the input's channels "
				  "(grouped convolution is not supported)");

	conv->out_c = weights.dims[0];
	patch = (uint64_t)conv->kernel_h * conv->kernel_w * conv->in_c;
	if (patch > CML_CONV_MAX_PATCH)
		return cml_refuse(node, CML_MODEL_LIMIT,
				  "more than 65536 weights a channel");
	status = cml_conv_check(node, op, &options, &weights, 0);
	if (status)
		return status;

	op->macs = patch * conv->out_h * conv->out_w * conv->out_c;
	choose_kernel(node->cpu, op);

	return CML_OK;
}

static enum cml_status bind(struct cml_node *node, struct cml_op *op)
{
	struct cml_conv *conv = &op->conv;
	enum cml_status status = cml_conv_bind(node, op);
	const int8_t *weights = conv->weights;	/* (out_c, patch) */
	int32_t patch = conv->kernel_h * conv->kernel_w * conv->in_c;

	if (status)
		return status;
	for (int32_t c = 0; c < conv->out_c; c++) {
		int32_t sum = 0;	/* within 2^23 */

		for (int32_t i = 0; i < patch; i++)
			sum += *weights++;
		conv->bias[c] = cml_quant_add(conv->bias[c], -sum *
					      conv->input_zero_point);
	}
	cml_conv_set_fast(conv, patch);
#if defined(__aarch64__)
	if (op->run != op_conv2d_s8)
		op_conv2d_s8_neon_order(conv);
#endif

	return CML_OK;
}

const struct cml_op_type cml_op_conv2d_s8 = {
	.builtin_code = CML_TFLITE_CONV_2D,
	.options_type = CML_TFLITE_CONV_2D_OPTIONS,
	.max_version = 8,
	.check = check,
	.bind = bind,
};
