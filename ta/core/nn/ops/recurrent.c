// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "recurrent.h"

enum cml_status cml_sequence_prepare(struct cml_node *node, bool time_major,
				     struct cml_sequence *sequence)
{
	const struct cml_tensor *input = cml_node_input(node, 0);

	if (input->rank != 3)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "sequence does not have three dimensions");
	if (input->variable)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "state is used as an ordinary input");
	*sequence = (struct cml_sequence){
		.batch = input->dims[time_major ? 1 : 0],
		.time = input->dims[time_major ? 0 : 1],
		.inputs = input->dims[2],
		.time_major = time_major,
	};

	return CML_OK;
}

enum cml_status cml_sequence_output(struct cml_node *node, uint32_t values)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	int32_t dims[] = { input->dims[0], input->dims[1], values };
	enum cml_status status = cml_node_type(node, output, input->type);

	if (!status)
		status = cml_node_shape(node, output, 3, dims);

	return status;
}

enum cml_status cml_recurrent_input(struct cml_node *node, size_t index,
				    uint32_t type, uint32_t rank,
				    const int32_t *dims)
{
	const struct cml_tensor *tensor = cml_node_input(node, index);
	enum cml_status status = CML_INTERNAL;

	if (!tensor)
		return cml_refuse(node, CML_MODEL_MALFORMED,
				  "operator lacks a required tensor");
	status = cml_node_type(node, tensor, type);
	if (status)
		return status;
	if (tensor->variable)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "state is used as an ordinary input");
	if (tensor->rank != rank || tensor->dims[0] != dims[0] ||
	    (rank > 1 && tensor->dims[1] != dims[1]))
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "weights or bias are not of the shape that "
				  "other tensors ask for");

	return CML_OK;
}

enum cml_status cml_recurrent_state(struct cml_node *node, size_t index,
				    uint32_t type, uint64_t count)
{
	const struct cml_tensor *tensor = cml_node_input(node, index);
	enum cml_status status = CML_INTERNAL;

	if (!tensor)
		return cml_refuse(node, CML_MODEL_MALFORMED,
				  "operator lacks its state");
	status = cml_node_type(node, tensor, type);
	if (status)
		return status;
	/* What is constant cannot be written. */
	if (!tensor->variable || tensor->place != CML_PLACE_ARENA)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "state is not a variable without a value of "
				  "its own");
	if (tensor->count != count)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "state is not of the size that other tensors "
				  "ask for");
	for (size_t i = 0; i < node->op->input_count; i++)
		if (i != index && cml_node_input(node, i) == tensor)
			return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
					  "state is used for several inputs");

	return CML_OK;
}

bool cml_recurrent_has_activation(uint32_t activation)
{
	return activation <= CML_ACT_TANH;
}

static float clamp(float value, float low, float high)
{
	return value < low ? low : value > high ? high : value;
}

float cml_recurrent_activate(uint32_t activation, float value)
{
	switch (activation) {
	case CML_ACT_RELU:
		return value < 0 ? 0 : value;
	case CML_ACT_RELU_N1_TO_1:
		return clamp(value, -1, 1);
	case CML_ACT_RELU6:
		return clamp(value, 0, 6);
	case CML_ACT_TANH:
		return tanhf(value);
	default:
		return value;
	}
}

float cml_recurrent_sigmoid(float value)
{
	return 1 / (1 + expf(-value));
}

void cml_recurrent_multiply(const float *weights, const float *values,
			    uint32_t rows, uint32_t columns, float *sum)
{
	for (uint32_t i = 0; i < rows; i++) {
		float total = 0;

		for (uint32_t j = 0; j < columns; j++)
			total += *weights++ * values[j];
		sum[i] += total;
	}
}
