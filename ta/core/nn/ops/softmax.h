// SPDX-License-Identifier: Apache-2.0
/* What SOFTMAX and LOG_SOFTMAX of 8-bit elements have in common. */
#ifndef CML_OPS_SOFTMAX_H
#define CML_OPS_SOFTMAX_H

#include "nn/op.h"

/* From differences of elements to fixed point. */
struct cml_softmax_scale {
	struct cml_factor factor;	/* to Q5; shift 1 to 31 */
	int32_t min;	/* the lowest difference that counts */
};

/* False: differences of a unit are lost, which TFLite does not allow. */
bool cml_softmax_scale(double real, struct cml_softmax_scale *scale);
/* exp() of a difference (-255 to 0), Q0 */
int32_t cml_softmax_exp(const struct cml_softmax_scale *scale,
			int32_t difference);
/* The greatest of @depth elements, each of them xor @flip. */
int8_t cml_softmax_max(const uint8_t *row, uint32_t depth, uint8_t flip);

#endif /* CML_OPS_SOFTMAX_H */
