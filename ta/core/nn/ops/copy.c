// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "copy.h"

/* Elements, of a size that the compiler knows. */
#define COPY_ELEMENTS(size) \
	for (size_t i = 0; i < count; i++) { \
		memcpy(output, input, size); \
		output += output_step; \
		input += input_step; \
	} \
	break

void cml_copy_runs(uint8_t *output, ptrdiff_t output_step,
		   const uint8_t *input, ptrdiff_t input_step, size_t size,
		   size_t count)
{
	switch (size) {
	case 1:
		COPY_ELEMENTS(1);
	case 2:
		COPY_ELEMENTS(2);
	case 3:
		COPY_ELEMENTS(3);
	case 4:
		COPY_ELEMENTS(4);
	case 8:
		COPY_ELEMENTS(8);
	default:
		COPY_ELEMENTS(size);
	}
}

enum cml_status cml_copy_types(struct cml_node *node,
			       const struct cml_tensor *from,
			       const struct cml_tensor *to)
{
	if (!cml_tflite_type_size(from->type))
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "tensor is of a type that is not supported");

	return cml_node_type(node, to, from->type);
}

enum cml_status cml_copy_alike(struct cml_node *node,
			       const struct cml_tensor *from,
			       const struct cml_tensor *to)
{
	enum cml_status status = cml_copy_types(node, from, to);
	bool quantized = from->type == CML_TFLITE_INT8 ||
			 from->type == CML_TFLITE_UINT8 ||
			 from->type == CML_TFLITE_INT16;

	if (!status && quantized && (from->scale != to->scale ||
				     from->zero_point != to->zero_point))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "tensors that should have the same scale "
				  "and zero point do not");

	return status;
}

enum cml_status cml_copy_shape_but(struct cml_node *node,
				   const struct cml_tensor *a,
				   const struct cml_tensor *b, uint32_t axis)
{
	bool equal = a->rank == b->rank;

	for (uint32_t i = 0; equal && i < a->rank; i++)
		equal = i == axis || a->dims[i] == b->dims[i];
	if (!equal)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "tensors that are joined or cut differ in "
				  "another dimension");

	return CML_OK;
}

enum cml_status cml_copy_axis(struct cml_node *node, int64_t value,
			      uint32_t rank, uint32_t *axis)
{
	if (value < -(int64_t)rank || value >= (int64_t)rank)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "axis is not a dimension of the tensor");
	*axis = value < 0 ? value + rank : value;

	return CML_OK;
}

enum cml_status cml_copy_numbers(struct cml_node *node, size_t input,
				 uint32_t count, int64_t *numbers)
{
	const struct cml_tensor *tensor = cml_node_input(node, input);
	const void *data = NULL;
	enum cml_status status = cml_node_need_constant(node, input, &data);

	if (status)
		return status;
	if (tensor->count != count)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "constant does not have as many numbers as "
				  "the operator needs");
	if (tensor->type != CML_TFLITE_INT32 &&
	    tensor->type != CML_TFLITE_INT64)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "constant is neither int32 nor int64");
	for (uint32_t i = 0; i < count; i++)
		numbers[i] = tensor->type == CML_TFLITE_INT64 ?
			     ((const int64_t *)data)[i] :
			     ((const int32_t *)data)[i];

	return CML_OK;
}

enum cml_status cml_copy_bordered(struct cml_node *node,
				  const int64_t *borders)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	int32_t dims[CML_MAX_RANK] = { 0 };

	for (uint32_t d = 0; d < input->rank; d++) {
		int64_t before = borders[2 * d];
		int64_t after = borders[2 * d + 1];

		if (before < 0 || after < 0 || before > CML_TFLITE_MAX_DIM ||
		    after > CML_TFLITE_MAX_DIM)
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "border is negative or too wide");
		dims[d] = before + input->dims[d] + after;
	}

	return cml_node_open_shape(node, cml_node_output(node, 0), input->rank,
				   dims);
}

void cml_copy_steps(const struct cml_tensor *tensor, int64_t *steps)
{
	/* Where there are no elements, the other dimensions may be any. */
	int64_t step = tensor->count ? 1 : 0;

	for (uint32_t d = tensor->rank; d-- > 0;) {
		steps[d] = step;
		step *= tensor->dims[d];
	}
}

enum cml_status cml_rows_prepare(struct cml_node *node,
				 const struct cml_tensor *whole, uint32_t axis)
{
	struct cml_rows *rows = NULL;
	void *params = NULL;
	enum cml_status status = cml_node_params(node, sizeof(*rows), &params);

	if (status)
		return status;
	rows = params;
	rows->count = 1;
	for (uint32_t i = 0; i < axis; i++)
		rows->count *= whole->dims[i];
	/* Of a tensor without elements no row is copied. */
	if (!whole->size)
		rows->count = 0;
	if (rows->count)
		rows->size = whole->size / rows->count;
	cml_node_tiles(node, rows->count, rows->size);

	return CML_OK;
}

struct cml_strided cml_strided_start(const struct cml_tensor *input)
{
	uint32_t element = cml_tflite_type_size(input->type);

	return (struct cml_strided){
		.element = element,
		.size = element,
		.count = 1,
	};
}

/* Where the steps go on as they do inside, the dimensions are one. */
void cml_strided_repeat(struct cml_strided *strided, int32_t dim, int64_t step)
{
	uint32_t last = strided->rank - 1;

	if (dim == 1)
		return;
	/* A dimension of 0 leaves nothing to copy, with any step. */
	step = dim ? step * strided->element : 0;
	if (!strided->rank && step == strided->size) {
		strided->size *= dim;
		return;
	}
	strided->count *= dim;
	if (strided->rank && step == (int64_t)strided->steps[last] *
					     strided->dims[last]) {
		strided->dims[last] *= dim;
		return;
	}
	strided->dims[strided->rank] = dim;
	strided->steps[strided->rank++] = step;
}

enum cml_status cml_strided_prepare(struct cml_node *node,
				    const struct cml_strided *strided)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	void *params = NULL;
	enum cml_status status = cml_node_params(node, sizeof(*strided),
						 &params);

	if (status)
		return status;
	memcpy(params, strided, sizeof(*strided));
	if (!output->count)
		((struct cml_strided *)params)->count = 0;
	/* All of the input, as it is */
	if (!strided->rank && strided->size == input->size)
		cml_node_in_place(node, 0);
	cml_node_tiles(node, strided->count, strided->size + 8);

	return CML_OK;
}

/* Where in the input run @number is; @index: of it in each dimension. */
static ptrdiff_t find_run(const struct cml_strided *strided, uint32_t number,
			  uint32_t *index)
{
	ptrdiff_t at = strided->offset;

	for (uint32_t i = 0; i < strided->rank; i++) {
		index[i] = number % strided->dims[i];
		number /= strided->dims[i];
		at += (ptrdiff_t)strided->steps[i] * index[i];
	}

	return at;
}

void cml_strided_run(const struct cml_run *run, const struct cml_op *op,
		     uint32_t tile)
{
	const struct cml_strided *strided = cml_op_params(run, op);
	struct cml_range rest = cml_tile(op, tile, strided->count);
	uint32_t row = strided->rank ? strided->dims[0] : 1;
	const uint8_t *input = cml_op_in(run, op, 0);
	uint8_t *output = cml_op_out(run, op, 0);
	uint32_t index[CML_STRIDED_RANK] = { 0 };
	ptrdiff_t at = 0;

	if (rest.begin >= rest.end || input == output)
		return;
	at = find_run(strided, rest.begin, index);
	output += (size_t)rest.begin * strided->size;
	for (;;) {
		uint32_t count = row - index[0];

		if (count > rest.end - rest.begin)
			count = rest.end - rest.begin;
		cml_copy_runs(output, strided->size, input + at,
			      strided->steps[0], strided->size, count);
		output += (size_t)count * strided->size;
		rest.begin += count;
		if (rest.begin == rest.end)
			return;
		/* To the next row's first */
		at -= (ptrdiff_t)strided->steps[0] * index[0];
		index[0] = 0;
		for (uint32_t i = 1; i < strided->rank; i++) {
			at += strided->steps[i];
			if (++index[i] < strided->dims[i])
				break;
			at -= (ptrdiff_t)strided->steps[i] * index[i];
			index[i] = 0;
		}
	}
}
