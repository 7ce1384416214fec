// SPDX-License-Identifier: Apache-2.0
/* What a graph is made of, for the files that make it and run it. */
#ifndef CML_GRAPH_INTERNAL_H
#define CML_GRAPH_INTERNAL_H

#include "graph.h"
#include "op.h"

/* The head of one block. Offsets are from its start. */
struct cml_graph {
	size_t size;			/* of the block */
	size_t tensors;			/* struct cml_tensor[] */
	size_t ops;			/* struct cml_op[] */
	size_t operands;		/* int32_t[]: tensors, -1 for none */
	uint32_t tensor_count, op_count, operand_count;
	uint32_t input_count, output_count;
	int32_t inputs[CML_MAX_INPUTS];
	int32_t outputs[CML_MAX_OUTPUTS];
	size_t first_input_size;	/* at the start of the arena, aligned */
	size_t arena_size, arena_lower_bound, scratch_size;
	uint64_t macs;
};

static inline const void *cml_graph_at(const struct cml_graph *graph,
				       size_t offset)
{
	return (const void *)((uintptr_t)graph + offset);
}

static inline const struct cml_tensor *
cml_graph_tensor(const struct cml_graph *graph, int32_t index)
{
	const struct cml_tensor *tensors = cml_graph_at(graph, graph->tensors);

	return index < 0 ? NULL : &tensors[index];
}

static inline const struct cml_op *cml_graph_op(const struct cml_graph *graph,
						size_t index)
{
	const struct cml_op *ops = cml_graph_at(graph, graph->ops);

	return &ops[index];
}

#endif /* CML_GRAPH_INTERNAL_H */
