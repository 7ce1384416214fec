// SPDX-License-Identifier: Apache-2.0
/*
 * A TFLite model, checked and made ready to run.
 *
 * The model file is hostile: cml_graph_prepare() checks every offset, shape,
 * type and quantisation parameter before use, chooses kernels, plans one arena
 * for all activations, and computes what depends on constants alone.
 *
 * A graph has no pointer in it: it, the model and an arena may each lie
 * anywhere, and differently in every worker that runs it. struct cml_run says
 * where they lie for one of them. Running cannot fail.
 *
 * Weights stay in the model's buffer, which prepare() rearranges for the
 * kernels and the caller then keeps, unchanged, as long as the graph.
 */
#ifndef CML_GRAPH_H
#define CML_GRAPH_H

#include "bytes.h"
#include "memory.h"
#include "status.h"
#include "tflite.h"

/* What the CPU implements; kernels are chosen from it, results never differ. */
enum cml_cpu {
	CML_CPU_PORTABLE = 0,
	CML_CPU_NEON = 1 << 0,		/* Advanced SIMD, any Armv8-A */
	CML_CPU_DOTPROD = 1 << 1,	/* FEAT_DotProd: SDOT */
	CML_CPU_I8MM = 1 << 2,		/* FEAT_I8MM: SMMLA */
	/* Measured, not told: see measure.h */
	CML_CPU_FAST_SCALAR = 1 << 3,	/* convolutions without vectors win */
};

#define CML_MAX_RANK	CML_TFLITE_MAX_RANK
#define CML_MAX_INPUTS	16
#define CML_MAX_OUTPUTS	32

/* An input or output of a graph. */
struct cml_tensor_info {
	uint32_t type;		/* enum cml_tflite_type */
	uint32_t rank;
	int32_t dims[CML_MAX_RANK];	/* outermost first, 1 after rank */
	size_t size;		/* bytes */
	/* Of the whole tensor: real = scale * (value - zero_point). */
	float scale;		/* 0: not quantised */
	int32_t zero_point;
};

/* Why a model was refused, for people. */
struct cml_graph_problem {
	int32_t op_index;	/* -1: no operator's fault */
	int32_t builtin_code;	/* tflite::BuiltinOperator, -1: none */
	const char *reason;	/* static text, never NULL after a failure */
};

struct cml_graph;

/* Limits of this build: over one of them is CML_MODEL_LIMIT, by name. */
#define CML_GRAPH_MAX_TENSORS	4096
#define CML_GRAPH_MAX_OPS	2048
#define CML_GRAPH_MAX_OPERANDS	16384		/* of all operators */
#define CML_GRAPH_MAX_TABLES	(16u << 20)	/* bytes of the graph itself */
#define CML_GRAPH_MAX_ARENA	(64u << 20)
#define CML_GRAPH_MAX_SCRATCH	(4u << 20)
#define CML_GRAPH_MAX_MACS	(4ull << 30)	/* any output element is one */

/*
 * @model: @len bytes, CML_MEMORY_ALIGN aligned; no model any more afterwards.
 * @cpu: bits of enum cml_cpu. @problem may be NULL.
 * CML_MODEL_* or CML_NO_MEMORY; nothing stays allocated after a failure.
 */
enum cml_status cml_graph_prepare(const struct cml_allocator *allocator,
				  uint8_t *model, size_t len, uint32_t cpu,
				  struct cml_graph **graph,
				  struct cml_graph_problem *problem);
/* With the allocator it came from; NULL allowed. */
void cml_graph_free(const struct cml_allocator *allocator,
		    struct cml_graph *graph);

/* Bytes of the graph itself, which may be copied as a whole. */
size_t cml_graph_size(const struct cml_graph *graph);
/* Bytes of the arena of activations, and the least any plan could have. */
size_t cml_graph_arena_size(const struct cml_graph *graph);
size_t cml_graph_arena_lower_bound(const struct cml_graph *graph);
/* Bytes that each worker needs for itself; may be 0. */
size_t cml_graph_scratch_size(const struct cml_graph *graph);
/* Multiply-accumulates of one run. */
uint64_t cml_graph_macs(const struct cml_graph *graph);
size_t cml_graph_op_count(const struct cml_graph *graph);

/* An index beyond the count gives a tensor without a size. */
size_t cml_graph_input_count(const struct cml_graph *graph);
size_t cml_graph_output_count(const struct cml_graph *graph);
struct cml_tensor_info cml_graph_input(const struct cml_graph *graph,
				       size_t index);
struct cml_tensor_info cml_graph_output(const struct cml_graph *graph,
					size_t index);

/* What one worker sees. Each block is CML_MEMORY_ALIGN aligned. */
struct cml_run {
	const struct cml_graph *graph;
	const uint8_t *model;
	uint8_t *arena;
	uint8_t *scratch;	/* of this worker alone */
};

/*
 * Inputs have to be written before each run, which uses their memory. Outputs
 * are there from the end of a run until the next thing is written.
 */
void cml_graph_run(const struct cml_run *run);
/* Tile @tile of operator @op: see cml_graph_tile_count(). */
void cml_graph_run_tile(const struct cml_run *run, size_t op, uint32_t tile);
/*
 * Tiles of one operator may run in any order, and at the same time; all of
 * them before any of the next operator's.
 */
uint32_t cml_graph_tile_count(const struct cml_graph *graph, size_t op);

uint8_t *cml_run_input(const struct cml_run *run, size_t index);
const uint8_t *cml_run_output(const struct cml_run *run, size_t index);
/*
 * The part of the arena behind the first input, which holds nothing before the
 * run: room for whoever makes that input.
 */
uint8_t *cml_run_free_arena(const struct cml_run *run, size_t *size);

#endif /* CML_GRAPH_H */
