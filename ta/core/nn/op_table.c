// SPDX-License-Identifier: Apache-2.0
/* Every operator, by the schema's name. */
#include "op.h"

#define CML_ALL_OPS(X) \
	X(abs) \
	X(add) \
	X(cast) \
	X(ceil) \
	X(conv_2d) \
	X(cos) \
	X(depthwise_conv_2d) \
	X(dequantize) \
	X(exp) \
	X(expand_dims) \
	X(floor) \
	X(log) \
	X(logical_not) \
	X(neg) \
	X(quantize) \
	X(relu) \
	X(relu6) \
	X(relu_0_to_1) \
	X(relu_n1_to_1) \
	X(reshape) \
	X(round) \
	X(rsqrt) \
	X(sign) \
	X(sin) \
	X(sqrt) \
	X(square) \
	X(squeeze)

#define DECLARE(name) extern const struct cml_op_type cml_op_ ## name;
CML_ALL_OPS(DECLARE)

#define ENTRY(name) &cml_op_ ## name,
const struct cml_op_type *const cml_op_types[] = {
	CML_ALL_OPS(ENTRY)
};

const size_t cml_op_type_count = sizeof(cml_op_types) /
				 sizeof(cml_op_types[0]);
