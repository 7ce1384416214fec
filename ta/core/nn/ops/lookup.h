// SPDX-License-Identifier: Apache-2.0
/*
 * Functions of real numbers on quantised ones, by tables that are made while
 * preparing: bit for bit as TFLite's LUTPopulate and LUTLookup. Eight bits have
 * a result for each number, int16 has points of a curve to interpolate between.
 */
#ifndef CML_LOOKUP_H
#define CML_LOOKUP_H

#include "unary.h"

#define CML_LOOKUP_STEPS	512

/* Parameters of an operator. */
struct cml_lookup {
	union {
		uint8_t bytes[256];	/* by the input as a byte */
		int16_t curve[CML_LOOKUP_STEPS + 1];
	};
};

/* @output: for functions that depend on its scale. */
typedef float cml_lookup_function(const struct cml_tensor *output, float x);

/*
 * Parameters for the node, whose tensors are both INT8, UINT8 or INT16 and are
 * quantised. @function NULL: INT8 or UINT8, and the caller fills the table.
 */
enum cml_status cml_lookup_prepare(struct cml_node *node,
				   cml_lookup_function *function,
				   struct cml_lookup **lookup);
void cml_lookup_bytes(const struct cml_lookup *lookup,
		      struct cml_unary_span span);
void cml_lookup_s16(const struct cml_lookup *lookup,
		    struct cml_unary_span span);

#endif /* CML_LOOKUP_H */
