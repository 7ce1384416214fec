// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "driver_graph.h"

#define SPOIL	0xa5

static void *take(size_t size)
{
	const struct cml_allocator *allocator = driver_allocator();
	void *block = allocator->alloc(allocator->ctx, size);

	if (!block)
		abort();

	return block;
}

static void give_back(void *block, size_t size)
{
	const struct cml_allocator *allocator = driver_allocator();

	allocator->release(allocator->ctx, block, size);
}

uint8_t *driver_model(struct cml_bytes model)
{
	uint8_t *copy = NULL;

	if (!model.len)
		return NULL;
	copy = take(model.len);
	memcpy(copy, model.ptr, model.len);

	return copy;
}

void driver_model_free(uint8_t *model, size_t len)
{
	give_back(model, len);
}

struct cml_run driver_run(const struct cml_graph *graph, const uint8_t *model)
{
	struct cml_run run = {
		.graph = graph,
		.model = model,
		.arena = take(cml_graph_arena_size(graph)),
	};

	if (cml_graph_scratch_size(graph))
		run.scratch = take(cml_graph_scratch_size(graph));
	driver_run_spoil(&run);

	return run;
}

void driver_run_spoil(const struct cml_run *run)
{
	memset(run->arena, SPOIL, cml_graph_arena_size(run->graph));
	if (run->scratch)
		memset(run->scratch, SPOIL, cml_graph_scratch_size(run->graph));
}

void driver_run_free(struct cml_run *run)
{
	give_back(run->arena, cml_graph_arena_size(run->graph));
	give_back(run->scratch, cml_graph_scratch_size(run->graph));
	*run = (struct cml_run){ 0 };
}
