// SPDX-License-Identifier: Apache-2.0
/* A .tflite file: whatever it holds, it is refused by name or it runs. */
#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "driver_graph.h"

#define MAX_LEN		(64 * 1024)
#define MAX_MACS	1000000
#define MAX_ARENA	(1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct cml_graph_problem problem = { 0 };
	struct cml_graph *graph = NULL;
	struct cml_run run = { 0 };
	uint8_t *model = NULL;
	enum cml_status status = CML_INTERNAL;

	if (len > MAX_LEN)
		return 0;
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
	    cml_graph_arena_size(graph) <= MAX_ARENA) {
		run = driver_run(graph, model);
		for (size_t i = 0; i < cml_graph_input_count(graph); i++)
			memset(cml_run_input(&run, i), 0x55,
			       cml_graph_input(graph, i).size);
		cml_graph_run(&run);
		driver_run_free(&run);
	}
	cml_graph_free(driver_allocator(), graph);
	driver_model_free(model, len);
	if (driver_allocated())
		abort();

	return 0;
}
