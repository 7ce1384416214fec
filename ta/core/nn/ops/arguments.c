// SPDX-License-Identifier: Apache-2.0
#include "arguments.h"

static uint32_t type_bit(uint32_t type)
{
	switch (type) {
	case CML_TFLITE_FLOAT32:
		return CML_F32;
	case CML_TFLITE_INT32:
		return CML_S32;
	case CML_TFLITE_UINT8:
		return CML_U8;
	case CML_TFLITE_INT64:
		return CML_S64;
	case CML_TFLITE_BOOL:
		return CML_BOOL;
	case CML_TFLITE_INT16:
		return CML_S16;
	case CML_TFLITE_INT8:
		return CML_S8;
	default:
		return 0;
	}
}

enum cml_status cml_argument_types(struct cml_node *node,
				   const struct cml_tensor *tensor,
				   uint32_t types)
{
	if (!(type_bit(tensor->type) & types))
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "operator does not take a tensor of this "
				  "type");

	return CML_OK;
}

enum cml_status cml_argument_integers(struct cml_node *node, size_t index,
				      uint32_t count, int64_t min, int64_t max,
				      int64_t *values)
{
	const struct cml_tensor *tensor = cml_node_input(node, index);
	const void *data = NULL;
	enum cml_status status = cml_node_need_constant(node, index, &data);

	if (!status)
		status = cml_argument_types(node, tensor, CML_S32 | CML_S64);
	if (status)
		return status;
	if (tensor->count != count)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "constant that tells an operator what to do "
				  "is not of the size it should be");
	for (uint32_t i = 0; i < count; i++) {
		if (tensor->type == CML_TFLITE_INT64)
			values[i] = ((const int64_t *)data)[i];
		else
			values[i] = ((const int32_t *)data)[i];
		if (values[i] < min || values[i] > max)
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "constant that tells an operator "
					  "what to do is out of range");
	}

	return CML_OK;
}

enum cml_status cml_argument_axis(struct cml_node *node, size_t index,
				  uint32_t rank, uint32_t *axis)
{
	int64_t value = 0;
	enum cml_status status = cml_argument_integers(node, index, 1,
						       -(int64_t)rank,
						       (int64_t)rank - 1,
						       &value);

	*axis = value < 0 ? value + rank : value;

	return status;
}

enum cml_status cml_argument_output_type(struct cml_node *node, uint32_t field)
{
	/* No such type is the default: 0 is float32. */
	uint32_t type = cml_fb_u8(node->fb, node->tflite.options, field, 0);

	if (type != CML_TFLITE_INT32 && type != CML_TFLITE_INT64)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "operator's options ask for neither int32 "
				  "nor int64");

	return cml_node_type(node, cml_node_output(node, 0), type);
}

struct cml_axis cml_axis_of(const struct cml_tensor *tensor, uint32_t axis)
{
	struct cml_axis split = { 1, tensor->dims[axis], 1 };

	for (uint32_t i = 0; i < axis; i++)
		split.outer *= tensor->dims[i];
	for (uint32_t i = axis + 1; i < tensor->rank; i++)
		split.inner *= tensor->dims[i];

	return split;
}
