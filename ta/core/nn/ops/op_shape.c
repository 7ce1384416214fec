// SPDX-License-Identifier: Apache-2.0
/* What shapes alone tell: known while preparing, whatever the elements are. */
#include "arguments.h"

enum { SHAPE_OUT_TYPE = 0 };

static enum cml_status shape_prepare(struct cml_node *node)
{
	int32_t rank = cml_node_input(node, 0)->rank;
	enum cml_status status = cml_argument_output_type(node, SHAPE_OUT_TYPE);

	if (status)
		return status;
	if (!rank)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "shape of a scalar has no elements");
	node->known = true;

	return cml_node_shape(node, cml_node_output(node, 0), 1, &rank);
}

static void shape_run(const struct cml_run *run, const struct cml_op *op,
		      uint32_t tile)
{
	const struct cml_tensor *input = cml_op_input(run, op, 0);
	void *output = cml_op_out(run, op, 0);
	bool wide = cml_op_output(run, op, 0)->type == CML_TFLITE_INT64;

	(void)tile;
	for (uint32_t i = 0; i < input->rank; i++) {
		if (wide)
			((int64_t *)output)[i] = input->dims[i];
		else
			((int32_t *)output)[i] = input->dims[i];
	}
}

static enum cml_status rank_prepare(struct cml_node *node)
{
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = cml_node_type(node, output, CML_TFLITE_INT32);

	node->known = true;

	return status ? status : cml_node_shape(node, output, 0, NULL);
}

static void rank_run(const struct cml_run *run, const struct cml_op *op,
		     uint32_t tile)
{
	int32_t *output = cml_op_out(run, op, 0);

	(void)tile;
	*output = cml_op_input(run, op, 0)->rank;
}

const struct cml_op_type cml_op_shape = {
	.name = "SHAPE",
	.builtin_code = CML_OP_SHAPE,
	.empty_inputs = CML_ALL_INPUTS,
	.options_type = 55,
	.max_version = 1,
	.types = CML_ANY_TYPE,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "Computed while the model is prepared. Not of a scalar.",
	.prepare = shape_prepare,
	.run = shape_run,
};

const struct cml_op_type cml_op_rank = {
	.name = "RANK",
	.builtin_code = CML_OP_RANK,
	.options_type = 86,
	.max_version = 1,
	.types = CML_ANY_TYPE,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "Computed while the model is prepared.",
	.prepare = rank_prepare,
	.run = rank_run,
};
