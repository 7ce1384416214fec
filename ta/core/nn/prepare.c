// SPDX-License-Identifier: Apache-2.0
/*
 * From the file to a graph. Operators are gone through once, in order: each is
 * checked, prepared, and computed at once if it depends on constants alone.
 * Lifetimes of tensors follow from who writes and who reads them. Then the
 * arena is planned, and all that is kept is copied into one block.
 */
#include <string.h>

#include "build.h"

/* Of secure memory, which is mapped in pages. */
#define CHUNK_SIZE	(32 << 10)

static size_t align_up(size_t size, size_t align)
{
	return (size + align - 1) / align * align;
}

static enum cml_status take_chunk(struct cml_build *build, size_t size)
{
	const struct cml_allocator *allocator = build->allocator;
	size_t head = align_up(sizeof(struct cml_chunk), CML_TABLE_ALIGN);
	struct cml_chunk *chunk = NULL;

	size += head;
	if (size < CHUNK_SIZE)
		size = CHUNK_SIZE;
	chunk = allocator->alloc(allocator->ctx, size);
	if (!chunk)
		return cml_build_refuse(build, CML_NO_MEMORY,
					"no memory for the model's tables");
	*chunk = (struct cml_chunk){
		.next = build->chunks, .size = size, .used = head,
	};
	build->chunks = chunk;

	return CML_OK;
}

enum cml_status cml_build_take(struct cml_build *build, size_t size,
			       struct cml_block *block)
{
	size_t taken = align_up(size, CML_TABLE_ALIGN);
	struct cml_chunk *chunk = build->chunks;
	enum cml_status status = CML_INTERNAL;

	if (size > CML_GRAPH_MAX_TABLES - build->tables)
		return cml_build_refuse(build, CML_MODEL_LIMIT,
					"tables of the model take more than "
					"16 MiB");
	if (!chunk || taken > chunk->size - chunk->used) {
		status = take_chunk(build, taken);
		if (status)
			return status;
		chunk = build->chunks;
	}
	block->ptr = (uint8_t *)chunk + chunk->used;
	block->size = size;
	chunk->used += taken;
	build->tables += taken;

	return CML_OK;
}

static void drop_temporary(struct cml_build *build)
{
	const struct cml_allocator *allocator = build->allocator;

	allocator->release(allocator->ctx, build->temporary.ptr,
			   build->temporary.size);
	build->temporary = (struct cml_block){ 0 };
}

enum cml_status cml_build_temporary(struct cml_build *build, size_t size,
				    void **memory)
{
	const struct cml_allocator *allocator = build->allocator;

	if (size > CML_GRAPH_MAX_TABLES)
		return cml_build_refuse(build, CML_MODEL_LIMIT,
					"operator needs more than 16 MiB to be "
					"prepared in");
	if (size > build->temporary.size) {
		drop_temporary(build);
		build->temporary.ptr = allocator->alloc(allocator->ctx, size);
		if (!build->temporary.ptr)
			return cml_build_refuse(build, CML_NO_MEMORY,
						"no memory to prepare in");
		build->temporary.size = size;
	}
	*memory = build->temporary.ptr;

	return CML_OK;
}

/* Opening ----------------------------------------------------------------*/

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

	*used += align_up(size, CML_TABLE_ALIGN);

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

/* Tensors ----------------------------------------------------------------*/

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
	if (element && tensor->offset % element)
		return cml_build_refuse(build, CML_MODEL_MALFORMED,
					"constant's data is not aligned to "
					"its type");

	return CML_OK;
}

static enum cml_status read_tensors(struct cml_build *build)
{
	enum cml_status status = CML_OK;

	for (size_t i = 0; !status && i < build->tensor_count; i++)
		status = read_tensor(build, i);

	return status;
}

/* Tensor @index comes into being at @step. */
static enum cml_status track_write(struct cml_build *build, int32_t index,
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

/* Its memory is needed until @step. */
static void track_read(struct cml_build *build, int32_t index, int32_t step)
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
		status = track_write(build, graph->inputs[i], -1);
	}
	/* Whoever reads the outputs comes after all operators. */
	for (uint32_t i = 0; i < graph->output_count; i++) {
		build->users[graph->outputs[i]]++;
		build->readers[graph->outputs[i]]++;
	}

	return status;
}

/* Operators --------------------------------------------------------------*/

static const struct cml_op_type *find_type(const struct cml_tflite_operator *op,
					   uint16_t *index)
{
	for (size_t i = 0; i < cml_op_type_count; i++) {
		const struct cml_op_type *type = cml_op_types[i];
		size_t len = strlen(type->name);

		if (type->builtin_code != op->builtin_code)
			continue;
		if (type->builtin_code == CML_OP_CUSTOM &&
		    (op->custom_code.len != len ||
		     memcmp(op->custom_code.ptr, type->name, len)))
			continue;
		*index = i;
		return type;
	}

	return NULL;
}

static enum cml_status check_counts(struct cml_build *build,
				    const struct cml_op_type *type,
				    const struct cml_op *op)
{
	if (op->input_count < type->min_inputs ||
	    (type->max_inputs != CML_ANY_COUNT &&
	     op->input_count > type->max_inputs) ||
	    op->output_count < type->min_outputs ||
	    (type->max_outputs != CML_ANY_COUNT &&
	     op->output_count > type->max_outputs))
		return cml_build_refuse(build, CML_MODEL_MALFORMED,
					"operator has the wrong number of "
					"tensors");

	return CML_OK;
}

/* What it reads is there; what it must have is not absent. */
static enum cml_status check_inputs(struct cml_build *build,
				    const struct cml_op_type *type,
				    const struct cml_op *op)
{
	for (size_t i = 0; i < op->input_count; i++) {
		int32_t index = build->operands[op->operands + i];

		if (index < 0 && i < type->min_inputs)
			return cml_build_refuse(build, CML_MODEL_MALFORMED,
						"operator lacks a required "
						"tensor");
		if (index < 0)
			continue;
		/* To others it would be what an earlier run left there. */
		if (type->has_state && build->tensors[index].variable &&
		    build->roles[index] == CML_ROLE_NONE) {
			enum cml_status status =
				track_write(build, index, op - build->ops);

			if (status)
				return status;
			build->roles[index] = CML_ROLE_STATE;
		}
		if (build->roles[index] == CML_ROLE_NONE)
			return cml_build_refuse(build, CML_MODEL_MALFORMED,
						"a tensor is read before it is "
						"written");
		if (!build->tensors[index].count &&
		    !(i < 32 && type->empty_inputs >> i & 1))
			return cml_build_refuse(build, CML_MODEL_SHAPE,
						"operator is given a tensor "
						"without elements");
	}
	for (size_t i = 0; i < op->output_count; i++)
		if (build->operands[op->operands + op->input_count + i] < 0)
			return cml_build_refuse(build, CML_MODEL_MALFORMED,
						"operator lacks a required "
						"tensor");

	return CML_OK;
}

static bool depends_on_constants(const struct cml_build *build,
				 const struct cml_op *op)
{
	for (size_t i = 0; i < op->input_count; i++) {
		int32_t index = build->operands[op->operands + i];

		if (index >= 0 && build->roles[index] != CML_ROLE_CONSTANT)
			return false;
	}

	return true;
}

/* Its outputs become constants of the graph. */
static enum cml_status compute(struct cml_build *build, struct cml_op *op,
			       size_t scratch_size)
{
	struct cml_run run = {
		.graph = build->graph,
		.model = build->model.fb.file.ptr,
	};
	struct cml_block scratch = { 0 };
	enum cml_status status = CML_INTERNAL;

	for (size_t i = 0; i < op->output_count; i++) {
		int32_t index = build->operands[op->operands +
						op->input_count + i];
		struct cml_tensor *tensor = &build->tensors[index];
		struct cml_block *block = &build->constants[index];

		/* One without elements is a constant from the beginning. */
		if (!tensor->count)
			continue;
		if (build->roles[index] != CML_ROLE_NONE)
			return cml_build_refuse(build, CML_MODEL_MALFORMED,
						"a tensor is written twice");
		if (!cml_tflite_type_size(tensor->type) ||
		    tensor->type == CML_TFLITE_FLOAT16)
			return cml_build_refuse(build,
						CML_MODEL_UNSUPPORTED_TYPE,
						"result is of a type that is "
						"not supported");
		tensor->place = CML_PLACE_GRAPH;
		build->roles[index] = CML_ROLE_CONSTANT;
		if (!tensor->size)
			continue;
		status = cml_build_take(build, tensor->size, block);
		if (status)
			return status;
		tensor->offset = (uintptr_t)block->ptr -
				 (uintptr_t)build->graph;
	}
	if (scratch_size) {
		status = cml_build_take(build, scratch_size, &scratch);
		if (status)
			return status;
		run.scratch = scratch.ptr;
	}
	for (uint32_t tile = 0; tile < op->tiles; tile++)
		cml_op_types[op->type]->run(&run, op, tile);

	return CML_OK;
}

/* Nobody waits any more for what a computed operator reads. */
static void forget_reads(struct cml_build *build, const struct cml_op *op)
{
	for (size_t i = 0; i < op->input_count; i++) {
		int32_t index = build->operands[op->operands + i];

		if (index >= 0)
			build->readers[index]--;
	}
}

/* The first output takes the place of an input that nobody else needs. */
static void put_in_place(struct cml_build *build, const struct cml_op *op,
			 size_t input)
{
	int32_t from = build->operands[op->operands + input];
	int32_t to = build->operands[op->operands + op->input_count];
	int32_t step = op - build->ops;
	int32_t home = from < 0 ? -1 : build->home[from];

	if (from < 0 || build->roles[from] != CML_ROLE_WRITTEN ||
	    build->readers[from] || build->items[home].first < 0 ||
	    build->items[home].last > step ||
	    build->tensors[from].size != build->tensors[to].size)
		return;
	build->home[to] = home;
	build->items[to].size = 0;
}

static enum cml_status track(struct cml_build *build, struct cml_op *op,
			     int32_t in_place)
{
	const int32_t *inputs = build->operands + op->operands;
	const int32_t *outputs = inputs + op->input_count;
	int32_t step = op - build->ops;
	enum cml_status status = CML_OK;

	for (size_t i = 0; i < op->input_count; i++)
		if (inputs[i] >= 0)
			track_read(build, inputs[i], step);
	for (size_t i = 0; !status && i < op->output_count; i++)
		status = track_write(build, outputs[i], step);
	if (!status && in_place >= 0 && op->output_count == 1)
		put_in_place(build, op, in_place);

	return status;
}

static enum cml_status count_work(struct cml_build *build,
				  const struct cml_node *node)
{
	const struct cml_op *op = node->op;
	uint64_t work = node->macs;

	for (size_t i = 0; i < op->output_count; i++)
		work += cml_node_output(node, i)->count;
	/* Each is at most that, so the sum does not overflow. */
	if (work > CML_GRAPH_MAX_MACS ||
	    build->work_done + work > CML_GRAPH_MAX_MACS)
		return cml_build_refuse(build, CML_MODEL_LIMIT,
					"model needs more than 4 Gi "
					"multiply-accumulates");
	build->work_done += work;
	if (node->scratch > CML_GRAPH_MAX_SCRATCH)
		return cml_build_refuse(build, CML_MODEL_LIMIT,
					"operator needs more than 4 MiB to "
					"work in");

	return CML_OK;
}

static enum cml_status check_operator(struct cml_build *build,
				      struct cml_node *node)
{
	const struct cml_tflite_operator *tflite = &node->tflite;
	const struct cml_op_type *type = NULL;
	struct cml_op *op = node->op;
	enum cml_status status = CML_INTERNAL;

	type = find_type(tflite, &op->type);
	if (!type)
		return cml_build_refuse(build, CML_MODEL_UNSUPPORTED_OP,
					"operator is not supported");
	if (tflite->version < 1 || tflite->version > type->max_version)
		return cml_build_refuse(build, CML_MODEL_UNSUPPORTED_OP,
					"version of the operator is not "
					"supported");
	if (tflite->options_type && tflite->options_type != type->options_type)
		return cml_build_refuse(build, CML_MODEL_MALFORMED,
					"operator does not have its own kind "
					"of options");
	status = check_counts(build, type, op);
	if (!status)
		status = check_inputs(build, type, op);

	return status;
}

static enum cml_status prepare_operator(struct cml_build *build,
					struct cml_node *node)
{
	enum cml_status status = check_operator(build, node);

	if (status)
		return status;
	status = cml_op_types[node->op->type]->prepare(node);
	if (!status && node->fb->problem)
		return cml_build_refuse(build, CML_MODEL_MALFORMED,
					node->fb->problem);
	if (status)
		return cml_build_refuse(build, status, node->reason);

	return count_work(build, node);
}

static void list_operands(struct cml_build *build, struct cml_fb_vector from)
{
	struct cml_graph *graph = build->graph;

	for (uint32_t i = 0; i < from.count; i++)
		build->operands[graph->operand_count++] =
			cml_fb_i32_at(&build->model.fb, from, i);
}

/* Operators whose result is known now are not kept. */
static enum cml_status build_operator(struct cml_build *build, size_t index)
{
	struct cml_graph *graph = build->graph;
	struct cml_node node = {
		.build = build,
		.op = &build->ops[graph->op_count],
		.fb = &build->model.fb,
		.cpu = build->cpu,
		.in_place = -1,
		.packed_input = -1,
	};
	enum cml_status status = cml_tflite_operator(&build->model, index,
						     &node.tflite);

	build->problem.op_index = index;
	build->problem.builtin_code = node.tflite.builtin_code;
	if (status)
		return cml_build_refuse(build, status, build->model.problem);
	*node.op = (struct cml_op){
		.operands = graph->operand_count,
		.input_count = node.tflite.inputs.count,
		.output_count = node.tflite.outputs.count,
		.tiles = 1,
	};
	list_operands(build, node.tflite.inputs);
	list_operands(build, node.tflite.outputs);
	status = prepare_operator(build, &node);
	if (status)
		return status;
	if (node.known || depends_on_constants(build, node.op)) {
		status = compute(build, node.op, node.scratch);
		forget_reads(build, node.op);
		build->params[graph->op_count] = (struct cml_block){ 0 };
		graph->operand_count = node.op->operands;
		return status;
	}
	status = track(build, node.op, node.in_place);
	if (status)
		return status;
	build->packs[graph->op_count] = (struct cml_pack){
		.tensor = node.packed_input < 0 ? -1 :
			  build->operands[node.op->operands +
					  node.packed_input],
		.size = node.packed_size,
	};
	graph->macs += node.macs;
	if (node.scratch > graph->scratch_size)
		graph->scratch_size = node.scratch;
	graph->op_count++;

	return CML_OK;
}

/* How often each tensor is read. */
static enum cml_status count_readers(struct cml_build *build)
{
	struct cml_tflite_operator tflite = { 0 };

	for (size_t i = 0; i < build->op_count; i++) {
		enum cml_status status = cml_tflite_operator(&build->model, i,
							     &tflite);

		if (status)
			return cml_build_refuse(build, status,
						build->model.problem);
		for (uint32_t j = 0; j < tflite.inputs.count; j++) {
			int32_t index = cml_fb_i32_at(&build->model.fb,
						      tflite.inputs, j);

			if (index >= 0) {
				build->users[index]++;
				build->readers[index]++;
			}
		}
	}

	return CML_OK;
}

static enum cml_status build_operators(struct cml_build *build)
{
	struct cml_graph *graph = build->graph;
	enum cml_status status = count_readers(build);

	for (size_t i = 0; !status && i < build->op_count; i++)
		status = build_operator(build, i);
	if (status)
		return status;
	build->problem.op_index = -1;
	build->problem.builtin_code = -1;

	for (uint32_t i = 0; i < graph->output_count; i++) {
		int32_t index = graph->outputs[i];

		if (build->roles[index] == CML_ROLE_NONE ||
		    (build->roles[index] == CML_ROLE_WRITTEN &&
		     build->items[build->home[index]].first < 0))
			return cml_build_refuse(build, CML_MODEL_MALFORMED,
						"no operator writes the "
						"model's output");
		track_read(build, index, build->op_count);
	}

	return CML_OK;
}

/* All in one -------------------------------------------------------------*/

static enum cml_status plan_arena(struct cml_build *build)
{
	struct cml_graph *graph = build->graph;
	size_t count = build->tensor_count;
	int32_t first = graph->inputs[0];

	graph->tensor_count = count;
	/* Several inputs are all written before anything runs. */
	graph->arena_size = cml_arena_plan(build->items, count, first);
	graph->arena_lower_bound = cml_arena_lower_bound(build->items, count);
	if (graph->arena_size > CML_GRAPH_MAX_ARENA)
		return cml_build_refuse(build, CML_MODEL_LIMIT,
					"activations need more than 64 MiB");
	graph->first_input_size = align_up(build->tensors[first].size,
					   CML_MEMORY_ALIGN);
	for (size_t i = 0; i < count; i++)
		if (build->tensors[i].place == CML_PLACE_ARENA)
			build->tensors[i].offset =
				build->items[build->home[i]].offset;

	return CML_OK;
}

/* Whether nothing else that is kept lies where constant @index does. */
static bool is_alone(const struct cml_build *build, int32_t index)
{
	const struct cml_tensor *own = &build->tensors[index];

	for (size_t i = 0; i < build->tensor_count; i++) {
		const struct cml_tensor *other = &build->tensors[i];

		if ((int32_t)i != index && other->place == CML_PLACE_MODEL &&
		    own->offset < other->offset + other->size &&
		    other->offset < own->offset + own->size)
			return false;
	}

	return true;
}

/* In place goes what is one operator's own and has the right size. */
static enum cml_status pack_weights(struct cml_build *build, uint8_t *file,
				    size_t index)
{
	const struct cml_pack *pack = &build->packs[index];
	const struct cml_tensor *tensor = &build->tensors[pack->tensor];
	struct cml_op *op = &build->ops[index];
	struct cml_block copy = { 0 };
	enum cml_status status = CML_INTERNAL;
	const void *from = NULL;
	void *memory = NULL;
	void *to = NULL;

	if (tensor->place == CML_PLACE_MODEL && tensor->size == pack->size &&
	    build->users[pack->tensor] == 1 && is_alone(build, pack->tensor)) {
		status = cml_build_temporary(build, tensor->size, &memory);
		if (status)
			return status;
		to = file + tensor->offset;
		memcpy(memory, to, tensor->size);
		from = memory;
		op->packed_place = CML_PLACE_MODEL;
		op->packed = tensor->offset;
	} else {
		status = cml_build_take(build, pack->size, &copy);
		if (status)
			return status;
		to = copy.ptr;
		from = tensor->place == CML_PLACE_MODEL ?
		       file + tensor->offset :
		       cml_graph_at(build->graph, tensor->offset);
		op->packed_place = CML_PLACE_GRAPH;
		build->packs[index].copy = copy;
	}
	cml_op_types[op->type]->pack(op, build->params[index].ptr, from, to);

	return CML_OK;
}

/*
 * Nothing is read from the file's tables after this: a hostile one may have
 * them where its weights are.
 */
static enum cml_status pack_all(struct cml_build *build, uint8_t *file)
{
	enum cml_status status = CML_OK;

	for (size_t i = 0; !status && i < build->graph->op_count; i++)
		if (build->packs[i].tensor >= 0)
			status = pack_weights(build, file, i);

	return status;
}

/* Copies @size bytes to the end of the block, and gives their offset. */
static size_t append(uint8_t *block, size_t *used, const void *from,
		     size_t size)
{
	size_t offset = *used;

	if (size)
		memcpy(block + offset, from, size);
	*used += align_up(size, CML_TABLE_ALIGN);

	return offset;
}

static enum cml_status finish(struct cml_build *build, struct cml_graph **graph)
{
	const struct cml_allocator *allocator = build->allocator;
	struct cml_graph *made = build->graph;
	size_t tensors = build->tensor_count * sizeof(*build->tensors);
	size_t ops = made->op_count * sizeof(*build->ops);
	size_t operands = made->operand_count * sizeof(*build->operands);
	uint8_t *block = NULL;
	size_t used = align_up(sizeof(*made), CML_TABLE_ALIGN);

	made->size = used + align_up(tensors, CML_TABLE_ALIGN) +
		     align_up(ops, CML_TABLE_ALIGN) +
		     align_up(operands, CML_TABLE_ALIGN);
	for (size_t i = 0; i < made->op_count; i++)
		made->size += align_up(build->params[i].size,
				       CML_TABLE_ALIGN) +
			      align_up(build->packs[i].copy.size,
				       CML_TABLE_ALIGN);
	for (size_t i = 0; i < build->tensor_count; i++)
		made->size += align_up(build->constants[i].size,
				       CML_TABLE_ALIGN);
	block = allocator->alloc(allocator->ctx, made->size);
	if (!block)
		return cml_build_refuse(build, CML_NO_MEMORY,
					"no memory for the graph");

	for (size_t i = 0; i < made->op_count; i++) {
		struct cml_block copy = build->packs[i].copy;

		build->ops[i].params = append(block, &used,
					      build->params[i].ptr,
					      build->params[i].size);
		if (copy.size)
			build->ops[i].packed = append(block, &used, copy.ptr,
						      copy.size);
	}
	for (size_t i = 0; i < build->tensor_count; i++)
		if (build->tensors[i].place == CML_PLACE_GRAPH)
			build->tensors[i].offset =
				append(block, &used, build->constants[i].ptr,
				       build->constants[i].size);
	made->tensors = append(block, &used, build->tensors, tensors);
	made->ops = append(block, &used, build->ops, ops);
	made->operands = append(block, &used, build->operands, operands);
	memcpy(block, made, sizeof(*made));
	*graph = (struct cml_graph *)block;

	return CML_OK;
}

static enum cml_status build_graph(struct cml_build *build, uint8_t *file,
				   size_t len, struct cml_graph **graph)
{
	enum cml_status status = open_file(build, cml_bytes(file, len));

	if (!status)
		status = take_work(build);
	if (!status)
		status = read_tensors(build);
	if (!status)
		status = read_ends(build);
	if (!status)
		status = build_operators(build);
	if (!status)
		status = plan_arena(build);
	if (!status)
		status = pack_all(build, file);
	if (!status)
		status = finish(build, graph);

	return status;
}

static void release(struct cml_build *build)
{
	const struct cml_allocator *allocator = build->allocator;

	drop_temporary(build);
	while (build->chunks) {
		struct cml_chunk *chunk = build->chunks;

		build->chunks = chunk->next;
		allocator->release(allocator->ctx, chunk, chunk->size);
	}
	allocator->release(allocator->ctx, build->work.ptr, build->work.size);
}

/* Stack: 600 bytes; with all that it calls under 3 KiB. */
enum cml_status cml_graph_prepare(const struct cml_allocator *allocator,
				  uint8_t *model, size_t len, uint32_t cpu,
				  struct cml_graph **graph,
				  struct cml_graph_problem *problem)
{
	struct cml_build build = {
		.allocator = allocator,
		.cpu = cpu,
		.problem = { .op_index = -1, .builtin_code = -1 },
	};
	enum cml_status status = CML_INTERNAL;

	*graph = NULL;
	status = build_graph(&build, model, len, graph);
	release(&build);
	if (problem) {
		*problem = build.problem;
		if (status && !problem->reason)
			problem->reason = "no reason was given: a bug";
	}

	return status;
}
