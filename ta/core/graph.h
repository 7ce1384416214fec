// SPDX-License-Identifier: Apache-2.0
/*
 * An int8 TFLite model, checked and made ready to run.
 *
 * The model file is hostile: cml_graph_prepare() checks every offset, shape,
 * type and quantisation parameter of the flatbuffer before use, chooses
 * kernels, and plans one arena for all activations. cml_graph_run() cannot
 * fail on a prepared graph. Weights stay in the model buffer, which the
 * caller keeps in place, unchanged, until cml_graph_free().
 */
#ifndef CML_GRAPH_H
#define CML_GRAPH_H

#include "bytes.h"
#include "memory.h"
#include "status.h"

/* What the CPU implements; kernels are chosen from it, results never differ. */
enum cml_cpu {
	CML_CPU_PORTABLE = 0,
	CML_CPU_NEON = 1 << 0,		/* Advanced SIMD, any Armv8-A */
	CML_CPU_DOTPROD = 1 << 1,	/* FEAT_DotProd: SDOT */
	CML_CPU_I8MM = 1 << 2,		/* FEAT_I8MM: SMMLA */
};

#define CML_MAX_DIMS	4
#define CML_MAX_INPUTS	1
#define CML_MAX_OUTPUTS	32

/* int8, (n, h, w, c), n = 1 */
struct cml_tensor_view {
	int8_t *data;
	int32_t dims[CML_MAX_DIMS];
	size_t size;		/* bytes */
	float scale;		/* per tensor, > 0 */
	int32_t zero_point;	/* -128 to 127 */
};

/* Why a model was refused, for people. */
struct cml_graph_problem {
	int32_t op_index;	/* -1: no operator's fault */
	int32_t builtin_code;	/* tflite::BuiltinOperator, -1: none */
	const char *reason;	/* static text, never NULL after a failure */
};

struct cml_graph;

/* Limits of this build: over one of them is CML_MODEL_LIMIT, by name. */
#define CML_GRAPH_MAX_TENSORS	2048
#define CML_GRAPH_MAX_OPS	1024
#define CML_GRAPH_MAX_CHANNELS	(1u << 18)	/* of all convolutions */
#define CML_GRAPH_MAX_ARENA	(64u << 20)
#define CML_GRAPH_MAX_MACS	(4ull << 30)	/* an addition counts as one */

/*
 * @cpu: bits of enum cml_cpu. @problem may be NULL.
 * CML_MODEL_* or CML_NO_MEMORY; nothing stays allocated after a failure.
 */
enum cml_status cml_graph_prepare(const struct cml_allocator *allocator,
				  struct cml_bytes model, uint32_t cpu,
				  struct cml_graph **graph,
				  struct cml_graph_problem *problem);
/*
 * The input may be written from prepare on, and has to be written again for
 * each run, which uses its memory. Outputs are there from the end of a run
 * until the input or the scratch is next written.
 */
void cml_graph_run(struct cml_graph *graph);
/* The whole arena: input, outputs and what came between. */
void cml_graph_wipe(struct cml_graph *graph);
void cml_graph_free(struct cml_graph *graph);	/* wipes; NULL allowed */

size_t cml_graph_input_count(const struct cml_graph *graph);
size_t cml_graph_output_count(const struct cml_graph *graph);
struct cml_tensor_view cml_graph_input(struct cml_graph *graph, size_t index);
struct cml_tensor_view cml_graph_output(struct cml_graph *graph, size_t index);

/*
 * Bytes of the activation arena; the least that any plan of it could have;
 * and all else that stays allocated until free.
 */
size_t cml_graph_arena_size(const struct cml_graph *graph);
size_t cml_graph_arena_lower_bound(const struct cml_graph *graph);
size_t cml_graph_persistent_size(const struct cml_graph *graph);
/* Multiply-accumulates of one run. */
uint64_t cml_graph_macs(const struct cml_graph *graph);

/*
 * The part of the arena that holds nothing until run() (the input tensor lies
 * outside it): scratch for whoever fills the input.
 */
void *cml_graph_scratch(struct cml_graph *graph, size_t *size);

#endif /* CML_GRAPH_H */
