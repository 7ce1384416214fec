// SPDX-License-Identifier: Apache-2.0
#include "graph_internal.h"

void cml_graph_free(const struct cml_allocator *allocator,
		    struct cml_graph *graph)
{
	if (graph)
		allocator->release(allocator->ctx, graph, graph->size);
}

size_t cml_graph_size(const struct cml_graph *graph)
{
	return graph->size;
}

size_t cml_graph_arena_size(const struct cml_graph *graph)
{
	return graph->arena_size;
}

size_t cml_graph_arena_lower_bound(const struct cml_graph *graph)
{
	return graph->arena_lower_bound;
}

size_t cml_graph_scratch_size(const struct cml_graph *graph)
{
	return graph->scratch_size;
}

uint64_t cml_graph_macs(const struct cml_graph *graph)
{
	return graph->macs;
}

size_t cml_graph_op_count(const struct cml_graph *graph)
{
	return graph->op_count;
}

size_t cml_graph_input_count(const struct cml_graph *graph)
{
	return graph->input_count;
}

size_t cml_graph_output_count(const struct cml_graph *graph)
{
	return graph->output_count;
}

static struct cml_tensor_info info(const struct cml_tensor *tensor)
{
	struct cml_tensor_info info = {
		.type = tensor->type,
		.rank = tensor->rank,
		.size = tensor->size,
		.scale = tensor->scale,
		.zero_point = tensor->zero_point,
	};

	for (size_t i = 0; i < CML_MAX_RANK; i++)
		info.dims[i] = tensor->dims[i];

	return info;
}

struct cml_tensor_info cml_graph_input(const struct cml_graph *graph,
				       size_t index)
{
	if (index >= graph->input_count)
		return (struct cml_tensor_info){ 0 };

	return info(cml_graph_tensor(graph, graph->inputs[index]));
}

struct cml_tensor_info cml_graph_output(const struct cml_graph *graph,
					size_t index)
{
	if (index >= graph->output_count)
		return (struct cml_tensor_info){ 0 };

	return info(cml_graph_tensor(graph, graph->outputs[index]));
}

uint32_t cml_graph_tile_count(const struct cml_graph *graph, size_t op)
{
	return cml_graph_op(graph, op)->tiles;
}

void cml_graph_run_tile(const struct cml_run *run, size_t op, uint32_t tile)
{
	const struct cml_op *prepared = cml_graph_op(run->graph, op);

	cml_op_types[prepared->type]->run(run, prepared, tile);
}

void cml_graph_run(const struct cml_run *run)
{
	for (size_t op = 0; op < run->graph->op_count; op++)
		for (uint32_t tile = 0;
		     tile < cml_graph_tile_count(run->graph, op); tile++)
			cml_graph_run_tile(run, op, tile);
}

static uint8_t *at(const struct cml_run *run, uint8_t place, size_t offset)
{
	uintptr_t base = 0;

	switch (place) {
	case CML_PLACE_ARENA:
		base = (uintptr_t)run->arena;
		break;
	case CML_PLACE_MODEL:
		base = (uintptr_t)run->model;
		break;
	default:
		base = (uintptr_t)run->graph;
		break;
	}

	return (uint8_t *)(base + offset);
}

static uint8_t *elements(const struct cml_run *run,
			 const struct cml_tensor *tensor)
{
	return tensor ? at(run, tensor->place, tensor->offset) : NULL;
}

uint8_t *cml_run_input(const struct cml_run *run, size_t index)
{
	const struct cml_graph *graph = run->graph;

	return elements(run, cml_graph_tensor(graph, graph->inputs[index]));
}

const uint8_t *cml_run_output(const struct cml_run *run, size_t index)
{
	const struct cml_graph *graph = run->graph;

	return elements(run, cml_graph_tensor(graph, graph->outputs[index]));
}

uint8_t *cml_run_free_arena(const struct cml_run *run, size_t *size)
{
	*size = run->graph->arena_size - run->graph->first_input_size;

	return run->arena + run->graph->first_input_size;
}

static int32_t operand(const struct cml_run *run, const struct cml_op *op,
		       size_t index)
{
	const int32_t *operands = cml_graph_at(run->graph,
					       run->graph->operands);

	return operands[op->operands + index];
}

const struct cml_tensor *cml_op_input(const struct cml_run *run,
				      const struct cml_op *op, size_t index)
{
	if (index >= op->input_count)
		return NULL;

	return cml_graph_tensor(run->graph, operand(run, op, index));
}

const struct cml_tensor *cml_op_output(const struct cml_run *run,
				       const struct cml_op *op, size_t index)
{
	return cml_graph_tensor(run->graph,
				operand(run, op, op->input_count + index));
}

const void *cml_op_in(const struct cml_run *run, const struct cml_op *op,
		      size_t index)
{
	return elements(run, cml_op_input(run, op, index));
}

void *cml_op_out(const struct cml_run *run, const struct cml_op *op,
		 size_t index)
{
	return elements(run, cml_op_output(run, op, index));
}

const void *cml_op_params(const struct cml_run *run, const struct cml_op *op)
{
	return cml_graph_at(run->graph, op->params);
}

const void *cml_op_packed(const struct cml_run *run, const struct cml_op *op)
{
	return at(run, op->packed_place, op->packed);
}
