// SPDX-License-Identifier: Apache-2.0
/*
 * What activation functions have in common: one input, an output of the same
 * type and shape, and, for 8-bit types, a table of the 256 results, made while
 * preparing.
 */
#ifndef CML_OPS_ACTIVATION_H
#define CML_OPS_ACTIVATION_H

#include "../op.h"

/* Outputs by the input's byte. */
struct cml_byte_table {
	uint8_t value[256];
};

/* A function of a real number; @parameter as the operator's options say. */
typedef float cml_real_function(float x, float parameter);
/* A function of quantised numbers; need not be within the output's type. */
typedef int32_t cml_integer_function(int32_t x, const void *context);

/* Checks types, shapes and, of integers, that both are quantised. */
enum cml_status cml_activation_check(struct cml_node *node);
/* Of elementwise ones: may be computed in place, and in parts. */
void cml_activation_elementwise(struct cml_node *node, uint64_t cost);
/* An option that is a float: field @field, 0 if it is absent. */
float cml_activation_option(struct cml_node *node, uint32_t field);

/* Input 0 is INT8 or UINT8. */
void cml_byte_table_integer(const struct cml_node *node,
			    cml_integer_function *function, const void *context,
			    struct cml_byte_table *table);
void cml_byte_table_real(const struct cml_node *node,
			 cml_real_function *function, float parameter,
			 struct cml_byte_table *table);
/* The elements @range of output 0, from input 0. */
void cml_byte_table_run(const struct cml_run *run, const struct cml_op *op,
			const struct cml_byte_table *table,
			struct cml_range range);
void cml_real_function_run(const struct cml_run *run, const struct cml_op *op,
			   cml_real_function *function, float parameter,
			   struct cml_range range);

static inline bool cml_is_byte(uint32_t type)
{
	return type == CML_TFLITE_INT8 || type == CML_TFLITE_UINT8;
}

#endif /* CML_OPS_ACTIVATION_H */
