// SPDX-License-Identifier: Apache-2.0
/* A .tflite file: whatever it holds, it is refused by name or it runs. */
#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "graph.h"

#define MAX_LEN		(64 * 1024)
#define MAX_MACS	1000000
#define MAX_ARENA	(1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct cml_graph_problem problem = { 0 };
	struct cml_graph *graph = NULL;
	struct cml_tensor_view input = { 0 };
	enum cml_status status = CML_INTERNAL;

	if (len > MAX_LEN)
		return 0;
	status = cml_graph_prepare(driver_allocator(), cml_bytes(data, len),
				   CML_CPU_PORTABLE, &graph, &problem);
	if (status) {
		if (graph || !problem.reason || status == CML_INTERNAL ||
		    status == CML_NO_MEMORY || driver_allocated())
			abort();
		return 0;
	}
	if (cml_graph_macs(graph) <= MAX_MACS &&
	    cml_graph_arena_size(graph) <= MAX_ARENA) {
		input = cml_graph_input(graph, 0);
		memset(input.data, 0x55, input.size);
		cml_graph_run(graph);
	}
	cml_graph_free(graph);
	if (driver_allocated())
		abort();

	return 0;
}
