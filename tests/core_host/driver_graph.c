// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "driver_graph.h"
#include "nn/graph_internal.h"

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

/* Its tiles write the same bytes when they are run again. */
static bool repeatable(const struct cml_run *run, const struct cml_op *op)
{
	for (uint32_t i = 0; i < op->input_count; i++) {
		const struct cml_tensor *input = cml_op_input(run, op, i);
		const uint8_t *in = cml_op_in(run, op, i);

		if (!input)
			continue;
		if (input->variable)
			return false;
		for (uint32_t j = 0; j < op->output_count; j++) {
			const struct cml_tensor *output =
				cml_op_output(run, op, j);
			const uint8_t *out = cml_op_out(run, op, j);

			if (output && in < out + output->size &&
			    out < in + input->size)
				return false;
		}
	}

	return true;
}

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}

	return a;
}

static void run_tile(const struct cml_run *run, size_t op, uint32_t tile)
{
	if (run->scratch)
		memset(run->scratch, SPOIL, cml_graph_scratch_size(run->graph));
	cml_graph_run_tile(run, op, tile);
}

void driver_run_shuffled(const struct cml_run *run, uint32_t seed)
{
	for (size_t op = 0; op < cml_graph_op_count(run->graph); op++) {
		bool twice = repeatable(run, cml_graph_op(run->graph, op));
		uint32_t tiles = cml_graph_tile_count(run->graph, op);
		uint32_t first = seed % tiles;
		uint32_t step = seed / 7 % tiles + 1;

		/* Steps without a common divisor come past every tile. */
		while (common_divisor(step, tiles) != 1)
			step++;
		for (uint32_t i = 0; i < tiles; i++)
			run_tile(run, op, (first + (uint64_t)i * step) % tiles);
		for (uint32_t i = 0; twice && i < tiles; i += 2)
			run_tile(run, op, i);
		seed = seed * 1664525 + 1013904223;
	}
}

void driver_run_free(struct cml_run *run)
{
	give_back(run->arena, cml_graph_arena_size(run->graph));
	give_back(run->scratch, cml_graph_scratch_size(run->graph));
	*run = (struct cml_run){ 0 };
}
