// SPDX-License-Identifier: Apache-2.0
/* x * relu6(x + 3) / 6; of 8-bit elements in TFLite's 16-bit arithmetic. */
#include <math.h>

#include "activation.h"

/* A factor below 1 in 16 bits, and the power of 2 that it is times. */
struct factor16 {
	int16_t multiplier;
	int32_t shift;
};

struct hard_swish {
	int32_t zero_point, output_zero_point;
	struct factor16 output;		/* shift 0 or below */
	struct factor16 relu;		/* to units of 3 / 2^15 */
};

static float hard_swish(float x, float parameter)
{
	float relu6 = x + 3 > 0 ? x + 3 : 0;

	(void)parameter;

	return x * (relu6 < 6 ? relu6 : 6) / 6;
}

static bool factor16(float real, struct factor16 *factor)
{
	struct cml_factor wide = { 0 };

	if (!cml_quant_factor(real, &wide))
		return false;
	factor->multiplier = wide.multiplier >= INT32_MAX - (1 << 15) ?
			     INT16_MAX : (wide.multiplier + (1 << 15)) >> 16;
	factor->shift = wide.shift;

	return true;
}

/* x * y / 2^15, rounded to nearest, halves upwards; @y is 0 or more. */
static int16_t mul_rounded(int16_t x, int16_t y)
{
	return (x * y + (1 << 14)) >> 15;
}

static int16_t shift_left(int16_t x, int32_t shift)
{
	int64_t wide = (int64_t)x * (1 << shift);

	return wide < INT16_MIN ? INT16_MIN :
	       wide > INT16_MAX ? INT16_MAX : wide;
}

/*
 * x / 2^shift, rounded to nearest, halves away from zero; of 16 and more what
 * TFLite makes of it in 16 bits: 1, or -1 if @x is negative.
 */
static int16_t shift_right(int16_t x, int32_t shift)
{
	int16_t mask = ((int64_t)1 << shift) - 1;
	int32_t threshold = (mask >> 1) + (x < 0);

	return (x >> shift) + ((x & mask) > threshold);
}

static int32_t quantized(int32_t q, const void *context)
{
	const struct hard_swish *swish = context;
	/* At most 255 * 2^7, so 16 bits hold it */
	int16_t x = (q - swish->zero_point) * (1 << 7);
	int16_t output = mul_rounded(x, swish->output.multiplier);
	int16_t relu = x;
	int32_t shift = swish->relu.shift;

	/* The last bit of it comes last, so that only it may saturate. */
	if (shift > 0)
		relu = shift_left(relu, shift - 1);
	relu = mul_rounded(relu, swish->relu.multiplier);
	if (shift > 0)
		relu = shift_left(relu, 1);
	else
		relu = shift_right(relu, -shift);
	/* From -1 to 1, to 0 to 1 */
	relu = (relu + (1 << 15)) >> 1;
	/* Towards zero */
	output = relu * output / (1 << 15);

	return shift_right(output, -swish->output.shift) +
	       swish->output_zero_point;
}

static enum cml_status fill_table(struct cml_node *node,
				  struct cml_activation *activation)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	float scale = (1.0f / 128.0f) * input->scale;
	struct hard_swish swish = {
		.zero_point = input->zero_point,
		.output_zero_point = output->zero_point,
	};

	if (!factor16(scale / output->scale, &swish.output) ||
	    swish.output.shift > 0 ||
	    !factor16(scale / (3.0f / 32768.0f), &swish.relu))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "scales of a hard swish are out of range");
	cml_activation_table(node, quantized, &swish, activation);

	return CML_OK;
}

static enum cml_status prepare(struct cml_node *node)
{
	void *params = NULL;
	enum cml_status status =
		cml_activation_prepare(node, sizeof(struct cml_activation), 4,
				       &params);

	if (!status && cml_is_byte(cml_node_input(node, 0)->type))
		status = fill_table(node, params);

	return status;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	cml_activation_run(run, op, tile, hard_swish);
}

const struct cml_op_type cml_op_hard_swish = {
	.name = "HARD_SWISH",
	.builtin_code = CML_OP_HARD_SWISH,
	.options_type = 91,
	.max_version = 1,
	.types = CML_S8 | CML_F32 | CML_U8,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.prepare = prepare,
	.run = run,
};
