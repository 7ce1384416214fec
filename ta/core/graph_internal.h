// SPDX-License-Identifier: Apache-2.0
/*
 * What graph.c, graph_check.c and graph_prepare.c share.
 *
 * prepare, in this order: every operator is checked against the file; the
 * order of execution and the lifetimes of tensors follow from who writes and
 * who reads them (both cml_plan_check); the arena is planned, memory is taken,
 * and the operators get their pointers.
 */
#ifndef CML_GRAPH_INTERNAL_H
#define CML_GRAPH_INTERNAL_H

#include "arena.h"
#include "graph.h"
#include "ops/ops.h"

struct cml_graph {
	struct cml_allocator allocator;
	size_t size;			/* of this block, with ops behind it */
	uint8_t *arena;
	size_t arena_size, arena_lower_bound;
	int32_t *channels;		/* per-channel numbers of all ops */
	size_t channels_size;
	size_t input_size;		/* at the start of the arena, aligned */
	struct cml_tensor_view input;
	struct cml_tensor_view outputs[CML_MAX_OUTPUTS];
	size_t output_count;
	uint64_t macs;
	size_t op_count;
	struct cml_op ops[];
};

/* What is known of a tensor while the operators are gone through in order. */
enum cml_role {
	CML_ROLE_UNSEEN,
	CML_ROLE_CONSTANT,
	CML_ROLE_WRITTEN,	/* by an operator, or the caller */
};

/* What exists only while preparing. @items and @roles are one block. */
struct cml_plan {
	struct cml_tflite model;
	uint32_t cpu;
	struct cml_graph_problem problem;
	size_t tensor_count, op_count;
	size_t items_size, roles_size;
	/* Tensors, then the scratch of each op */
	struct cml_arena_item *items;
	uint8_t *roles;			/* enum cml_role of each tensor */
};

static inline enum cml_status refuse(struct cml_plan *plan,
				     enum cml_status status,
				     const char *reason)
{
	plan->problem.reason = reason;

	return status;
}

/* graph_check.c */

/* Opens the file and sets the counts. */
enum cml_status cml_plan_open(struct cml_plan *plan, struct cml_bytes file);
/*
 * With @items and @roles there, and @graph with room for the ops: checks all,
 * fills the ops, the views but for their data, and the items but for their
 * offsets.
 */
enum cml_status cml_plan_check(struct cml_plan *plan, struct cml_graph *graph,
			       size_t *channel_count);
/* NULL: not supported */
const struct cml_op_type *cml_plan_op_type(int32_t builtin_code);

#endif /* CML_GRAPH_INTERNAL_H */
