// SPDX-License-Identifier: Apache-2.0
/*
 * Models. Payloads (little endian), cpu being bits of enum cml_cpu:
 *
 * graph_run	u32 cpu, u32 model length, model, then any number of times
 *		all inputs
 *	->	for each time, all outputs one after the other
 * graph_shuffled
 *		u32 seed, then as graph_run: tiles in another order, with
 *		nothing left in scratch by the tile before, some of them twice
 * graph_info	u32 cpu, model
 *	->	u64 arena size, arena lower bound, size of the graph,
 *		multiply-accumulates, scratch size, operators that are left;
 *		u32 input count, u32 output count; for each: u32 type, u32 rank,
 *		6 times u32 dims, u64 size, f32 scale, i32 zero point
 * graph_starve	u32 cpu, model
 *	->	u32 status with the n-th allocation failing, for n from 0
 *		until it succeeds
 * graph_time	u32 cpu, u32 runs, model
 *	->	for each run, u64 nanoseconds
 * graph_layers	u32 cpu, u32 runs, model
 *	->	for each operator, u64 nanoseconds (the least), u32 tiles
 * measure_cpu	u32 cpu
 *	->	u32 cpu, with what was measured
 * graph_ops	nothing
 *	->	for each operator: i32 builtin code, u32 newest version, u32
 *		types, name and notes, each with a 0 at its end
 *
 * graph_describe
 *		u32 cpu, u32 room, u32 source length, source, digest, model
 *	->	what describe.h has of it
 *
 * A model that is refused gives i32 operator index, i32 builtin code, reason.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "describe.h"
#include "driver.h"
#include "driver_graph.h"
#include "nn/measure.h"
#include "nn/op.h"

static enum cml_status prepare(uint8_t *model, size_t len, uint32_t cpu,
			       struct cml_graph **graph,
			       struct driver_reply *reply)
{
	struct cml_graph_problem problem = { 0 };
	size_t before = driver_allocated();
	enum cml_status status = CML_INTERNAL;

	status = cml_graph_prepare(driver_allocator(), model, len, cpu, graph,
				   &problem);
	if (!status)
		return status;
	if (*graph || driver_allocated() != before) {
		fprintf(stderr, "a failed prepare left something behind\n");
		abort();
	}
	driver_put_u32(reply, problem.op_index);
	driver_put_u32(reply, problem.builtin_code);
	driver_put(reply, problem.reason, strlen(problem.reason));

	return status;
}

/* @seed 0: tiles in order */
static enum cml_status run_graph(struct cml_cursor cur, uint32_t seed,
				 struct driver_reply *reply)
{
	uint32_t cpu = driver_u32(&cur);
	uint32_t len = driver_u32(&cur);
	uint8_t *model = driver_model(cml_cursor_take(&cur, len));
	struct cml_graph *graph = NULL;
	struct cml_run run = { 0 };
	enum cml_status status = prepare(model, len, cpu, &graph,
					 reply);

	if (status)
		goto out;
	run = driver_run(graph, model);
	do {
		/* Nobody may rely on what the run before left. */
		driver_run_spoil(&run);
		for (size_t i = 0; i < cml_graph_input_count(graph); i++) {
			struct cml_bytes input = cml_cursor_take(&cur,
					cml_graph_input(graph, i).size);

			if (!cml_cursor_ok(&cur)) {
				fprintf(stderr, "graph_run: input too short\n");
				exit(2);
			}
			memcpy(cml_run_input(&run, i), input.ptr, input.len);
		}
		if (seed)
			driver_run_shuffled(&run, seed);
		else
			cml_graph_run(&run);
		for (size_t i = 0; i < cml_graph_output_count(graph); i++)
			driver_put(reply, cml_run_output(&run, i),
				   cml_graph_output(graph, i).size);
	} while (cml_cursor_remaining(&cur));
	driver_run_free(&run);
out:
	cml_graph_free(driver_allocator(), graph);
	driver_model_free(model, len);

	return status;
}

static enum cml_status graph_run(struct cml_bytes payload,
				 struct driver_reply *reply)
{
	return run_graph(cml_cursor(payload), 0, reply);
}

static enum cml_status graph_shuffled(struct cml_bytes payload,
				      struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	uint32_t seed = driver_u32(&cur);

	return run_graph(cur, seed, reply);
}

static void put_info(struct driver_reply *reply, struct cml_tensor_info info)
{
	driver_put_u32(reply, info.type);
	driver_put_u32(reply, info.rank);
	for (size_t i = 0; i < CML_MAX_RANK; i++)
		driver_put_u32(reply, info.dims[i]);
	driver_put_u64(reply, info.size);
	driver_put(reply, &info.scale, sizeof(info.scale));
	driver_put_u32(reply, info.zero_point);
}

static enum cml_status graph_info(struct cml_bytes payload,
				  struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	uint32_t cpu = driver_u32(&cur);
	size_t len = cml_cursor_remaining(&cur);
	uint8_t *model = driver_model(cml_cursor_take(&cur, len));
	struct cml_graph *graph = NULL;
	enum cml_status status = prepare(model, len, cpu, &graph,
					 reply);

	if (status)
		goto out;
	driver_put_u64(reply, cml_graph_arena_size(graph));
	driver_put_u64(reply, cml_graph_arena_lower_bound(graph));
	driver_put_u64(reply, cml_graph_size(graph));
	driver_put_u64(reply, cml_graph_macs(graph));
	driver_put_u64(reply, cml_graph_scratch_size(graph));
	driver_put_u64(reply, cml_graph_op_count(graph));
	driver_put_u32(reply, cml_graph_input_count(graph));
	driver_put_u32(reply, cml_graph_output_count(graph));
	for (size_t i = 0; i < cml_graph_input_count(graph); i++)
		put_info(reply, cml_graph_input(graph, i));
	for (size_t i = 0; i < cml_graph_output_count(graph); i++)
		put_info(reply, cml_graph_output(graph, i));
out:
	cml_graph_free(driver_allocator(), graph);
	driver_model_free(model, len);

	return status;
}

static enum cml_status graph_describe(struct cml_bytes payload,
				      struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	uint32_t cpu = driver_u32(&cur);
	size_t room = driver_u32(&cur);
	struct cml_bytes source = driver_string(&cur);
	struct cml_bytes digest = cml_cursor_take(&cur, CML_SHA256_SIZE);
	struct cml_bytes file = driver_rest(&cur);
	uint8_t *model = driver_model(file);
	enum cml_status status = CML_INTERNAL;
	struct cml_graph *graph = NULL;
	size_t len = room;
	uint8_t *out = malloc(room);

	if (!cml_cursor_ok(&cur) || !out)
		abort();
	status = prepare(model, file.len, cpu, &graph, reply);
	if (!status)
		status = cml_describe_encode(graph, source, digest.ptr, out,
					     &len);
	if (!status)
		driver_put(reply, out, len);
	free(out);
	cml_graph_free(driver_allocator(), graph);
	driver_model_free(model, file.len);

	return status;
}

static enum cml_status graph_starve(struct cml_bytes payload,
				    struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	uint32_t cpu = driver_u32(&cur);
	struct cml_bytes rest = cml_cursor_take(&cur,
						cml_cursor_remaining(&cur));
	enum cml_status status = CML_INTERNAL;
	size_t before = driver_allocated();

	for (int64_t n = 0; status; n++) {
		uint8_t *model = driver_model(rest);
		struct cml_graph *graph = NULL;

		driver_fail_allocation(n);
		status = cml_graph_prepare(driver_allocator(), model, rest.len,
					   cpu, &graph, NULL);
		driver_fail_allocation(-1);
		if (status && graph) {
			fprintf(stderr, "a failed prepare gave a graph\n");
			abort();
		}
		cml_graph_free(driver_allocator(), graph);
		driver_model_free(model, rest.len);
		driver_put_u32(reply, status);
		if (driver_allocated() != before) {
			fprintf(stderr, "allocation %lld: leak\n",
				(long long)n);
			abort();
		}
		if (status && status != CML_NO_MEMORY)
			break;
	}

	return CML_OK;
}

static uint64_t now_ns(void)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &now);

	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static enum cml_status graph_time(struct cml_bytes payload,
				  struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	uint32_t cpu = driver_u32(&cur);
	uint32_t runs = driver_u32(&cur);
	size_t len = cml_cursor_remaining(&cur);
	uint8_t *model = driver_model(cml_cursor_take(&cur, len));
	struct cml_graph *graph = NULL;
	struct cml_run run = { 0 };
	enum cml_status status = prepare(model, len, cpu, &graph,
					 reply);

	if (status)
		goto out;
	run = driver_run(graph, model);
	for (uint32_t i = 0; i < runs; i++) {
		uint64_t start = now_ns();

		cml_graph_run(&run);
		driver_put_u64(reply, now_ns() - start);
	}
	driver_run_free(&run);
out:
	cml_graph_free(driver_allocator(), graph);
	driver_model_free(model, len);

	return status;
}

static enum cml_status graph_layers(struct cml_bytes payload,
				    struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	uint32_t cpu = driver_u32(&cur);
	uint32_t runs = driver_u32(&cur);
	size_t len = cml_cursor_remaining(&cur);
	uint8_t *model = driver_model(cml_cursor_take(&cur, len));
	struct cml_graph *graph = NULL;
	struct cml_run run = { 0 };
	enum cml_status status = prepare(model, len, cpu, &graph, reply);

	if (status)
		goto out;
	run = driver_run(graph, model);
	for (size_t op = 0; op < cml_graph_op_count(graph); op++) {
		uint32_t tiles = cml_graph_tile_count(graph, op);
		uint64_t best = UINT64_MAX;

		for (uint32_t i = 0; i < runs; i++) {
			uint64_t start = now_ns();

			for (uint32_t tile = 0; tile < tiles; tile++)
				cml_graph_run_tile(&run, op, tile);
			start = now_ns() - start;
			if (start < best)
				best = start;
		}
		driver_put_u64(reply, best);
		driver_put_u32(reply, tiles);
	}
	driver_run_free(&run);
out:
	cml_graph_free(driver_allocator(), graph);
	driver_model_free(model, len);

	return status;
}

static uint64_t clock_us(void *ctx)
{
	return now_ns() / 1000;
}

static enum cml_status measure_cpu(struct cml_bytes payload,
				   struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	size_t before = driver_allocated();
	uint32_t cpu = cml_measure_cpu(driver_allocator(), driver_u32(&cur),
				       clock_us, NULL);

	if (driver_allocated() != before) {
		fprintf(stderr, "measuring left something behind\n");
		abort();
	}
	driver_put_u32(reply, cpu);

	return CML_OK;
}

static enum cml_status graph_ops(struct cml_bytes payload,
				 struct driver_reply *reply)
{
	for (size_t i = 0; i < cml_op_type_count; i++) {
		const struct cml_op_type *type = cml_op_types[i];

		driver_put_u32(reply, type->builtin_code);
		driver_put_u32(reply, type->max_version);
		driver_put_u32(reply, type->types);
		driver_put(reply, type->name, strlen(type->name) + 1);
		if (type->notes)
			driver_put(reply, type->notes, strlen(type->notes));
		driver_put(reply, "", 1);
	}

	return payload.len ? CML_INTERNAL : CML_OK;
}

const struct driver_command driver_engine_commands[] = {
	{ "graph_run", graph_run },
	{ "graph_shuffled", graph_shuffled },
	{ "graph_info", graph_info },
	{ "graph_describe", graph_describe },
	{ "graph_starve", graph_starve },
	{ "graph_time", graph_time },
	{ "measure_cpu", measure_cpu },
	{ "graph_layers", graph_layers },
	{ "graph_ops", graph_ops },
	{ NULL, NULL },
};
