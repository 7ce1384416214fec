// SPDX-License-Identifier: Apache-2.0
/* Operators that clamp. */
#include <math.h>

#include "rescale.h"

#define COST	8

struct bounds {
	int32_t builtin_code;
	float lower, upper;
};

static const struct bounds all_bounds[] = {
	{ CML_OP_RELU, 0, __builtin_inff() },
	{ CML_OP_RELU6, 0, 6 },
	{ CML_OP_RELU_N1_TO_1, -1, 1 },
	{ CML_OP_RELU_0_TO_1, 0, 1 },
};

/* @real in the output's numbers; false: not within 32 bits. */
static bool quantize(const struct cml_tensor *output, float real,
		     int32_t *quantized)
{
	float steps = roundf(real / output->scale);

	/* INT32_MAX as a float is 2^31. */
	if (!(steps >= -2147483648.0f && steps < 2147483648.0f))
		return false;

	return !__builtin_add_overflow((int32_t)steps, output->zero_point,
				       quantized);
}

static enum cml_status prepare_quantized(struct cml_node *node,
					 const struct bounds *bounds)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = cml_unary_quantized(node);
	struct cml_rescale *rescale = NULL;
	int32_t lower = 0;
	int32_t upper = INT32_MAX;

	if (status)
		return status;
	if (!quantize(output, bounds->lower, &lower) ||
	    (bounds->upper <= __FLT_MAX__ &&
	     !quantize(output, bounds->upper, &upper)))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "bounds of the activation do not fit the "
				  "output's scale");
	/* A quotient of floats, as in the reference */
	status = cml_rescale_prepare(node, input->scale / output->scale,
				     &rescale);
	if (status)
		return status;
	if (lower > rescale->min)
		rescale->min = lower;
	if (upper < rescale->max)
		rescale->max = upper;
	cml_rescale_finish(rescale);

	return CML_OK;
}

static enum cml_status prepare(struct cml_node *node)
{
	uint32_t type = cml_node_input(node, 0)->type;
	enum cml_status status = cml_unary_prepare(node, type, COST);
	const struct bounds *bounds = all_bounds;
	uint32_t bit = 0;

	if (status)
		return status;
	while (bounds->builtin_code != node->tflite.builtin_code)
		bounds++;
	node->op->kernel = bounds - all_bounds;
	switch (type) {
	case CML_TFLITE_FLOAT32:
		return CML_OK;
	case CML_TFLITE_INT8:
		bit = CML_S8;
		break;
	case CML_TFLITE_UINT8:
		bit = CML_U8;
		break;
	case CML_TFLITE_INT16:
		bit = CML_S16;
		break;
	}
	if (!(cml_op_types[node->op->type]->types & bit))
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "operator does not have this type");

	return prepare_quantized(node, bounds);
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	struct cml_unary_span span = cml_unary_span(run, op, tile);
	const struct bounds *bounds = &all_bounds[op->kernel];
	const float *in = (const float *)span.in;
	float *out = (float *)span.out;

	if (cml_op_input(run, op, 0)->type != CML_TFLITE_FLOAT32) {
		cml_rescale_run(cml_op_params(run, op), span);
		return;
	}
	/* NaN stays NaN. */
	for (size_t i = 0; i < span.count; i++)
		out[i] = in[i] < bounds->lower ? bounds->lower :
			 in[i] > bounds->upper ? bounds->upper : in[i];
}

#define BYTES	(CML_F32 | CML_S8 | CML_U8)

#define RELU(symbol, code, version, first_types) \
	const struct cml_op_type symbol = { \
		.name = #code, \
		.builtin_code = CML_OP_ ## code, \
		.max_version = version, \
		.types = first_types, \
		.min_inputs = 1, .max_inputs = 1, \
		.min_outputs = 1, .max_outputs = 1, \
		.prepare = prepare, \
		.run = run, \
	}

RELU(cml_op_relu, RELU, 3, BYTES | CML_S16);
RELU(cml_op_relu6, RELU6, 3, BYTES | CML_S16);
RELU(cml_op_relu_n1_to_1, RELU_N1_TO_1, 1, BYTES);
RELU(cml_op_relu_0_to_1, RELU_0_TO_1, 1, BYTES);
