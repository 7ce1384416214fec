// SPDX-License-Identifier: Apache-2.0
/*
 * SPACE_TO_BATCH_ND and its inverse: every so many points of an image, those
 * with the same remainder, are an image of the batch. The plain image is
 * padded first, or cropped last. Of one or two spatial dimensions.
 */
#include <string.h>

#include "arguments.h"

enum { IMAGE, BLOCK, MARGIN };

#define MAX_SPATIAL	2

struct params {
	/* By spatial dimension; of one, the second is 1 and 0. */
	int32_t block[MAX_SPATIAL];
	int32_t before[MAX_SPATIAL];
};

struct shape {
	int32_t batch, spatial[MAX_SPATIAL];
	size_t point;				/* bytes */
};

static struct shape shape_of(const struct cml_tensor *tensor)
{
	return (struct shape){
		.batch = tensor->dims[0],
		.spatial = {
			tensor->dims[1],
			tensor->rank == 4 ? tensor->dims[2] : 1,
		},
		.point = tensor->dims[tensor->rank - 1] *
			 cml_tflite_type_size(tensor->type),
	};
}

static enum cml_status check_tensors(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, IMAGE);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = cml_argument_types(node, input, CML_ANY_TYPE);

	if (!status)
		status = cml_node_type(node, output, input->type);
	if (!status && (input->type == CML_TFLITE_INT8 ||
			input->type == CML_TFLITE_UINT8 ||
			input->type == CML_TFLITE_INT16))
		status = cml_node_same_quantization(node, input, output);
	if (status)
		return status;
	if (input->type == CML_TFLITE_INT16 && input->zero_point)
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "zero point of an int16 tensor is not 0");
	if (input->rank < 3 || input->rank > 4 || output->rank != input->rank)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "operator takes 3 or 4 dimensions");

	return CML_OK;
}

/* For an output whose shape is open. @margin: two for each dimension. */
static enum cml_status open_shape(struct cml_node *node, bool to_batch,
				  const int64_t *block, const int64_t *margin)
{
	const struct cml_tensor *input = cml_node_input(node, IMAGE);
	int64_t square = block[0] * block[1];
	int64_t dims[CML_MAX_RANK] = { 0 };
	int32_t shape[CML_MAX_RANK] = { 0 };

	for (uint32_t i = 0; i < input->rank; i++)
		dims[i] = input->dims[i];
	dims[0] = to_batch ? dims[0] * square : dims[0] / square;
	for (uint32_t i = 0; i + 2 < input->rank; i++) {
		int64_t border = margin[2 * i] + margin[2 * i + 1];

		dims[1 + i] = to_batch ? (dims[1 + i] + border) / block[i] :
			      dims[1 + i] * block[i] - border;
	}
	for (uint32_t i = 0; i < input->rank; i++)
		shape[i] = dims[i] > CML_TFLITE_MAX_DIM ? -1 : dims[i];

	return cml_node_open_shape(node, cml_node_output(node, 0), input->rank,
				   shape);
}

static enum cml_status check(struct cml_node *node,
			     const struct cml_tensor *plain,
			     const struct cml_tensor *batched)
{
	int64_t block[MAX_SPATIAL] = { 1, 1 };
	int64_t margin[MAX_SPATIAL][2] = { 0 };
	enum cml_status status = check_tensors(node);
	uint32_t spatial = plain->rank - 2;
	struct params *kept = NULL;
	struct shape from = { 0 }, to = { 0 };
	void *params = NULL;
	bool fits = true;

	if (!status)
		status = cml_argument_integers(node, BLOCK, spatial, 1,
					       CML_TFLITE_MAX_DIM, block);
	if (!status)
		status = cml_argument_integers(node, MARGIN, 2 * spatial, 0,
					       CML_TFLITE_MAX_DIM, margin[0]);
	if (!status)
		status = cml_node_params(node, sizeof(*kept), &params);
	if (status)
		return status;
	if (block[0] * block[1] <= CML_TFLITE_MAX_DIM)
		status = open_shape(node, plain == cml_node_input(node, IMAGE),
				    block, margin[0]);
	if (status)
		return status;
	kept = params;
	from = shape_of(plain);
	to = shape_of(batched);
	/* No product exceeds 2^48 before it is compared. */
	fits = plain->count && from.point == to.point &&
	       block[0] * block[1] <= CML_TFLITE_MAX_DIM &&
	       from.batch * (block[0] * block[1]) == to.batch;
	for (size_t i = 0; i < MAX_SPATIAL; i++) {
		if (from.spatial[i] + margin[i][0] + margin[i][1] !=
		    to.spatial[i] * block[i])
			fits = false;
		kept->block[i] = block[i];
		kept->before[i] = margin[i][0];
	}
	if (!fits)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "shapes do not go together with blocks and "
				  "margins");

	return CML_OK;
}

static void split(struct cml_node *node)
{
	struct shape to = shape_of(cml_node_output(node, 0));

	cml_node_tiles(node, to.batch * to.spatial[0],
		       (uint64_t)to.spatial[1] * to.point);
}

static enum cml_status space_to_batch_prepare(struct cml_node *node)
{
	enum cml_status status = check(node, cml_node_input(node, IMAGE),
				       cml_node_output(node, 0));

	if (!status)
		split(node);

	return status;
}

/* A row of output, which lies in @from at a distance of the block's width. */
static void gather_row(const struct params *params, const struct shape *from,
		       const struct shape *to, uint32_t row,
		       const uint8_t *input, uint8_t *output, int zero)
{
	int32_t batch = row / to->spatial[0];
	int32_t part = batch / from->batch;
	int32_t y = row % to->spatial[0] * params->block[0] +
		    part / params->block[1] - params->before[0];
	int32_t x = part % params->block[1] - params->before[1];
	bool outside = y < 0 || y >= from->spatial[0];

	input += (size_t)(batch % from->batch) * from->spatial[0] *
		 from->spatial[1] * from->point;
	output += (size_t)row * to->spatial[1] * to->point;
	for (int32_t i = 0; i < to->spatial[1]; i++) {
		if (outside || x < 0 || x >= from->spatial[1])
			memset(output, zero, to->point);
		else
			memcpy(output, input + ((size_t)y * from->spatial[1] +
						x) * from->point, to->point);
		x += params->block[1];
		output += to->point;
	}
}

static void space_to_batch_run(const struct cml_run *run,
			       const struct cml_op *op, uint32_t tile)
{
	const struct cml_tensor *tensor = cml_op_output(run, op, 0);
	struct shape from = shape_of(cml_op_input(run, op, IMAGE));
	struct shape to = shape_of(tensor);
	struct cml_range rows = cml_tile(op, tile, to.batch * to.spatial[0]);
	/* Of types of several bytes it is 0. */
	int zero = tensor->zero_point;

	for (uint32_t row = rows.begin; row < rows.end; row++)
		gather_row(cml_op_params(run, op), &from, &to, row,
			   cml_op_in(run, op, IMAGE), cml_op_out(run, op, 0),
			   zero);
}

static enum cml_status batch_to_space_prepare(struct cml_node *node)
{
	enum cml_status status = check(node, cml_node_output(node, 0),
				       cml_node_input(node, IMAGE));

	if (!status)
		split(node);

	return status;
}

/* A row of output, whose points come from images of the batch in turn. */
static void spread_row(const struct params *params, const struct shape *from,
		       const struct shape *to, uint32_t row,
		       const uint8_t *input, uint8_t *output)
{
	int32_t batch = row / to->spatial[0];
	int32_t y = row % to->spatial[0] + params->before[0];
	int32_t part = y % params->block[0] * params->block[1];

	output += (size_t)row * to->spatial[1] * to->point;
	for (int32_t i = 0; i < to->spatial[1]; i++) {
		int32_t x = i + params->before[1];
		int32_t image = (part + x % params->block[1]) * to->batch +
				batch;
		size_t point = ((size_t)image * from->spatial[0] +
				y / params->block[0]) * from->spatial[1] +
			       x / params->block[1];

		memcpy(output, input + point * to->point, to->point);
		output += to->point;
	}
}

static void batch_to_space_run(const struct cml_run *run,
			       const struct cml_op *op, uint32_t tile)
{
	struct shape from = shape_of(cml_op_input(run, op, IMAGE));
	struct shape to = shape_of(cml_op_output(run, op, 0));
	struct cml_range rows = cml_tile(op, tile, to.batch * to.spatial[0]);

	for (uint32_t row = rows.begin; row < rows.end; row++)
		spread_row(cml_op_params(run, op), &from, &to, row,
			   cml_op_in(run, op, IMAGE), cml_op_out(run, op, 0));
}

const struct cml_op_type cml_op_space_to_batch_nd = {
	.name = "SPACE_TO_BATCH_ND",
	.builtin_code = CML_OP_SPACE_TO_BATCH_ND,
	.options_type = 25,
	.max_version = 4,
	.types = CML_ANY_TYPE,
	.min_inputs = 3, .max_inputs = 3,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "Of 3 or 4 dimensions.",
	.prepare = space_to_batch_prepare,
	.run = space_to_batch_run,
};

const struct cml_op_type cml_op_batch_to_space_nd = {
	.name = "BATCH_TO_SPACE_ND",
	.builtin_code = CML_OP_BATCH_TO_SPACE_ND,
	.options_type = 24,
	.max_version = 4,
	.types = CML_ANY_TYPE,
	.min_inputs = 3, .max_inputs = 3,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "Of 3 or 4 dimensions.",
	.prepare = batch_to_space_prepare,
	.run = batch_to_space_run,
};
