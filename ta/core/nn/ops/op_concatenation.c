// SPDX-License-Identifier: Apache-2.0
/*
 * CONCATENATION, PACK: rows of several tensors, one behind the other.
 *
 * LiteRT's reference copies int8 as it is, and has all scales equal; uint8 it
 * would rescale, but that is refused here.
 */
#include <string.h>

#include "copy.h"

enum { CONCATENATION_AXIS = 0, CONCATENATION_ACTIVATION = 1 };
enum { PACK_COUNT = 0, PACK_AXIS = 1 };

/* Each input is there, and of the output's type and scale. */
static enum cml_status check_inputs(struct cml_node *node)
{
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = CML_OK;

	for (size_t i = 0; !status && i < node->op->input_count; i++) {
		const struct cml_tensor *input = cml_node_input(node, i);

		if (!input)
			return cml_refuse(node, CML_MODEL_MALFORMED,
					  "operator lacks a required tensor");
		status = cml_copy_alike(node, input, output);
	}

	return status;
}

/* For an output whose shape is open; @axis is below its rank. */
static enum cml_status join_shapes(struct cml_node *node, uint32_t axis)
{
	const struct cml_tensor *first = cml_node_input(node, 0);
	int32_t dims[CML_MAX_RANK] = { 0 };
	uint64_t sum = 0;

	if (first->rank != cml_node_output(node, 0)->rank)
		return CML_OK;		/* refused with what does not fit */
	memcpy(dims, first->dims, sizeof(dims));
	/* Up to 2^14 operands of up to 2^24 */
	for (size_t i = 0; i < node->op->input_count; i++)
		sum += cml_node_input(node, i)->dims[axis];
	dims[axis] = sum > CML_TFLITE_MAX_DIM ? -1 : (int32_t)sum;

	return cml_node_open_shape(node, cml_node_output(node, 0), first->rank,
				   dims);
}

static enum cml_status prepare_concatenation(struct cml_node *node)
{
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = check_inputs(node);
	uint32_t axis = 0;
	uint64_t sum = 0;

	if (!status)
		status = cml_copy_axis(node, cml_fb_i32(node->fb,
							node->tflite.options,
							CONCATENATION_AXIS, 0),
				       output->rank, &axis);
	if (!status && cml_fb_u8(node->fb, node->tflite.options,
				 CONCATENATION_ACTIVATION, 0))
		status = cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				    "concatenation has a fused activation");
	if (!status)
		status = join_shapes(node, axis);
	for (size_t i = 0; !status && i < node->op->input_count; i++) {
		const struct cml_tensor *input = cml_node_input(node, i);

		status = cml_copy_shape_but(node, input, output, axis);
		if (!status)
			sum += input->dims[axis];
	}
	if (!status && sum != (uint64_t)output->dims[axis])
		status = cml_refuse(node, CML_MODEL_SHAPE,
				    "output's shape is not what the operator "
				    "computes");
	if (!status)
		status = cml_rows_prepare(node, output, axis);

	return status;
}

static enum cml_status prepare_pack(struct cml_node *node)
{
	const struct cml_tensor *first = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	int32_t dims[CML_MAX_RANK] = { 0 };
	enum cml_status status = check_inputs(node);
	uint32_t axis = 0;

	if (!status && first->rank == CML_MAX_RANK)
		status = cml_refuse(node, CML_MODEL_LIMIT,
				    "tensor has more than 6 dimensions");
	if (!status)
		status = cml_copy_axis(node, cml_fb_i32(node->fb,
							node->tflite.options,
							PACK_AXIS, 0),
				       first->rank + 1, &axis);
	if (!status && cml_fb_i32(node->fb, node->tflite.options, PACK_COUNT,
				  0) != node->op->input_count)
		status = cml_refuse(node, CML_MODEL_MALFORMED,
				    "operator does not have as many tensors "
				    "as its options say");
	for (size_t i = 1; !status && i < node->op->input_count; i++)
		if (!cml_same_shape(cml_node_input(node, i), first))
			status = cml_refuse(node, CML_MODEL_SHAPE,
					    "tensors that are packed differ in "
					    "shape");
	if (status)
		return status;
	for (uint32_t i = 0; i < first->rank; i++)
		dims[i + (i >= axis)] = first->dims[i];
	dims[axis] = node->op->input_count;
	status = cml_node_shape(node, output, first->rank + 1, dims);
	if (!status)
		status = cml_rows_prepare(node, output, axis);

	return status;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct cml_rows *rows = cml_op_params(run, op);
	struct cml_range own = cml_tile(op, tile, rows->count);
	uint8_t *output = cml_op_out(run, op, 0);

	if (own.begin >= own.end)
		return;
	output += (size_t)own.begin * rows->size;
	for (size_t i = 0; i < op->input_count; i++) {
		size_t size = cml_op_input(run, op, i)->size / rows->count;
		const uint8_t *input = cml_op_in(run, op, i);

		cml_copy_runs(output, rows->size, input + own.begin * size,
			      size, size, own.end - own.begin);
		output += size;
	}
}

const struct cml_op_type cml_op_concatenation = {
	.name = "CONCATENATION",
	.builtin_code = CML_OP_CONCATENATION,
	.empty_inputs = CML_ALL_INPUTS,
	.options_type = 10,
	.max_version = 7,
	.types = CML_COPIED_TYPES,
	.min_inputs = 1, .max_inputs = CML_ANY_COUNT,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "All scales and zero points are the same; no fused activation",
	.prepare = prepare_concatenation,
	.run = run,
};

const struct cml_op_type cml_op_pack = {
	.name = "PACK",
	.builtin_code = CML_OP_PACK,
	.empty_inputs = CML_ALL_INPUTS,
	.options_type = 59,
	.max_version = 5,
	.types = CML_COPIED_TYPES,
	.min_inputs = 1, .max_inputs = CML_ANY_COUNT,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "All scales and zero points are the same",
	.prepare = prepare_pack,
	.run = run,
};
