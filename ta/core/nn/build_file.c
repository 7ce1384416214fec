// SPDX-License-Identifier: Apache-2.0
/* What the file says before its operators: sizes, tensors, inputs, outputs. */
#include <string.h>

#include "build.h"

static enum cml_status open_file(struct cml_build *build, struct cml_bytes file)
{
	struct cml_tflite *model = &build->model;
	struct cml_tflite_operator tflite = { 0 };
	enum cml_status status = cml_tflite_open(file, model);
	size_t operands = 0;

	if (status)
		return cml_build_refuse(build, status, model->problem);
	if (model->tensors.count > CML_GRAPH_MAX_TENSORS)
		return cml_build_refuse(build, CML_MODEL_LIMIT,
					"model has more than 4096 tensors");
	if (model->operators.count > CML_GRAPH_MAX_OPS)
		return cml_build_refuse(build, CML_MODEL_LIMIT,
					"model has more than 2048 operators");
	if (!model->operators.count)
		return cml_build_refuse(build, CML_MODEL_LIMIT,
					"model has no operator");
	if (!model->inputs.count || model->inputs.count > CML_MAX_INPUTS)
		return cml_build_refuse(build, CML_MODEL_LIMIT,
					"model has no input, or more than 16");
	if (!model->outputs.count || model->outputs.count > CML_MAX_OUTPUTS)
		return cml_build_refuse(build, CML_MODEL_LIMIT,
					"model has no output, or more than 32");

	for (uint32_t i = 0; i < model->operators.count; i++) {
		build->problem.op_index = i;
		status = cml_tflite_operator(model, i, &tflite);
		if (status)
			return cml_build_refuse(build, status, model->problem);
		build->problem.builtin_code = tflite.builtin_code;
		operands += (size_t)tflite.inputs.count + tflite.outputs.count;
		if (operands > CML_GRAPH_MAX_OPERANDS)
			return cml_build_refuse(build, CML_MODEL_LIMIT,
						"operators have more than "
						"16384 operands in all");
		build->problem.builtin_code = -1;
	}
	build->problem.op_index = -1;
	build->tensor_count = model->tensors.count;
	build->op_count = model->operators.count;
	build->operand_count = operands;

	return CML_OK;
}

/* The next @size bytes of a block; only the sizes count if @base is NULL. */
static void *part(uint8_t *base, size_t *used, size_t size)
{
	void *start = base ? base + *used : NULL;

	*used += cml_align_up(size, CML_TABLE_ALIGN);

	return start;
}

static size_t lay_out(struct cml_build *build, uint8_t *base)
{
	size_t tensors = build->tensor_count;
	size_t ops = build->op_count;
	size_t used = 0;

	build->graph = part(base, &used, sizeof(*build->graph));
	build->tensors = part(base, &used, tensors * sizeof(*build->tensors));
	build->ops = part(base, &used, ops * sizeof(*build->ops));
	build->operands = part(base, &used, build->operand_count *
					    sizeof(*build->operands));
	build->items = part(base, &used, tensors * sizeof(*build->items));
	build->users = part(base, &used, tensors * sizeof(*build->users));
	build->readers = part(base, &used, tensors * sizeof(*build->readers));
	build->home = part(base, &used, tensors * sizeof(*build->home));
	build->roles = part(base, &used, tensors * sizeof(*build->roles));
	build->params = part(base, &used, ops * sizeof(*build->params));
	build->packs = part(base, &used, ops * sizeof(*build->packs));
	build->constants = part(base, &used,
				tensors * sizeof(*build->constants));

	return used;
}

static enum cml_status take_work(struct cml_build *build)
{
	const struct cml_allocator *allocator = build->allocator;
	size_t size = lay_out(build, NULL);

	build->work.ptr = allocator->alloc(allocator->ctx, size);
	if (!build->work.ptr)
		return cml_build_refuse(build, CML_NO_MEMORY,
					"no memory to prepare in");
	build->work.size = size;
	lay_out(build, build->work.ptr);
	build->graph->tensors = (uintptr_t)build->tensors -
				(uintptr_t)build->graph;
	build->graph->ops = (uintptr_t)build->ops - (uintptr_t)build->graph;
	build->graph->operands = (uintptr_t)build->operands -
				 (uintptr_t)build->graph;

	return CML_OK;
}

static bool zero_point_fits(uint32_t type, int64_t zero_point)
{
	switch (type) {
	case CML_TFLITE_INT8:
		return zero_point >= INT8_MIN && zero_point <= INT8_MAX;
	case CML_TFLITE_UINT8:
		return zero_point >= 0 && zero_point <= UINT8_MAX;
	case CML_TFLITE_INT16:
		return zero_point >= INT16_MIN && zero_point <= INT16_MAX;
	default:
		return zero_point == 0;
	}
}

/* Left without a scale if it has not exactly one that can be used. */
static void read_quantization(struct cml_build *build,
			      const struct cml_tflite_tensor *from,
			      struct cml_tensor *tensor)
{
	struct cml_fb *fb = &build->model.fb;
	int64_t zero_point = 0;
	float scale = 0;

	if (from->scale.count != 1 || from->zero_point.count > 1)
		return;
	scale = cml_fb_f32_at(fb, from->scale, 0);
	if (from->zero_point.count)
		zero_point = cml_fb_i64_at(fb, from->zero_point, 0);
	/* Also false for NaN */
	if (!(scale > 0 && scale <= __FLT_MAX__) ||
	    !zero_point_fits(from->type, zero_point))
		return;
	tensor->scale = scale;
	tensor->zero_point = zero_point;
}

static enum cml_status copy_constant(struct cml_build *build, size_t index,
				     struct cml_bytes data)
{
	struct cml_tensor *tensor = &build->tensors[index];
	struct cml_block *block = &build->constants[index];
	enum cml_status status = cml_build_take(build, data.len, block);

	if (status)
		return status;
	memcpy(block->ptr, data.ptr, data.len);
	tensor->place = CML_PLACE_GRAPH;
	tensor->offset = (uintptr_t)block->ptr - (uintptr_t)build->graph;

	return CML_OK;
}

static enum cml_status read_tensor(struct cml_build *build, size_t index)
{
	struct cml_tflite_tensor from = { 0 };
	struct cml_tensor *tensor = &build->tensors[index];
	enum cml_status status = cml_tflite_tensor(&build->model, index, &from);
	size_t element = cml_tflite_type_size(from.type);

	if (status)
		return cml_build_refuse(build, status, build->model.problem);
	tensor->type = from.type;
	tensor->rank = from.rank;
	tensor->variable = from.variable;
	memcpy(tensor->dims, from.dims, sizeof(tensor->dims));
	tensor->count = from.count;
	tensor->size = from.count * element;
	read_quantization(build, &from, tensor);
	build->home[index] = index;
	if (!from.data.ptr && from.count)
		return CML_OK;

	/* A constant, if of a type that is known. */
	if (element && from.data.len != tensor->size)
		return cml_build_refuse(build, CML_MODEL_SHAPE,
					"constant's data is not of its "
					"shape's size");
	tensor->place = CML_PLACE_MODEL;
	build->roles[index] = CML_ROLE_CONSTANT;
	if (from.data.ptr)
		tensor->offset = from.data.ptr - build->model.fb.file.ptr;
	/* Converters that write by Python's flatbuffers align to 4 at most. */
	if (element && tensor->offset % element)
		return copy_constant(build, index, from.data);

	return CML_OK;
}

static enum cml_status read_tensors(struct cml_build *build)
{
	enum cml_status status = CML_OK;

	for (size_t i = 0; !status && i < build->tensor_count; i++)
		status = read_tensor(build, i);

	return status;
}

enum cml_status cml_build_write(struct cml_build *build, int32_t index,
				int32_t step)
{
	struct cml_tensor *tensor = &build->tensors[index];
	struct cml_arena_item *item = &build->items[index];

	if (!tensor->count)
		return cml_build_refuse(build, CML_MODEL_SHAPE,
					"activation has no elements");
	switch (build->roles[index]) {
	case CML_ROLE_NONE:
		break;
	case CML_ROLE_CONSTANT:
		return cml_build_refuse(build, CML_MODEL_MALFORMED,
					"a constant is written");
	default:
		return cml_build_refuse(build, CML_MODEL_MALFORMED,
					"a tensor is written twice");
	}
	if (!cml_tflite_type_size(tensor->type) ||
	    tensor->type == CML_TFLITE_FLOAT16)
		return cml_build_refuse(build, CML_MODEL_UNSUPPORTED_TYPE,
					"activation is of a type that is not "
					"supported");
	build->roles[index] = CML_ROLE_WRITTEN;
	tensor->place = CML_PLACE_ARENA;
	item->size = tensor->size;
	item->first = step;
	item->last = step;

	return CML_OK;
}

void cml_build_read(struct cml_build *build, int32_t index, int32_t step)
{
	build->items[build->home[index]].last = step;
	build->readers[index]--;
}

static enum cml_status check_ends(struct cml_build *build,
				  struct cml_fb_vector ends, int32_t *indices)
{
	for (uint32_t i = 0; i < ends.count; i++) {
		indices[i] = cml_fb_i32_at(&build->model.fb, ends, i);
		if (indices[i] < 0 ||
		    (size_t)indices[i] >= build->tensor_count)
			return cml_build_refuse(build, CML_MODEL_MALFORMED,
						"model's input or output is "
						"no tensor");
	}

	return CML_OK;
}

static enum cml_status read_ends(struct cml_build *build)
{
	struct cml_tflite *model = &build->model;
	struct cml_graph *graph = build->graph;
	enum cml_status status = CML_INTERNAL;

	status = check_ends(build, model->inputs, graph->inputs);
	if (!status)
		status = check_ends(build, model->outputs, graph->outputs);
	if (status)
		return status;
	graph->input_count = model->inputs.count;
	graph->output_count = model->outputs.count;
	for (uint32_t i = 0; !status && i < graph->input_count; i++) {
		if (build->tensors[graph->inputs[i]].variable)
			return cml_build_refuse(build, CML_MODEL_MALFORMED,
						"model's input is a variable");
		status = cml_build_write(build, graph->inputs[i], -1);
	}
	/* Whoever reads the outputs comes after all operators. */
	for (uint32_t i = 0; i < graph->output_count; i++) {
		build->users[graph->outputs[i]]++;
		build->readers[graph->outputs[i]]++;
	}

	return status;
}

enum cml_status cml_build_open(struct cml_build *build, struct cml_bytes file)
{
	enum cml_status status = open_file(build, file);

	if (!status)
		status = take_work(build);
	if (!status)
		status = read_tensors(build);
	if (!status)
		status = read_ends(build);

	return status;
}
