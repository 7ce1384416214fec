// SPDX-License-Identifier: Apache-2.0
/* Operators that give the same elements another shape: they copy, at most. */
#include <string.h>

#include "nn/op.h"

/* Elements are copied as they are, so nothing else may change. */
static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = cml_node_type(node, output, input->type);

	if (status)
		return status;
	if (input->count != output->count)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "output does not have as many elements as "
				  "the input");
	cml_node_in_place(node, 0);

	return CML_OK;
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
	.prepare = prepare,
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
	.prepare = prepare,
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
	.prepare = prepare,
	.run = run,
};
