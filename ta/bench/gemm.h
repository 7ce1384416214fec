// SPDX-License-Identifier: Apache-2.0
/*
 * The most that a convolution could reach: a product of int8 matrices with
 * both operands packed as the inner loop wants them, sums of 32 bits stored as
 * they come. The inner loops are those of conv_s8_scalar.c and conv_s8_i8mm.c,
 * in several sizes of tile; the best of them counts.
 */
#ifndef CML_BENCH_GEMM_H
#define CML_BENCH_GEMM_H

#include "measure.h"

/* (rows, depth) times (depth, columns) */
#define CML_GEMM_ROWS		168
#define CML_GEMM_COLUMNS	256
#define CML_GEMM_DEPTH		576
#define CML_GEMM_MACS \
	((uint32_t)CML_GEMM_ROWS * CML_GEMM_COLUMNS * CML_GEMM_DEPTH)

struct cml_gemm;

size_t cml_gemm_count(void);
/* Below the count */
const char *cml_gemm_name(size_t index);
/* @cpu: bits of enum cml_cpu. False: it lacks the instruction. */
bool cml_gemm_runs(size_t index, uint32_t cpu);

/* Operands packed for inner loop @index; NULL: no memory. */
struct cml_gemm *cml_gemm_new(const struct cml_allocator *allocator,
			      size_t index);
void cml_gemm_free(struct cml_gemm *gemm);
/* One product, whole. */
void cml_gemm_run(void *gemm);
/* Whether the last product is right, by another way; some of it is tried. */
bool cml_gemm_correct(const struct cml_gemm *gemm);

#endif /* CML_BENCH_GEMM_H */
