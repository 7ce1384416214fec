// SPDX-License-Identifier: Apache-2.0
/* Division: DIV towards 0, FLOOR_DIV and FLOOR_MOD downwards. */
#include <math.h>
#include <string.h>

#include "binary.h"

/* IEEE 754 binary32 and binary64 */
#define FRACTION_BITS		23
#define EXPONENT_BITS		0xff
#define LEAST_EXPONENT		(-149)
#define DOUBLE_FRACTION_BITS	52
#define DOUBLE_EXPONENT_BIAS	1023

static int64_t divide(int64_t x, int64_t y)
{
	return y ? x / y : 0;
}

static int64_t floor_divide(int64_t x, int64_t y)
{
	return divide(x, y) - (y && x % y && (x < 0) != (y < 0));
}

static int64_t floor_remainder(int64_t x, int64_t y)
{
	/* INT64_MIN % -1 does not exist. */
	int64_t remainder = y == 0 || y == -1 ? 0 : x % y;

	return remainder && (y < 0) != (remainder < 0) ? remainder + y :
							 remainder;
}

/* |@x|, which is finite, as an integer times 2^@exponent */
static uint64_t split(float x, int32_t *exponent)
{
	uint32_t bits = 0;
	uint32_t power = 0;
	uint32_t fraction = 0;

	memcpy(&bits, &x, sizeof(bits));
	power = bits >> FRACTION_BITS & EXPONENT_BITS;
	fraction = bits & ((1u << FRACTION_BITS) - 1);
	*exponent = LEAST_EXPONENT + (power ? (int32_t)power - 1 : 0);

	return power ? fraction | 1u << FRACTION_BITS : fraction;
}

/* What fmodf() gives: exact, of the sign of @x */
static float remainder_f32(float x, float y)
{
	int32_t exponent = 0;
	int32_t y_exponent = 0;
	uint64_t rest = 0;
	uint64_t divisor = 0;
	uint64_t bits = 0;
	double unit = 0;

	if (!(fabsf(x) <= __FLT_MAX__) || y != y || y == 0)
		return __builtin_nanf("");
	if (fabsf(x) < fabsf(y))
		return x;
	rest = split(x, &exponent);
	divisor = split(y, &y_exponent);
	rest %= divisor;
	/* 24 bits and 40 more at a time, at most seven times */
	for (int32_t left = exponent - y_exponent; left > 0; left -= 40)
		rest = (rest << (left < 40 ? left : 40)) % divisor;
	bits = (uint64_t)(y_exponent + DOUBLE_EXPONENT_BIAS) <<
	       DOUBLE_FRACTION_BITS;
	memcpy(&unit, &bits, sizeof(unit));

	return x < 0 ? -(rest * unit) : rest * unit;
}

static float floor_remainder_f32(float x, float y)
{
	float remainder = remainder_f32(x, y);

	return remainder != 0 && (y < 0) != (remainder < 0) ? remainder + y :
							      remainder;
}

CML_BINARY_KERNEL(divide_f32, float, float, cml_binary_clamp_f32(binary, x / y))
CML_BINARY_KERNEL(divide_s32, int32_t, int32_t,
		  cml_binary_clamp(binary, divide(x, y)))
CML_BINARY_KERNEL(floor_divide_f32, float, float, floor((double)x / y))
CML_BINARY_KERNEL(floor_divide_s32, int32_t, int32_t, floor_divide(x, y))
CML_BINARY_KERNEL(floor_remainder_of_f32, float, float,
		  floor_remainder_f32(x, y))
CML_BINARY_KERNEL(floor_remainder_s32, int32_t, int32_t, floor_remainder(x, y))
CML_BINARY_KERNEL(floor_remainder_s64, int64_t, int64_t, floor_remainder(x, y))

static const struct cml_binary_row rows[] = {
	{ CML_OP_DIV, CML_TFLITE_FLOAT32, CML_TFLITE_FLOAT32, divide_f32 },
	{ CML_OP_DIV, CML_TFLITE_INT32, CML_TFLITE_INT32, divide_s32 },
	{ CML_OP_FLOOR_DIV, CML_TFLITE_FLOAT32, CML_TFLITE_FLOAT32,
	  floor_divide_f32 },
	{ CML_OP_FLOOR_DIV, CML_TFLITE_INT32, CML_TFLITE_INT32,
	  floor_divide_s32 },
	{ CML_OP_FLOOR_MOD, CML_TFLITE_FLOAT32, CML_TFLITE_FLOAT32,
	  floor_remainder_of_f32 },
	{ CML_OP_FLOOR_MOD, CML_TFLITE_INT32, CML_TFLITE_INT32,
	  floor_remainder_s32 },
	{ CML_OP_FLOOR_MOD, CML_TFLITE_INT64, CML_TFLITE_INT64,
	  floor_remainder_s64 },
};

static enum cml_status prepare(struct cml_node *node)
{
	struct cml_binary *binary = NULL;
	enum cml_status status = CML_INTERNAL;

	status = cml_binary_prepare(node, rows, sizeof(rows) / sizeof(rows[0]),
				    &binary);
	if (!status && node->tflite.builtin_code == CML_OP_DIV)
		status = cml_binary_fused_activation(node, binary);

	return status;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	cml_binary_run(run, op, tile, rows);
}

#define DIVISION(lower, upper, options, version, of_types)		\
const struct cml_op_type cml_op_ ## lower = {				\
	.name = #upper,							\
	.builtin_code = CML_OP_ ## upper,				\
	.options_type = options,					\
	.max_version = version,						\
	.types = of_types,						\
	.min_inputs = 2, .max_inputs = 2,				\
	.min_outputs = 1, .max_outputs = 1,				\
	.notes = "An integer divided by 0 gives 0.",			\
	.prepare = prepare,						\
	.run = run,							\
};

DIVISION(div, DIV, 29, 2, CML_F32 | CML_S32)
DIVISION(floor_div, FLOOR_DIV, 65, 3, CML_F32 | CML_S32)
DIVISION(floor_mod, FLOOR_MOD, 72, 2, CML_F32 | CML_S32 | CML_S64)
