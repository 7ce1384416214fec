// SPDX-License-Identifier: Apache-2.0
/* TILE, BROADCAST_TO: a tensor, several times over. */
#include "copy.h"

static enum cml_status prepare_tile(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	struct cml_strided strided = cml_strided_start(input);
	int64_t times[CML_MAX_RANK] = { 0 };
	int64_t steps[CML_MAX_RANK] = { 0 };
	int32_t dims[CML_MAX_RANK] = { 0 };
	enum cml_status status = cml_copy_types(node, input, output);

	if (!status)
		status = cml_copy_numbers(node, 1, input->rank, times);
	for (uint32_t d = 0; !status && d < input->rank; d++) {
		if (times[d] < 0 || times[d] > CML_TFLITE_MAX_DIM ||
		    times[d] * input->dims[d] > CML_TFLITE_MAX_DIM)
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "tensor is repeated a negative "
					  "number of times, or too often");
		dims[d] = times[d] * input->dims[d];
	}
	if (!status)
		status = cml_node_shape(node, output, input->rank, dims);
	if (status)
		return status;
	cml_copy_steps(input, steps);
	for (uint32_t d = input->rank; d-- > 0;) {
		cml_strided_repeat(&strided, input->dims[d], steps[d]);
		cml_strided_repeat(&strided, times[d], 0);
	}

	return cml_strided_prepare(node, &strided);
}

static enum cml_status prepare_broadcast_to(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	struct cml_strided strided = cml_strided_start(input);
	int64_t shape[CML_MAX_RANK] = { 0 };
	int64_t steps[CML_MAX_RANK] = { 0 };
	uint32_t missing = output->rank - input->rank;
	enum cml_status status = cml_copy_types(node, input, output);
	int32_t dims[CML_MAX_RANK] = { 0 };

	if (!status)
		status = cml_copy_numbers(node, 1, output->rank, shape);
	for (uint32_t d = 0; !status && d < output->rank; d++)
		dims[d] = shape[d] < 0 || shape[d] > CML_TFLITE_MAX_DIM ?
			  -1 : shape[d];
	if (!status)
		status = cml_node_open_shape(node, output, output->rank, dims);
	if (!status && output->rank < input->rank)
		status = cml_refuse(node, CML_MODEL_SHAPE,
				    "tensor has more dimensions than it is "
				    "broadcast to");
	if (status)
		return status;
	cml_copy_steps(input, steps);
	for (uint32_t d = output->rank; d-- > 0;) {
		int32_t dim = d < missing ? 1 : input->dims[d - missing];

		if (shape[d] != output->dims[d])
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "output's shape is not what the "
					  "operator computes");
		if (dim != 1 && dim != shape[d])
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "tensor cannot be broadcast to this "
					  "shape");
		cml_strided_repeat(&strided, shape[d],
				   dim == 1 ? 0 : steps[d - missing]);
	}

	return cml_strided_prepare(node, &strided);
}

const struct cml_op_type cml_op_tile = {
	.name = "TILE",
	.builtin_code = CML_OP_TILE,
	.empty_inputs = CML_ALL_INPUTS,
	.options_type = 51,
	.max_version = 3,
	.types = CML_COPIED_TYPES,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "The numbers of repetitions are constants",
	.prepare = prepare_tile,
	.run = cml_strided_run,
};

const struct cml_op_type cml_op_broadcast_to = {
	.name = "BROADCAST_TO",
	.builtin_code = CML_OP_BROADCAST_TO,
	.empty_inputs = CML_ALL_INPUTS,
	.options_type = 104,
	.max_version = 4,
	.types = CML_COPIED_TYPES,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "The shape is a constant",
	.prepare = prepare_broadcast_to,
	.run = cml_strided_run,
};
