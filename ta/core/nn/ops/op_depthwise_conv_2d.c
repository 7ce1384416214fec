// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "conv.h"

enum { DEPTHWISE_PADDING = 0, DEPTHWISE_STRIDE_W = 1, DEPTHWISE_STRIDE_H = 2,
       DEPTHWISE_MULTIPLIER = 3, DEPTHWISE_ACTIVATION = 4,
       DEPTHWISE_DILATION_W = 5, DEPTHWISE_DILATION_H = 6 };

/* Below that, one is as well as two */
#define EVEN_MACS	(1u << 16)
/* From so many on, one more or less does not matter */
#define EVEN_TILES	8

/* Kernels: of int8, then of int16 and float32 */
enum { PORTABLE, SCALAR, NEON, S16, F32 };

/* Sum over the patch whose upper left tap is at (@y0, @x0) of @image. */
static int32_t patch_sum(const struct cml_conv_call *call, const int8_t *image,
			 int32_t y0, int32_t x0, int32_t in_channel,
			 int32_t out_channel)
{
	const struct cml_conv *conv = call->conv;
	const int8_t *weights = call->weights + out_channel;
	int32_t sum = call->bias[out_channel];

	for (int32_t ky = 0; ky < conv->kernel_h; ky++) {
		int32_t y = y0 + ky * conv->dilation_h;

		for (int32_t kx = 0; kx < conv->kernel_w; kx++) {
			int32_t x = x0 + kx * conv->dilation_w;
			int32_t value = conv->input_zero_point;

			if (y >= 0 && y < conv->in_h && x >= 0 &&
			    x < conv->in_w)
				value = image[((size_t)y * conv->in_w + x) *
					      conv->in_c + in_channel];
			sum = cml_quant_add(sum, value * *weights);
			weights += conv->out_c;
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
			int32_t sum = patch_sum(call, image, y0, x0,
						c / conv->depth_multiplier, c);

			sum = cml_quant_scale(sum, factor);
			sum = cml_quant_add(sum, conv->output_zero_point);
			*output++ = cml_quant_clamp(sum, conv->min, conv->max);
		}
	}
}

/* Also where there are no vectors: it is then the better one, too. */
static bool scalar_fits(const struct cml_node *node,
			const struct cml_conv *conv)
{
	bool fast = !(node->cpu & CML_CPU_NEON) ||
		    node->cpu & CML_CPU_FAST_SCALAR;

	return fast && conv->depth_multiplier == 1 && conv->one_product &&
	       conv->out_c >= CML_DEPTHWISE_SCALAR_GROUP &&
	       conv->kernel_h == 3 && conv->kernel_w == 3 &&
	       conv->dilation_h == 1 && conv->dilation_w == 1 &&
	       conv->stride_h <= 2 && conv->stride_w <= 2;
}

static void choose_kernel(struct cml_node *node, const struct cml_conv *conv)
{
	node->op->kernel = PORTABLE;
	if (scalar_fits(node, conv)) {
		node->op->kernel = SCALAR;
		node->scratch = cml_depthwise_s8_scalar_scratch(conv);
		return;
	}
#if defined(__aarch64__)
	if (!(node->cpu & CML_CPU_NEON) || conv->depth_multiplier != 1 ||
	    conv->out_c < CML_DEPTHWISE_NEON_GROUP ||
	    memchr(cml_node_constant(node, 1), (uint8_t)INT8_MIN,
		   cml_node_input(node, 1)->size))
		return;
	node->op->kernel = NEON;
	node->scratch = cml_depthwise_s8_neon_scratch(conv);
#endif
}

static void set_one_product(struct cml_conv *conv, const int8_t *weights)
{
	size_t patch = (size_t)conv->kernel_h * conv->kernel_w;

	conv->one_product = true;
	for (int32_t c = 0; c < conv->out_c; c++) {
		uint32_t sum = 0;	/* at most 2^23 */

		for (size_t i = 0; i < patch; i++) {
			int32_t weight = weights[i * conv->out_c + c];

			sum += weight < 0 ? -weight : weight;
		}
		if (!cml_conv_one_product(conv, c, sum))
			conv->one_product = false;
	}
}

/* What the input's zero point adds to every sum of a channel. */
static void complete_bias(struct cml_conv *conv, const int8_t *weights)
{
	int32_t patch = conv->kernel_h * conv->kernel_w;

	for (int32_t i = 0; i < patch; i++)
		for (int32_t c = 0; c < conv->out_c; c++)
			conv->numbers[c] =
				cml_quant_add(conv->numbers[c], -*weights++ *
					      conv->input_zero_point);
}

static enum cml_status finish_s8(struct cml_node *node, struct cml_conv *conv)
{
	int64_t patch = (int64_t)conv->kernel_h * conv->kernel_w;

	if (patch > CML_CONV_MAX_PATCH)
		return cml_refuse(node, CML_MODEL_LIMIT,
				  "more than 65536 weights a channel");
	complete_bias(conv, cml_node_constant(node, 1));
	cml_conv_set_fast(conv, patch);
	set_one_product(conv, cml_node_constant(node, 1));
	choose_kernel(node, conv);

	return CML_OK;
}

/*
 * Rows of all tiles take as long, and each tile takes something by itself: so few
 * tiles, that two or four workers have the same to do.
 */
static void even_tiles(struct cml_node *node, const struct cml_conv *conv)
{
	uint32_t rows = (uint32_t)conv->batch * conv->out_h;
	uint32_t tiles = node->op->tiles;

	if (tiles == 1 && rows > 1 && node->macs >= EVEN_MACS)
		node->op->tiles = 2;
	else if (tiles < EVEN_TILES && tiles > 1)
		node->op->tiles = tiles & ~1u;
}

static enum cml_status prepare(struct cml_node *node)
{
	struct cml_fb_table table = node->tflite.options;
	struct cml_fb *fb = node->fb;
	struct cml_conv_options options = {
		.padding = cml_fb_u8(fb, table, DEPTHWISE_PADDING, 0),
		.activation = cml_fb_u8(fb, table, DEPTHWISE_ACTIVATION, 0),
		.stride_h = cml_fb_i32(fb, table, DEPTHWISE_STRIDE_H, 0),
		.stride_w = cml_fb_i32(fb, table, DEPTHWISE_STRIDE_W, 0),
		.dilation_h = cml_fb_i32(fb, table, DEPTHWISE_DILATION_H, 1),
		.dilation_w = cml_fb_i32(fb, table, DEPTHWISE_DILATION_W, 1),
	};
	int32_t multiplier = cml_fb_i32(fb, table, DEPTHWISE_MULTIPLIER, 0);
	struct cml_conv *conv = NULL;
	enum cml_status status = cml_conv_prepare(node, &options, 3, &conv);
	uint64_t patch = 0;

	if (status)
		return status;
	if (cml_node_input(node, 1)->dims[0] != 1)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "first dimension of weights is not 1");
	if (multiplier < 1 ||
	    (int64_t)multiplier * conv->in_c != conv->out_c)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "weights' channels are not the input's times "
				  "the depth multiplier");
	conv->depth_multiplier = multiplier;
	if (cml_node_input(node, 1)->type == CML_TFLITE_FLOAT32)
		node->op->kernel = F32;
	else if (cml_node_input(node, 0)->type == CML_TFLITE_INT16)
		node->op->kernel = S16;
	else
		status = finish_s8(node, conv);
	if (status)
		return status;
	patch = (uint64_t)conv->kernel_h * conv->kernel_w;
	node->macs = patch * cml_node_output(node, 0)->count;
	cml_conv_tiles(node, conv, conv->out_w, patch * conv->out_c);
	even_tiles(node, conv);

	return CML_OK;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	struct cml_conv_call call = { 0 };

	switch (op->kernel) {
	case F32:
		cml_depthwise_f32(run, op, tile);
		return;
	case S16:
		cml_depthwise_s16(run, op, tile);
		return;
	default:
		call = cml_conv_call(run, op, tile);
		break;
	}
	switch (op->kernel) {
#if defined(__aarch64__)
	case NEON:
		cml_depthwise_s8_neon(&call);
		break;
#endif
	case SCALAR:
		cml_depthwise_s8_scalar(&call);
		break;
	default:
		portable(&call);
		break;
	}
}

static const char *const kernel_names[] = {
	[PORTABLE] = "portable", [SCALAR] = "scalar", [NEON] = "neon",
	[S16] = "int16", [F32] = "float32",
};

const struct cml_op_type cml_op_depthwise_conv_2d = {
	.name = "DEPTHWISE_CONV_2D",
	.builtin_code = CML_OP_DEPTHWISE_CONV_2D,
	.options_type = 2,
	.max_version = 7,
	.types = CML_S8 | CML_S16 | CML_F32,
	.min_inputs = 2, .max_inputs = 3,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "Weights and bias are constants; int16 has int8 weights and "
		 "an int64 bias.",
	.kernels = kernel_names,
	.kernel_count = sizeof(kernel_names) / sizeof(kernel_names[0]),
	.prepare = prepare,
	.run = run,
};
