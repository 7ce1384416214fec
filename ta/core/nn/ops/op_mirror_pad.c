// SPDX-License-Identifier: Apache-2.0
/* MIRROR_PAD: a tensor whose border mirrors what is inside. */
#include <string.h>

#include "copy.h"

enum { MIRROR_PAD_MODE = 0 };
enum { REFLECT = 0, SYMMETRIC = 1 };

struct mirror {
	uint32_t rank;
	uint32_t rows;		/* in all dimensions but the innermost */
	uint32_t unit;		/* bytes of what is never torn apart */
	uint32_t skip;		/* 1: the outermost is not repeated */
	uint32_t dims[CML_MAX_RANK];	/* of the input, from inside out */
	uint32_t before[CML_MAX_RANK], after[CML_MAX_RANK];
};

/* Dimension @d, unless it has no border and belongs to the unit. */
static enum cml_status add_dimension(struct cml_node *node,
				     const int64_t *borders, uint32_t d,
				     struct mirror *mirror)
{
	int32_t dim = cml_node_input(node, 0)->dims[d];
	int64_t most = (int64_t)dim - mirror->skip;

	if (borders[0] < 0 || borders[1] < 0 || borders[0] > most ||
	    borders[1] > most)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "border is wider than what it mirrors");
	if (borders[0] + dim + borders[1] != cml_node_output(node, 0)->dims[d])
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "output's shape is not what the operator "
				  "computes");
	if (!mirror->rank && !borders[0] && !borders[1]) {
		mirror->unit *= dim;
		return CML_OK;
	}
	if (mirror->rank)
		mirror->rows *= cml_node_output(node, 0)->dims[d];
	mirror->dims[mirror->rank] = dim;
	mirror->before[mirror->rank] = borders[0];
	mirror->after[mirror->rank++] = borders[1];

	return CML_OK;
}

static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	const struct cml_tensor *borders = cml_node_input(node, 1);
	uint32_t mode = cml_fb_u8(node->fb, node->tflite.options,
				  MIRROR_PAD_MODE, REFLECT);
	int64_t numbers[2 * CML_MAX_RANK] = { 0 };
	enum cml_status status = cml_copy_alike(node, input, output);
	struct mirror *mirror = NULL;
	void *params = NULL;

	if (!status && mode != REFLECT && mode != SYMMETRIC)
		status = cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				    "mode of mirroring is unknown");
	if (!status && !output->count)
		status = cml_refuse(node, CML_MODEL_SHAPE,
				    "tensor has no elements");
	if (!status && (output->rank != input->rank || borders->rank != 2 ||
			borders->dims[1] != 2))
		status = cml_refuse(node, CML_MODEL_SHAPE,
				    "borders are not two for each dimension");
	if (!status)
		status = cml_copy_numbers(node, 1, 2 * input->rank, numbers);
	if (!status)
		status = cml_copy_bordered(node, numbers);
	if (!status)
		status = cml_node_params(node, sizeof(*mirror), &params);
	if (status)
		return status;
	mirror = params;
	mirror->rows = 1;
	mirror->unit = cml_tflite_type_size(input->type);
	mirror->skip = mode == REFLECT;
	for (uint32_t d = input->rank; !status && d-- > 0;)
		status = add_dimension(node, numbers + 2 * d, d, mirror);
	if (!status)
		cml_node_tiles(node, mirror->rows,
			       output->size / mirror->rows);

	return status;
}

/* Which of the input's, in dimension @d, is the output's @index. */
static uint32_t reflect(const struct mirror *mirror, uint32_t d, uint32_t index)
{
	uint32_t dim = mirror->dims[d];

	if (index < mirror->before[d])
		return mirror->before[d] - index - 1 + mirror->skip;
	index -= mirror->before[d];

	return index < dim ? index : 2 * dim - 1 - mirror->skip - index;
}

static size_t find_row(const struct mirror *mirror, uint32_t row)
{
	size_t found = 0;
	size_t size = 1;

	for (uint32_t d = 1; d < mirror->rank; d++) {
		uint32_t all = mirror->before[d] + mirror->dims[d] +
			       mirror->after[d];

		found += reflect(mirror, d, row % all) * size;
		size *= mirror->dims[d];
		row /= all;
	}

	return found;
}

static void write_row(const struct mirror *mirror, const uint8_t *input,
		      uint8_t *output)
{
	ptrdiff_t unit = mirror->unit;
	ptrdiff_t dim = mirror->dims[0];
	ptrdiff_t before = mirror->before[0];
	ptrdiff_t skip = mirror->skip;

	if (before)
		cml_copy_runs(output, unit, input + (before - 1 + skip) * unit,
			      -unit, unit, before);
	memcpy(output + before * unit, input, dim * unit);
	if (mirror->after[0])
		cml_copy_runs(output + (before + dim) * unit, unit,
			      input + (dim - 1 - skip) * unit, -unit, unit,
			      mirror->after[0]);
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct mirror *mirror = cml_op_params(run, op);
	struct cml_range own = cml_tile(op, tile, mirror->rows);
	const uint8_t *input = cml_op_in(run, op, 0);
	uint8_t *output = cml_op_out(run, op, 0);
	size_t from = (size_t)mirror->dims[0] * mirror->unit;
	size_t to = from + (size_t)(mirror->before[0] + mirror->after[0]) *
			   mirror->unit;

	if (!mirror->rank) {
		memcpy(output, input, mirror->unit);
		return;
	}
	for (uint32_t row = own.begin; row < own.end; row++)
		write_row(mirror, input + find_row(mirror, row) * from,
			  output + row * to);
}

const struct cml_op_type cml_op_mirror_pad = {
	.name = "MIRROR_PAD",
	.builtin_code = CML_OP_MIRROR_PAD,
	.options_type = 77,
	.max_version = 3,
	.types = CML_COPIED_TYPES,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "Borders are constants",
	.prepare = prepare,
	.run = run,
};
