// SPDX-License-Identifier: Apache-2.0
/*
 * A graph while it is being made: by prepare.c and the build_*.c in this order,
 * file, operators, finish.
 *
 * Everything whose size follows from the file is one block, work. Parameters
 * of operators and constants that were computed are parts of chunks; at the
 * end all that is kept is copied into one block. Offsets are from the graph
 * throughout, wherever they lead.
 */
#ifndef CML_BUILD_H
#define CML_BUILD_H

#include "arena.h"
#include "graph_internal.h"

#define CML_TABLE_ALIGN	16

/* What is known of a tensor while the operators are gone through in order. */
enum cml_role {
	CML_ROLE_NONE,
	CML_ROLE_CONSTANT,
	CML_ROLE_WRITTEN,	/* by an operator, or the caller */
	CML_ROLE_STATE,		/* variable: an operator's own memory */
};

struct cml_block {
	void *ptr;
	size_t size;
};

/* Weights that an operator wants in another order. */
struct cml_pack {
	int32_t tensor;			/* -1: none */
	size_t size;
	struct cml_block copy;		/* empty: done in place */
};

/* Blocks one after another, behind this head. */
struct cml_chunk {
	struct cml_chunk *next;
	size_t size, used;	/* bytes, the head included */
};

struct cml_build {
	const struct cml_allocator *allocator;
	struct cml_tflite model;
	uint32_t cpu;
	struct cml_graph_problem problem;
	size_t tensor_count, op_count, operand_count;	/* of the file */
	struct cml_block work;
	struct cml_graph *graph;
	struct cml_tensor *tensors;
	struct cml_op *ops;
	int32_t *operands;
	struct cml_arena_item *items;	/* by tensor */
	uint32_t *users;		/* by tensor: reads in all */
	uint32_t *readers;		/* by tensor: reads still to come */
	int32_t *home;			/* by tensor: in whose place it is */
	uint8_t *roles;			/* by tensor: enum cml_role */
	struct cml_block *params;	/* by op */
	struct cml_pack *packs;		/* by op */
	struct cml_block *constants;	/* by tensor: computed ones */
	struct cml_block temporary;	/* grows, and serves one at a time */
	struct cml_chunk *chunks;	/* the one in use first */
	size_t tables;			/* bytes taken from them */
	uint64_t work_done;		/* of CML_GRAPH_MAX_MACS */
};

static inline enum cml_status cml_build_refuse(struct cml_build *build,
					       enum cml_status status,
					       const char *reason)
{
	build->problem.reason = reason;

	return status;
}

static inline size_t cml_align_up(size_t size, size_t align)
{
	return (size + align - 1) / align * align;
}

/* build_file.c */
enum cml_status cml_build_open(struct cml_build *build, struct cml_bytes file);
/* Tensor @index comes into being at @step. */
enum cml_status cml_build_write(struct cml_build *build, int32_t index,
				int32_t step);
/* Its memory is needed until @step. */
void cml_build_read(struct cml_build *build, int32_t index, int32_t step);

/* build_operators.c */
enum cml_status cml_build_operators(struct cml_build *build);

/* build_finish.c; @file is what was opened */
enum cml_status cml_build_finish(struct cml_build *build, uint8_t *file,
				 struct cml_graph **graph);

/* build_memory.c */
void cml_build_release(struct cml_build *build);
/* Zeroed; there until the end; counted against CML_GRAPH_MAX_TABLES. */
enum cml_status cml_build_take(struct cml_build *build, size_t size,
			       struct cml_block *block);

/* Not zeroed; there until the next one is wanted. */
enum cml_status cml_build_temporary(struct cml_build *build, size_t size,
				    void **memory);

#endif /* CML_BUILD_H */
