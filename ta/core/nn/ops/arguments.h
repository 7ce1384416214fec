// SPDX-License-Identifier: Apache-2.0
/*
 * What operators are told by tensors rather than by options: axes, shapes and
 * other integers, which have to be constants; and which types they take.
 */
#ifndef CML_OPS_ARGUMENTS_H
#define CML_OPS_ARGUMENTS_H

#include "nn/op.h"

#define CML_ANY_TYPE	(CML_S8 | CML_S16 | CML_F32 | CML_S32 | CML_S64 | \
			 CML_U8 | CML_BOOL)

/* @tensor is of one of @types, a set of enum cml_types. */
enum cml_status cml_argument_types(struct cml_node *node,
				   const struct cml_tensor *tensor,
				   uint32_t types);
/*
 * The elements of a constant input, int32 or int64, of which there have to be
 * @count, each from @min to @max.
 */
enum cml_status cml_argument_integers(struct cml_node *node, size_t index,
				      uint32_t count, int64_t min, int64_t max,
				      int64_t *values);
/* One such, that names a dimension; those below 0 count from the end. */
enum cml_status cml_argument_axis(struct cml_node *node, size_t index,
				  uint32_t rank, uint32_t *axis);
/* The option @field, a type, is int32 or int64, and output 0 is of it. */
enum cml_status cml_argument_output_type(struct cml_node *node,
					 uint32_t field);

/* A tensor seen as three dimensions, that of an axis in the middle. */
struct cml_axis {
	uint32_t outer, size, inner;
};

/* @axis is below the rank. */
struct cml_axis cml_axis_of(const struct cml_tensor *tensor, uint32_t axis);

#endif /* CML_OPS_ARGUMENTS_H */
