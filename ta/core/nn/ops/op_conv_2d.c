// SPDX-License-Identifier: Apache-2.0
#include "conv.h"

enum { CONV_PADDING = 0, CONV_STRIDE_W = 1, CONV_STRIDE_H = 2,
       CONV_ACTIVATION = 3, CONV_DILATION_W = 4, CONV_DILATION_H = 5,
       CONV_BIAS_TYPE = 6 };

/* Kernels: of int8, then of int16 and float32 */
enum { SCALAR, NEON, DOTPROD, I8MM, S16, F32 };

#if defined(__aarch64__)
static uint16_t best_kernel(uint32_t cpu)
{
	if (!(cpu & CML_CPU_NEON) || cpu & CML_CPU_FAST_SCALAR)
		return SCALAR;
	if (cpu & CML_CPU_I8MM)
		return I8MM;

	return cpu & CML_CPU_DOTPROD ? DOTPROD : NEON;
}
#endif

static void choose_kernel(struct cml_node *node, struct cml_conv *conv)
{
	node->op->kernel = SCALAR;
#if defined(__aarch64__)
	node->op->kernel = best_kernel(node->cpu);
	if (node->op->kernel != SCALAR) {
		node->scratch = cml_conv_s8_neon_scratch(conv);
		cml_conv_s8_neon_order(conv);
		return;
	}
#endif
	node->scratch = cml_conv_s8_scalar_scratch(conv);
	node->packed_input = 1;
	node->packed_size = cml_conv_s8_scalar_packed_size(conv);
	cml_conv_s8_scalar_set_run(conv, cml_node_constant(node, 1));
}

static void pack(const struct cml_op *op, const void *params, const void *from,
		 void *to)
{
	(void)op;
	cml_conv_s8_scalar_pack(params, from, to);
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
	cml_conv_tiles(node, conv, CML_CONV_TILE_PIXELS, patch * conv->out_c);
	if (node->op->kernel == SCALAR)
		cml_conv_split(node, conv, CML_CONV_SCALAR_CHANNELS, node->macs);

	return CML_OK;
}

static void run_s8(const struct cml_run *run, const struct cml_op *op,
		   uint32_t tile)
{
	struct cml_conv_call call = cml_conv_call(run, op, tile);

	switch (op->kernel) {
#if defined(__aarch64__)
	case NEON:
		cml_conv_s8_neon(&call);
		break;
	case DOTPROD:
		cml_conv_s8_dotprod(&call);
		break;
	case I8MM:
		cml_conv_s8_i8mm(&call);
		break;
#endif
	default:
		call.weights = cml_op_packed(run, op);
		cml_conv_s8_scalar(&call);
		break;
	}
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	switch (op->kernel) {
	case F32:
		cml_conv_f32(run, op, tile);
		break;
	case S16:
		cml_conv_s16(run, op, tile);
		break;
	default:
		run_s8(run, op, tile);
		break;
	}
}

static const char *const kernel_names[] = {
	[SCALAR] = "scalar", [NEON] = "neon", [DOTPROD] = "dotprod",
	[I8MM] = "i8mm", [S16] = "int16", [F32] = "float32",
};

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
	.kernels = kernel_names,
	.kernel_count = sizeof(kernel_names) / sizeof(kernel_names[0]),
	.prepare = prepare,
	.run = run,
	.pack = pack,
};
