// SPDX-License-Identifier: Apache-2.0
/* To quantised numbers, from floats or from other quantised numbers. */
#include <math.h>

#include "elements.h"
#include "rescale.h"

#define COST	16

#define BIT(type)	(1u << CML_TFLITE_ ## type)

/* Types of outputs, of an input's type; 0: none. */
static uint32_t output_types(uint32_t type)
{
	switch (type) {
	case CML_TFLITE_FLOAT32:
	case CML_TFLITE_INT8:
	case CML_TFLITE_UINT8:
		return BIT(INT8) | BIT(UINT8) | BIT(INT16);
	case CML_TFLITE_INT16:
		return BIT(INT8) | BIT(INT16) | BIT(INT32);
	case CML_TFLITE_INT32:
		return BIT(INT8) | BIT(INT16);
	default:
		return 0;
	}
}

static enum cml_status prepare_rescale(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = cml_node_quantized(node, input);
	struct cml_rescale *rescale = NULL;

	if (status)
		return status;
	if (input->type == CML_TFLITE_INT16 &&
	    output->type == CML_TFLITE_INT16 &&
	    (input->zero_point || output->zero_point))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "zero point of int16 is not 0");
	status = cml_rescale_prepare(node, (double)input->scale /
					   (double)output->scale, &rescale);
	if (!status)
		cml_rescale_finish(rescale);

	return status;
}

static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = CML_INTERNAL;

	if (output->type >= 32 ||
	    !(output_types(input->type) >> output->type & 1))
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "no conversion between these types");
	status = cml_unary_prepare(node, output->type, COST);
	if (!status)
		status = cml_node_quantized(node, output);
	if (!status && input->type != CML_TFLITE_FLOAT32)
		status = prepare_rescale(node);

	return status;
}

/*
 * What is beyond 32 bits is clamped; NaN becomes the least number. LiteRT
 * leaves both to the processor.
 */
static void quantize(const struct cml_tensor *output,
		     struct cml_unary_span span)
{
	const float *in = (const float *)span.in;
	size_t size = cml_tflite_type_size(output->type);
	int64_t numbers[CML_ELEMENTS];
	int64_t min = 0;
	int64_t max = 0;

	cml_elements_limits(output->type, &min, &max);
	for (size_t at = 0; at < span.count; at += CML_ELEMENTS) {
		size_t rest = span.count - at;
		size_t count = rest < CML_ELEMENTS ? rest : CML_ELEMENTS;

		for (size_t i = 0; i < count; i++) {
			double x = roundf(in[at + i] / output->scale);

			x += output->zero_point;
			numbers[i] = !(x > min) ? min : x > max ? max : x;
		}
		cml_elements_store(output->type, span.out + at * size, count,
				   numbers);
	}
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	struct cml_unary_span span = cml_unary_span(run, op, tile);

	if (cml_op_input(run, op, 0)->type == CML_TFLITE_FLOAT32)
		quantize(cml_op_output(run, op, 0), span);
	else
		cml_rescale_run(cml_op_params(run, op), span);
}

const struct cml_op_type cml_op_quantize = {
	.name = "QUANTIZE",
	.builtin_code = CML_OP_QUANTIZE,
	.options_type = 89,
	.max_version = 6,
	.types = CML_F32 | CML_S8 | CML_U8 | CML_S16 | CML_S32,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "One scale for the whole tensor.",
	.prepare = prepare,
	.run = run,
};
