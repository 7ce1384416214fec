// SPDX-License-Identifier: Apache-2.0
/*
 * TRANSPOSE: the dimensions in another order.
 *
 * Where single elements are far apart in the input, they are copied in blocks
 * of the two dimensions that lie closest in the output and in the input: each
 * cache line of both is then used up while it is there.
 */
#include "copy.h"

#define BLOCK	32	/* elements; of either dimension */

enum { RUNS, BLOCKS };

/* The dimension, not the innermost, in which the input is contiguous; or 0. */
static uint32_t find_near(const struct cml_strided *strided)
{
	if (strided->size != strided->element)
		return 0;
	for (uint32_t i = 1; i < strided->rank; i++)
		if (strided->steps[i] == (int32_t)strided->element)
			return i;

	return 0;
}

/* Blocks in all, and of them in a row of dimension @near. */
static uint32_t count_blocks(const struct cml_strided *strided, uint32_t near,
			     uint32_t *in_row)
{
	uint32_t planes = strided->count / strided->dims[0] /
			  strided->dims[near];

	*in_row = (strided->dims[near] + BLOCK - 1) / BLOCK;

	return planes * *in_row;
}

static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	struct cml_strided strided = cml_strided_start(input);
	int64_t order[CML_MAX_RANK] = { 0 };
	int64_t steps[CML_MAX_RANK] = { 0 };
	uint32_t from[CML_MAX_RANK] = { 0 };
	int32_t dims[CML_MAX_RANK] = { 0 };
	enum cml_status status = cml_copy_types(node, input, output);
	uint32_t seen = 0;
	uint32_t near = 0;
	uint32_t in_row = 0;

	if (!status)
		status = cml_copy_numbers(node, 1, input->rank, order);
	for (uint32_t i = 0; !status && i < input->rank; i++) {
		status = cml_copy_axis(node, order[i], input->rank, &from[i]);
		dims[i] = input->dims[from[i]];
		seen |= 1u << from[i];
	}
	if (!status && seen != (1u << input->rank) - 1)
		status = cml_refuse(node, CML_MODEL_SHAPE,
				    "order of dimensions has one of them "
				    "twice");
	if (!status)
		status = cml_node_shape(node, output, input->rank, dims);
	if (status)
		return status;
	cml_copy_steps(input, steps);
	for (uint32_t i = input->rank; i-- > 0;)
		cml_strided_repeat(&strided, dims[i], steps[from[i]]);

	status = cml_strided_prepare(node, &strided);
	near = find_near(&strided);
	if (!status && output->count && near) {
		uint32_t blocks = count_blocks(&strided, near, &in_row);

		node->op->kernel = BLOCKS;
		cml_node_tiles(node, blocks, output->size / blocks * 8);
	}

	return status;
}

/* All of the innermost dimension, and @count of dimension @near. */
static void copy_block(const struct cml_strided *strided, ptrdiff_t to_near,
		       uint32_t count, const uint8_t *input, uint8_t *output)
{
	ptrdiff_t size = strided->size;
	ptrdiff_t step = strided->steps[0];
	uint32_t all = strided->dims[0];

	/* In rows of the output, or of the input if those are short */
	for (uint32_t i = 0; i < all && all < BLOCK; i++)
		cml_copy_runs(output + i * size, to_near, input + i * step,
			      size, size, count);
	for (uint32_t i = 0; i < all && all >= BLOCK; i += BLOCK)
		for (uint32_t j = 0; j < count; j++)
			cml_copy_runs(output + i * size + j * to_near, size,
				      input + i * step + j * size, step, size,
				      all - i < BLOCK ? all - i : BLOCK);
}

static void run_blocks(const struct cml_run *run, const struct cml_op *op,
		       uint32_t tile)
{
	const struct cml_strided *strided = cml_op_params(run, op);
	uint32_t near = find_near(strided);
	uint32_t in_row = 0;
	uint32_t blocks = count_blocks(strided, near, &in_row);
	struct cml_range own = cml_tile(op, tile, blocks);

	for (uint32_t block = own.begin; block < own.end; block++) {
		uint32_t first = block % in_row * BLOCK;
		uint32_t left = strided->dims[near] - first;
		uint32_t plane = block / in_row;
		const uint8_t *input = cml_op_in(run, op, 0);
		uint8_t *output = cml_op_out(run, op, 0);
		ptrdiff_t size = strided->size;
		ptrdiff_t to_near = 0;

		for (uint32_t i = 0; i < strided->rank; i++) {
			uint32_t index = i == near ? first : 0;

			if (i == near) {
				to_near = size;
			} else if (i) {
				index = plane % strided->dims[i];
				plane /= strided->dims[i];
			}
			input += (ptrdiff_t)strided->steps[i] * index;
			output += size * index;
			size *= strided->dims[i];
		}
		copy_block(strided, to_near, left < BLOCK ? left : BLOCK,
			   input, output);
	}
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	if (op->kernel == BLOCKS)
		run_blocks(run, op, tile);
	else
		cml_strided_run(run, op, tile);
}

const struct cml_op_type cml_op_transpose = {
	.name = "TRANSPOSE",
	.builtin_code = CML_OP_TRANSPOSE,
	.empty_inputs = CML_ALL_INPUTS,
	.options_type = 26,
	.max_version = 8,
	.types = CML_COPIED_TYPES,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "The order of dimensions is a constant",
	.prepare = prepare,
	.run = run,
};
