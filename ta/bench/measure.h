// SPDX-License-Identifier: Apache-2.0
/*
 * The engine, timed: the whole network, and each operator alone. The same in
 * both worlds (entry.c, benchmarks/guest/engine.c).
 */
#ifndef CML_BENCH_MEASURE_H
#define CML_BENCH_MEASURE_H

#include "cml_bench_ta.h"
#include "nn/measure.h"

struct cml_bench {
	const struct cml_allocator *allocator;
	cml_clock clock;
	void *clock_ctx;
	uint32_t cpu;		/* bits of enum cml_cpu that are used */
	uint8_t *model;
	size_t len;
	struct cml_graph *graph;
	struct cml_run run;
};

struct cml_bench_time {
	uint32_t rounds;
	uint64_t us;		/* that all of them took */
	uint32_t all_rounds;	/* those that were tried before, too */
};

/*
 * Calls @run so often that it takes @at_least_us, which is what makes up for a
 * clock of milliseconds. Rounds that were tried before do not count.
 */
struct cml_bench_time cml_bench_repeat(cml_clock clock, void *clock_ctx,
				       uint64_t at_least_us,
				       void (*run)(void *ctx), void *ctx);

/*
 * @bench has allocator and clock. @has: what the processor has; @wanted: bits
 * of enum cml_cpu to be used, or 0 for what is measured to be fast. @model is
 * copied.
 */
enum cml_status cml_bench_load(struct cml_bench *bench, struct cml_bytes model,
			       uint32_t has, uint32_t wanted,
			       struct cml_graph_problem *problem);
void cml_bench_unload(struct cml_bench *bench);

/* @op: an index, or CML_BENCH_NETWORK. CML_BAD_STATE: no such operator. */
enum cml_status cml_bench_run(const struct cml_bench *bench, uint32_t op,
			      uint64_t at_least_us,
			      struct cml_bench_time *time);
struct cml_bench_layer cml_bench_layer(const struct cml_bench *bench,
				       size_t op);

size_t cml_bench_input_size(const struct cml_bench *bench);
size_t cml_bench_outputs_size(const struct cml_bench *bench);
/* One run. @outputs: all of them, one after the other. */
void cml_bench_infer(const struct cml_bench *bench, const uint8_t *input,
		     uint8_t *outputs);

#endif /* CML_BENCH_MEASURE_H */
