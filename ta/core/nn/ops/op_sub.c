// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "binary.h"
#include "sum.h"

enum { SUM_POWER_OF_TWO_SCALE = 1 };

/* What SQRDMULH of twice the value by it leaves as it is */
#define ONE_HALF	(1 << 30)
/* Shifted further than that, nothing is left of an int16. */
#define MAX_RIGHT_SHIFT	15

/* Integers wrap; terms of quantised sums are at most 2^30. */
#define SUM_KERNELS(name, sign)						\
CML_BINARY_KERNEL(name ## _f32, float, float,				\
		  cml_binary_clamp_f32(binary, x sign y))		\
CML_BINARY_KERNEL(name ## _s32, int32_t, int32_t,			\
		  cml_binary_clamp(binary, (int32_t)((uint32_t)x sign	\
						     (uint32_t)y)))	\
CML_BINARY_KERNEL(name ## _s64, int64_t, int64_t,			\
		  cml_binary_clamp(binary, (int64_t)((uint64_t)x sign	\
						     (uint64_t)y)))	\
QUANTIZED_KERNEL(name ## _s16, int16_t, sign)				\
QUANTIZED_KERNEL(name ## _u8, uint8_t, sign)

#define QUANTIZED_KERNEL(name, type, sign)				\
CML_BINARY_KERNEL(name, type, type,					\
		  cml_binary_requantize(binary,				\
			cml_binary_rescale(binary, 0, x) sign		\
			cml_binary_rescale(binary, 1, y)))

SUM_KERNELS(add, +)
SUM_KERNELS(subtract, -)
QUANTIZED_KERNEL(subtract_s8, int8_t, -)

#define SUM_ROWS(op, name)						\
	{ op, CML_TFLITE_FLOAT32, CML_TFLITE_FLOAT32, name ## _f32 },	\
	{ op, CML_TFLITE_INT32, CML_TFLITE_INT32, name ## _s32 },	\
	{ op, CML_TFLITE_INT64, CML_TFLITE_INT64, name ## _s64 },	\
	{ op, CML_TFLITE_INT16, CML_TFLITE_INT16, name ## _s16 },	\
	{ op, CML_TFLITE_UINT8, CML_TFLITE_UINT8, name ## _u8 }

static const struct cml_binary_row rows[] = {
	SUM_ROWS(CML_OP_ADD, add),
	SUM_ROWS(CML_OP_SUB, subtract),
	{ CML_OP_SUB, CML_TFLITE_INT8, CML_TFLITE_INT8, subtract_s8 },
};

/* As near to one as TFLite asks for. */
static bool power_of_two(float scale, int32_t *exponent)
{
	float power = logf(scale) * (1.0f / logf(2.0f));
	float rounded = roundf(power);

	*exponent = rounded;

	return fabsf(power - rounded) < 1e-3f;
}

/*
 * int16 of scales that are powers of two: the input of the smaller scale is
 * shifted to the right, rounded, and that is all. Factors that leave a value
 * as it is make the general kernel do so.
 */
static enum cml_status shift_only(struct cml_node *node,
				  const int32_t exponents[3],
				  struct cml_binary *binary)
{
	int32_t shift0 = exponents[0] - exponents[2];
	int32_t shift1 = exponents[1] - exponents[2];

	if (shift0 > 0 || shift1 > 0 || (shift0 && shift1) ||
	    shift0 < -MAX_RIGHT_SHIFT || shift1 < -MAX_RIGHT_SHIFT)
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "neither input has the output's scale, or "
				  "the other's is larger, or far smaller");
	binary->left_shift = 1;
	binary->factor[0] = (struct cml_factor){ ONE_HALF, shift0 };
	binary->factor[1] = (struct cml_factor){ ONE_HALF, shift1 };
	binary->output_factor = (struct cml_factor){ ONE_HALF, 1 };

	return CML_OK;
}

static enum cml_status set_scales(struct cml_node *node,
				  struct cml_binary *binary)
{
	const struct cml_tensor *tensors[] = {
		cml_node_input(node, 0), cml_node_input(node, 1),
		cml_node_output(node, 0),
	};
	int32_t exponents[3] = { 0 };
	bool powers = true;

	if (tensors[0]->type != CML_TFLITE_INT16)
		return cml_binary_common_scale(node, 20, 1, binary);
	for (size_t i = 0; i < 3; i++)
		powers = power_of_two(tensors[i]->scale, &exponents[i]) &&
			 powers;
	if (powers && cml_fb_u8(node->fb, node->tflite.options,
				SUM_POWER_OF_TWO_SCALE, true))
		return shift_only(node, exponents, binary);

	return cml_binary_common_scale(node, 15, 1, binary);
}

enum cml_status cml_sum_prepare(struct cml_node *node)
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
	case CML_TFLITE_INT16:
		status = cml_binary_quantized_inputs(node, binary);
		if (!status)
			status = cml_binary_quantized_output(node, binary);
		if (!status)
			status = set_scales(node, binary);
		break;
	}
	if (!status)
		status = cml_binary_fused_activation(node, binary);

	return status;
}

void cml_sum_run(const struct cml_run *run, const struct cml_op *op,
		 uint32_t tile)
{
	cml_binary_run(run, op, tile, rows);
}

const struct cml_op_type cml_op_sub = {
	.name = "SUB",
	.builtin_code = CML_OP_SUB,
	.options_type = 28,
	.max_version = 5,
	.types = CML_S8 | CML_S16 | CML_F32 | CML_S32 | CML_S64 | CML_U8,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "int16 is quantised, around 0.",
	.prepare = cml_sum_prepare,
	.run = cml_sum_run,
};
