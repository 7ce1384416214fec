// SPDX-License-Identifier: Apache-2.0
#include "ops.h"

static enum cml_status read_tensor(struct cml_node *node, int32_t index,
				   struct cml_tflite_tensor *tensor)
{
	enum cml_status status = CML_INTERNAL;

	if (index < 0)
		return cml_refuse(node, CML_MODEL_MALFORMED,
				  "operator lacks a required tensor");
	status = cml_tflite_tensor(node->model, index, tensor);
	if (status)
		node->reason = node->model->problem;

	return status;
}

enum cml_status cml_node_scale(struct cml_node *node,
			       struct cml_fb_vector scale, uint32_t index,
			       float *value)
{
	*value = cml_fb_f32_at(&node->model->fb, scale, index);
	/* Also false for NaN */
	if (!(*value > 0 && *value <= __FLT_MAX__))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "scale is not positive and finite");

	return CML_OK;
}

enum cml_status cml_node_activation(struct cml_node *node, int32_t index,
				    struct cml_activation *activation)
{
	struct cml_tflite_tensor *tensor = &activation->tensor;
	enum cml_status status = CML_INTERNAL;
	int64_t zero_point = 0;

	status = read_tensor(node, index, tensor);
	if (status)
		return status;
	if (tensor->type != CML_TFLITE_INT8)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "activation is not int8");
	if (tensor->dims[0] != 1)
		return cml_refuse(node, CML_MODEL_SHAPE, "batch is not 1");
	if (tensor->data.ptr && tensor->data.len != tensor->element_count)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "constant's data is not of its shape's size");
	if (tensor->scale.count != 1 || tensor->zero_point.count != 1)
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "activation does not have exactly one scale "
				  "and one zero point");
	status = cml_node_scale(node, tensor->scale, 0, &activation->scale);
	if (status)
		return status;
	zero_point = cml_fb_i64_at(&node->model->fb, tensor->zero_point, 0);
	if (zero_point < INT8_MIN || zero_point > INT8_MAX)
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "zero point is out of int8's range");
	activation->zero_point = zero_point;

	return CML_OK;
}

enum cml_status cml_node_constant(struct cml_node *node, int32_t index,
				  uint32_t type, size_t element_size,
				  struct cml_tflite_tensor *tensor)
{
	enum cml_status status = read_tensor(node, index, tensor);

	if (status)
		return status;
	if (tensor->type != type)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "weights are not int8, or bias is not int32");
	if (!tensor->data.ptr)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "weights or bias are not constant");
	if (tensor->data.len != tensor->element_count * element_size)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "constant's data is not of its shape's size");

	return CML_OK;
}

enum cml_status cml_node_symmetric(struct cml_node *node,
				   const struct cml_tflite_tensor *tensor)
{
	struct cml_fb *fb = &node->model->fb;

	if (tensor->zero_point.count != tensor->scale.count)
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "not as many zero points as scales");
	for (uint32_t i = 0; i < tensor->zero_point.count; i++)
		if (cml_fb_i64_at(fb, tensor->zero_point, i))
			return cml_refuse(node, CML_MODEL_QUANTIZATION,
					  "zero point of weights or bias is "
					  "not 0");

	return CML_OK;
}

enum cml_status cml_node_output_shape(struct cml_node *node,
				      const struct cml_tflite_tensor *output,
				      uint32_t rank, const int32_t dims[4])
{
	bool equal = output->rank == rank;

	for (uint32_t i = 0; i < CML_TFLITE_MAX_DIMS; i++)
		equal = equal && output->dims[i] == dims[i];
	if (!equal)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "output's shape is not what the operator "
				  "computes");

	return CML_OK;
}
