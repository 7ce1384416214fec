// SPDX-License-Identifier: Apache-2.0
/*
 * Each index becomes a vector of "off", with "on" at the index. One that is
 * out of range, below 0 too, gives "off" all over. As in the reference, the
 * upper half of an int64 index does not count.
 */
#include <string.h>

#include "arguments.h"

enum { ONE_HOT_AXIS = 0 };
enum { INDICES, DEPTH, ON_VALUE, OFF_VALUE };

static enum cml_status check_types(struct cml_node *node)
{
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = CML_INTERNAL;

	status = cml_argument_types(node, cml_node_input(node, INDICES),
				    CML_S32 | CML_S64);
	if (!status)
		status = cml_argument_types(node, output, CML_ANY_TYPE);
	for (size_t i = ON_VALUE; !status && i <= OFF_VALUE; i++) {
		const struct cml_tensor *value = cml_node_input(node, i);

		status = cml_node_type(node, value, output->type);
		if (!status && value->count != 1)
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "value for on or off is not one");
	}

	return status;
}

/* The output's shape: that of the indices, with one dimension put in. */
static enum cml_status check_shape(struct cml_node *node, uint32_t axis,
				   int64_t depth)
{
	const struct cml_tensor *indices = cml_node_input(node, INDICES);
	int32_t dims[CML_MAX_RANK + 1] = { 0 };

	for (uint32_t i = 0; i <= indices->rank; i++) {
		if (i < axis)
			dims[i] = indices->dims[i];
		else
			dims[i] = i == axis ? depth : indices->dims[i - 1];
	}

	return cml_node_shape(node, cml_node_output(node, 0),
			      indices->rank + 1, dims);
}

static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *output = cml_node_output(node, 0);
	int32_t axis = cml_fb_i32(node->fb, node->tflite.options, ONE_HOT_AXIS,
				  0);
	int32_t rank = cml_node_input(node, INDICES)->rank;
	enum cml_status status = check_types(node);
	void *params = NULL;
	int64_t depth = 0;

	if (!status)
		status = cml_argument_integers(node, DEPTH, 1, 0,
					       CML_TFLITE_MAX_DIM, &depth);
	if (status)
		return status;
	if (axis < -1 || axis > rank)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "axis is not one of the output's");
	if (axis < 0)
		axis = rank;
	status = check_shape(node, axis, depth);
	if (!status)
		status = cml_node_params(node, sizeof(struct cml_axis),
					 &params);
	if (status)
		return status;
	*(struct cml_axis *)params = cml_axis_of(output, axis);
	cml_node_tiles(node, output->count, 4);

	return CML_OK;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct cml_tensor *tensor = cml_op_output(run, op, 0);
	const struct cml_axis *axis = cml_op_params(run, op);
	struct cml_range range = cml_tile(op, tile, tensor->count);
	size_t element = cml_tflite_type_size(tensor->type);
	const void *on = cml_op_in(run, op, ON_VALUE);
	const void *off = cml_op_in(run, op, OFF_VALUE);
	const void *indices = cml_op_in(run, op, INDICES);
	bool wide = cml_op_input(run, op, INDICES)->type == CML_TFLITE_INT64;
	uint8_t *output = cml_op_out(run, op, 0);

	for (uint32_t i = range.begin; i < range.end; i++) {
		uint32_t row = i / axis->inner;
		uint32_t from = row / axis->size * axis->inner +
				i % axis->inner;
		uint32_t index = wide ? ((const uint64_t *)indices)[from] :
					((const uint32_t *)indices)[from];

		memcpy(output + i * element,
		       index == row % axis->size ? on : off, element);
	}
}

const struct cml_op_type cml_op_one_hot = {
	.name = "ONE_HOT",
	.builtin_code = CML_OP_ONE_HOT,
	.options_type = 61,
	.max_version = 1,
	/* The indices'. */
	.types = CML_S32 | CML_S64,
	.min_inputs = 4, .max_inputs = 4,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "On and off may be of any type. The depth is a constant.",
	.prepare = prepare,
	.run = run,
};
