// SPDX-License-Identifier: Apache-2.0
#include "build.h"

/* Stack: 600 bytes; with all that it calls under 3 KiB. */
enum cml_status cml_graph_prepare(const struct cml_allocator *allocator,
				  uint8_t *model, size_t len, uint32_t cpu,
				  struct cml_graph **graph,
				  struct cml_graph_problem *problem)
{
	struct cml_build build = {
		.allocator = allocator,
		.cpu = cpu,
		.problem = { .op_index = -1, .builtin_code = -1 },
	};
	enum cml_status status = CML_INTERNAL;

	*graph = NULL;
	status = cml_build_open(&build, cml_bytes(model, len));
	if (!status)
		status = cml_build_operators(&build);
	if (!status)
		status = cml_build_finish(&build, model, graph);
	cml_build_release(&build);
	if (problem) {
		*problem = build.problem;
		if (status && !problem->reason)
			problem->reason = "no reason was given: a bug";
	}

	return status;
}
