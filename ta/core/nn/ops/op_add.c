// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "add.h"
#include "one_product.h"
#include "sum.h"

#define GROUP	8	/* at once */

enum { ADD_ACTIVATION = 0 };
enum { PORTABLE, SCALAR, NEON };

static void fill_rescaled(struct cml_add *add)
{
	for (int i = 0; i < 2; i++) {
		for (int32_t value = INT8_MIN; value <= INT8_MAX; value++) {
			/* At most 255 * 2^20: no overflow */
			int32_t x = (value - add->zero_point[i]) *
				    (1 << CML_ADD_LEFT_SHIFT);

			add->rescaled[i][(uint8_t)value] =
				cml_quant_scale(x, add->factor[i]);
		}
	}
}

static void portable(const struct cml_add *add, const int8_t *a,
		     const int8_t *b, int8_t *output, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint8_t value_a = (uint8_t)a[i * add->shape.step[0]];
		uint8_t value_b = (uint8_t)b[i * add->shape.step[1]];
		/* Each factor is at most 1/2: no overflow */
		int32_t sum = add->rescaled[0][value_a] +
			      add->rescaled[1][value_b];

		sum = cml_quant_scale(sum, add->output_factor);
		sum += add->output_zero_point;
		output[i] = cml_quant_clamp(sum, add->min, add->max);
	}
}

/* The same of inputs that both go along, if cml_scale_fits(). */
static void scalar(const struct cml_add *add, const int8_t *a, const int8_t *b,
		   int8_t *output, size_t count)
{
	struct cml_scale scale = cml_scale(add->output_factor, 0,
					   add->output_zero_point, add->min);
	int64_t range = add->max - add->min;
	uint64_t max = (add->max + 128) * UINT64_C(0x0101010101010101);
	size_t rest = count % GROUP;

	for (count -= rest; count; count -= GROUP) {
		uint64_t eight_a = 0;
		uint64_t eight_b = 0;
		uint64_t below = 0;

		memcpy(&eight_a, a, GROUP);
		memcpy(&eight_b, b, GROUP);
		/* Lowest byte first, as the machines this runs on have it */
#pragma GCC unroll 8
		for (size_t i = 0; i < GROUP; i++) {
			int64_t sum = add->rescaled[0][eight_a >> 8 * i & 255];

			sum += add->rescaled[1][eight_b >> 8 * i & 255];
			below |= cml_below_max(sum, &scale, range, false)
				 << 8 * i;
			CML_KEEP(below);
		}
		below = (max - below) ^ UINT64_C(0x8080808080808080);
		memcpy(output, &below, GROUP);
		a += GROUP;
		b += GROUP;
		output += GROUP;
	}
	portable(add, a, b, output, rest);
}

/* A factor that is positive and below 1, as TFLite requires. */
static bool small_factor(double real, struct cml_factor *factor)
{
	return real > 0 && real < 1 && cml_quant_factor(real, factor) &&
	       factor->shift <= 0;
}

/* The three factors, computed in float and double where TFLite does. */
static enum cml_status fill_factors(struct cml_node *node, struct cml_add *add)
{
	float scale0 = cml_node_input(node, 0)->scale;
	float scale1 = cml_node_input(node, 1)->scale;
	double twice_max = 2 * (scale0 > scale1 ? scale0 : scale1);
	double unit = (1 << CML_ADD_LEFT_SHIFT) *
		      cml_node_output(node, 0)->scale;

	if (twice_max > (double)__FLT_MAX__ || unit > (double)__FLT_MAX__ ||
	    !small_factor(scale0 / twice_max, &add->factor[0]) ||
	    !small_factor(scale1 / twice_max, &add->factor[1]) ||
	    !small_factor(twice_max / unit, &add->output_factor))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "scales of an addition are too far apart");

	return CML_OK;
}

static enum cml_status check_tensors(struct cml_node *node)
{
	const struct cml_tensor *tensors[] = {
		cml_node_input(node, 0), cml_node_input(node, 1),
		cml_node_output(node, 0),
	};
	enum cml_status status = CML_OK;

	for (size_t i = 0; !status && i < 3; i++) {
		status = cml_node_type(node, tensors[i], CML_TFLITE_INT8);
		if (!status)
			status = cml_node_quantized(node, tensors[i]);
	}

	return status;
}

static uint16_t choose_kernel(const struct cml_node *node,
			      const struct cml_add *add)
{
	if (!add->shape.step[0] || !add->shape.step[1])
		return PORTABLE;
	if (node->cpu & CML_CPU_NEON && !(node->cpu & CML_CPU_FAST_SCALAR))
		return NEON;

	return cml_scale_fits(add->output_factor, add->output_zero_point,
			      add->min) ? SCALAR : PORTABLE;
}

static enum cml_status prepare_s8(struct cml_node *node)
{
	uint32_t activation = cml_fb_u8(node->fb, node->tflite.options,
					ADD_ACTIVATION, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = check_tensors(node);
	struct cml_add *add = NULL;
	void *params = NULL;

	if (!status)
		status = cml_node_params(node, sizeof(*add), &params);
	if (status)
		return status;
	add = params;
	status = cml_broadcast_prepare(node, 2, &add->shape);
	if (!status)
		status = fill_factors(node, add);
	if (status)
		return status;
	add->zero_point[0] = cml_node_input(node, 0)->zero_point;
	add->zero_point[1] = cml_node_input(node, 1)->zero_point;
	add->output_zero_point = output->zero_point;
	if (!cml_quant_activation(activation, output->scale,
				  output->zero_point, &add->min, &add->max))
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "fused activation is unknown or does not fit "
				  "the output's scale");
	fill_rescaled(add);
	node->op->kernel = choose_kernel(node, add);
	cml_node_tiles(node, output->count, 32);

	return CML_OK;
}

static void run_part(const struct cml_add *add, uint16_t kernel,
		     const int8_t *a, const int8_t *b, int8_t *output,
		     size_t count)
{
	switch (kernel) {
#if defined(__aarch64__)
	case NEON:
		cml_add_s8_neon(add, a, b, output, count);
		break;
#endif
	case SCALAR:
		scalar(add, a, b, output, count);
		break;
	default:
		portable(add, a, b, output, count);
		break;
	}
}

static void run_s8(const struct cml_run *run, const struct cml_op *op,
		   uint32_t tile)
{
	const struct cml_add *add = cml_op_params(run, op);
	struct cml_range rest = cml_tile(op, tile, add->shape.count);
	const int8_t *a = cml_op_in(run, op, 0);
	const int8_t *b = cml_op_in(run, op, 1);
	int8_t *output = cml_op_out(run, op, 0);
	struct cml_segment part = { 0 };

	while (cml_broadcast_next(&add->shape, &rest, &part))
		run_part(add, op->kernel, a + part.in[0], b + part.in[1],
			 output + part.out, part.count);
}

static enum cml_status prepare(struct cml_node *node)
{
	if (cml_node_input(node, 0)->type == CML_TFLITE_INT8)
		return prepare_s8(node);

	return cml_sum_prepare(node);
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	if (cml_op_input(run, op, 0)->type == CML_TFLITE_INT8)
		run_s8(run, op, tile);
	else
		cml_sum_run(run, op, tile);
}

static const char *const kernel_names[] = {
	[PORTABLE] = "portable", [NEON] = "neon",
};

const struct cml_op_type cml_op_add = {
	.name = "ADD",
	.builtin_code = CML_OP_ADD,
	.options_type = 11,
	.max_version = 5,
	.types = CML_S8 | CML_S16 | CML_F32 | CML_S32 | CML_S64 | CML_U8,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "int16 is quantised, around 0.",
	.kernels = kernel_names,
	.kernel_count = sizeof(kernel_names) / sizeof(kernel_names[0]),
	.prepare = prepare,
	.run = run,
};
