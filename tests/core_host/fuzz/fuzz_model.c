// SPDX-License-Identifier: Apache-2.0
/*
 * A .tflite file: whatever it holds, it is refused by name or it runs. What it
 * gives depends neither on the order of its tiles nor on who computes them.
 */
#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "driver_graph.h"

#define MAX_LEN		(64 * 1024)
#define MAX_MACS	1000000
#define MAX_ARENA	(1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;

	return *seed >> 8;
}

/* Most fill an input with values that make sense for its type. */
static void fill(uint8_t *input, struct cml_tensor_info info, uint32_t *seed)
{
	uint32_t how = next(seed) % 8;

	if (how < 3) {
		memset(input, how == 0 ? 0 : how == 1 ? 0xff : 0x55,
		       info.size);
		return;
	}
	for (size_t i = 0; i < info.size; i++)
		input[i] = next(seed);
	if (how == 3)
		return;
	if (info.type == CML_TFLITE_FLOAT32) {
		for (size_t i = 0; i < info.size / 4; i++) {
			float value = (int32_t)(next(seed) % 2001 - 1000) *
				      0.01f;

			memcpy(input + 4 * i, &value, 4);
		}
	} else if (info.type == CML_TFLITE_INT32) {
		for (size_t i = 0; i < info.size / 4; i++) {
			int32_t value = next(seed) % 12 - 3;

			memcpy(input + 4 * i, &value, 4);
		}
	} else if (info.type == CML_TFLITE_INT64) {
		for (size_t i = 0; i < info.size / 8; i++) {
			int64_t value = (int64_t)(next(seed) % 12) - 3;

			memcpy(input + 8 * i, &value, 8);
		}
	}
}

static void fill_all(const struct cml_run *run, uint32_t seed)
{
	driver_run_spoil(run);
	for (size_t i = 0; i < cml_graph_input_count(run->graph); i++)
		fill(cml_run_input(run, i), cml_graph_input(run->graph, i),
		     &seed);
}

static void compare(const struct cml_run *a, const struct cml_run *b)
{
	for (size_t i = 0; i < cml_graph_output_count(a->graph); i++)
		if (memcmp(cml_run_output(a, i), cml_run_output(b, i),
			   cml_graph_output(a->graph, i).size))
			abort();
}

static void run_twice(const struct cml_graph *graph, const uint8_t *model,
		      uint32_t seed)
{
	struct cml_run in_order = driver_run(graph, model);
	struct cml_run shuffled = driver_run(graph, model);

	fill_all(&in_order, seed);
	cml_graph_run(&in_order);
	fill_all(&shuffled, seed);
	driver_run_shuffled(&shuffled, seed);
	compare(&in_order, &shuffled);
	driver_run_free(&in_order);
	driver_run_free(&shuffled);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct cml_graph_problem problem = { 0 };
	struct cml_graph *graph = NULL;
	uint8_t *model = NULL;
	enum cml_status status = CML_INTERNAL;
	uint32_t seed = 2166136261;

	if (len > MAX_LEN)
		return 0;
	for (size_t i = 0; i < len; i++)
		seed = (seed ^ data[i]) * 16777619;
	model = driver_model(cml_bytes(data, len));
	status = cml_graph_prepare(driver_allocator(), model, len,
				   CML_CPU_PORTABLE, &graph, &problem);
	if (status) {
		if (graph || !problem.reason || status == CML_INTERNAL ||
		    status == CML_NO_MEMORY)
			abort();
		driver_model_free(model, len);
		if (driver_allocated())
			abort();
		return 0;
	}
	if (cml_graph_macs(graph) <= MAX_MACS &&
	    cml_graph_arena_size(graph) <= MAX_ARENA)
		run_twice(graph, model, seed);
	cml_graph_free(driver_allocator(), graph);
	driver_model_free(model, len);
	if (driver_allocated())
		abort();

	return 0;
}
