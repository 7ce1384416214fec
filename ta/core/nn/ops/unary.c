// SPDX-License-Identifier: Apache-2.0
#include "unary.h"

enum cml_status cml_unary_prepare(struct cml_node *node, uint32_t output_type,
				  uint32_t cost)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = cml_node_type(node, output, output_type);

	if (!status)
		status = cml_node_shape(node, output, input->rank,
					input->dims);
	if (status)
		return status;
	cml_node_in_place(node, 0);
	cml_node_tiles(node, output->count, cost);

	return CML_OK;
}

enum cml_status cml_unary_quantized(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = cml_node_quantized(node, input);

	if (!status)
		status = cml_node_quantized(node, output);
	if (!status && input->type == CML_TFLITE_INT16 &&
	    (input->zero_point || output->zero_point))
		status = cml_refuse(node, CML_MODEL_QUANTIZATION,
				    "zero point of int16 is not 0");

	return status;
}

struct cml_unary_span cml_unary_span(const struct cml_run *run,
				     const struct cml_op *op, uint32_t tile)
{
	const struct cml_tensor *input = cml_op_input(run, op, 0);
	const struct cml_tensor *output = cml_op_output(run, op, 0);
	struct cml_range range = cml_tile(op, tile, output->count);
	const uint8_t *in = cml_op_in(run, op, 0);
	uint8_t *out = cml_op_out(run, op, 0);

	return (struct cml_unary_span){
		.in = in + range.begin * cml_tflite_type_size(input->type),
		.out = out + range.begin * cml_tflite_type_size(output->type),
		.count = range.end - range.begin,
	};
}
