// SPDX-License-Identifier: Apache-2.0
/* Every operator, by the schema's name. */
#include "op.h"

#define CML_ALL_OPS(X) \
	X(add) \
	X(add_n) \
	X(conv_2d) \
	X(depthwise_conv_2d) \
	X(div) \
	X(equal) \
	X(expand_dims) \
	X(floor_div) \
	X(floor_mod) \
	X(greater) \
	X(greater_equal) \
	X(less) \
	X(less_equal) \
	X(logical_and) \
	X(logical_or) \
	X(maximum) \
	X(minimum) \
	X(mul) \
	X(not_equal) \
	X(pow) \
	X(reshape) \
	X(select) \
	X(select_v2) \
	X(squared_difference) \
	X(squeeze) \
	X(sub)

#define DECLARE(name) extern const struct cml_op_type cml_op_ ## name;
CML_ALL_OPS(DECLARE)

#define ENTRY(name) &cml_op_ ## name,
const struct cml_op_type *const cml_op_types[] = {
	CML_ALL_OPS(ENTRY)
};

const size_t cml_op_type_count = sizeof(cml_op_types) /
				 sizeof(cml_op_types[0]);
