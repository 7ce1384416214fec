// SPDX-License-Identifier: Apache-2.0
#include "conv.h"

enum { CONV_PADDING = 0, CONV_STRIDE_W = 1, CONV_STRIDE_H = 2,
       CONV_ACTIVATION = 3, CONV_DILATION_W = 4, CONV_DILATION_H = 5,
       CONV_BIAS_TYPE = 6 };

/* Kernels: of int8, then of int16 and float32 */
enum { PORTABLE, NEON, DOTPROD, I8MM, S16, F32 };

/* Sum over the patch whose upper left tap is at (@y0, @x0) of @image. */
static int32_t patch_sum(const struct cml_conv_call *call, const int8_t *image,
			 int32_t y0, int32_t x0, int32_t out_channel)
{
	const struct cml_conv *conv = call->conv;
	const int8_t *weights = call->weights +	/* (kh, kw, in_c) */
				out_channel * cml_conv_patch(conv);
	int32_t sum = call->bias[out_channel];

	for (int32_t ky = 0; ky < conv->kernel_h; ky++) {
		int32_t y = y0 + ky * conv->dilation_h;

		for (int32_t kx = 0; kx < conv->kernel_w; kx++) {
			int32_t x = x0 + kx * conv->dilation_w;
			bool inside = y >= 0 && y < conv->in_h && x >= 0 &&
				      x < conv->in_w;
			const int8_t *pixel = NULL;	/* (in_c) */

			if (inside)
				pixel = image + ((size_t)y * conv->in_w + x) *
						conv->in_c;
			for (int32_t c = 0; c < conv->in_c; c++) {
				int32_t value = inside ? pixel[c] :
						conv->input_zero_point;

				sum = cml_quant_add(sum, value * *weights++);
			}
		}
	}

	return sum;
}

static void portable(const struct cml_conv_call *call)
{
	const struct cml_conv *conv = call->conv;
	size_t image_size = (size_t)conv->in_h * conv->in_w * conv->in_c;
	/* (batch, out_h, out_w, out_c) */
	int8_t *output = call->output + (size_t)call->pixels.begin * conv->out_c;

	for (uint32_t p = call->pixels.begin; p < call->pixels.end; p++) {
		int32_t row = p / conv->out_w;
		int32_t x0 = (int32_t)(p % conv->out_w) * conv->stride_w -
			     conv->pad_w;
		int32_t y0 = row % conv->out_h * conv->stride_h - conv->pad_h;
		const int8_t *image = call->input +
				      row / conv->out_h * image_size;

		for (int32_t c = 0; c < conv->out_c; c++) {
			struct cml_factor factor = {
				.multiplier = call->multiplier[c],
				.shift = call->shift[c],
			};
			int32_t sum = patch_sum(call, image, y0, x0, c);

			sum = cml_quant_scale(sum, factor);
			sum = cml_quant_add(sum, conv->output_zero_point);
			*output++ = cml_quant_clamp(sum, conv->min, conv->max);
		}
	}
}

static void choose_kernel(struct cml_node *node, struct cml_conv *conv)
{
	(void)conv;
	node->op->kernel = PORTABLE;
#if defined(__aarch64__)
	if (!(node->cpu & CML_CPU_NEON))
		return;
	node->scratch = cml_conv_s8_neon_scratch(conv);
	cml_conv_s8_neon_order(conv);
	if (node->cpu & CML_CPU_I8MM)
		node->op->kernel = I8MM;
	else if (node->cpu & CML_CPU_DOTPROD)
		node->op->kernel = DOTPROD;
	else
		node->op->kernel = NEON;
#endif
}

/* What the input's zero point adds to every sum of a channel. */
static void complete_bias(struct cml_conv *conv, const int8_t *weights)
{
	size_t patch = cml_conv_patch(conv);

	for (int32_t c = 0; c < conv->out_c; c++) {
		int32_t sum = 0;	/* within 2^23 */

		for (size_t i = 0; i < patch; i++)
			sum += *weights++;
		conv->numbers[c] = cml_quant_add(conv->numbers[c], -sum *
						 conv->input_zero_point);
	}
}

static enum cml_status finish_s8(struct cml_node *node, struct cml_conv *conv)
{
	size_t patch = cml_conv_patch(conv);

	if (patch > CML_CONV_MAX_PATCH)
		return cml_refuse(node, CML_MODEL_LIMIT,
				  "more than 65536 weights a channel");
	complete_bias(conv, cml_node_constant(node, 1));
	cml_conv_set_fast(conv, patch);
	choose_kernel(node, conv);

	return CML_OK;
}

static enum cml_status prepare(struct cml_node *node)
{
	struct cml_fb_table table = node->tflite.options;
	struct cml_fb *fb = node->fb;
	struct cml_conv_options options = {
		.padding = cml_fb_u8(fb, table, CONV_PADDING, 0),
		.activation = cml_fb_u8(fb, table, CONV_ACTIVATION, 0),
		.stride_h = cml_fb_i32(fb, table, CONV_STRIDE_H, 0),
		.stride_w = cml_fb_i32(fb, table, CONV_STRIDE_W, 0),
		.dilation_h = cml_fb_i32(fb, table, CONV_DILATION_H, 1),
		.dilation_w = cml_fb_i32(fb, table, CONV_DILATION_W, 1),
		.bias_type = cml_fb_u8(fb, table, CONV_BIAS_TYPE, 0),
	};
	const struct cml_tensor *weights = cml_node_input(node, 1);
	struct cml_conv *conv = NULL;
	enum cml_status status = cml_conv_prepare(node, &options, 0, &conv);
	uint64_t patch = 0;
	uint32_t pixels = 0;

	if (status)
		return status;
	if (weights->dims[3] != conv->in_c)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "weights do not have the input's channels "
				  "(grouped convolution is not supported)");
	if (weights->type == CML_TFLITE_FLOAT32)
		node->op->kernel = F32;
	else if (cml_node_input(node, 0)->type == CML_TFLITE_INT16)
		node->op->kernel = S16;
	else
		status = finish_s8(node, conv);
	if (status)
		return status;
	patch = cml_conv_patch(conv);
	pixels = (uint32_t)conv->batch * conv->out_h * conv->out_w;
	node->macs = patch * conv->out_c * pixels;
	cml_node_tiles(node, pixels, patch * conv->out_c);

	return CML_OK;
}

static void run_s8(const struct cml_op *op, const struct cml_conv_call *call)
{
	switch (op->kernel) {
#if defined(__aarch64__)
	case NEON:
		cml_conv_s8_neon(call);
		break;
	case DOTPROD:
		cml_conv_s8_dotprod(call);
		break;
	case I8MM:
		cml_conv_s8_i8mm(call);
		break;
#endif
	default:
		portable(call);
		break;
	}
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	struct cml_conv_call call = { 0 };

	switch (op->kernel) {
	case F32:
		cml_conv_f32(run, op, tile);
		break;
	case S16:
		cml_conv_s16(run, op, tile);
		break;
	default:
		call = cml_conv_call(run, op, tile);
		run_s8(op, &call);
		break;
	}
}

const struct cml_op_type cml_op_conv_2d = {
	.name = "CONV_2D",
	.builtin_code = CML_OP_CONV_2D,
	.options_type = 1,
	.max_version = 8,
	.types = CML_S8 | CML_S16 | CML_F32,
	.min_inputs = 2, .max_inputs = 3,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "Weights and bias are constants; no groups; int16 has int8 "
		 "weights and an int64 bias.",
	.prepare = prepare,
	.run = run,
};
