// SPDX-License-Identifier: Apache-2.0
/*
 * Rows of a table, by index. A row that the table does not have (below 0, or
 * beyond the last) is all zero bytes: the reference fails there, run() cannot.
 *
 * int8 rows may be asked for in float32: then they are scaled, by the table's
 * one scale or by one a row; zero points are 0.
 */
#include <string.h>

#include "arguments.h"

enum { LOOKUP, TABLE };
enum { COPY, SCALE };

struct params {
	uint32_t row;		/* elements */
	uint32_t scale_count;	/* 1, or one a row of the table */
	float scales[];
};

static enum cml_status check_shapes(struct cml_node *node)
{
	const struct cml_tensor *lookup = cml_node_input(node, LOOKUP);
	const struct cml_tensor *table = cml_node_input(node, TABLE);
	int32_t dims[CML_MAX_RANK] = { 0 };

	if (lookup->rank != 1 || table->rank < 2)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "indices are not a vector, or the table has "
				  "less than 2 dimensions");
	if (!table->count)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "table has no elements");
	dims[0] = lookup->dims[0];
	for (uint32_t i = 1; i < table->rank; i++)
		dims[i] = table->dims[i];

	return cml_node_shape(node, cml_node_output(node, 0), table->rank,
			      dims);
}

static enum cml_status check(struct cml_node *node)
{
	const struct cml_tensor *table = cml_node_input(node, TABLE);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = CML_INTERNAL;

	status = cml_node_type(node, cml_node_input(node, LOOKUP),
			       CML_TFLITE_INT32);
	if (!status)
		status = cml_argument_types(node, table, CML_ANY_TYPE);
	if (!status)
		status = check_shapes(node);
	if (status)
		return status;
	if (table->type == CML_TFLITE_INT8 &&
	    output->type == CML_TFLITE_FLOAT32) {
		node->op->kernel = SCALE;
		return CML_OK;
	}

	return cml_node_type(node, output, table->type);
}

static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *table = cml_node_input(node, TABLE);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = check(node);
	uint32_t scales = table->scale > 0 ? 1 : table->dims[0];
	struct params *kept = NULL;
	void *params = NULL;

	if (node->op->kernel == COPY)
		scales = 0;
	if (!status)
		status = cml_node_params(node, sizeof(*kept) +
					 scales * sizeof(*kept->scales),
					 &params);
	if (status)
		return status;
	kept = params;
	kept->row = table->count / table->dims[0];
	kept->scale_count = scales;
	cml_node_tiles(node, output->dims[0], kept->row);
	if (scales)
		status = cml_node_channel_scales(node, TABLE, 0, scales,
						 kept->scales);

	return status;
}

static void scale_row(const struct params *params, size_t index,
		      const int8_t *row, float *output)
{
	float scale = params->scales[params->scale_count == 1 ? 0 : index];

	for (uint32_t i = 0; i < params->row; i++)
		output[i] = row[i] * scale;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct cml_tensor *table = cml_op_input(run, op, TABLE);
	const struct cml_tensor *output = cml_op_output(run, op, 0);
	const struct params *params = cml_op_params(run, op);
	const int32_t *lookup = cml_op_in(run, op, LOOKUP);
	const uint8_t *rows = cml_op_in(run, op, TABLE);
	struct cml_range range = cml_tile(op, tile, output->dims[0]);
	size_t to_size = params->row * cml_tflite_type_size(output->type);
	size_t from_size = params->row * cml_tflite_type_size(table->type);
	uint8_t *out = cml_op_out(run, op, 0);

	for (uint32_t i = range.begin; i < range.end; i++) {
		uint8_t *to = out + i * to_size;
		bool there = lookup[i] >= 0 && lookup[i] < table->dims[0];
		const uint8_t *from = rows + (there ? lookup[i] * from_size :
						      0);

		if (!there)
			memset(to, 0, to_size);
		else if (op->kernel == COPY)
			memcpy(to, from, to_size);
		else
			scale_row(params, lookup[i], (const int8_t *)from,
				  (float *)to);
	}
}

const struct cml_op_type cml_op_embedding_lookup = {
	.name = "EMBEDDING_LOOKUP",
	.builtin_code = CML_OP_EMBEDDING_LOOKUP,
	.options_type = 0,
	.max_version = 5,
	/* The indices'. */
	.types = CML_S32,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "The table may be of any type; one of int8 may give float32. "
		 "An index that the table does not have gives zeros.",
	.prepare = prepare,
	.run = run,
};
