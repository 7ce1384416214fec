// SPDX-License-Identifier: Apache-2.0
/*
 * GATHER, GATHER_ND: parts of a tensor, by indices.
 *
 * LiteRT stops with an error at an index that is out of range. Here a constant
 * index out of range is refused; where indices come of the run, such a part is
 * all zero bytes. Negative indices are out of range too.
 */
#include <string.h>

#include "copy.h"

enum { GATHER_AXIS = 0, GATHER_BATCH_DIMS = 1 };
enum { GATHER_IN_VALUES = 0, GATHER_IN_INDICES = 1 };

struct gather {
	uint32_t groups;	/* batches, times what is before the axis */
	uint32_t per_batch;	/* of the groups, with the same indices */
	uint32_t indices;	/* of a group */
	uint32_t dim;		/* what the indices are below */
	uint32_t size;		/* bytes of a part */
};

struct gather_nd {
	uint32_t parts;
	uint32_t depth;		/* indices of a part */
	uint32_t size;		/* bytes of a part */
	uint32_t dims[CML_MAX_RANK];	/* what the indices are below */
};

static int64_t index_at(const void *indices, uint32_t type, size_t i)
{
	switch (type) {
	case CML_TFLITE_INT16:
		return ((const int16_t *)indices)[i];
	case CML_TFLITE_INT32:
		return ((const int32_t *)indices)[i];
	default:
		return ((const int64_t *)indices)[i];
	}
}

/*
 * Of a type that is known; those that are constant are in range, which is
 * @dims[i % @depth].
 */
static enum cml_status check_indices(struct cml_node *node,
				     const uint32_t *dims, uint32_t depth)
{
	const struct cml_tensor *indices = cml_node_input(node,
							  GATHER_IN_INDICES);
	const void *data = cml_node_constant(node, GATHER_IN_INDICES);

	if (indices->type != CML_TFLITE_INT16 &&
	    indices->type != CML_TFLITE_INT32 &&
	    indices->type != CML_TFLITE_INT64)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "indices are not int16, int32 or int64");
	for (uint32_t i = 0; data && i < indices->count; i++) {
		int64_t index = index_at(data, indices->type, i);

		if (index < 0 || index >= dims[i % depth])
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "index is not within the tensor");
	}

	return CML_OK;
}

/* Dimensions from @from to below @to; their product. */
static uint32_t append(const struct cml_tensor *tensor, uint32_t from,
		       uint32_t to, int32_t *dims, uint32_t *rank)
{
	uint32_t product = 1;

	for (uint32_t d = from; d < to; d++) {
		dims[(*rank)++] = tensor->dims[d];
		product *= tensor->dims[d];
	}

	return product;
}

/* Fills @gather, and checks the output's shape. */
static enum cml_status lay_out(struct cml_node *node, uint32_t axis,
			       uint32_t batch_dims, struct gather *gather)
{
	const struct cml_tensor *values = cml_node_input(node,
							 GATHER_IN_VALUES);
	const struct cml_tensor *indices = cml_node_input(node,
							  GATHER_IN_INDICES);
	int32_t dims[2 * CML_MAX_RANK] = { 0 };
	uint32_t rank = 0;

	if (batch_dims > axis)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "axis is one of the batch's");
	for (uint32_t d = 0; d < batch_dims; d++)
		if (values->dims[d] != indices->dims[d])
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "values and indices are of batches "
					  "of different sizes");
	gather->groups = append(values, 0, batch_dims, dims, &rank);
	gather->per_batch = append(values, batch_dims, axis, dims, &rank);
	gather->groups *= gather->per_batch;
	gather->indices = append(indices, batch_dims, indices->rank, dims,
				 &rank);
	gather->size = append(values, axis + 1, values->rank, dims, &rank);
	gather->size *= cml_tflite_type_size(values->type);
	gather->dim = values->dims[axis];

	return cml_node_shape(node, cml_node_output(node, 0), rank, dims);
}

/* Both have elements to take, and give; prepare() of a constant may not. */
static enum cml_status check_tensors(struct cml_node *node)
{
	const struct cml_tensor *values = cml_node_input(node,
							 GATHER_IN_VALUES);
	const struct cml_tensor *output = cml_node_output(node, 0);

	if (!values->count || !output->count)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "tensor has no elements");

	return cml_copy_types(node, values, output);
}

static enum cml_status prepare_gather(struct cml_node *node)
{
	struct cml_fb_table options = node->tflite.options;
	int32_t batch_dims = cml_fb_i32(node->fb, options, GATHER_BATCH_DIMS,
					0);
	uint32_t rank = cml_node_input(node, GATHER_IN_INDICES)->rank;
	enum cml_status status = check_tensors(node);
	struct gather *gather = NULL;
	void *params = NULL;
	uint32_t axis = 0;

	if (!status)
		status = cml_copy_axis(node, cml_fb_i32(node->fb, options,
							GATHER_AXIS, 0),
				       cml_node_input(node, 0)->rank, &axis);
	if (batch_dims < 0 && batch_dims >= -(int64_t)rank)
		batch_dims += rank;
	if (!status && (batch_dims < 0 || (uint32_t)batch_dims > rank))
		status = cml_refuse(node, CML_MODEL_SHAPE,
				    "indices do not have as many dimensions "
				    "as the batch");
	if (!status)
		status = cml_node_params(node, sizeof(*gather), &params);
	if (status)
		return status;
	gather = params;
	status = lay_out(node, axis, batch_dims, gather);
	if (!status)
		status = check_indices(node, &gather->dim, 1);
	if (!status)
		cml_node_tiles(node, gather->groups * gather->indices,
			       gather->size + 16);

	return status;
}

static void run_gather(const struct cml_run *run, const struct cml_op *op,
		       uint32_t tile)
{
	const struct gather *gather = cml_op_params(run, op);
	struct cml_range own = cml_tile(op, tile,
					gather->groups * gather->indices);
	uint32_t type = cml_op_input(run, op, GATHER_IN_INDICES)->type;
	const void *indices = cml_op_in(run, op, GATHER_IN_INDICES);
	const uint8_t *values = cml_op_in(run, op, GATHER_IN_VALUES);
	uint8_t *output = cml_op_out(run, op, 0);
	uint32_t group = own.begin / gather->indices;
	uint32_t i = own.begin % gather->indices;
	size_t size = gather->size;

	output += own.begin * size;
	for (uint32_t n = own.begin; n < own.end; n++) {
		size_t batch = group / gather->per_batch;
		int64_t index = index_at(indices, type,
					 batch * gather->indices + i);

		if (index >= 0 && index < gather->dim)
			cml_copy_runs(output, 0, values +
				      ((size_t)group * gather->dim + index) *
				      size, 0, size, 1);
		else
			memset(output, 0, size);
		output += size;
		if (++i == gather->indices) {
			i = 0;
			group++;
		}
	}
}

static enum cml_status prepare_gather_nd(struct cml_node *node)
{
	const struct cml_tensor *values = cml_node_input(node,
							 GATHER_IN_VALUES);
	const struct cml_tensor *indices = cml_node_input(node,
							  GATHER_IN_INDICES);
	int32_t dims[2 * CML_MAX_RANK] = { 0 };
	enum cml_status status = check_tensors(node);
	struct gather_nd *gather = NULL;
	void *params = NULL;
	uint32_t depth = 0;
	uint32_t rank = 0;

	if (indices->rank)
		depth = indices->dims[indices->rank - 1];
	if (!status && (!depth || depth > values->rank))
		status = cml_refuse(node, CML_MODEL_SHAPE,
				    "indices are of more dimensions than the "
				    "tensor, or of none");
	if (!status)
		status = cml_node_params(node, sizeof(*gather), &params);
	if (status)
		return status;
	gather = params;
	gather->depth = depth;
	gather->parts = append(indices, 0, indices->rank - 1, dims, &rank);
	gather->size = append(values, depth, values->rank, dims, &rank);
	gather->size *= cml_tflite_type_size(values->type);
	for (uint32_t d = 0; d < depth; d++)
		gather->dims[d] = values->dims[d];
	status = cml_node_shape(node, cml_node_output(node, 0), rank, dims);
	if (!status)
		status = check_indices(node, gather->dims, depth);
	if (!status)
		cml_node_tiles(node, gather->parts, gather->size + 16 * depth);

	return status;
}

static void run_gather_nd(const struct cml_run *run, const struct cml_op *op,
			  uint32_t tile)
{
	const struct gather_nd *gather = cml_op_params(run, op);
	struct cml_range own = cml_tile(op, tile, gather->parts);
	uint32_t type = cml_op_input(run, op, GATHER_IN_INDICES)->type;
	const void *indices = cml_op_in(run, op, GATHER_IN_INDICES);
	const uint8_t *values = cml_op_in(run, op, GATHER_IN_VALUES);
	uint8_t *output = cml_op_out(run, op, 0);
	size_t size = gather->size;

	for (uint32_t part = own.begin; part < own.end; part++) {
		bool inside = true;
		size_t at = 0;

		for (uint32_t d = 0; d < gather->depth; d++) {
			int64_t index = index_at(indices, type,
						 (size_t)part * gather->depth +
						 d);

			if (index < 0 || index >= gather->dims[d]) {
				inside = false;
				break;
			}
			at = at * gather->dims[d] + index;
		}
		if (inside)
			memcpy(output + part * size, values + at * size, size);
		else
			memset(output + part * size, 0, size);
	}
}

const struct cml_op_type cml_op_gather = {
	.name = "GATHER",
	.builtin_code = CML_OP_GATHER,
	.options_type = 23,
	.max_version = 8,
	.types = CML_COPIED_TYPES,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "An index out of range gives zero bytes",
	.prepare = prepare_gather,
	.run = run_gather,
};

const struct cml_op_type cml_op_gather_nd = {
	.name = "GATHER_ND",
	.builtin_code = CML_OP_GATHER_ND,
	.options_type = 83,
	.max_version = 6,
	.types = CML_COPIED_TYPES,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "An index out of range gives zero bytes",
	.prepare = prepare_gather_nd,
	.run = run_gather_nd,
};
