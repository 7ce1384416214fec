// SPDX-License-Identifier: Apache-2.0
#include "binary.h"

/* At most 2^30, of uint8 and int8 less: the product does not overflow. */
static int32_t multiply(const struct cml_binary *binary, int32_t x, int32_t y)
{
	int32_t product = (x - binary->zero_point[0]) *
			  (y - binary->zero_point[1]);

	return cml_binary_requantize(binary, product);
}

CML_BINARY_KERNEL(multiply_s8, int8_t, int8_t, multiply(binary, x, y))
CML_BINARY_KERNEL(multiply_u8, uint8_t, uint8_t, multiply(binary, x, y))
CML_BINARY_KERNEL(multiply_s16, int16_t, int16_t, multiply(binary, x, y))
CML_BINARY_KERNEL(multiply_f32, float, float,
		  cml_binary_clamp_f32(binary, x * y))
/* These wrap. */
CML_BINARY_KERNEL(multiply_s32, int32_t, int32_t,
		  cml_binary_clamp(binary,
				   (int32_t)((uint32_t)x * (uint32_t)y)))
CML_BINARY_KERNEL(multiply_s64, int64_t, int64_t,
		  cml_binary_clamp(binary,
				   (int64_t)((uint64_t)x * (uint64_t)y)))

static const struct cml_binary_row rows[] = {
	{ CML_OP_MUL, CML_TFLITE_INT8, CML_TFLITE_INT8, multiply_s8 },
	{ CML_OP_MUL, CML_TFLITE_UINT8, CML_TFLITE_UINT8, multiply_u8 },
	{ CML_OP_MUL, CML_TFLITE_INT16, CML_TFLITE_INT16, multiply_s16 },
	{ CML_OP_MUL, CML_TFLITE_FLOAT32, CML_TFLITE_FLOAT32, multiply_f32 },
	{ CML_OP_MUL, CML_TFLITE_INT32, CML_TFLITE_INT32, multiply_s32 },
	{ CML_OP_MUL, CML_TFLITE_INT64, CML_TFLITE_INT64, multiply_s64 },
};

static enum cml_status quantize(struct cml_node *node,
				struct cml_binary *binary)
{
	enum cml_status status = cml_binary_quantized_inputs(node, binary);
	/* In float, as TFLite computes it */
	float real = cml_node_input(node, 0)->scale *
		     cml_node_input(node, 1)->scale /
		     cml_node_output(node, 0)->scale;

	if (!status)
		status = cml_binary_quantized_output(node, binary);
	/* Also false for NaN */
	if (!status && !(real > 0 && real <= __FLT_MAX__ &&
			 cml_quant_factor(real, &binary->output_factor)))
		status = cml_refuse(node, CML_MODEL_QUANTIZATION,
				    "scales of the operator's tensors are too "
				    "far apart");

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
	case CML_TFLITE_INT16:
		status = quantize(node, binary);
		break;
	}
	if (!status)
		status = cml_binary_fused_activation(node, binary);

	return status;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	cml_binary_run(run, op, tile, rows);
}

const struct cml_op_type cml_op_mul = {
	.name = "MUL",
	.builtin_code = CML_OP_MUL,
	.options_type = 21,
	.max_version = 7,
	.types = CML_S8 | CML_S16 | CML_F32 | CML_S32 | CML_S64 | CML_U8,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "int16 is quantised, around 0.",
	.prepare = prepare,
	.run = run,
};
