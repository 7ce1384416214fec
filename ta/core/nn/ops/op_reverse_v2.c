// SPDX-License-Identifier: Apache-2.0
/* REVERSE_V2: some of the dimensions, back to front. */
#include "copy.h"

static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	const struct cml_tensor *axes = cml_node_input(node, 1);
	struct cml_strided strided = cml_strided_start(input);
	int64_t numbers[CML_MAX_RANK] = { 0 };
	int64_t steps[CML_MAX_RANK] = { 0 };
	enum cml_status status = cml_copy_types(node, input, output);
	uint32_t reversed = 0;

	if (!status && axes->count > input->rank)
		status = cml_refuse(node, CML_MODEL_SHAPE,
				    "more axes than the tensor has");
	if (!status)
		status = cml_copy_numbers(node, 1, axes->count, numbers);
	for (uint32_t i = 0; !status && i < axes->count; i++) {
		uint32_t axis = 0;

		status = cml_copy_axis(node, numbers[i], input->rank, &axis);
		if (!status && reversed >> axis & 1)
			status = cml_refuse(node, CML_MODEL_SHAPE,
					    "an axis is there twice");
		reversed |= 1u << axis;
	}
	if (!status)
		status = cml_node_shape(node, output, input->rank,
					input->dims);
	if (status)
		return status;
	cml_copy_steps(input, steps);
	for (uint32_t d = input->rank; d-- > 0;) {
		int32_t dim = input->dims[d];
		bool back = reversed >> d & 1 && dim;

		if (back)
			strided.offset += (dim - 1) * steps[d] *
					  strided.element;
		cml_strided_repeat(&strided, dim, back ? -steps[d] : steps[d]);
	}

	return cml_strided_prepare(node, &strided);
}

const struct cml_op_type cml_op_reverse_v2 = {
	.name = "REVERSE_V2",
	.builtin_code = CML_OP_REVERSE_V2,
	.empty_inputs = CML_ALL_INPUTS,
	.options_type = 81,
	.max_version = 4,
	.types = CML_COPIED_TYPES,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "Axes are constants",
	.prepare = prepare,
	.run = cml_strided_run,
};
