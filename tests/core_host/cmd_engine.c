// SPDX-License-Identifier: Apache-2.0
/*
 * Models. Payloads (little endian), cpu being bits of enum cml_cpu:
 *
 * graph_run	u32 cpu, u32 model length, model, then any number of inputs
 *	->	for each input, all outputs one after the other
 * graph_info	u32 cpu, model
 *	->	u64 arena size, arena lower bound, persistent size,
 *		multiply-accumulates, scratch size; u32 input count,
 *		u32 output count; for each: 4 times u32 dims, u64 size,
 *		f32 scale, i32 zero point
 * graph_starve	u32 cpu, model
 *	->	u32 status with the n-th allocation failing, for n from 0
 *		until it succeeds
 * graph_time	u32 cpu, u32 runs, model
 *	->	for each run, u64 nanoseconds
 *
 * A model that is refused gives i32 operator index, i32 builtin code, reason.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "driver.h"
#include "graph.h"

/*
 * A copy that ends where a page without access begins: reading past the model
 * is a crash, under user-mode emulation too.
 */
struct fenced {
	uint8_t *base;
	size_t size;
	struct cml_bytes bytes;
};

static struct fenced fence(struct cml_bytes data)
{
	struct fenced fenced = { 0 };
	size_t page = sysconf(_SC_PAGESIZE);
	size_t room = (data.len + page - 1) / page * page;

	fenced.size = room + page;
	fenced.base = mmap(NULL, fenced.size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (fenced.base == MAP_FAILED ||
	    mprotect(fenced.base + room, page, PROT_NONE))
		abort();
	fenced.bytes = cml_bytes(fenced.base + room - data.len, data.len);
	if (data.len)
		memcpy(fenced.base + room - data.len, data.ptr, data.len);
	if (mprotect(fenced.base, room ? room : page, PROT_READ))
		abort();

	return fenced;
}

static enum cml_status prepare(struct cml_bytes model, uint32_t cpu,
			       struct cml_graph **graph,
			       struct driver_reply *reply)
{
	struct cml_graph_problem problem = { 0 };
	size_t before = driver_allocated();
	enum cml_status status = CML_INTERNAL;

	status = cml_graph_prepare(driver_allocator(), model, cpu, graph,
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

/* What nobody may rely on: the scratch, and outputs of the run before. */
static void spoil_scratch(struct cml_graph *graph)
{
	size_t size = 0;
	void *scratch = cml_graph_scratch(graph, &size);

	memset(scratch, 0xa5, size);
}

static enum cml_status graph_run(struct cml_bytes payload,
				 struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	uint32_t cpu = driver_u32(&cur);
	uint32_t len = driver_u32(&cur);
	struct fenced model = fence(cml_cursor_take(&cur, len));
	struct cml_graph *graph = NULL;
	enum cml_status status = CML_INTERNAL;

	status = prepare(model.bytes, cpu, &graph, reply);
	if (status)
		goto out;

	do {
		struct cml_tensor_view view = cml_graph_input(graph, 0);
		struct cml_bytes input = cml_cursor_take(&cur, view.size);

		if (!cml_cursor_ok(&cur)) {
			fprintf(stderr, "graph_run: input too short\n");
			exit(2);
		}
		spoil_scratch(graph);
		memcpy(view.data, input.ptr, input.len);
		cml_graph_run(graph);
		for (size_t i = 0; i < cml_graph_output_count(graph); i++) {
			view = cml_graph_output(graph, i);
			driver_put(reply, view.data, view.size);
		}
	} while (cml_cursor_remaining(&cur));
out:
	cml_graph_free(graph);
	munmap(model.base, model.size);

	return status;
}

static void put_view(struct driver_reply *reply, struct cml_tensor_view view)
{
	for (size_t i = 0; i < CML_MAX_DIMS; i++)
		driver_put_u32(reply, view.dims[i]);
	driver_put_u64(reply, view.size);
	driver_put(reply, &view.scale, sizeof(view.scale));
	driver_put_u32(reply, view.zero_point);
}

static enum cml_status graph_info(struct cml_bytes payload,
				  struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	uint32_t cpu = driver_u32(&cur);
	struct cml_bytes rest = cml_cursor_take(&cur,
						cml_cursor_remaining(&cur));
	struct fenced model = fence(rest);
	struct cml_graph *graph = NULL;
	enum cml_status status = CML_INTERNAL;
	size_t size = 0;

	status = prepare(model.bytes, cpu, &graph, reply);
	if (status)
		goto out;
	driver_put_u64(reply, cml_graph_arena_size(graph));
	driver_put_u64(reply, cml_graph_arena_lower_bound(graph));
	driver_put_u64(reply, cml_graph_persistent_size(graph));
	driver_put_u64(reply, cml_graph_macs(graph));
	cml_graph_scratch(graph, &size);
	driver_put_u64(reply, size);
	driver_put_u32(reply, cml_graph_input_count(graph));
	driver_put_u32(reply, cml_graph_output_count(graph));
	for (size_t i = 0; i < cml_graph_input_count(graph); i++)
		put_view(reply, cml_graph_input(graph, i));
	for (size_t i = 0; i < cml_graph_output_count(graph); i++)
		put_view(reply, cml_graph_output(graph, i));
out:
	cml_graph_free(graph);
	munmap(model.base, model.size);

	return status;
}

static enum cml_status graph_starve(struct cml_bytes payload,
				    struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	uint32_t cpu = driver_u32(&cur);
	struct cml_bytes rest = cml_cursor_take(&cur,
						cml_cursor_remaining(&cur));
	struct fenced model = fence(rest);
	enum cml_status status = CML_INTERNAL;
	size_t before = driver_allocated();

	for (int64_t n = 0; status; n++) {
		struct cml_graph *graph = NULL;

		driver_fail_allocation(n);
		status = cml_graph_prepare(driver_allocator(), model.bytes,
					   cpu, &graph, NULL);
		driver_fail_allocation(-1);
		cml_graph_free(graph);
		driver_put_u32(reply, status);
		if (driver_allocated() != before || (status && graph)) {
			fprintf(stderr, "allocation %lld: leak\n",
				(long long)n);
			abort();
		}
		if (status && status != CML_NO_MEMORY)
			break;
	}
	munmap(model.base, model.size);

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
	struct cml_bytes rest = cml_cursor_take(&cur,
						cml_cursor_remaining(&cur));
	struct fenced model = fence(rest);
	struct cml_graph *graph = NULL;
	enum cml_status status = CML_INTERNAL;

	status = prepare(model.bytes, cpu, &graph, reply);
	if (status)
		goto out;
	for (uint32_t i = 0; i < runs; i++) {
		uint64_t start = now_ns();

		cml_graph_run(graph);
		driver_put_u64(reply, now_ns() - start);
	}
out:
	cml_graph_free(graph);
	munmap(model.base, model.size);

	return status;
}

const struct driver_command driver_engine_commands[] = {
	{ "graph_run", graph_run },
	{ "graph_info", graph_info },
	{ "graph_starve", graph_starve },
	{ "graph_time", graph_time },
	{ NULL, NULL },
};
