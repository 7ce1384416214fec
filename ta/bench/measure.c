// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "measure.h"
#include "nn/graph_internal.h"

/* Whatever the clock does */
#define MAX_ROUNDS	(1u << 24)
/* How much more is tried when a clock has hardly moved. */
#define GROWTH		8

struct cml_bench_time cml_bench_repeat(cml_clock clock, void *clock_ctx,
				       uint64_t at_least_us,
				       void (*run)(void *ctx), void *ctx)
{
	struct cml_bench_time time = { .rounds = 1 };

	for (;;) {
		uint64_t begin = clock(clock_ctx);
		uint64_t wanted = 0;

		for (uint32_t i = 0; i < time.rounds; i++)
			run(ctx);
		time.us = clock(clock_ctx) - begin;
		time.all_rounds += time.rounds;
		if (time.us >= at_least_us || time.rounds >= MAX_ROUNDS)
			return time;
		/* A tenth more than it seems to take. */
		wanted = time.us ? at_least_us * 11 / 10 * time.rounds /
				   time.us + 1 : UINT64_MAX;
		if (wanted > (uint64_t)time.rounds * GROWTH)
			wanted = (uint64_t)time.rounds * GROWTH;
		time.rounds = wanted < MAX_ROUNDS ? wanted : MAX_ROUNDS;
	}
}

static void *take(const struct cml_bench *bench, size_t size)
{
	return bench->allocator->alloc(bench->allocator->ctx, size);
}

static void give_back(const struct cml_bench *bench, void *ptr, size_t size)
{
	bench->allocator->release(bench->allocator->ctx, ptr, size);
}

enum cml_status cml_bench_load(struct cml_bench *bench, struct cml_bytes model,
			       uint32_t has, uint32_t wanted,
			       struct cml_graph_problem *problem)
{
	enum cml_status status = CML_NO_MEMORY;
	size_t scratch = 0;

	cml_bench_unload(bench);
	if (!model.len)
		return CML_MODEL_MALFORMED;
	bench->model = take(bench, model.len);
	if (!bench->model)
		return CML_NO_MEMORY;
	bench->len = model.len;
	memcpy(bench->model, model.ptr, model.len);
	bench->cpu = wanted & (has | CML_CPU_FAST_SCALAR);
	if (!wanted)
		bench->cpu = cml_measure_cpu(bench->allocator, has,
					     bench->clock, bench->clock_ctx);
	status = cml_graph_prepare(bench->allocator, bench->model, bench->len,
				   bench->cpu, &bench->graph, problem);
	if (status)
		goto out;

	scratch = cml_graph_scratch_size(bench->graph);
	bench->run.graph = bench->graph;
	bench->run.model = bench->model;
	bench->run.arena = take(bench, cml_graph_arena_size(bench->graph));
	if (scratch)
		bench->run.scratch = take(bench, scratch);
	if (!bench->run.arena || (scratch && !bench->run.scratch))
		status = CML_NO_MEMORY;
out:
	if (status)
		cml_bench_unload(bench);
	return status;
}

void cml_bench_unload(struct cml_bench *bench)
{
	if (bench->graph) {
		give_back(bench, bench->run.arena,
			  cml_graph_arena_size(bench->graph));
		give_back(bench, bench->run.scratch,
			  cml_graph_scratch_size(bench->graph));
	}
	cml_graph_free(bench->allocator, bench->graph);
	give_back(bench, bench->model, bench->len);
	bench->graph = NULL;
	bench->run = (struct cml_run){ 0 };
	bench->model = NULL;
	bench->len = 0;
}

struct work {
	const struct cml_run *run;
	size_t first, end;	/* operators */
};

static void run_operators(void *ctx)
{
	const struct work *work = ctx;

	for (size_t op = work->first; op < work->end; op++)
		for (uint32_t tile = 0;
		     tile < cml_graph_tile_count(work->run->graph, op); tile++)
			cml_graph_run_tile(work->run, op, tile);
}

enum cml_status cml_bench_run(const struct cml_bench *bench, uint32_t op,
			      uint64_t at_least_us,
			      struct cml_bench_time *time)
{
	struct work work = { .run = &bench->run };

	if (!bench->graph)
		return CML_BAD_STATE;
	work.end = cml_graph_op_count(bench->graph);
	if (op != CML_BENCH_NETWORK) {
		if (op >= work.end)
			return CML_BAD_STATE;
		work.first = op;
		work.end = (size_t)op + 1;
	}
	*time = cml_bench_repeat(bench->clock, bench->clock_ctx, at_least_us,
				 run_operators, &work);

	return CML_OK;
}

/* The innermost dimensions; what is further out is in the first. */
static void put_shape(int32_t shape[CML_BENCH_RANK],
		      const struct cml_tensor *tensor)
{
	size_t rank = 0;

	if (!tensor)
		return;
	rank = tensor->rank;
	for (size_t i = 0; i < CML_BENCH_RANK; i++)
		shape[i] = 1;
	for (size_t i = 0; i < rank; i++) {
		if (rank - i > CML_BENCH_RANK)
			shape[0] *= tensor->dims[i];
		else
			shape[CML_BENCH_RANK - (rank - i)] *= tensor->dims[i];
	}
}

struct cml_bench_layer cml_bench_layer(const struct cml_bench *bench,
				       size_t op)
{
	const struct cml_op *prepared = cml_graph_op(bench->graph, op);
	const char *name = cml_op_types[prepared->type]->name;
	struct cml_bench_layer layer = {
		.macs = prepared->macs,
		.tiles = prepared->tiles,
		.packed = prepared->packed_place != CML_PLACE_NONE,
	};

	for (size_t i = 0; name[i] && i < sizeof(layer.name) - 1; i++)
		layer.name[i] = name[i];
	put_shape(layer.shapes[0], cml_op_input(&bench->run, prepared, 0));
	put_shape(layer.shapes[1], cml_op_input(&bench->run, prepared, 1));
	if (prepared->output_count)
		put_shape(layer.shapes[2],
			  cml_op_output(&bench->run, prepared, 0));

	return layer;
}

size_t cml_bench_input_size(const struct cml_bench *bench)
{
	return cml_graph_input(bench->graph, 0).size;
}

size_t cml_bench_outputs_size(const struct cml_bench *bench)
{
	size_t size = 0;

	for (size_t i = 0; i < cml_graph_output_count(bench->graph); i++)
		size += cml_graph_output(bench->graph, i).size;

	return size;
}

void cml_bench_infer(const struct cml_bench *bench, const uint8_t *input,
		     uint8_t *outputs)
{
	memcpy(cml_run_input(&bench->run, 0), input,
	       cml_bench_input_size(bench));
	cml_graph_run(&bench->run);
	for (size_t i = 0; i < cml_graph_output_count(bench->graph); i++) {
		size_t size = cml_graph_output(bench->graph, i).size;

		memcpy(outputs, cml_run_output(&bench->run, i), size);
		outputs += size;
	}
}
