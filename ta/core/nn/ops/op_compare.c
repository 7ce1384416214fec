// SPDX-License-Identifier: Apache-2.0
/* Comparisons, and the logic of their results. */
#include "binary.h"

#define LEFT_SHIFT	8

#define COMPARE_KERNELS(name, operator)					\
CML_BINARY_KERNEL(name ## _s8, int8_t, uint8_t,				\
		  cml_binary_rescale(binary, 0, x) operator		\
		  cml_binary_rescale(binary, 1, y))			\
CML_BINARY_KERNEL(name ## _u8, uint8_t, uint8_t,			\
		  cml_binary_rescale(binary, 0, x) operator		\
		  cml_binary_rescale(binary, 1, y))			\
CML_BINARY_KERNEL(name ## _f32, float, uint8_t, x operator y)		\
CML_BINARY_KERNEL(name ## _s32, int32_t, uint8_t, x operator y)		\
CML_BINARY_KERNEL(name ## _s64, int64_t, uint8_t, x operator y)

COMPARE_KERNELS(equal, ==)
COMPARE_KERNELS(not_equal, !=)
COMPARE_KERNELS(greater, >)
COMPARE_KERNELS(greater_equal, >=)
COMPARE_KERNELS(less, <)
COMPARE_KERNELS(less_equal, <=)

/* A bool of the model or of its input may be any byte. */
CML_BINARY_KERNEL(equal_bool, uint8_t, uint8_t, !x == !y)
CML_BINARY_KERNEL(not_equal_bool, uint8_t, uint8_t, !x != !y)
CML_BINARY_KERNEL(and_bool, uint8_t, uint8_t, x && y)
CML_BINARY_KERNEL(or_bool, uint8_t, uint8_t, x || y)

#define COMPARE_ROWS(op, name)						\
	{ op, CML_TFLITE_INT8, CML_TFLITE_BOOL, name ## _s8 },		\
	{ op, CML_TFLITE_UINT8, CML_TFLITE_BOOL, name ## _u8 },		\
	{ op, CML_TFLITE_FLOAT32, CML_TFLITE_BOOL, name ## _f32 },	\
	{ op, CML_TFLITE_INT32, CML_TFLITE_BOOL, name ## _s32 },	\
	{ op, CML_TFLITE_INT64, CML_TFLITE_BOOL, name ## _s64 }

static const struct cml_binary_row rows[] = {
	COMPARE_ROWS(CML_OP_EQUAL, equal),
	COMPARE_ROWS(CML_OP_NOT_EQUAL, not_equal),
	COMPARE_ROWS(CML_OP_GREATER, greater),
	COMPARE_ROWS(CML_OP_GREATER_EQUAL, greater_equal),
	COMPARE_ROWS(CML_OP_LESS, less),
	COMPARE_ROWS(CML_OP_LESS_EQUAL, less_equal),
	{ CML_OP_EQUAL, CML_TFLITE_BOOL, CML_TFLITE_BOOL, equal_bool },
	{ CML_OP_NOT_EQUAL, CML_TFLITE_BOOL, CML_TFLITE_BOOL, not_equal_bool },
	{ CML_OP_LOGICAL_AND, CML_TFLITE_BOOL, CML_TFLITE_BOOL, and_bool },
	{ CML_OP_LOGICAL_OR, CML_TFLITE_BOOL, CML_TFLITE_BOOL, or_bool },
};

/* Each input is multiplied by its scale. */
static enum cml_status quantize(struct cml_node *node,
				struct cml_binary *binary)
{
	enum cml_status status = cml_binary_quantized_inputs(node, binary);

	binary->left_shift = LEFT_SHIFT;
	for (size_t i = 0; !status && i < 2; i++)
		if (!cml_binary_small_factor(cml_node_input(node, i)->scale,
					     &binary->factor[i]))
			status = cml_refuse(node, CML_MODEL_QUANTIZATION,
					    "a scale of what is compared is 1 "
					    "or more");

	return status;
}

static enum cml_status prepare(struct cml_node *node)
{
	struct cml_binary *binary = NULL;
	enum cml_status status = CML_INTERNAL;

	status = cml_binary_prepare(node, rows, sizeof(rows) / sizeof(rows[0]),
				    &binary);
	if (status)
		return status;
	switch (cml_node_input(node, 0)->type) {
	case CML_TFLITE_INT8:
	case CML_TFLITE_UINT8:
		return quantize(node, binary);
	default:
		return CML_OK;
	}
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	cml_binary_run(run, op, tile, rows);
}

#define TO_BOOL(lower, upper, options, version, of_types, of_notes)	\
const struct cml_op_type cml_op_ ## lower = {				\
	.name = #upper,							\
	.builtin_code = CML_OP_ ## upper,				\
	.options_type = options,					\
	.max_version = version,						\
	.types = of_types,						\
	.min_inputs = 2, .max_inputs = 2,				\
	.min_outputs = 1, .max_outputs = 1,				\
	.notes = of_notes,						\
	.prepare = prepare,						\
	.run = run,							\
};

#define NUMBERS	(CML_S8 | CML_F32 | CML_S32 | CML_S64 | CML_U8)
#define NOTES	"Scales are below 1."

TO_BOOL(equal, EQUAL, 53, 5, NUMBERS | CML_BOOL, NOTES)
TO_BOOL(not_equal, NOT_EQUAL, 54, 4, NUMBERS | CML_BOOL, NOTES)
TO_BOOL(greater, GREATER, 44, 2, NUMBERS, NOTES)
TO_BOOL(greater_equal, GREATER_EQUAL, 45, 3, NUMBERS, NOTES)
TO_BOOL(less, LESS, 41, 3, NUMBERS, NOTES)
TO_BOOL(less_equal, LESS_EQUAL, 46, 2, NUMBERS, NOTES)
TO_BOOL(logical_and, LOGICAL_AND, 62, 1, CML_BOOL, NULL)
TO_BOOL(logical_or, LOGICAL_OR, 60, 1, CML_BOOL, NULL)
