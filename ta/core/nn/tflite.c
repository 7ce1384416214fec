// SPDX-License-Identifier: Apache-2.0
#include "tflite.h"

/* Field numbers of the schema's tables, as far as they are read. */
enum { MODEL_VERSION = 0, MODEL_OPERATOR_CODES = 1, MODEL_SUBGRAPHS = 2,
       MODEL_BUFFERS = 4 };
enum { OPERATOR_CODE_DEPRECATED_BUILTIN = 0, OPERATOR_CODE_CUSTOM = 1,
       OPERATOR_CODE_VERSION = 2, OPERATOR_CODE_BUILTIN = 3 };
enum { SUBGRAPH_TENSORS = 0, SUBGRAPH_INPUTS = 1, SUBGRAPH_OUTPUTS = 2,
       SUBGRAPH_OPERATORS = 3 };
enum { TENSOR_SHAPE = 0, TENSOR_TYPE = 1, TENSOR_BUFFER = 2,
       TENSOR_QUANTIZATION = 4, TENSOR_IS_VARIABLE = 5, TENSOR_SPARSITY = 6,
       TENSOR_SHAPE_SIGNATURE = 7,
       TENSOR_VARIANT_TENSORS = 9, TENSOR_EXTERNAL_BUFFER = 10 };
enum { QUANTIZATION_SCALE = 2, QUANTIZATION_ZERO_POINT = 3,
       QUANTIZATION_DETAILS_TYPE = 4, QUANTIZATION_DIMENSION = 6 };
enum { OPERATOR_OPCODE_INDEX = 0, OPERATOR_INPUTS = 1, OPERATOR_OUTPUTS = 2,
       OPERATOR_OPTIONS_TYPE = 3, OPERATOR_OPTIONS = 4,
       OPERATOR_CUSTOM_OPTIONS = 5, OPERATOR_INTERMEDIATES = 8 };
enum { BUFFER_DATA = 0, BUFFER_OFFSET = 1, BUFFER_SIZE = 2 };

#define SCHEMA_VERSION	3

size_t cml_tflite_type_size(uint32_t type)
{
	switch (type) {
	case CML_TFLITE_INT8:
	case CML_TFLITE_UINT8:
	case CML_TFLITE_BOOL:
		return 1;
	case CML_TFLITE_INT16:
	case CML_TFLITE_FLOAT16:
		return 2;
	case CML_TFLITE_FLOAT32:
	case CML_TFLITE_INT32:
		return 4;
	case CML_TFLITE_INT64:
		return 8;
	default:
		return 0;
	}
}

static enum cml_status refuse(struct cml_tflite *model, enum cml_status status,
			      const char *problem)
{
	model->problem = problem;

	return status;
}

static enum cml_status malformed(struct cml_tflite *model)
{
	return refuse(model, CML_MODEL_MALFORMED, model->fb.problem);
}

enum cml_status cml_tflite_open(struct cml_bytes file,
				struct cml_tflite *model)
{
	struct cml_fb_table root = { 0 };
	struct cml_fb_table subgraph = { 0 };
	struct cml_fb_vector subgraphs = { 0 };
	struct cml_fb *fb = &model->fb;
	uint32_t version = 0;

	*model = (struct cml_tflite){ .fb = { .file = file } };

	root = cml_fb_root(fb, "TFL3");
	version = cml_fb_u32(fb, root, MODEL_VERSION, 0);
	model->operator_codes = cml_fb_vector(fb, root, MODEL_OPERATOR_CODES,
					      4);
	model->buffers = cml_fb_vector(fb, root, MODEL_BUFFERS, 4);
	subgraphs = cml_fb_vector(fb, root, MODEL_SUBGRAPHS, 4);
	if (fb->problem)
		return malformed(model);
	if (version != SCHEMA_VERSION)
		return refuse(model, CML_MODEL_MALFORMED,
			      "schema version is not 3");
	if (subgraphs.count != 1)
		return refuse(model, CML_MODEL_LIMIT,
			      "model does not have exactly one subgraph");

	subgraph = cml_fb_table_at(fb, subgraphs, 0);
	model->tensors = cml_fb_vector(fb, subgraph, SUBGRAPH_TENSORS, 4);
	model->inputs = cml_fb_vector(fb, subgraph, SUBGRAPH_INPUTS, 4);
	model->outputs = cml_fb_vector(fb, subgraph, SUBGRAPH_OUTPUTS, 4);
	model->operators = cml_fb_vector(fb, subgraph, SUBGRAPH_OPERATORS, 4);
	if (fb->problem)
		return malformed(model);

	return CML_OK;
}

static enum cml_status read_shape(struct cml_tflite *model,
				  struct cml_fb_table table,
				  struct cml_tflite_tensor *tensor)
{
	struct cml_fb_vector shape = { 0 };
	uint64_t count = 1;
	int32_t dim = 0;

	shape = cml_fb_vector(&model->fb, table, TENSOR_SHAPE, 4);
	if (model->fb.problem)
		return malformed(model);
	if (shape.count > CML_TFLITE_MAX_RANK)
		return refuse(model, CML_MODEL_LIMIT,
			      "tensor has more than 6 dimensions");

	tensor->rank = shape.count;
	for (uint32_t i = 0; i < CML_TFLITE_MAX_RANK; i++)
		tensor->dims[i] = 1;
	for (uint32_t i = 0; i < shape.count; i++) {
		dim = cml_fb_i32_at(&model->fb, shape, i);
		if (dim < 0)
			return refuse(model, CML_MODEL_SHAPE,
				      "tensor dimension below 0");
		if (dim > CML_TFLITE_MAX_DIM)
			return refuse(model, CML_MODEL_LIMIT,
				      "tensor dimension over 16 Mi");
		tensor->dims[i] = dim;
		count *= (uint32_t)dim;		/* 24 bits times 25 */
		if (count > CML_TFLITE_MAX_ELEMENTS)
			return refuse(model, CML_MODEL_LIMIT,
				      "tensor of more than 16 Mi elements");
	}
	tensor->count = count;

	return CML_OK;
}

static enum cml_status read_buffer(struct cml_tflite *model, uint32_t index,
				   struct cml_tflite_tensor *tensor)
{
	struct cml_fb_table buffer = { 0 };
	struct cml_fb_vector data = { 0 };
	struct cml_fb *fb = &model->fb;
	bool outside = false;

	if (index >= model->buffers.count)
		return refuse(model, CML_MODEL_MALFORMED,
			      "tensor refers to a buffer that is not there");
	buffer = cml_fb_table_at(fb, model->buffers, index);
	data = cml_fb_vector(fb, buffer, BUFFER_DATA, 1);
	outside = cml_fb_u64(fb, buffer, BUFFER_OFFSET, 0) ||
		  cml_fb_u64(fb, buffer, BUFFER_SIZE, 0);
	if (fb->problem)
		return malformed(model);
	if (outside)
		return refuse(model, CML_MODEL_UNSUPPORTED_TYPE,
			      "buffer data is stored outside the flatbuffer");
	if (data.count)
		tensor->data = cml_bytes(data.data, data.count);

	return CML_OK;
}

enum cml_status cml_tflite_tensor(struct cml_tflite *model, uint32_t index,
				  struct cml_tflite_tensor *tensor)
{
	struct cml_fb_table table = { 0 };
	struct cml_fb_table quantization = { 0 };
	struct cml_fb *fb = &model->fb;
	enum cml_status status = CML_INTERNAL;
	uint32_t buffer = 0;
	uint8_t details = 0;
	bool special = false;

	*tensor = (struct cml_tflite_tensor){ 0 };

	table = cml_fb_table_at(fb, model->tensors, index);
	tensor->type = cml_fb_u8(fb, table, TENSOR_TYPE, CML_TFLITE_FLOAT32);
	buffer = cml_fb_u32(fb, table, TENSOR_BUFFER, 0);
	tensor->variable = cml_fb_u8(fb, table, TENSOR_IS_VARIABLE, 0);
	special = cml_fb_has(fb, table, TENSOR_SPARSITY) ||
		  cml_fb_has(fb, table, TENSOR_VARIANT_TENSORS) ||
		  cml_fb_u32(fb, table, TENSOR_EXTERNAL_BUFFER, 0);
	quantization = cml_fb_table(fb, table, TENSOR_QUANTIZATION);
	tensor->scale = cml_fb_vector(fb, quantization, QUANTIZATION_SCALE, 4);
	tensor->zero_point = cml_fb_vector(fb, quantization,
					   QUANTIZATION_ZERO_POINT, 8);
	details = cml_fb_u8(fb, quantization, QUANTIZATION_DETAILS_TYPE, 0);
	tensor->quantized_dimension = cml_fb_i32(fb, quantization,
						 QUANTIZATION_DIMENSION, 0);
	if (fb->problem)
		return malformed(model);
	if (special)
		return refuse(model, CML_MODEL_UNSUPPORTED_TYPE,
			      "tensor is sparse, variant or external");
	if (details)
		return refuse(model, CML_MODEL_QUANTIZATION,
			      "quantisation is not affine");

	status = read_shape(model, table, tensor);
	if (status)
		return status;

	return read_buffer(model, buffer, tensor);
}

bool cml_tflite_is_dynamic(struct cml_tflite *model, uint32_t index)
{
	struct cml_fb_table table = cml_fb_table_at(&model->fb, model->tensors,
						    index);
	struct cml_fb_vector signature =
		cml_fb_vector(&model->fb, table, TENSOR_SHAPE_SIGNATURE, 4);

	for (uint32_t i = 0; i < signature.count; i++)
		if (cml_fb_i32_at(&model->fb, signature, i) < 0)
			return true;

	return false;
}

/* Indices of an operator's inputs or outputs. */
static enum cml_status check_operands(struct cml_tflite *model,
				      struct cml_fb_vector operands)
{
	int32_t index = 0;

	for (uint32_t i = 0; i < operands.count; i++) {
		index = cml_fb_i32_at(&model->fb, operands, i);
		if (index < -1 || (index >= 0 && (uint32_t)index >=
						 model->tensors.count))
			return refuse(model, CML_MODEL_MALFORMED,
				      "operator refers to no tensor");
	}

	return CML_OK;
}

enum cml_status cml_tflite_operator(struct cml_tflite *model, uint32_t index,
				    struct cml_tflite_operator *op)
{
	struct cml_fb_table table = { 0 };
	struct cml_fb_table code = { 0 };
	struct cml_fb_vector bytes = { 0 };
	struct cml_fb *fb = &model->fb;
	enum cml_status status = CML_INTERNAL;
	int32_t deprecated = 0;

	*op = (struct cml_tflite_operator){ .builtin_code = -1 };

	table = cml_fb_table_at(fb, model->operators, index);
	code = cml_fb_table_at(fb, model->operator_codes,
			       cml_fb_u32(fb, table, OPERATOR_OPCODE_INDEX, 0));
	/* Codes above 127 are in the wider field; the narrow one is signed. */
	deprecated = (int8_t)cml_fb_u8(fb, code,
				       OPERATOR_CODE_DEPRECATED_BUILTIN, 0);
	op->builtin_code = cml_fb_i32(fb, code, OPERATOR_CODE_BUILTIN, 0);
	if (op->builtin_code < deprecated)
		op->builtin_code = deprecated;
	op->version = cml_fb_i32(fb, code, OPERATOR_CODE_VERSION, 1);
	/* A string is a vector of bytes. */
	bytes = cml_fb_vector(fb, code, OPERATOR_CODE_CUSTOM, 1);
	op->custom_code = cml_bytes(bytes.data, bytes.count);
	op->inputs = cml_fb_vector(fb, table, OPERATOR_INPUTS, 4);
	op->outputs = cml_fb_vector(fb, table, OPERATOR_OUTPUTS, 4);
	op->intermediates = cml_fb_vector(fb, table, OPERATOR_INTERMEDIATES, 4);
	op->options_type = cml_fb_u8(fb, table, OPERATOR_OPTIONS_TYPE, 0);
	op->options = cml_fb_table(fb, table, OPERATOR_OPTIONS);
	bytes = cml_fb_vector(fb, table, OPERATOR_CUSTOM_OPTIONS, 1);
	op->custom_options = cml_bytes(bytes.data, bytes.count);
	if (fb->problem)
		return malformed(model);

	status = check_operands(model, op->inputs);
	if (!status)
		status = check_operands(model, op->outputs);
	if (!status)
		status = check_operands(model, op->intermediates);

	return status;
}
