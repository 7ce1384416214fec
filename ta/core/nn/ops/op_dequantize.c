// SPDX-License-Identifier: Apache-2.0
/*
 * To floats. Weights are often stored quantised, or as float16, and this is
 * where they become what an operator can use: while preparing.
 */
#include "elements.h"
#include "unary.h"

#define COST	8

/* Of a tensor with a scale for each index of one axis; its zero points are 0 */
struct channels {
	uint32_t count;
	uint32_t stride;	/* elements from one index to the next */
	float scales[];
};

/* The file says which axis; the right one is not refused. */
static enum cml_status prepare_channels(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	struct cml_fb_vector scales = { 0 };
	enum cml_status status = cml_node_scales(node, 0, &scales);
	struct channels *channels = NULL;
	void *params = NULL;

	if (!status && (scales.count < 2 || !input->count))
		status = cml_node_quantized(node, input);
	if (!status)
		status = cml_node_params(node, sizeof(*channels) +
					 (size_t)scales.count * sizeof(float),
					 &params);
	if (status)
		return status;
	channels = params;
	channels->count = scales.count;
	channels->stride = input->count;
	for (uint32_t axis = 0; axis < input->rank; axis++) {
		channels->stride /= input->dims[axis];
		if ((uint32_t)input->dims[axis] != scales.count)
			continue;
		status = cml_node_channel_scales(node, 0, axis, scales.count,
						 channels->scales);
		if (!status)
			return CML_OK;
	}

	return cml_refuse(node, CML_MODEL_QUANTIZATION,
			  "scales do not belong to indices of one axis, or "
			  "are not positive and finite");
}

static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	enum cml_status status = cml_unary_prepare(node, CML_TFLITE_FLOAT32,
						   COST);

	if (status)
		return status;
	switch (input->type) {
	case CML_TFLITE_FLOAT16:
		return CML_OK;
	case CML_TFLITE_INT8:
	case CML_TFLITE_UINT8:
		if (!(input->scale > 0))
			return prepare_channels(node);
		return CML_OK;
	case CML_TFLITE_INT16:
		status = cml_node_quantized(node, input);
		if (!status && input->zero_point)
			status = cml_refuse(node, CML_MODEL_QUANTIZATION,
					    "zero point of int16 is not 0");
		return status;
	default:
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "input is neither quantised nor float16");
	}
}

/* Products are exact in float before they are rounded, as in double. */
static void dequantize(const struct cml_tensor *input,
		       const struct channels *channels, const int64_t *numbers,
		       size_t first, size_t count, float *out)
{
	for (size_t i = 0; i < count; i++) {
		float scale = input->scale;

		if (!(scale > 0)) {
			size_t index = (first + i) / channels->stride;

			scale = channels->scales[index % channels->count];
		}
		out[i] = scale * (float)(numbers[i] - input->zero_point);
	}
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct cml_tensor *input = cml_op_input(run, op, 0);
	const struct channels *channels = cml_op_params(run, op);
	struct cml_unary_span span = cml_unary_span(run, op, tile);
	size_t first = cml_tile(op, tile, input->count).begin;
	size_t size = cml_tflite_type_size(input->type);
	float *out = (float *)span.out;
	int64_t numbers[CML_ELEMENTS];

	for (size_t at = 0; at < span.count; at += CML_ELEMENTS) {
		const uint8_t *in = span.in + at * size;
		size_t rest = span.count - at;
		size_t count = rest < CML_ELEMENTS ? rest : CML_ELEMENTS;

		if (input->type == CML_TFLITE_FLOAT16) {
			cml_elements_load_f16(in, count, out + at);
			continue;
		}
		cml_elements_load(input->type, in, count, numbers);
		dequantize(input, channels, numbers, first + at, count,
			   out + at);
	}
}

const struct cml_op_type cml_op_dequantize = {
	.name = "DEQUANTIZE",
	.builtin_code = CML_OP_DEQUANTIZE,
	.options_type = 38,
	.max_version = 9,
	.types = CML_S8 | CML_U8 | CML_S16,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "float16 constants too. Scales by channel only with zero "
		 "points of 0.",
	.prepare = prepare,
	.run = run,
};
