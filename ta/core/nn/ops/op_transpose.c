// SPDX-License-Identifier: Apache-2.0
/* TRANSPOSE: the dimensions in another order. */
#include "copy.h"

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

	return cml_strided_prepare(node, &strided);
}

const struct cml_op_type cml_op_transpose = {
	.name = "TRANSPOSE",
	.builtin_code = CML_OP_TRANSPOSE,
	.options_type = 26,
	.max_version = 8,
	.types = CML_COPIED_TYPES,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "The order of dimensions is a constant",
	.prepare = prepare,
	.run = cml_strided_run,
};
