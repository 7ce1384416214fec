// SPDX-License-Identifier: Apache-2.0
#ifndef CML_OPS_ADD_H
#define CML_OPS_ADD_H

#include "broadcast.h"

#define CML_ADD_LEFT_SHIFT	20

struct cml_add {
	struct cml_broadcast shape;
	int32_t zero_point[2], output_zero_point;
	struct cml_factor factor[2], output_factor;	/* shifts <= 0 */
	int32_t min, max;
	/*
	 * What each value of an input is in units of 2^-20 of twice the larger
	 * scale; those from 0 to 127 come first. Not for the NEON kernel.
	 */
	int32_t rescaled[2][256];
};

#if defined(__aarch64__)
/* @count sums of two inputs that both go along. */
void cml_add_s8_neon(const struct cml_add *add, const int8_t *a,
		     const int8_t *b, int8_t *output, size_t count);
#endif

#endif /* CML_OPS_ADD_H */
