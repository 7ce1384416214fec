// SPDX-License-Identifier: Apache-2.0
/*
 * prepare, in this order: every operator is checked against the file
 * (check_ops), the order of execution and the lifetimes of tensors follow from
 * who writes and who reads them (track_*), the arena is planned, memory is
 * taken, and the operators get their pointers (bind_ops).
 */
#include <string.h>

#include "arena.h"
#include "checked.h"
#include "graph.h"
#include "ops/ops.h"

struct cml_graph {
	struct cml_allocator allocator;
	size_t size;			/* of this block, with ops behind it */
	uint8_t *arena;
	size_t arena_size, arena_lower_bound;
	int32_t *channels;		/* per-channel numbers of all ops */
	size_t channels_size;
	size_t input_size;		/* at the start of the arena, aligned */
	struct cml_tensor_view input;
	struct cml_tensor_view outputs[CML_MAX_OUTPUTS];
	size_t output_count;
	uint64_t macs;
	size_t op_count;
	struct cml_op ops[];
};

/* Per-channel arrays of one op: bias, multiplier, shift */
#define CHANNEL_ARRAYS	3

enum role { UNSEEN, CONSTANT, WRITTEN };

/* What exists only while preparing; one block, items first. */
struct plan {
	struct cml_tflite model;
	uint32_t cpu;
	struct cml_graph_problem problem;
	size_t tensor_count, op_count;
	size_t items_size, roles_size;
	/* Tensors, then the scratch of each op */
	struct cml_arena_item *items;
	uint8_t *roles;			/* enum role of each tensor */
};

static const struct cml_op_type *const op_types[] = {
	&cml_op_conv2d_s8,
	&cml_op_depthwise_conv2d_s8,
	&cml_op_add_s8,
};

static enum cml_status refuse(struct plan *plan, enum cml_status status,
			      const char *reason)
{
	plan->problem.reason = reason;

	return status;
}

static enum cml_status open_model(struct plan *plan, struct cml_bytes file)
{
	struct cml_tflite *model = &plan->model;
	enum cml_status status = cml_tflite_open(file, model);

	if (status)
		return refuse(plan, status, model->problem);
	if (model->tensors.count > CML_GRAPH_MAX_TENSORS)
		return refuse(plan, CML_MODEL_LIMIT,
			      "model has more than 2048 tensors");
	if (model->operators.count > CML_GRAPH_MAX_OPS)
		return refuse(plan, CML_MODEL_LIMIT,
			      "model has more than 1024 operators");
	if (!model->operators.count)
		return refuse(plan, CML_MODEL_LIMIT, "model has no operator");
	if (model->inputs.count != CML_MAX_INPUTS)
		return refuse(plan, CML_MODEL_LIMIT,
			      "model does not have exactly one input");
	if (!model->outputs.count || model->outputs.count > CML_MAX_OUTPUTS)
		return refuse(plan, CML_MODEL_LIMIT,
			      "model has no output, or more than 32");

	plan->tensor_count = model->tensors.count;
	plan->op_count = model->operators.count;

	return CML_OK;
}

/* A graph input or output as the caller sees it; data comes later. */
static enum cml_status check_view(struct plan *plan, int32_t index,
				  struct cml_tensor_view *view)
{
	struct cml_node node = { .model = &plan->model };
	struct cml_activation activation = { 0 };
	enum cml_status status = CML_INTERNAL;

	if (index < 0 || (size_t)index >= plan->tensor_count)
		return refuse(plan, CML_MODEL_MALFORMED,
			      "model's input or output is no tensor");
	status = cml_node_activation(&node, index, &activation);
	if (status)
		return refuse(plan, status, node.reason);
	if (activation.tensor.rank != CML_MAX_DIMS)
		return refuse(plan, CML_MODEL_SHAPE,
			      "model's input or output does not have 4 "
			      "dimensions");

	memcpy(view->dims, activation.tensor.dims, sizeof(view->dims));
	view->size = activation.tensor.element_count;
	view->scale = activation.scale;
	view->zero_point = activation.zero_point;

	return CML_OK;
}

/* Tensor @index comes into being at @step. */
static enum cml_status track_write(struct plan *plan, int32_t index,
				   int32_t step)
{
	struct cml_tflite_tensor tensor = { 0 };
	enum cml_status status = cml_tflite_tensor(&plan->model, index,
						   &tensor);

	if (status)
		return refuse(plan, status, plan->model.problem);
	if (tensor.data.ptr)
		return refuse(plan, CML_MODEL_MALFORMED,
			      "a constant is written");
	if (plan->roles[index] == WRITTEN)
		return refuse(plan, CML_MODEL_MALFORMED,
			      "a tensor is written twice");
	if (plan->roles[index] == CONSTANT)
		return refuse(plan, CML_INTERNAL, "role of a tensor changed");

	plan->roles[index] = WRITTEN;
	plan->items[index].size = tensor.element_count;
	plan->items[index].first = step;
	plan->items[index].last = step;

	return CML_OK;
}

/* Tensor @index is read at @step; -1 is no tensor. */
static enum cml_status track_read(struct plan *plan, int32_t index,
				  int32_t step)
{
	struct cml_tflite_tensor tensor = { 0 };
	enum cml_status status = CML_INTERNAL;

	if (index < 0)
		return CML_OK;
	if (plan->roles[index] == UNSEEN) {
		status = cml_tflite_tensor(&plan->model, index, &tensor);
		if (status)
			return refuse(plan, status, plan->model.problem);
		if (!tensor.data.ptr)
			return refuse(plan, CML_MODEL_MALFORMED,
				      "a tensor is read before it is written");
		plan->roles[index] = CONSTANT;
	}
	plan->items[index].last = step;

	return CML_OK;
}

static const struct cml_op_type *find_type(int32_t builtin_code)
{
	for (size_t i = 0; i < sizeof(op_types) / sizeof(op_types[0]); i++)
		if (op_types[i]->builtin_code == builtin_code)
			return op_types[i];

	return NULL;
}

static enum cml_status check_op(struct plan *plan, size_t index,
				struct cml_op *op)
{
	struct cml_node node = { .model = &plan->model, .cpu = plan->cpu };
	const struct cml_op_type *type = NULL;
	struct cml_arena_item *scratch = NULL;
	enum cml_status status = CML_INTERNAL;
	int32_t step = index;

	plan->problem.op_index = index;
	plan->problem.builtin_code = -1;
	status = cml_tflite_operator(&plan->model, index, &node.tflite);
	if (status)
		return refuse(plan, status, plan->model.problem);
	plan->problem.builtin_code = node.tflite.builtin_code;
	type = find_type(node.tflite.builtin_code);
	if (!type)
		return refuse(plan, CML_MODEL_UNSUPPORTED_OP,
			      "operator is not supported");
	if (node.tflite.version < 1 ||
	    node.tflite.version > type->max_version)
		return refuse(plan, CML_MODEL_UNSUPPORTED_OP,
			      "version of the operator is not supported");
	if (node.tflite.options_type != type->options_type ||
	    !node.tflite.options.pos)
		return refuse(plan, CML_MODEL_MALFORMED,
			      "operator does not have its own kind of options");

	*op = (struct cml_op){
		.input_tensor = { -1, -1 }, .output_tensor = -1,
		.weights_tensor = -1, .bias_tensor = -1,
	};
	status = type->check(&node, op);
	if (status)
		return refuse(plan, status, node.reason);

	/* Reads first: what an operator writes, it cannot have read. */
	for (size_t i = 0; i < 2 && !status; i++)
		status = track_read(plan, op->input_tensor[i], step);
	if (!status)
		status = track_read(plan, op->weights_tensor, step);
	if (!status)
		status = track_read(plan, op->bias_tensor, step);
	if (!status)
		status = track_write(plan, op->output_tensor, step);
	if (status)
		return status;

	scratch = &plan->items[plan->tensor_count + index];
	scratch->size = op->scratch_size;
	scratch->first = step;
	scratch->last = step;

	return CML_OK;
}

/* All operators, and the limits on their sums. */
static enum cml_status check_ops(struct plan *plan, struct cml_graph *graph,
				 size_t *channel_count)
{
	uint64_t work = 0;
	uint64_t channels = 0;
	enum cml_status status = CML_INTERNAL;

	for (size_t i = 0; i < plan->op_count; i++) {
		struct cml_op *op = &graph->ops[i];

		status = check_op(plan, i, op);
		if (status)
			return status;
		graph->macs += op->macs;	/* each below 2^59 */
		work += op->macs;
		work += plan->items[op->output_tensor].size;
		if (work > CML_GRAPH_MAX_MACS)
			return refuse(plan, CML_MODEL_LIMIT,
				      "model needs more than 4 Gi "
				      "multiply-accumulates");
		channels += op->channel_count + CML_CHANNEL_GROUP - 1;
		channels -= channels % CML_CHANNEL_GROUP;
		if (channels > CML_GRAPH_MAX_CHANNELS)
			return refuse(plan, CML_MODEL_LIMIT,
				      "convolutions have more than 262144 "
				      "channels in all");
	}
	plan->problem.op_index = -1;
	plan->problem.builtin_code = -1;
	*channel_count = channels;

	return CML_OK;
}

static enum cml_status check_graph(struct plan *plan, struct cml_graph *graph,
				   size_t *channel_count)
{
	struct cml_tflite *model = &plan->model;
	int32_t index = cml_fb_i32_at(&model->fb, model->inputs, 0);
	int32_t end = plan->op_count;
	enum cml_status status = check_view(plan, index, &graph->input);

	if (status)
		return status;
	status = track_write(plan, index, -1);
	if (status)
		return status;
	status = check_ops(plan, graph, channel_count);
	if (status)
		return status;

	graph->output_count = model->outputs.count;
	for (uint32_t i = 0; i < model->outputs.count; i++) {
		index = cml_fb_i32_at(&model->fb, model->outputs, i);
		status = check_view(plan, index, &graph->outputs[i]);
		if (status)
			return status;
		if (plan->roles[index] != WRITTEN ||
		    plan->items[index].first < 0)
			return refuse(plan, CML_MODEL_MALFORMED,
				      "no operator writes the model's output");
		plan->items[index].last = end;
	}

	return CML_OK;
}

static enum cml_status plan_arena(struct plan *plan, struct cml_graph *graph)
{
	struct cml_tflite *model = &plan->model;
	int32_t input = cml_fb_i32_at(&model->fb, model->inputs, 0);
	size_t count = plan->tensor_count + plan->op_count;

	graph->arena_size = cml_arena_plan(plan->items, count, input);
	graph->arena_lower_bound = cml_arena_lower_bound(plan->items, count);
	if (graph->arena_size > CML_GRAPH_MAX_ARENA)
		return refuse(plan, CML_MODEL_LIMIT,
			      "activations need more than 64 MiB");
	graph->input_size = graph->input.size + CML_MEMORY_ALIGN - 1;
	graph->input_size -= graph->input_size % CML_MEMORY_ALIGN;

	return CML_OK;
}

/* Where tensor @index is at run time. */
static int8_t *place(struct plan *plan, const struct cml_graph *graph,
		     int32_t index)
{
	return (int8_t *)graph->arena + plan->items[index].offset;
}

static enum cml_status bind_op(struct plan *plan, struct cml_graph *graph,
			       size_t index, int32_t **channels)
{
	struct cml_node node = { .model = &plan->model, .cpu = plan->cpu };
	struct cml_op *op = &graph->ops[index];
	struct cml_tflite_tensor tensor = { 0 };
	enum cml_status status = CML_INTERNAL;
	size_t count = op->channel_count + CML_CHANNEL_GROUP - 1;

	plan->problem.op_index = index;
	for (size_t i = 0; i < 2; i++) {
		int32_t input = op->input_tensor[i];

		if (input < 0)
			continue;
		if (plan->roles[input] == WRITTEN) {
			op->input[i] = place(plan, graph, input);
			continue;
		}
		status = cml_tflite_tensor(&plan->model, input, &tensor);
		if (status)
			return refuse(plan, status, plan->model.problem);
		op->input[i] = (const int8_t *)tensor.data.ptr;
	}
	op->output = place(plan, graph, op->output_tensor);
	op->scratch = place(plan, graph, plan->tensor_count + index);

	count -= count % CML_CHANNEL_GROUP;
	if (count) {
		op->conv.bias = *channels;
		op->conv.multiplier = *channels + count;
		op->conv.shift = *channels + 2 * count;
		*channels += CHANNEL_ARRAYS * count;
	}
	status = cml_tflite_operator(&plan->model, index, &node.tflite);
	if (status)
		return refuse(plan, status, plan->model.problem);
	status = find_type(node.tflite.builtin_code)->bind(&node, op);
	if (status)
		return refuse(plan, status, node.reason);

	return CML_OK;
}

static enum cml_status bind_graph(struct plan *plan, struct cml_graph *graph)
{
	struct cml_tflite *model = &plan->model;
	int32_t *channels = graph->channels;
	enum cml_status status = CML_INTERNAL;
	int32_t index = cml_fb_i32_at(&model->fb, model->inputs, 0);

	graph->input.data = place(plan, graph, index);
	for (uint32_t i = 0; i < graph->output_count; i++) {
		index = cml_fb_i32_at(&model->fb, model->outputs, i);
		graph->outputs[i].data = place(plan, graph, index);
	}
	graph->op_count = plan->op_count;
	for (size_t i = 0; i < plan->op_count; i++) {
		status = bind_op(plan, graph, i, &channels);
		if (status)
			return status;
	}

	return CML_OK;
}

static enum cml_status take_plan(const struct cml_allocator *allocator,
				 struct plan *plan)
{
	size_t count = plan->tensor_count + plan->op_count;

	plan->items_size = count * sizeof(*plan->items);
	plan->roles_size = plan->tensor_count;
	plan->items = allocator->alloc(allocator->ctx, plan->items_size +
				       plan->roles_size);
	if (!plan->items)
		return refuse(plan, CML_NO_MEMORY, "no memory to prepare in");
	plan->roles = (uint8_t *)plan->items + plan->items_size;

	return CML_OK;
}

static enum cml_status build(const struct cml_allocator *allocator,
			     struct plan *plan, struct cml_graph **graph)
{
	struct cml_graph *new_graph = NULL;
	enum cml_status status = CML_INTERNAL;
	size_t channel_count = 0;
	size_t size = sizeof(*new_graph) +
		      plan->op_count * sizeof(new_graph->ops[0]);

	new_graph = allocator->alloc(allocator->ctx, size);
	if (!new_graph)
		return refuse(plan, CML_NO_MEMORY, "no memory for the graph");
	new_graph->allocator = *allocator;
	new_graph->size = size;

	status = check_graph(plan, new_graph, &channel_count);
	if (status)
		goto out;
	status = plan_arena(plan, new_graph);
	if (status)
		goto out;

	new_graph->channels_size = CHANNEL_ARRAYS * channel_count *
				   sizeof(*new_graph->channels);
	if (new_graph->channels_size) {
		new_graph->channels = allocator->alloc(allocator->ctx,
						new_graph->channels_size);
		if (!new_graph->channels) {
			status = refuse(plan, CML_NO_MEMORY,
					"no memory for per-channel numbers");
			goto out;
		}
	}
	new_graph->arena = allocator->alloc(allocator->ctx,
					    new_graph->arena_size);
	if (!new_graph->arena) {
		status = refuse(plan, CML_NO_MEMORY,
				"no memory for activations");
		goto out;
	}
	status = bind_graph(plan, new_graph);
	if (status)
		goto out;

	*graph = new_graph;
	new_graph = NULL;	/* the caller's now */
out:
	cml_graph_free(new_graph);

	return status;
}

enum cml_status cml_graph_prepare(const struct cml_allocator *allocator,
				  struct cml_bytes model, uint32_t cpu,
				  struct cml_graph **graph,
				  struct cml_graph_problem *problem)
{
	struct plan plan = {
		.cpu = cpu,
		.problem = { .op_index = -1, .builtin_code = -1 },
	};
	enum cml_status status = CML_INTERNAL;

	*graph = NULL;
	status = open_model(&plan, model);
	if (status)
		goto out;
	status = take_plan(allocator, &plan);
	if (status)
		goto out;
	status = build(allocator, &plan, graph);
out:
	allocator->release(allocator->ctx, plan.items,
			   plan.items_size + plan.roles_size);
	if (problem) {
		*problem = plan.problem;
		if (status && !problem->reason)
			problem->reason = "no reason was given: a bug";
	}

	return status;
}

void cml_graph_run(struct cml_graph *graph)
{
	for (size_t i = 0; i < graph->op_count; i++)
		graph->ops[i].run(&graph->ops[i]);
}

void cml_graph_free(struct cml_graph *graph)
{
	struct cml_allocator allocator = { 0 };

	if (!graph)
		return;
	allocator = graph->allocator;
	allocator.release(allocator.ctx, graph->arena, graph->arena_size);
	allocator.release(allocator.ctx, graph->channels,
			  graph->channels_size);
	allocator.release(allocator.ctx, graph, graph->size);
}

size_t cml_graph_input_count(const struct cml_graph *graph)
{
	(void)graph;

	return CML_MAX_INPUTS;
}

size_t cml_graph_output_count(const struct cml_graph *graph)
{
	return graph->output_count;
}

/* An index beyond the count gets a view of nothing. */
struct cml_tensor_view cml_graph_input(struct cml_graph *graph, size_t index)
{
	struct cml_tensor_view nothing = { 0 };

	return index < CML_MAX_INPUTS ? graph->input : nothing;
}

struct cml_tensor_view cml_graph_output(struct cml_graph *graph, size_t index)
{
	struct cml_tensor_view nothing = { 0 };

	return index < graph->output_count ? graph->outputs[index] : nothing;
}

size_t cml_graph_arena_size(const struct cml_graph *graph)
{
	return graph->arena_size;
}

size_t cml_graph_arena_lower_bound(const struct cml_graph *graph)
{
	return graph->arena_lower_bound;
}

size_t cml_graph_persistent_size(const struct cml_graph *graph)
{
	return graph->size + graph->channels_size;
}

uint64_t cml_graph_macs(const struct cml_graph *graph)
{
	return graph->macs;
}

void *cml_graph_scratch(struct cml_graph *graph, size_t *size)
{
	*size = graph->arena_size - graph->input_size;

	return graph->arena + graph->input_size;
}
