// SPDX-License-Identifier: Apache-2.0
/* What kernels of FULLY_CONNECTED are given. */
#ifndef CML_OPS_DENSE_H
#define CML_OPS_DENSE_H

#include "weights.h"

/* Parameters. Accumulators of int8 are 32 bits and wrap. */
struct cml_dense {
	uint32_t batch, units, depth;
	struct cml_bounds bounds;
	/*
	 * By unit, if quantised: what a sum is multiplied by; after them, if
	 * int8, the bias. That has -zero_point of the input times the sum of
	 * the unit's weights in it, so inputs are multiplied as they are.
	 */
	double factors[];
};

/* One call of a kernel: outputs, counted through the batch. */
struct cml_dense_call {
	const struct cml_dense *dense;
	const void *input;	/* (batch, depth) */
	const void *weights;	/* (units, depth) */
	const void *bias;	/* if not int8, the tensor; NULL: none */
	void *output;		/* (batch, units) */
	struct cml_range outputs;
};

/* int8 */
static inline const int32_t *cml_dense_bias(const struct cml_dense *dense)
{
	return (const int32_t *)(dense->factors + dense->units);
}

#endif /* CML_OPS_DENSE_H */
