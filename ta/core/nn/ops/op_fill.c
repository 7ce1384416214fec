// SPDX-License-Identifier: Apache-2.0
/* A tensor of one value all over. */
#include <string.h>

#include "arguments.h"

enum { FILL_DIMS, FILL_VALUE };

/* Zeros of up to this many bytes are made once, while preparing. */
#define KNOWN_ZEROS	4096

static enum cml_status check_dims(struct cml_node *node)
{
	const struct cml_tensor *wanted = cml_node_input(node, FILL_DIMS);
	int64_t dims[CML_MAX_RANK] = { 0 };
	int32_t shape[CML_MAX_RANK] = { 0 };
	enum cml_status status = CML_INTERNAL;

	if (wanted->rank != 1 || wanted->count > CML_MAX_RANK)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "shape to fill is not a vector of up to 6");
	status = cml_argument_integers(node, FILL_DIMS, wanted->count, 0,
				       CML_TFLITE_MAX_DIM, dims);
	if (status)
		return status;
	for (uint32_t i = 0; i < wanted->count; i++)
		shape[i] = dims[i];

	return cml_node_shape(node, cml_node_output(node, 0), wanted->count,
			      shape);
}

static enum cml_status fill_prepare(struct cml_node *node)
{
	const struct cml_tensor *value = cml_node_input(node, FILL_VALUE);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = cml_argument_types(node, value, CML_ANY_TYPE);

	if (!status)
		status = cml_node_type(node, output, value->type);
	/* Of these alone the reference asks it. */
	if (!status && (value->type == CML_TFLITE_INT8 ||
			value->type == CML_TFLITE_INT16))
		status = cml_node_same_quantization(node, value, output);
	if (!status)
		status = check_dims(node);
	if (status)
		return status;
	if (value->rank)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "value to fill with is not a scalar");
	cml_node_tiles(node, output->count, 1);

	return CML_OK;
}

static void fill_run(const struct cml_run *run, const struct cml_op *op,
		     uint32_t tile)
{
	const struct cml_tensor *output = cml_op_output(run, op, 0);
	struct cml_range range = cml_tile(op, tile, output->count);
	size_t element = cml_tflite_type_size(output->type);
	size_t size = (range.end - range.begin) * element;
	uint8_t *start = cml_op_out(run, op, 0);
	size_t part = 0;

	start += range.begin * element;
	memcpy(start, cml_op_in(run, op, FILL_VALUE), element);
	/* What is there already is copied behind itself. */
	for (size_t done = element; done < size; done += part) {
		part = done < size - done ? done : size - done;
		memcpy(start + done, start, part);
	}
}

static enum cml_status zeros_prepare(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = cml_argument_types(node, output, CML_F32 |
						    CML_S32 | CML_S64);

	if (!status)
		status = cml_node_type(node, output, input->type);
	if (!status)
		status = cml_node_shape(node, output, input->rank, input->dims);
	node->known = output->size <= KNOWN_ZEROS;
	cml_node_tiles(node, output->count, 1);

	return status;
}

static void zeros_run(const struct cml_run *run, const struct cml_op *op,
		      uint32_t tile)
{
	struct cml_range range = cml_tile(op, tile,
					  cml_op_output(run, op, 0)->size);
	uint8_t *output = cml_op_out(run, op, 0);

	memset(output + range.begin, 0, range.end - range.begin);
}

const struct cml_op_type cml_op_fill = {
	.name = "FILL",
	.builtin_code = CML_OP_FILL,
	.empty_inputs = 1 << 0,
	.options_type = 68,
	.max_version = 5,
	/* The shape's: the value may be of any type. */
	.types = CML_S32 | CML_S64,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "The value may be of any type. The shape has to be known "
		 "while the model is prepared.",
	.prepare = fill_prepare,
	.run = fill_run,
};

const struct cml_op_type cml_op_zeros_like = {
	.name = "ZEROS_LIKE",
	.builtin_code = CML_OP_ZEROS_LIKE,
	.options_type = 67,
	.max_version = 1,
	.types = CML_F32 | CML_S32 | CML_S64,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.prepare = zeros_prepare,
	.run = zeros_run,
};
