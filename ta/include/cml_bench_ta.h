// SPDX-License-Identifier: Apache-2.0
/*
 * The ABI of the measuring TA, which `sandbox bench` pushes into a machine. It
 * is in no image: it takes models in the clear, and has no secrets.
 * sandbox/bench/measuring_ta.py mirrors it; a test compares the two.
 *
 * One session has one model. The TA is multi-instance.
 */
#ifndef CML_BENCH_TA_H
#define CML_BENCH_TA_H

#include <stdint.h>

/* 7d1c4a52-0f6e-4c0b-9a35-5b6f1f0c8e21 */
#define TA_CML_BENCH_UUID \
	{ 0x7d1c4a52, 0x0f6e, 0x4c0b, \
	  { 0x9a, 0x35, 0x5b, 0x6f, 0x1f, 0x0c, 0x8e, 0x21 } }

/*
 * LOAD: a model in the clear, in place of the one before.
 * [in] memref[0]	the .tflite file
 * [inout] value[1]	in, a: bits of enum cml_cpu to be used, of those that
 *			there are; 0: what is measured to be fast, as in the
 *			inference TA. out, a: operators, b: the bits
 * [out] value[2]	multiply-accumulates of one run: a low, b high 32 bits
 * [out] value[3]	a: bytes of the arena, b: bytes of all memory in use
 */
#define TA_CML_BENCH_CMD_LOAD		0

/*
 * LAYERS: what the operators are, in the order in which they run.
 * [out] memref[0]	struct cml_bench_layer for each
 */
#define TA_CML_BENCH_CMD_LAYERS		1

#define CML_BENCH_NAME_SIZE	32
#define CML_BENCH_SHAPES	3
#define CML_BENCH_RANK		4

struct cml_bench_layer {
	char name[CML_BENCH_NAME_SIZE];	/* the schema's; zeros follow */
	uint64_t macs;
	uint32_t tiles;
	uint32_t packed;		/* 1: weights are in another order */
	/*
	 * Of the first two inputs and of the output, innermost last, 1 before
	 * it; 0: there is none.
	 */
	int32_t shapes[CML_BENCH_SHAPES][CML_BENCH_RANK];
};

/*
 * RUN: an operator, or the whole network, again and again.
 * [in] value[0]	a: index, or CML_BENCH_NETWORK; b: for so many
 *			milliseconds at least
 * [out] value[1]	a: rounds, b: microseconds that they took
 * [out] value[2]	a: rounds in all, with those that were tried before
 */
#define TA_CML_BENCH_CMD_RUN		2
#define CML_BENCH_NETWORK		0xffffffff
#define CML_BENCH_MAX_MS		60000

/*
 * PEAK: a matrix product of CML_GEMM_* that is packed already.
 * [in] value[0]	a: which inner loop, b: milliseconds as above
 * [out] value[1]	a: rounds, b: microseconds
 * [out] value[2]	a: multiply-accumulates of a round, b: rounds in all
 * [out] memref[3]	the inner loop's name
 * TEE_ERROR_ITEM_NOT_FOUND: there are no more. TEE_ERROR_NOT_SUPPORTED: this
 * processor lacks the instruction.
 */
#define TA_CML_BENCH_CMD_PEAK		3

/*
 * INFER: one run.
 * [in] memref[0]	the first input
 * [out] memref[1]	all outputs, one after the other
 */
#define TA_CML_BENCH_CMD_INFER		4

#endif /* CML_BENCH_TA_H */
