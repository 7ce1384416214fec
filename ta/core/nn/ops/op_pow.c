// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "binary.h"

#define ELEMENT_COST	256

/* Wraps; what is below 1 becomes 0, as when it is rounded towards 0. */
static int32_t power_s32(int32_t base, int32_t exponent)
{
	uint32_t square = base;
	uint32_t result = 1;

	if (exponent < 0)
		return base == 1 ? 1 :
		       base == -1 ? (exponent & 1 ? -1 : 1) : 0;
	for (; exponent; exponent >>= 1) {
		if (exponent & 1)
			result *= square;
		square *= square;
	}

	return (int32_t)result;
}

CML_BINARY_KERNEL(power_of_f32, float, float, powf(x, y))
CML_BINARY_KERNEL(power_of_s32, int32_t, int32_t, power_s32(x, y))

static const struct cml_binary_row rows[] = {
	{ CML_OP_POW, CML_TFLITE_FLOAT32, CML_TFLITE_FLOAT32, power_of_f32 },
	{ CML_OP_POW, CML_TFLITE_INT32, CML_TFLITE_INT32, power_of_s32 },
};

static enum cml_status prepare(struct cml_node *node)
{
	struct cml_binary *binary = NULL;
	enum cml_status status = CML_INTERNAL;

	status = cml_binary_prepare(node, rows, sizeof(rows) / sizeof(rows[0]),
				    &binary);
	if (!status)
		cml_node_tiles(node, cml_node_output(node, 0)->count,
			       ELEMENT_COST);

	return status;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	cml_binary_run(run, op, tile, rows);
}

const struct cml_op_type cml_op_pow = {
	.name = "POW",
	.builtin_code = CML_OP_POW,
	.options_type = 56,
	.max_version = 1,
	.types = CML_F32 | CML_S32,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "Integers wrap; a negative power of one is rounded towards 0.",
	.prepare = prepare,
	.run = run,
};
