// SPDX-License-Identifier: Apache-2.0
/* Every operator, by the schema's name. */
#include "op.h"

#define CML_OP_LIST(X) \
	X(add) \
	X(conv_2d) \
	X(depthwise_conv_2d)

#define CML_OP_DECLARE(name) extern const struct cml_op_type cml_op_ ## name;
CML_OP_LIST(CML_OP_DECLARE)

#define CML_OP_ENTRY(name) &cml_op_ ## name,
const struct cml_op_type *const cml_op_types[] = {
	CML_OP_LIST(CML_OP_ENTRY)
};

const size_t cml_op_type_count = sizeof(cml_op_types) /
				 sizeof(cml_op_types[0]);
