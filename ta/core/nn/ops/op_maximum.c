// SPDX-License-Identifier: Apache-2.0
/* MAXIMUM and MINIMUM: as TFLite does, of quantised values as they are. */
#include "binary.h"

#define EXTREME_KERNELS(suffix, type)					\
CML_BINARY_KERNEL(maximum_ ## suffix, type, type, x > y ? x : y)	\
CML_BINARY_KERNEL(minimum_ ## suffix, type, type, x < y ? x : y)

EXTREME_KERNELS(s8, int8_t)
EXTREME_KERNELS(u8, uint8_t)
EXTREME_KERNELS(s16, int16_t)
EXTREME_KERNELS(s32, int32_t)
EXTREME_KERNELS(s64, int64_t)
EXTREME_KERNELS(f32, float)

#define EXTREME_ROWS(suffix, type)					\
	{ CML_OP_MAXIMUM, type, type, maximum_ ## suffix },		\
	{ CML_OP_MINIMUM, type, type, minimum_ ## suffix }

static const struct cml_binary_row rows[] = {
	EXTREME_ROWS(s8, CML_TFLITE_INT8),
	EXTREME_ROWS(u8, CML_TFLITE_UINT8),
	EXTREME_ROWS(s16, CML_TFLITE_INT16),
	EXTREME_ROWS(s32, CML_TFLITE_INT32),
	EXTREME_ROWS(s64, CML_TFLITE_INT64),
	EXTREME_ROWS(f32, CML_TFLITE_FLOAT32),
};

static enum cml_status prepare(struct cml_node *node)
{
	struct cml_binary *binary = NULL;

	return cml_binary_prepare(node, rows, sizeof(rows) / sizeof(rows[0]),
				  &binary);
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	cml_binary_run(run, op, tile, rows);
}

#define EXTREME(lower, upper)						\
const struct cml_op_type cml_op_ ## lower = {				\
	.name = #upper,							\
	.builtin_code = CML_OP_ ## upper,				\
	.options_type = 39,						\
	.max_version = 4,						\
	.types = CML_S8 | CML_S16 | CML_F32 | CML_S32 | CML_S64 |	\
		 CML_U8,						\
	.min_inputs = 2, .max_inputs = 2,				\
	.min_outputs = 1, .max_outputs = 1,				\
	.prepare = prepare,						\
	.run = run,							\
};

EXTREME(maximum, MAXIMUM)
EXTREME(minimum, MINIMUM)
