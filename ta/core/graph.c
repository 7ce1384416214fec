// SPDX-License-Identifier: Apache-2.0
#include "graph_internal.h"

void cml_graph_run(struct cml_graph *graph)
{
	for (size_t i = 0; i < graph->op_count; i++)
		graph->ops[i].run(&graph->ops[i]);
}

void cml_graph_wipe(struct cml_graph *graph)
{
	cml_wipe(graph->arena, graph->arena_size);
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
