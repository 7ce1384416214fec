// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <string.h>

#include "activation.h"

static uint32_t type_bit(uint32_t type)
{
	switch (type) {
	case CML_TFLITE_INT8:
		return CML_S8;
	case CML_TFLITE_INT16:
		return CML_S16;
	case CML_TFLITE_UINT8:
		return CML_U8;
	case CML_TFLITE_FLOAT32:
		return CML_F32;
	default:
		return 0;
	}
}

enum cml_status cml_activation_check(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = cml_node_type(node, output, input->type);

	if (!(cml_op_types[node->op->type]->types & type_bit(input->type)))
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "operator is not supported for tensors of "
				  "this type");
	if (!status)
		status = cml_node_shape(node, output, input->rank, input->dims);
	if (status || input->type == CML_TFLITE_FLOAT32)
		return status;
	status = cml_node_quantized(node, input);
	if (!status)
		status = cml_node_quantized(node, output);
	if (!status && input->type == CML_TFLITE_INT16 &&
	    (input->zero_point || output->zero_point))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "zero point of 16-bit elements is not 0");

	return status;
}

float cml_activation_option(struct cml_node *node, uint32_t field)
{
	uint32_t bits = cml_fb_u32(node->fb, node->tflite.options, field, 0);
	float value = 0;

	memcpy(&value, &bits, sizeof(value));

	return value;
}

enum cml_status cml_activation_rows(struct cml_node *node, uint32_t *depth,
				    uint32_t *rows)
{
	const struct cml_tensor *input = cml_node_input(node, 0);

	if (!input->rank)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "input has no axis to normalise along");
	*depth = input->dims[input->rank - 1];
	*rows = input->count / *depth;

	return CML_OK;
}

enum cml_status cml_activation_prepare(struct cml_node *node, size_t size,
				       uint64_t cost, void **params)
{
	enum cml_status status = cml_activation_check(node);

	*params = NULL;
	if (!status)
		status = cml_node_params(node, size, params);
	if (status)
		return status;
	if (cml_is_byte(cml_node_input(node, 0)->type))
		cost = 1;
	cml_node_in_place(node, 0);
	cml_node_tiles(node, cml_node_output(node, 0)->count, cost);

	return CML_OK;
}

void cml_activation_table(const struct cml_node *node,
			  cml_integer_function *function, const void *context,
			  struct cml_activation *activation)
{
	bool is_signed = cml_node_input(node, 0)->type == CML_TFLITE_INT8;
	int32_t min = is_signed ? INT8_MIN : 0;
	int32_t max = is_signed ? INT8_MAX : UINT8_MAX;

	for (int32_t x = min; x <= max; x++) {
		int32_t y = function(x, context);

		activation->table[(uint8_t)x] = y < min ? min :
						y > max ? max : y;
	}
}

struct real {
	cml_real_function *function;
	float parameter;
	float scale, inverse_output_scale;
	int32_t zero_point, output_zero_point;
};

/* In float, step by step as TFLite does it. */
static int32_t quantized_real(int32_t x, const void *context)
{
	const struct real *real = context;
	float y = real->function(real->scale * (x - real->zero_point),
				 real->parameter);

	y = roundf(y * real->inverse_output_scale) + real->output_zero_point;
	/* Both beyond what is clamped to; not a number goes to the first. */
	if (!(y > -1024))
		return -1024;
	if (y > 1024)
		return 1024;

	return y;
}

void cml_activation_real_table(const struct cml_node *node,
			       cml_real_function *function,
			       struct cml_activation *activation)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	struct real real = {
		.function = function,
		.parameter = activation->parameter,
		.scale = input->scale,
		.inverse_output_scale = 1 / output->scale,
		.zero_point = input->zero_point,
		.output_zero_point = output->zero_point,
	};

	if (cml_is_byte(input->type))
		cml_activation_table(node, quantized_real, &real, activation);
}

void cml_activation_run(const struct cml_run *run, const struct cml_op *op,
			uint32_t tile, cml_real_function *function)
{
	const struct cml_activation *activation = cml_op_params(run, op);
	const struct cml_tensor *tensor = cml_op_input(run, op, 0);
	struct cml_range range = cml_tile(op, tile, tensor->count);
	const void *input = cml_op_in(run, op, 0);
	void *output = cml_op_out(run, op, 0);

	if (tensor->type == CML_TFLITE_FLOAT32) {
		const float *in = input;
		float *out = output;

		for (uint32_t i = range.begin; i < range.end; i++)
			out[i] = function(in[i], activation->parameter);
	} else {
		const uint8_t *in = input;
		uint8_t *out = output;

		for (uint32_t i = range.begin; i < range.end; i++)
			out[i] = activation->table[in[i]];
	}
}
