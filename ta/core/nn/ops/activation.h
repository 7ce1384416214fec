// SPDX-License-Identifier: Apache-2.0
/*
 * What activation functions have in common: one input, an output of the same
 * type and shape, and, for 8-bit types, a table of the 256 results, made while
 * preparing.
 */
#ifndef CML_OPS_ACTIVATION_H
#define CML_OPS_ACTIVATION_H

#include "nn/op.h"

/* The parameters of elementwise ones, or the first of them. */
struct cml_activation {
	float parameter;	/* of the function of real numbers */
	uint8_t table[256];	/* 8-bit outputs by the input's byte */
};

/* A function of a real number; @parameter as the operator's options say. */
typedef float cml_real_function(float x, float parameter);
/* A function of quantised numbers; need not be within the output's type. */
typedef int32_t cml_integer_function(int32_t x, const void *context);

/* Checks types, shapes and, of integers, that both are quantised. */
enum cml_status cml_activation_check(struct cml_node *node);
/* An option that is a float: field @field, 0 if it is absent. */
float cml_activation_option(struct cml_node *node, uint32_t field);

/* Rows along the last axis: how long, how many. Refuses a scalar. */
enum cml_status cml_activation_rows(struct cml_node *node, uint32_t *depth,
				    uint32_t *rows);

/*
 * Elementwise ones: checks the node, and allows it to be computed in place and
 * in parts. The parameters, of @size, begin with a struct cml_activation.
 */
enum cml_status cml_activation_prepare(struct cml_node *node, size_t size,
				       uint64_t cost, void **params);
/* Input 0 is INT8 or UINT8. */
void cml_activation_table(const struct cml_node *node,
			  cml_integer_function *function, const void *context,
			  struct cml_activation *activation);
/* The same, if it is; computed in float, and rounded. */
void cml_activation_real_table(const struct cml_node *node,
			       cml_real_function *function,
			       struct cml_activation *activation);
/* INT8 and UINT8 by the table, FLOAT32 by @function. */
void cml_activation_run(const struct cml_run *run, const struct cml_op *op,
			uint32_t tile, cml_real_function *function);

static inline bool cml_is_byte(uint32_t type)
{
	return type == CML_TFLITE_INT8 || type == CML_TFLITE_UINT8;
}

#endif /* CML_OPS_ACTIVATION_H */
