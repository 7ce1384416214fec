// SPDX-License-Identifier: Apache-2.0
/* Operators that make each element from one element of one input. */
#ifndef CML_UNARY_H
#define CML_UNARY_H

#include "nn/op.h"

/* What a tile reads and writes. */
struct cml_unary_span {
	const uint8_t *in;
	uint8_t *out;
	size_t count;
};

/*
 * The output has the input's shape and the type @output_type. Sets tiles, of
 * elements of @cost each, and lets the output lie where the input is.
 */
enum cml_status cml_unary_prepare(struct cml_node *node, uint32_t output_type,
				  uint32_t cost);
/* Input and output are quantised, and zero points of int16 are 0. */
enum cml_status cml_unary_quantized(struct cml_node *node);
struct cml_unary_span cml_unary_span(const struct cml_run *run,
				     const struct cml_op *op, uint32_t tile);

#endif /* CML_UNARY_H */
