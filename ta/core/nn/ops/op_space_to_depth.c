// SPDX-License-Identifier: Apache-2.0
/*
 * SPACE_TO_DEPTH and its inverse: squares of a wide image become points of a
 * deep one. Elements are copied as they are.
 */
#include <string.h>

#include "arguments.h"

enum { BLOCK_SIZE = 0 };
enum { BATCH, HEIGHT, WIDTH, DEPTH, IMAGE_RANK };

/* A larger square would be of more elements than a tensor may have. */
#define MAX_BLOCK	4096

/* For an output whose shape is open: the other one with its blocks turned. */
static enum cml_status open_shape(struct cml_node *node, int64_t block,
				  bool to_depth)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	int64_t square = block * block;
	int64_t sides[2] = { input->dims[HEIGHT], input->dims[WIDTH] };
	int64_t depth = input->dims[DEPTH];

	for (size_t i = 0; i < 2; i++)
		sides[i] = to_depth ? sides[i] / block : sides[i] * block;
	depth = to_depth ? depth * square : depth / square;
	if (sides[0] > CML_TFLITE_MAX_DIM || sides[1] > CML_TFLITE_MAX_DIM ||
	    depth > CML_TFLITE_MAX_DIM)
		return CML_OK;		/* refused with what does not fit */

	return cml_node_open_shape(node, cml_node_output(node, 0), IMAGE_RANK,
				   (const int32_t[]){ input->dims[BATCH],
						      sides[0], sides[1],
						      depth });
}

static enum cml_status check(struct cml_node *node,
			     const struct cml_tensor *wide,
			     const struct cml_tensor *deep)
{
	int64_t block = cml_fb_i32(node->fb, node->tflite.options, BLOCK_SIZE,
				   0);
	enum cml_status status = cml_argument_types(node, wide, CML_ANY_TYPE);
	int32_t *kept = NULL;
	void *params = NULL;

	if (!status)
		status = cml_node_type(node, deep, wide->type);
	if (status)
		return status;
	if (block < 1 || block > MAX_BLOCK)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "size of a block is out of range");
	if (cml_node_input(node, 0)->rank == IMAGE_RANK)
		status = open_shape(node, block,
				    wide == cml_node_input(node, 0));
	if (status)
		return status;
	if (wide->rank != IMAGE_RANK || deep->rank != IMAGE_RANK ||
	    wide->dims[BATCH] != deep->dims[BATCH] ||
	    wide->dims[HEIGHT] != deep->dims[HEIGHT] * block ||
	    wide->dims[WIDTH] != deep->dims[WIDTH] * block ||
	    deep->dims[DEPTH] != wide->dims[DEPTH] * block * block)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "shapes do not go together with the size of "
				  "a block");
	status = cml_node_params(node, sizeof(*kept), &params);
	if (status)
		return status;
	kept = params;
	*kept = block;
	cml_node_tiles(node, deep->dims[BATCH] * deep->dims[HEIGHT],
		       (uint64_t)wide->dims[WIDTH] * block *
		       wide->dims[DEPTH]);

	return CML_OK;
}

/* The rows of blocks in the range, from one image to the other. */
static void copy_rows(const struct cml_tensor *deep, size_t block,
		      struct cml_range rows, const uint8_t *from, uint8_t *to,
		      bool to_depth)
{
	size_t width = deep->dims[WIDTH];
	/* What lies together in both: a row of a block */
	size_t size = deep->dims[DEPTH] / block *
		      cml_tflite_type_size(deep->type);

	for (size_t row = rows.begin * block; row < rows.end * block; row++) {
		for (size_t x = 0; x < width; x++) {
			size_t wide_at = row * width + x;
			size_t deep_at = (row / block * width + x) * block +
					 row % block;

			memcpy(to + (to_depth ? deep_at : wide_at) * size,
			       from + (to_depth ? wide_at : deep_at) * size,
			       size);
		}
	}
}

static enum cml_status space_to_depth_prepare(struct cml_node *node)
{
	return check(node, cml_node_input(node, 0), cml_node_output(node, 0));
}

static void space_to_depth_run(const struct cml_run *run,
			       const struct cml_op *op, uint32_t tile)
{
	const struct cml_tensor *deep = cml_op_output(run, op, 0);
	const int32_t *block = cml_op_params(run, op);
	struct cml_range rows = cml_tile(op, tile, deep->dims[BATCH] *
						   deep->dims[HEIGHT]);

	copy_rows(deep, *block, rows, cml_op_in(run, op, 0),
		  cml_op_out(run, op, 0), true);
}

static enum cml_status depth_to_space_prepare(struct cml_node *node)
{
	return check(node, cml_node_output(node, 0), cml_node_input(node, 0));
}

static void depth_to_space_run(const struct cml_run *run,
			       const struct cml_op *op, uint32_t tile)
{
	const struct cml_tensor *deep = cml_op_input(run, op, 0);
	const int32_t *block = cml_op_params(run, op);
	struct cml_range rows = cml_tile(op, tile, deep->dims[BATCH] *
						   deep->dims[HEIGHT]);

	copy_rows(deep, *block, rows, cml_op_in(run, op, 0),
		  cml_op_out(run, op, 0), false);
}

const struct cml_op_type cml_op_space_to_depth = {
	.name = "SPACE_TO_DEPTH",
	.builtin_code = CML_OP_SPACE_TO_DEPTH,
	.options_type = 19,
	.max_version = 2,
	.types = CML_ANY_TYPE,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.prepare = space_to_depth_prepare,
	.run = space_to_depth_run,
};

const struct cml_op_type cml_op_depth_to_space = {
	.name = "DEPTH_TO_SPACE",
	.builtin_code = CML_OP_DEPTH_TO_SPACE,
	.options_type = 94,
	.max_version = 2,
	.types = CML_ANY_TYPE,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.prepare = depth_to_space_prepare,
	.run = depth_to_space_run,
};
