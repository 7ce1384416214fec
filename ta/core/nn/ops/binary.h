// SPDX-License-Identifier: Apache-2.0
/*
 * Elementwise operators of two inputs, each of which may be broadcast. Such an
 * operator has a row for each type of its inputs, and a kernel in each row.
 */
#ifndef CML_OPS_BINARY_H
#define CML_OPS_BINARY_H

#include "broadcast.h"

struct cml_binary {
	struct cml_broadcast shape;
	/* Of what a fused activation and the type allow; floats apart */
	int64_t min, max;
	float min_f32, max_f32;
	/* Quantised types: see cml_binary_rescale(), cml_binary_requantize() */
	int32_t left_shift;
	int32_t zero_point[2], output_zero_point;
	struct cml_factor factor[2], output_factor;
};

/* @count elements of output, of inputs that each go along or stand still. */
typedef void cml_binary_kernel(const struct cml_binary *binary,
			       const void *in0, const void *in1, void *out,
			       size_t count);

struct cml_binary_row {
	int32_t builtin_code;
	uint8_t type, output_type;	/* enum cml_tflite_type */
	cml_binary_kernel *kernel;
};

/* A kernel whose @formula has an element of each input as x and y. */
#define CML_BINARY_KERNEL(name, in_type, out_type, formula)		\
static void name(const struct cml_binary *binary, const void *in0,	\
		 const void *in1, void *out, size_t count)		\
{									\
	size_t step0 = binary->shape.step[0];				\
	size_t step1 = binary->shape.step[1];				\
	const in_type *a = in0;						\
	const in_type *b = in1;						\
	out_type *output = out;						\
									\
	for (size_t i = 0; i < count; i++) {				\
		in_type x = a[i * step0];				\
		in_type y = b[i * step1];				\
									\
		output[i] = formula;					\
	}								\
}

/*
 * Finds the row, checks types and shapes, and makes the parameters; nothing
 * is clamped or scaled by them before the calls below.
 */
enum cml_status cml_binary_prepare(struct cml_node *node,
				   const struct cml_binary_row *rows,
				   size_t count, struct cml_binary **binary);
void cml_binary_run(const struct cml_run *run, const struct cml_op *op,
		    uint32_t tile, const struct cml_binary_row *rows);

/* Sets the bounds. Types of 8 and 16 bits are quantised. */
enum cml_status cml_binary_activation(struct cml_node *node,
				      uint32_t activation,
				      struct cml_binary *binary);
/* As above, of the activation in the options' first field. */
enum cml_status cml_binary_fused_activation(struct cml_node *node,
					    struct cml_binary *binary);

/* Both inputs are quantised; int16 around 0. Sets their zero points. */
enum cml_status cml_binary_quantized_inputs(struct cml_node *node,
					    struct cml_binary *binary);
/* The output likewise. */
enum cml_status cml_binary_quantized_output(struct cml_node *node,
					    struct cml_binary *binary);
/* A factor that is positive and below 1, as TFLite requires. */
bool cml_binary_small_factor(double real, struct cml_factor *factor);
/*
 * Quantised inputs in units of twice the larger scale, times 2^-@left_shift;
 * the result is of the @power of that unit, 1 or 2.
 */
enum cml_status cml_binary_common_scale(struct cml_node *node,
					int32_t left_shift, int32_t power,
					struct cml_binary *binary);

/* Shifts fit: at most 2^9 << 20, 2^16 << 15, or 2^17 << 1 */
static inline int32_t cml_binary_rescale(const struct cml_binary *binary,
					 int input, int32_t value)
{
	int32_t x = (value - binary->zero_point[input]) *
		    (1 << binary->left_shift);

	return cml_quant_scale(x, binary->factor[input]);
}

static inline int64_t cml_binary_clamp(const struct cml_binary *binary,
				       int64_t x)
{
	return x < binary->min ? binary->min :
	       x > binary->max ? binary->max : x;
}

/* Infinities become finite and NaN stays, as in TFLite. */
static inline float cml_binary_clamp_f32(const struct cml_binary *binary,
					 float x)
{
	x = x < binary->min_f32 ? binary->min_f32 : x;

	return x > binary->max_f32 ? binary->max_f32 : x;
}

static inline int32_t cml_binary_requantize(const struct cml_binary *binary,
					    int32_t x)
{
	x = cml_quant_add(cml_quant_scale(x, binary->output_factor),
			  binary->output_zero_point);

	return cml_binary_clamp(binary, x);
}

#endif /* CML_OPS_BINARY_H */
