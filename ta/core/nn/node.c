// SPDX-License-Identifier: Apache-2.0
/* What operators may ask while they are being prepared: see op.h. */
#include <string.h>

#include "build.h"

/*
 * A tile takes about this many elements, of those a worker does in turn. Tests
 * set it lower, so that small tensors too fall into several tiles.
 */
#ifndef CML_TILE_COST
#define CML_TILE_COST	(1u << 18)
#endif
#define MAX_TILES	64

static const struct cml_tensor *operand(const struct cml_node *node,
					size_t index)
{
	const struct cml_build *build = node->build;
	int32_t tensor = build->operands[node->op->operands + index];

	return tensor < 0 ? NULL : &build->tensors[tensor];
}

const struct cml_tensor *cml_node_input(const struct cml_node *node,
					size_t index)
{
	return index < node->op->input_count ? operand(node, index) : NULL;
}

const struct cml_tensor *cml_node_output(const struct cml_node *node,
					 size_t index)
{
	return operand(node, node->op->input_count + index);
}

const struct cml_tensor *cml_node_intermediate(const struct cml_node *node,
					       size_t index)
{
	struct cml_fb_vector list = node->tflite.intermediates;
	int32_t tensor = index < list.count ?
			 cml_fb_i32_at(node->fb, list, index) : -1;

	return tensor < 0 ? NULL : &node->build->tensors[tensor];
}

const void *cml_node_constant(const struct cml_node *node, size_t index)
{
	const struct cml_tensor *tensor = cml_node_input(node, index);
	const struct cml_build *build = node->build;

	if (!tensor)
		return NULL;
	switch (tensor->place) {
	case CML_PLACE_MODEL:
		return build->model.fb.file.ptr + tensor->offset;
	case CML_PLACE_GRAPH:
		return cml_graph_at(build->graph, tensor->offset);
	default:
		return NULL;
	}
}

enum cml_status cml_node_need_constant(struct cml_node *node, size_t index,
				       const void **data)
{
	*data = cml_node_constant(node, index);
	if (!*data)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "operator needs a constant where the model "
				  "has none");

	return CML_OK;
}

enum cml_status cml_node_type(struct cml_node *node,
			      const struct cml_tensor *tensor, uint32_t type)
{
	if (tensor->type != type)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "tensors of an operator have types that do "
				  "not go together");

	return CML_OK;
}

static bool has_shape(const struct cml_tensor *tensor, uint32_t rank,
		      const int32_t *dims)
{
	bool equal = tensor->rank == rank;

	for (uint32_t i = 0; equal && i < rank; i++)
		equal = tensor->dims[i] == dims[i];

	return equal;
}

/* What is there already keeps the size it was given memory for. */
static enum cml_status resize(struct cml_node *node, size_t index,
			      uint32_t rank, const int32_t *dims)
{
	struct cml_build *build = node->build;
	struct cml_tensor *tensor = &build->tensors[index];
	bool fits = build->roles[index] == CML_ROLE_NONE &&
		    rank <= CML_MAX_RANK;
	uint64_t count = 1;

	for (uint32_t i = 0; fits && i < rank; i++)
		fits = dims[i] >= 0;
	if (!fits)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "output's shape is not what the operator "
				  "computes");
	for (uint32_t i = 0; i < rank; i++) {
		count *= (uint32_t)dims[i];	/* 31 bits times 25 */
		if (count > CML_TFLITE_MAX_ELEMENTS ||
		    dims[i] > CML_TFLITE_MAX_DIM)
			return cml_refuse(node, CML_MODEL_LIMIT,
					  "output has more than 16 Mi "
					  "elements");
	}
	for (uint32_t i = 0; i < CML_MAX_RANK; i++)
		tensor->dims[i] = i < rank ? dims[i] : 1;
	tensor->rank = rank;
	tensor->count = count;
	tensor->size = count * cml_tflite_type_size(tensor->type);

	return CML_OK;
}

enum cml_status cml_node_open_shape(struct cml_node *node,
				    const struct cml_tensor *output,
				    uint32_t rank, const int32_t *dims)
{
	struct cml_build *build = node->build;
	size_t index = output - build->tensors;

	if (has_shape(output, rank, dims) ||
	    !cml_tflite_is_dynamic(&build->model, index))
		return CML_OK;

	return resize(node, index, rank, dims);
}

enum cml_status cml_node_shape(struct cml_node *node,
			       const struct cml_tensor *output, uint32_t rank,
			       const int32_t *dims)
{
	enum cml_status status = cml_node_open_shape(node, output, rank, dims);

	if (!status && !has_shape(output, rank, dims))
		status = cml_refuse(node, CML_MODEL_SHAPE,
				    "output's shape is not what the operator "
				    "computes");

	return status;
}

enum cml_status cml_node_set_shape(struct cml_node *node, size_t output,
				   uint32_t rank, const int32_t *dims)
{
	struct cml_build *build = node->build;
	size_t operand = node->op->operands + node->op->input_count + output;
	int32_t index = build->operands[operand];
	struct cml_tensor *tensor = &build->tensors[index];

	if (tensor->rank || build->roles[index] != CML_ROLE_NONE)
		return cml_node_shape(node, tensor, rank, dims);

	return resize(node, index, rank, dims);
}

bool cml_same_shape(const struct cml_tensor *a, const struct cml_tensor *b)
{
	return a->rank == b->rank &&
	       !memcmp(a->dims, b->dims, sizeof(a->dims));
}

enum cml_status cml_node_quantized(struct cml_node *node,
				   const struct cml_tensor *tensor)
{
	if (!(tensor->scale > 0))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "tensor does not have one scale and one zero "
				  "point that can be used");

	return CML_OK;
}

enum cml_status cml_node_same_quantization(struct cml_node *node,
					   const struct cml_tensor *a,
					   const struct cml_tensor *b)
{
	enum cml_status status = cml_node_quantized(node, a);

	if (!status)
		status = cml_node_quantized(node, b);
	if (!status && (a->scale != b->scale || a->zero_point != b->zero_point))
		status = cml_refuse(node, CML_MODEL_QUANTIZATION,
				    "tensors that should have the same scale "
				    "and zero point do not");

	return status;
}

static enum cml_status read_scales(struct cml_node *node, size_t input,
				   struct cml_tflite_tensor *tensor)
{
	struct cml_build *build = node->build;
	int32_t index = build->operands[node->op->operands + input];
	enum cml_status status = cml_tflite_tensor(&build->model, index,
						   tensor);

	if (status)
		return cml_refuse(node, status, build->model.problem);
	if (tensor->zero_point.count &&
	    tensor->zero_point.count != tensor->scale.count)
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "not as many zero points as scales");
	for (uint32_t i = 0; i < tensor->zero_point.count; i++)
		if (cml_fb_i64_at(node->fb, tensor->zero_point, i))
			return cml_refuse(node, CML_MODEL_QUANTIZATION,
					  "zero point of weights or bias is "
					  "not 0");

	return CML_OK;
}

enum cml_status cml_node_scales(struct cml_node *node, size_t input,
				struct cml_fb_vector *scales)
{
	struct cml_tflite_tensor tensor = { 0 };
	enum cml_status status = read_scales(node, input, &tensor);

	*scales = tensor.scale;

	return status;
}

enum cml_status cml_node_channel_scales(struct cml_node *node, size_t input,
					int32_t axis, uint32_t count,
					float *scales)
{
	struct cml_tflite_tensor tensor = { 0 };
	enum cml_status status = read_scales(node, input, &tensor);
	bool one = tensor.scale.count == 1;

	if (status)
		return status;
	if (!one && (tensor.scale.count != count ||
		     tensor.quantized_dimension != axis))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "weights have neither one scale nor one an "
				  "output channel");
	for (uint32_t i = 0; i < count; i++) {
		scales[i] = cml_fb_f32_at(node->fb, tensor.scale, one ? 0 : i);
		/* Also false for NaN */
		if (!(scales[i] > 0 && scales[i] <= __FLT_MAX__))
			return cml_refuse(node, CML_MODEL_QUANTIZATION,
					  "scale is not positive and finite");
	}

	return CML_OK;
}

enum cml_status cml_node_params(struct cml_node *node, size_t size,
				void **params)
{
	struct cml_build *build = node->build;
	struct cml_block *block = &build->params[node->op - build->ops];
	enum cml_status status = CML_INTERNAL;

	*params = NULL;
	if (block->ptr)
		return CML_INTERNAL;
	status = cml_build_take(build, size, block);
	if (status)
		return cml_refuse(node, status, build->problem.reason);
	node->op->params = (uintptr_t)block->ptr - (uintptr_t)build->graph;
	*params = block->ptr;

	return CML_OK;
}

enum cml_status cml_node_temporary(struct cml_node *node, size_t size,
				   void **memory)
{
	enum cml_status status = cml_build_temporary(node->build, size, memory);

	return status ? cml_refuse(node, status, node->build->problem.reason) :
			CML_OK;
}

void cml_node_tiles(struct cml_node *node, uint32_t units, uint64_t unit_cost)
{
	uint64_t tiles = (units * unit_cost + CML_TILE_COST - 1) /
			 CML_TILE_COST;

	if (tiles > MAX_TILES)
		tiles = MAX_TILES;
	if (tiles > units)
		tiles = units;
	node->op->tiles = tiles ? tiles : 1;
}
