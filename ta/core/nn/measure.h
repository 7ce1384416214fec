// SPDX-License-Identifier: Apache-2.0
/*
 * Which kernels are fast here? A processor that has an instruction need not be
 * quick at it, least of all an emulated one. So the ways to do a convolution
 * are tried on a small one, and the clock decides.
 */
#ifndef CML_MEASURE_H
#define CML_MEASURE_H

#include "graph.h"

/* Microseconds of a monotonic clock; it may move in milliseconds. */
typedef uint64_t (*cml_clock)(void *ctx);

/*
 * @cpu, and CML_CPU_FAST_SCALAR if that is so; as it is if there is no memory
 * to try it. Takes about 25 ms.
 */
uint32_t cml_measure_cpu(const struct cml_allocator *allocator, uint32_t cpu,
			 cml_clock clock, void *clock_ctx);

#endif /* CML_MEASURE_H */
