// SPDX-License-Identifier: Apache-2.0
#include "graph_internal.h"

/* Per-channel arrays of one op: bias, multiplier, shift */
#define CHANNEL_ARRAYS	3

static enum cml_status plan_arena(struct cml_plan *plan,
				  struct cml_graph *graph)
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
static int8_t *place(struct cml_plan *plan, const struct cml_graph *graph,
		     int32_t index)
{
	return (int8_t *)graph->arena + plan->items[index].offset;
}

static enum cml_status bind_op(struct cml_plan *plan, struct cml_graph *graph,
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
		if (plan->roles[input] == CML_ROLE_WRITTEN) {
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
	status = cml_plan_op_type(node.tflite.builtin_code)->bind(&node, op);
	if (status)
		return refuse(plan, status, node.reason);

	return CML_OK;
}

static enum cml_status bind_graph(struct cml_plan *plan,
				  struct cml_graph *graph)
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
				 struct cml_plan *plan)
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
			     struct cml_plan *plan, struct cml_graph **graph)
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

	status = cml_plan_check(plan, new_graph, &channel_count);
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

/* Stack: 560 bytes; with all that it calls under 3 KiB. */
enum cml_status cml_graph_prepare(const struct cml_allocator *allocator,
				  struct cml_bytes model, uint32_t cpu,
				  struct cml_graph **graph,
				  struct cml_graph_problem *problem)
{
	struct cml_plan plan = {
		.cpu = cpu,
		.problem = { .op_index = -1, .builtin_code = -1 },
	};
	enum cml_status status = CML_INTERNAL;

	*graph = NULL;
	status = cml_plan_open(&plan, model);
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
