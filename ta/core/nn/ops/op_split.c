// SPDX-License-Identifier: Apache-2.0
/* SPLIT, SPLIT_V, UNPACK: rows of a tensor cut into several. */
#include <string.h>

#include "copy.h"

enum { SPLIT_COUNT = 0 };
enum { UNPACK_COUNT = 0, UNPACK_AXIS = 1 };

/* SPLIT: the axis, then the tensor; SPLIT_V: tensor, sizes, axis. */
enum { SPLIT_IN_AXIS = 0, SPLIT_IN_WHOLE = 1 };
enum { SPLIT_V_IN_WHOLE = 0, SPLIT_V_IN_SIZES = 1, SPLIT_V_IN_AXIS = 2 };

/* The option says how many outputs there are. */
static enum cml_status check_count(struct cml_node *node, uint32_t field)
{
	if (cml_fb_i32(node->fb, node->tflite.options, field, 0) !=
	    node->op->output_count)
		return cml_refuse(node, CML_MODEL_MALFORMED,
				  "operator does not have as many tensors "
				  "as its options say");

	return CML_OK;
}

static enum cml_status read_axis(struct cml_node *node, size_t input,
				 const struct cml_tensor *whole, uint32_t *axis)
{
	int64_t number = 0;
	enum cml_status status = cml_copy_numbers(node, input, 1, &number);

	if (!status)
		status = cml_copy_axis(node, number, whole->rank, axis);

	return status;
}

/* A part whose shape is open is @size along @axis. */
static enum cml_status open_part(struct cml_node *node, size_t index,
				 const struct cml_tensor *whole, uint32_t axis,
				 int32_t size)
{
	int32_t dims[CML_MAX_RANK] = { 0 };

	memcpy(dims, whole->dims, sizeof(dims));
	dims[axis] = size;

	return cml_node_open_shape(node, cml_node_output(node, index),
				   whole->rank, dims);
}

/* Outputs are parts of @whole; together they are as much as it. */
static enum cml_status check_parts(struct cml_node *node,
				   const struct cml_tensor *whole,
				   uint32_t axis)
{
	enum cml_status status = CML_OK;
	uint64_t sum = 0;

	for (size_t i = 0; !status && i < node->op->output_count; i++) {
		const struct cml_tensor *part = cml_node_output(node, i);

		status = cml_copy_types(node, whole, part);
		if (!status)
			status = cml_copy_shape_but(node, part, whole, axis);
		if (!status)
			sum += part->dims[axis];
	}
	if (!status && sum != (uint64_t)whole->dims[axis])
		status = cml_refuse(node, CML_MODEL_SHAPE,
				    "parts of a tensor that is split do not "
				    "have its size");

	return status;
}

static enum cml_status prepare_split(struct cml_node *node)
{
	const struct cml_tensor *whole = cml_node_input(node, SPLIT_IN_WHOLE);
	enum cml_status status = check_count(node, SPLIT_COUNT);
	uint32_t axis = 0;
	int32_t part = 0;

	if (!status)
		status = read_axis(node, SPLIT_IN_AXIS, whole, &axis);
	if (!status)
		part = whole->dims[axis] / node->op->output_count;
	for (size_t i = 0; !status && i < node->op->output_count; i++)
		status = open_part(node, i, whole, axis, part);
	if (!status)
		status = check_parts(node, whole, axis);
	if (status)
		return status;
	for (size_t i = 0; i < node->op->output_count; i++)
		if (cml_node_output(node, i)->dims[axis] != part)
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "parts of a tensor that is split "
					  "are not of equal size");

	return cml_rows_prepare(node, whole, axis);
}

static int64_t size_at(const struct cml_tensor *sizes, const void *data,
		       uint32_t index)
{
	return sizes->type == CML_TFLITE_INT64 ?
	       ((const int64_t *)data)[index] : ((const int32_t *)data)[index];
}

/* For parts whose shape is open; sizes that make no sense are left alone. */
static enum cml_status open_parts(struct cml_node *node,
				  const struct cml_tensor *whole,
				  const struct cml_tensor *sizes,
				  const void *data, uint32_t axis)
{
	int64_t left = whole->dims[axis];
	enum cml_status status = CML_OK;

	for (uint32_t i = 0; i < sizes->count; i++) {
		int64_t size = size_at(sizes, data, i);

		if (size < -1 || size > whole->dims[axis])
			return CML_OK;
		left -= size == -1 ? 0 : size;
	}
	for (uint32_t i = 0; !status && left >= 0 && i < sizes->count; i++) {
		int64_t size = size_at(sizes, data, i);

		status = open_part(node, i, whole, axis,
				   size == -1 ? left : size);
	}

	return status;
}

/* Each size is that of an output; one may be -1: what is left. */
static enum cml_status check_sizes(struct cml_node *node,
				   const struct cml_tensor *whole,
				   uint32_t axis)
{
	const struct cml_tensor *sizes = cml_node_input(node, SPLIT_V_IN_SIZES);
	const void *data = NULL;
	enum cml_status status = cml_node_need_constant(node, SPLIT_V_IN_SIZES,
							&data);
	bool left = false;

	if (status)
		return status;
	if (sizes->type != CML_TFLITE_INT32 && sizes->type != CML_TFLITE_INT64)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "constant is neither int32 nor int64");
	if (sizes->count != node->op->output_count)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "split does not have as many sizes as "
				  "outputs");
	status = open_parts(node, whole, sizes, data, axis);
	if (!status)
		status = check_parts(node, whole, axis);
	if (status)
		return status;
	for (uint32_t i = 0; i < sizes->count; i++) {
		int64_t size = size_at(sizes, data, i);

		if (size == -1 && !left)
			left = true;
		else if (size != cml_node_output(node, i)->dims[axis])
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "size of a part is not its "
					  "output's");
	}

	return CML_OK;
}

static enum cml_status prepare_split_v(struct cml_node *node)
{
	const struct cml_tensor *whole = cml_node_input(node, SPLIT_V_IN_WHOLE);
	enum cml_status status = check_count(node, SPLIT_COUNT);
	uint32_t axis = 0;

	if (!status)
		status = read_axis(node, SPLIT_V_IN_AXIS, whole, &axis);
	if (!status)
		status = check_sizes(node, whole, axis);
	if (!status)
		status = cml_rows_prepare(node, whole, axis);

	return status;
}

static enum cml_status prepare_unpack(struct cml_node *node)
{
	const struct cml_tensor *whole = cml_node_input(node, 0);
	int32_t dims[CML_MAX_RANK] = { 0 };
	enum cml_status status = check_count(node, UNPACK_COUNT);
	uint32_t axis = 0;

	if (!status)
		status = cml_copy_axis(node, cml_fb_i32(node->fb,
							node->tflite.options,
							UNPACK_AXIS, 0),
				       whole->rank, &axis);
	if (!status && whole->dims[axis] != node->op->output_count)
		status = cml_refuse(node, CML_MODEL_SHAPE,
				    "operator does not have an output for "
				    "each part");
	if (status)
		return status;
	for (uint32_t i = 0; i < whole->rank; i++)
		if (i != axis)
			dims[i - (i > axis)] = whole->dims[i];
	for (size_t i = 0; !status && i < node->op->output_count; i++) {
		const struct cml_tensor *part = cml_node_output(node, i);

		status = cml_copy_alike(node, whole, part);
		if (!status)
			status = cml_node_shape(node, part, whole->rank - 1,
						dims);
	}
	if (!status)
		status = cml_rows_prepare(node, whole, axis);

	return status;
}

static void run_parts(const struct cml_run *run, const struct cml_op *op,
		      uint32_t tile, size_t whole)
{
	const struct cml_rows *rows = cml_op_params(run, op);
	struct cml_range own = cml_tile(op, tile, rows->count);
	const uint8_t *input = cml_op_in(run, op, whole);

	if (own.begin >= own.end)
		return;
	input += (size_t)own.begin * rows->size;
	for (size_t i = 0; i < op->output_count; i++) {
		size_t size = cml_op_output(run, op, i)->size / rows->count;
		uint8_t *output = cml_op_out(run, op, i);

		cml_copy_runs(output + own.begin * size, size, input,
			      rows->size, size, own.end - own.begin);
		input += size;
	}
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	run_parts(run, op, tile, 0);
}

static void run_split(const struct cml_run *run, const struct cml_op *op,
		      uint32_t tile)
{
	run_parts(run, op, tile, SPLIT_IN_WHOLE);
}

const struct cml_op_type cml_op_split = {
	.name = "SPLIT",
	.builtin_code = CML_OP_SPLIT,
	.empty_inputs = CML_ALL_INPUTS,
	.options_type = 35,
	.max_version = 5,
	.types = CML_COPIED_TYPES,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = CML_ANY_COUNT,
	.notes = "The axis is a constant",
	.prepare = prepare_split,
	.run = run_split,
};

const struct cml_op_type cml_op_split_v = {
	.name = "SPLIT_V",
	.builtin_code = CML_OP_SPLIT_V,
	.empty_inputs = CML_ALL_INPUTS,
	.options_type = 79,
	.max_version = 3,
	.types = CML_COPIED_TYPES,
	.min_inputs = 3, .max_inputs = 3,
	.min_outputs = 1, .max_outputs = CML_ANY_COUNT,
	.notes = "Sizes and axis are constants",
	.prepare = prepare_split_v,
	.run = run,
};

const struct cml_op_type cml_op_unpack = {
	.name = "UNPACK",
	.builtin_code = CML_OP_UNPACK,
	.empty_inputs = CML_ALL_INPUTS,
	.options_type = 64,
	.max_version = 6,
	.types = CML_COPIED_TYPES,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = CML_ANY_COUNT,
	.notes = "All scales and zero points are the same",
	.prepare = prepare_unpack,
	.run = run,
};
