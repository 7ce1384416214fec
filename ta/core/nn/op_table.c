// SPDX-License-Identifier: Apache-2.0
/* Every operator, by the schema's name. */
#include "op.h"

#define CML_ALL_OPS(X) \
	X(add) \
	X(conv_2d) \
	X(depthwise_conv_2d) \
	X(detection_postprocess) \
	X(expand_dims) \
	X(reshape) \
	X(rnn) \
	X(squeeze) \
	X(svdf) \
	X(unidirectional_sequence_lstm) \
	X(unidirectional_sequence_rnn)

#define DECLARE(name) extern const struct cml_op_type cml_op_ ## name;
CML_ALL_OPS(DECLARE)

#define ENTRY(name) &cml_op_ ## name,
const struct cml_op_type *const cml_op_types[] = {
	CML_ALL_OPS(ENTRY)
};

const size_t cml_op_type_count = sizeof(cml_op_types) /
				 sizeof(cml_op_types[0]);
