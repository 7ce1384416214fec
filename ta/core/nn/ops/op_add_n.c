// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "nn/op.h"

/* Sums that are made at a time, before they are written once and for all */
#define CHUNK	64

static void add_f32(float *sums, const float *input, size_t count)
{
	for (size_t i = 0; i < count; i++)
		sums[i] += input[i];
}

/* Wraps */
static void add_s32(uint32_t *sums, const int32_t *input, size_t count)
{
	for (size_t i = 0; i < count; i++)
		sums[i] += (uint32_t)input[i];
}

static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *first = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	size_t inputs = node->op->input_count;
	enum cml_status status = CML_INTERNAL;

	if (first->type != CML_TFLITE_FLOAT32 &&
	    first->type != CML_TFLITE_INT32)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "operator is not supported for this type");
	for (size_t i = 1; i < inputs; i++) {
		const struct cml_tensor *input = cml_node_input(node, i);

		if (!input)
			return cml_refuse(node, CML_MODEL_MALFORMED,
					  "operator lacks a required tensor");
		status = cml_node_type(node, input, first->type);
		if (status)
			return status;
		if (!cml_same_shape(input, first))
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "inputs of a sum differ in shape");
	}
	status = cml_node_type(node, output, first->type);
	if (!status)
		status = cml_node_shape(node, output, first->rank, first->dims);
	if (status)
		return status;
	node->macs = (uint64_t)output->count * inputs;
	cml_node_tiles(node, output->count, inputs);

	return CML_OK;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct cml_tensor *output = cml_op_output(run, op, 0);
	struct cml_range range = cml_tile(op, tile, output->count);
	uint8_t *sums = cml_op_out(run, op, 0);
	union {
		float f32[CHUNK];
		uint32_t s32[CHUNK];
	} chunk;

	for (uint32_t i = range.begin; i < range.end; i += CHUNK) {
		uint32_t left = range.end - i;
		size_t count = left < CHUNK ? left : CHUNK;
		size_t from = (size_t)i * sizeof(int32_t);

		memset(&chunk, 0, sizeof(chunk));
		for (size_t j = 0; j < op->input_count; j++) {
			const uint8_t *input = cml_op_in(run, op, j);
			const void *part = input + from;

			if (output->type == CML_TFLITE_FLOAT32)
				add_f32(chunk.f32, part, count);
			else
				add_s32(chunk.s32, part, count);
		}
		memcpy(sums + from, &chunk, count * sizeof(int32_t));
	}
}

const struct cml_op_type cml_op_add_n = {
	.name = "ADD_N",
	.builtin_code = CML_OP_ADD_N,
	.options_type = 82,
	.max_version = 1,
	.types = CML_F32 | CML_S32,
	.min_inputs = 2, .max_inputs = CML_ANY_COUNT,
	.min_outputs = 1, .max_outputs = 1,
	.prepare = prepare,
	.run = run,
};
