// SPDX-License-Identifier: Apache-2.0
#include "binary.h"

#define LEFT_SHIFT	7

/* Below 2^15, as factors are at most 1/2: the square does not overflow. */
static int32_t square_quantized(const struct cml_binary *binary, int32_t x,
				int32_t y)
{
	int32_t difference = cml_binary_rescale(binary, 0, x) -
			     cml_binary_rescale(binary, 1, y);

	return cml_binary_requantize(binary, difference * difference);
}

/* Wraps */
static int32_t square_difference(int32_t x, int32_t y)
{
	uint32_t difference = (uint32_t)x - (uint32_t)y;

	return (int32_t)(difference * difference);
}

CML_BINARY_KERNEL(square_s8, int8_t, int8_t, square_quantized(binary, x, y))
CML_BINARY_KERNEL(square_f32, float, float, (x - y) * (x - y))
CML_BINARY_KERNEL(square_s32, int32_t, int32_t, square_difference(x, y))

static const struct cml_binary_row rows[] = {
	{ CML_OP_SQUARED_DIFFERENCE, CML_TFLITE_INT8, CML_TFLITE_INT8,
	  square_s8 },
	{ CML_OP_SQUARED_DIFFERENCE, CML_TFLITE_FLOAT32, CML_TFLITE_FLOAT32,
	  square_f32 },
	{ CML_OP_SQUARED_DIFFERENCE, CML_TFLITE_INT32, CML_TFLITE_INT32,
	  square_s32 },
};

static enum cml_status prepare(struct cml_node *node)
{
	struct cml_binary *binary = NULL;
	enum cml_status status = CML_INTERNAL;

	status = cml_binary_prepare(node, rows, sizeof(rows) / sizeof(rows[0]),
				    &binary);
	if (status || cml_node_input(node, 0)->type != CML_TFLITE_INT8)
		return status;
	status = cml_binary_quantized_inputs(node, binary);
	if (!status)
		status = cml_binary_quantized_output(node, binary);
	if (!status)
		status = cml_binary_common_scale(node, LEFT_SHIFT, 2, binary);
	if (!status)
		status = cml_binary_activation(node, CML_ACT_NONE, binary);

	return status;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	cml_binary_run(run, op, tile, rows);
}

const struct cml_op_type cml_op_squared_difference = {
	.name = "SQUARED_DIFFERENCE",
	.builtin_code = CML_OP_SQUARED_DIFFERENCE,
	.options_type = 76,
	.max_version = 2,
	.types = CML_S8 | CML_F32 | CML_S32,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.prepare = prepare,
	.run = run,
};
