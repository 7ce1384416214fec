// SPDX-License-Identifier: Apache-2.0
/* Operators that give the same elements another shape: they copy, at most. */
#include <string.h>

#include "arguments.h"

enum { RESHAPE_NEW_SHAPE = 0 };		/* field of the options */
enum { SQUEEZE_DIMS = 0 };
enum { TENSOR, ARGUMENT };		/* inputs */

struct shape {
	uint32_t rank;
	int32_t dims[CML_MAX_RANK];
};

/* Elements are copied as they are, so nothing else may change. */
static enum cml_status check_elements(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, TENSOR);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = cml_node_type(node, output, input->type);

	if (status)
		return status;
	if (input->count != output->count)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "output does not have as many elements as "
				  "the input");
	cml_node_in_place(node, TENSOR);

	return CML_OK;
}

/*
 * A file that leaves the output's shape open says a size that is too small.
 * Where the size is right, that is enough: older converters differ in how
 * they say which shape is meant.
 */
static bool is_open(struct cml_node *node)
{
	return cml_node_input(node, TENSOR)->count !=
	       cml_node_output(node, 0)->count;
}

static enum cml_status set_shape(struct cml_node *node,
				 const struct shape *shape)
{
	return cml_node_shape(node, cml_node_output(node, 0), shape->rank,
			      shape->dims);
}

static enum cml_status too_many(struct cml_node *node)
{
	return cml_refuse(node, CML_MODEL_LIMIT,
			  "output would have more than 6 dimensions");
}

/* From an input, or from the options. */
static enum cml_status read_shape(struct cml_node *node, struct shape *shape)
{
	const struct cml_tensor *argument = cml_node_input(node, ARGUMENT);
	int64_t dims[CML_MAX_RANK] = { 0 };
	struct cml_fb_vector option = { 0 };
	enum cml_status status = CML_OK;

	if (!argument)
		option = cml_fb_vector(node->fb, node->tflite.options,
				       RESHAPE_NEW_SHAPE, 4);
	shape->rank = argument ? argument->count : option.count;
	if (shape->rank > CML_MAX_RANK)
		return too_many(node);
	if (argument)
		status = cml_argument_integers(node, ARGUMENT, shape->rank, -1,
					       CML_TFLITE_MAX_DIM, dims);
	for (uint32_t i = 0; i < shape->rank; i++)
		shape->dims[i] = argument ? dims[i] :
				 cml_fb_i32_at(node->fb, option, i);

	return status;
}

static enum cml_status reshape_prepare(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, TENSOR);
	struct shape shape = { 0 };
	enum cml_status status = CML_OK;
	int32_t stretched = -1;
	uint64_t known = 1;

	if (!is_open(node))
		return check_elements(node);
	status = read_shape(node, &shape);
	if (status)
		return status;
	for (uint32_t i = 0; i < shape.rank; i++) {
		if (shape.dims[i] == -1 && stretched < 0)
			stretched = i;
		else if (shape.dims[i] < 0 || known > input->count)
			known = 0;
		else
			known *= (uint32_t)shape.dims[i];
	}
	if (stretched >= 0 && known)
		shape.dims[stretched] = input->count / known;
	status = set_shape(node, &shape);

	return status ? status : check_elements(node);
}

static enum cml_status squeeze_prepare(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, TENSOR);
	struct cml_fb_vector named = cml_fb_vector(node->fb,
						   node->tflite.options,
						   SQUEEZE_DIMS, 4);
	bool gone[CML_MAX_RANK] = { false };
	struct shape shape = { 0 };
	enum cml_status status = CML_OK;

	if (!is_open(node))
		return check_elements(node);
	for (uint32_t i = 0; i < named.count; i++) {
		int64_t axis = cml_fb_i32_at(node->fb, named, i);

		if (axis < 0)
			axis += input->rank;
		if (axis < 0 || axis >= input->rank)
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "axis is not one of the tensor's");
		gone[axis] = true;
	}
	for (uint32_t i = 0; i < input->rank; i++)
		if (named.count ? !gone[i] : input->dims[i] != 1)
			shape.dims[shape.rank++] = input->dims[i];
	status = set_shape(node, &shape);

	return status ? status : check_elements(node);
}

static enum cml_status expand_dims_prepare(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, TENSOR);
	struct shape shape = { .rank = input->rank + 1 };
	enum cml_status status = CML_OK;
	uint32_t axis = 0;

	if (!is_open(node))
		return check_elements(node);
	if (shape.rank > CML_MAX_RANK)
		return too_many(node);
	status = cml_argument_axis(node, ARGUMENT, shape.rank, &axis);
	if (status)
		return status;
	for (uint32_t i = 0; i < shape.rank; i++)
		shape.dims[i] = i == axis ? 1 : input->dims[i - (i > axis)];
	status = set_shape(node, &shape);

	return status ? status : check_elements(node);
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const void *input = cml_op_in(run, op, 0);
	void *output = cml_op_out(run, op, 0);

	(void)tile;
	if (output != input)
		memcpy(output, input, cml_op_input(run, op, 0)->size);
}

const struct cml_op_type cml_op_reshape = {
	.name = "RESHAPE",
	.builtin_code = CML_OP_RESHAPE,
	.empty_inputs = CML_ALL_INPUTS,
	.options_type = 17,
	.max_version = 1,
	.types = CML_S8 | CML_S16 | CML_F32 | CML_S32 | CML_S64 | CML_U8 |
		 CML_BOOL,
	.min_inputs = 1, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.prepare = reshape_prepare,
	.run = run,
};

const struct cml_op_type cml_op_squeeze = {
	.name = "SQUEEZE",
	.builtin_code = CML_OP_SQUEEZE,
	.empty_inputs = CML_ALL_INPUTS,
	.options_type = 30,
	.max_version = 2,
	.types = CML_S8 | CML_S16 | CML_F32 | CML_S32 | CML_S64 | CML_U8 |
		 CML_BOOL,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.prepare = squeeze_prepare,
	.run = run,
};

const struct cml_op_type cml_op_expand_dims = {
	.name = "EXPAND_DIMS",
	.builtin_code = CML_OP_EXPAND_DIMS,
	.empty_inputs = CML_ALL_INPUTS,
	.options_type = 52,
	.max_version = 1,
	.types = CML_S8 | CML_S16 | CML_F32 | CML_S32 | CML_S64 | CML_U8 |
		 CML_BOOL,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.prepare = expand_dims_prepare,
	.run = run,
};
