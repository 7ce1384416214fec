// SPDX-License-Identifier: Apache-2.0
/* PAD, PADV2: a tensor with a border of one value. */
#include <string.h>

#include "copy.h"

/* LiteRT's kernel has no more dimensions. */
#define PAD_MAX_RANK	5

/* Dimensions are joined where the inner one has no border. */
struct pad_level {
	uint32_t before, inside, size;
};

struct pad {
	uint32_t rank;				/* 1 or more */
	uint32_t rows;				/* in the outer dimensions */
	uint32_t element;			/* bytes */
	uint8_t value[8];
	/* From inside out; the innermost, the row, in bytes. */
	struct pad_level levels[PAD_MAX_RANK];
};

/* Borders of dimension @d: the file's numbers, checked. */
static enum cml_status fill_level(struct cml_node *node,
				  const int64_t *borders, uint32_t d,
				  struct pad_level *level)
{
	const struct cml_tensor *output = cml_node_output(node, 0);
	int32_t inside = cml_node_input(node, 0)->dims[d];

	if (borders[0] + inside + borders[1] != output->dims[d])
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "output's shape is not what the operator "
				  "computes");
	*level = (struct pad_level){ borders[0], inside, output->dims[d] };

	return CML_OK;
}

/* From inside out. The output has at most 2^24 elements: nothing wraps. */
static enum cml_status fill_levels(struct cml_node *node,
				   const int64_t *borders, struct pad *pad)
{
	uint32_t rank = cml_node_input(node, 0)->rank;
	struct pad_level *last = pad->levels;
	struct pad_level next = { 0 };

	*last = (struct pad_level){ 0, pad->element, pad->element };
	for (uint32_t d = rank; d-- > 0;) {
		enum cml_status status = fill_level(node, borders + 2 * d, d,
						    &next);

		if (status)
			return status;
		if (last->inside == last->size) {
			next.before *= last->size;
			next.inside *= last->size;
			next.size *= last->size;
		} else {
			last++;
		}
		*last = next;
	}
	pad->rank = last - pad->levels + 1;
	pad->rows = 1;
	for (uint32_t i = 1; i < pad->rank; i++)
		pad->rows *= pad->levels[i].size;

	return CML_OK;
}

static enum cml_status prepare_levels(struct cml_node *node, struct pad *pad)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	const struct cml_tensor *borders = cml_node_input(node, 1);
	int64_t numbers[2 * PAD_MAX_RANK] = { 0 };
	enum cml_status status = cml_copy_types(node, input, output);

	if (status)
		return status;
	if (input->rank > PAD_MAX_RANK)
		return cml_refuse(node, CML_MODEL_LIMIT,
				  "tensor that is padded has more than 5 "
				  "dimensions");
	if (!output->count)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "tensor has no elements");
	if (output->rank != input->rank || borders->rank != 2 ||
	    borders->dims[1] != 2)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "borders are not two for each dimension");
	status = cml_copy_numbers(node, 1, 2 * input->rank, numbers);
	if (!status)
		status = cml_copy_bordered(node, numbers);
	if (status)
		return status;
	pad->element = cml_tflite_type_size(input->type);
	status = fill_levels(node, numbers, pad);
	if (!status)
		cml_node_tiles(node, pad->rows, pad->levels[0].size);

	return status;
}

static enum cml_status prepare_pad(struct cml_node *node)
{
	const struct cml_tensor *output = cml_node_output(node, 0);
	void *params = NULL;
	enum cml_status status = cml_node_params(node, sizeof(struct pad),
						 &params);
	struct pad *pad = params;

	if (!status)
		status = prepare_levels(node, pad);
	if (status)
		return status;
	/* What is 0 for a quantised tensor */
	switch (output->type) {
	case CML_TFLITE_INT8:
	case CML_TFLITE_UINT8:
		status = cml_node_quantized(node, output);
		pad->value[0] = output->zero_point;
		break;
	case CML_TFLITE_INT16:
		status = cml_node_quantized(node, output);
		memcpy(pad->value, &(int16_t){ output->zero_point }, 2);
		break;
	default:
		break;
	}

	return status;
}

/* The value may be computed by the model. */
static enum cml_status prepare_padv2(struct cml_node *node)
{
	const struct cml_tensor *value = cml_node_input(node, 2);
	void *params = NULL;
	enum cml_status status = cml_node_params(node, sizeof(struct pad),
						 &params);

	if (!status)
		status = prepare_levels(node, params);
	if (!status)
		status = cml_copy_alike(node, value, cml_node_output(node, 0));
	if (!status && value->count != 1)
		status = cml_refuse(node, CML_MODEL_SHAPE,
				    "value of the border is not one value");

	return status;
}

static void fill(uint8_t *output, size_t size, const uint8_t *value,
		 size_t element)
{
	if (element == 1)
		memset(output, value[0], size);
	else
		cml_copy_runs(output, element, value, 0, element,
			      size / element);
}

static void write_row(const struct pad *pad, const uint8_t *value,
		      const uint8_t *input, uint8_t *output)
{
	const struct pad_level *row = &pad->levels[0];
	size_t done = row->before + row->inside;

	fill(output, row->before, value, pad->element);
	memcpy(output + row->before, input, row->inside);
	fill(output + done, row->size - done, value, pad->element);
}

/* The input's row that is row @row of the output; false: it is border. */
static bool find_row(const struct pad *pad, uint32_t row, size_t *found)
{
	size_t size = 1;

	*found = 0;
	for (uint32_t i = 1; i < pad->rank; i++) {
		const struct pad_level *level = &pad->levels[i];
		/* Before the first it wraps, and is beyond the last */
		uint32_t index = row % level->size - level->before;

		if (index >= level->inside)
			return false;
		*found += index * size;
		size *= level->inside;
		row /= level->size;
	}

	return true;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct pad *pad = cml_op_params(run, op);
	struct cml_range own = cml_tile(op, tile, pad->rows);
	const uint8_t *input = cml_op_in(run, op, 0);
	uint8_t *output = cml_op_out(run, op, 0);
	const uint8_t *value = pad->value;
	size_t size = pad->levels[0].size;

	if (op->input_count > 2)
		value = cml_op_in(run, op, 2);
	for (uint32_t row = own.begin; row < own.end; row++) {
		size_t from = 0;

		if (find_row(pad, row, &from))
			write_row(pad, value,
				  input + from * pad->levels[0].inside,
				  output + row * size);
		else
			fill(output + row * size, size, value, pad->element);
	}
}

const struct cml_op_type cml_op_pad = {
	.name = "PAD",
	.builtin_code = CML_OP_PAD,
	.options_type = 22,
	.max_version = 6,
	.types = CML_COPIED_TYPES,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "Borders are constants; rank up to 5",
	.prepare = prepare_pad,
	.run = run,
};

const struct cml_op_type cml_op_padv2 = {
	.name = "PADV2",
	.builtin_code = CML_OP_PADV2,
	.options_type = 43,
	.max_version = 6,
	.types = CML_COPIED_TYPES,
	.min_inputs = 3, .max_inputs = 3,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "Borders are constants; rank up to 5",
	.prepare = prepare_padv2,
	.run = run,
};
