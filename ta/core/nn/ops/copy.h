// SPDX-License-Identifier: Apache-2.0
/*
 * Operators that only move elements: what they have in common. Elements are
 * copied as bytes, whatever their type, in runs as long as the layout allows.
 */
#ifndef CML_OPS_COPY_H
#define CML_OPS_COPY_H

#include "nn/op.h"

#define CML_COPIED_TYPES	(CML_S8 | CML_S16 | CML_F32 | CML_S32 | \
				 CML_S64 | CML_U8 | CML_BOOL)

/* @count runs of @size bytes, from and to places that many bytes apart. */
void cml_copy_runs(uint8_t *output, ptrdiff_t output_step,
		   const uint8_t *input, ptrdiff_t input_step, size_t size,
		   size_t count);

/* Preparing --------------------------------------------------------------*/

/* Both are of the same type, one that is known. */
enum cml_status cml_copy_types(struct cml_node *node,
			       const struct cml_tensor *from,
			       const struct cml_tensor *to);
/* And of the same scale and zero point, if int8, uint8 or int16. */
enum cml_status cml_copy_alike(struct cml_node *node,
			       const struct cml_tensor *from,
			       const struct cml_tensor *to);
/* Of each dimension but @axis, @a has as much as @b. */
enum cml_status cml_copy_shape_but(struct cml_node *node,
				   const struct cml_tensor *a,
				   const struct cml_tensor *b, uint32_t axis);
/* @value counts from the end if it is negative. */
enum cml_status cml_copy_axis(struct cml_node *node, int64_t value,
			      uint32_t rank, uint32_t *axis);
/* A constant of exactly @count numbers, int32 or int64. */
enum cml_status cml_copy_numbers(struct cml_node *node, size_t input,
				 uint32_t count, int64_t *numbers);

/*
 * Output 0, if its shape is open, is as large as input 0 with borders: two
 * numbers for each dimension, none below 0.
 */
enum cml_status cml_copy_bordered(struct cml_node *node,
				  const int64_t *borders);

/* From one to the next in each dimension, in elements. */
void cml_copy_steps(const struct cml_tensor *tensor, int64_t *steps);

/* A tensor cut across one dimension --------------------------------------*/

/* Everything that is left of the dimension is one row. Parameters. */
struct cml_rows {
	uint32_t count;
	uint32_t size;		/* bytes of a row of the whole tensor */
};

/* @axis up to the rank: the rows are in the dimensions before it. */
enum cml_status cml_rows_prepare(struct cml_node *node,
				 const struct cml_tensor *whole, uint32_t axis);

/* Steps through the input ------------------------------------------------*/

#define CML_STRIDED_RANK	(2 * CML_MAX_RANK)

/*
 * The output is written from front to back, in runs that are read in regular
 * steps. Parameters.
 */
struct cml_strided {
	uint32_t rank;
	uint32_t element;			/* bytes */
	uint32_t size;				/* bytes of a run */
	uint32_t count;				/* of runs */
	int32_t offset;				/* of the first, in bytes */
	uint32_t dims[CML_STRIDED_RANK];	/* of runs, innermost first */
	int32_t steps[CML_STRIDED_RANK];	/* in bytes; any sign, or 0 */
};

/* One element. */
struct cml_strided cml_strided_start(const struct cml_tensor *input);
/*
 * All so far @dim times, @step elements apart: from inside out. The offset
 * is the caller's to set, in bytes.
 */
void cml_strided_repeat(struct cml_strided *strided, int32_t dim, int64_t step);
/* The node's input 0 becomes its output 0 in this way. */
enum cml_status cml_strided_prepare(struct cml_node *node,
				    const struct cml_strided *strided);
void cml_strided_run(const struct cml_run *run, const struct cml_op *op,
		     uint32_t tile);

#endif /* CML_OPS_COPY_H */
