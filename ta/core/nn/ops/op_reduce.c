// SPDX-License-Identifier: Apache-2.0
/*
 * Reductions over any axes. Neighbouring dimensions that are both reduced, or
 * both kept, are one: of up to six, three of either kind are left at most.
 *
 * Elements go into a sum in the order in which they lie in the input, as in
 * the reference: so floats are equal to it as well.
 */
#include <math.h>

#include "nn/op.h"

enum { REDUCER_KEEP_DIMS = 0 };
enum { INPUT, AXES };

/* Outputs that are computed at once, and those that are not neighbours. */
#define BLOCK		32
#define BLOCK_APART	8
#define MAX_GROUPS	(CML_MAX_RANK / 2)
/* What TFLite's scaling of 48 bits is made for */
#define MAX_PRODUCT_SHIFT	7

/* Loops over dimensions of the input, outermost first; unused ones do 1 step */
struct loops {
	uint32_t dims[MAX_GROUPS], strides[MAX_GROUPS];
};

struct reduce {
	struct loops kept, reduced;
	uint32_t count;			/* elements of a sum */
	bool all;			/* no dimension is left */
	int32_t zero_point, output_zero_point;
	struct cml_factor factor;	/* of the result, or of each step */
};

/* Outputs of a block lie @kept.strides[last] from each other in the input. */
#define REDUCE(name, type, sum_type, start, step, finish)		\
static void name(const struct reduce *reduce, const void *in,		\
		 size_t first, void *out, size_t where, uint32_t count)	\
{									\
	const struct loops *loops = &reduce->reduced;			\
	const uint32_t *strides = loops->strides;			\
	uint32_t rows = loops->dims[0] * loops->dims[1];		\
	size_t apart = reduce->kept.strides[MAX_GROUPS - 1];		\
	const type *input = (const type *)in + first;			\
	type *output = (type *)out + where;				\
	sum_type sums[BLOCK];						\
									\
	for (uint32_t i = 0; i < count; i++)				\
		sums[i] = start(reduce, input[i * apart]);		\
	for (uint32_t r = 0; r < rows; r++) {				\
		const type *from = input +				\
				   r / loops->dims[1] * strides[0] +	\
				   r % loops->dims[1] * strides[1];	\
									\
		for (uint32_t c = 0; c < loops->dims[2]; c++)		\
			for (uint32_t i = 0; i < count; i++)		\
				sums[i] = step(reduce, sums[i],		\
					       from[c * strides[2] +	\
						    i * apart]);	\
	}								\
	for (uint32_t i = 0; i < count; i++)				\
		output[i] = finish(reduce, sums[i]);			\
}

#define ZERO(reduce, x)			0
#define AS_IT_IS(reduce, sum)		(sum)
#define ADD(reduce, sum, x)		((sum) + (x))
#define ADD_32(reduce, sum, x)		cml_quant_add(sum, x)
#define ADD_64(reduce, sum, x)		((int64_t)((uint64_t)(sum) + \
						   (uint64_t)(x)))
#define DIVIDE(reduce, sum)		((sum) / (reduce)->count)
#define DIVIDE_INTEGER(reduce, sum)	((sum) / (int64_t)(reduce)->count)
#define RESCALE_S8(reduce, sum)		rescale(reduce, sum, INT8_MIN, INT8_MAX)
#define RESCALE_U8(reduce, sum)		rescale(reduce, sum, 0, UINT8_MAX)
#define RESCALE_S16(reduce, sum) \
	rescale(reduce, sum, INT16_MIN, INT16_MAX)

static int32_t rescale(const struct reduce *reduce, int32_t sum, int32_t min,
		       int32_t max)
{
	int64_t zero = (int64_t)reduce->zero_point * reduce->count;

	/* It wraps, as the reference does. */
	sum = cml_quant_scale((int32_t)(uint32_t)(sum - zero), reduce->factor);
	sum = cml_quant_add(sum, reduce->output_zero_point);

	return sum < min ? min : sum > max ? max : sum;
}

REDUCE(mean_s8, int8_t, int32_t, ZERO, ADD_32, RESCALE_S8)
REDUCE(mean_u8, uint8_t, int32_t, ZERO, ADD_32, RESCALE_U8)
REDUCE(mean_s16, int16_t, int32_t, ZERO, ADD_32, RESCALE_S16)
REDUCE(mean_f32, float, float, ZERO, ADD, DIVIDE)
REDUCE(mean_s32, int32_t, int64_t, ZERO, ADD, DIVIDE_INTEGER)
REDUCE(mean_s64, int64_t, int64_t, ZERO, ADD_64, DIVIDE_INTEGER)
REDUCE(sum_f32, float, float, ZERO, ADD, AS_IT_IS)
REDUCE(sum_s32, int32_t, int32_t, ZERO, ADD_32, AS_IT_IS)
REDUCE(sum_s64, int64_t, int64_t, ZERO, ADD_64, AS_IT_IS)

#define ELEMENT(reduce, x)	(x)
#define LARGER(reduce, sum, x)	((x) > (sum) ? (x) : (sum))
#define SMALLER(reduce, sum, x)	((x) < (sum) ? (x) : (sum))
/* The reference: infinities and NaNs count if all is reduced to one. */
#define LOWEST(reduce, x)	((reduce)->all ? (x) : -__FLT_MAX__)
#define HIGHEST(reduce, x)	((reduce)->all ? (x) : __FLT_MAX__)

REDUCE(max_s8, int8_t, int8_t, ELEMENT, LARGER, AS_IT_IS)
REDUCE(max_u8, uint8_t, uint8_t, ELEMENT, LARGER, AS_IT_IS)
REDUCE(max_s16, int16_t, int16_t, ELEMENT, LARGER, AS_IT_IS)
REDUCE(max_s32, int32_t, int32_t, ELEMENT, LARGER, AS_IT_IS)
REDUCE(max_s64, int64_t, int64_t, ELEMENT, LARGER, AS_IT_IS)
REDUCE(max_f32, float, float, LOWEST, LARGER, AS_IT_IS)
REDUCE(min_s8, int8_t, int8_t, ELEMENT, SMALLER, AS_IT_IS)
REDUCE(min_u8, uint8_t, uint8_t, ELEMENT, SMALLER, AS_IT_IS)
REDUCE(min_s16, int16_t, int16_t, ELEMENT, SMALLER, AS_IT_IS)
REDUCE(min_s32, int32_t, int32_t, ELEMENT, SMALLER, AS_IT_IS)
REDUCE(min_s64, int64_t, int64_t, ELEMENT, SMALLER, AS_IT_IS)
REDUCE(min_f32, float, float, HIGHEST, SMALLER, AS_IT_IS)

#define ONE(reduce, x)		1
#define TIMES(reduce, sum, x)	((sum) * (x))
#define TIMES_32(reduce, sum, x) ((int32_t)((uint32_t)(sum) * (uint32_t)(x)))
#define TIMES_64(reduce, sum, x) ((int64_t)((uint64_t)(sum) * (uint64_t)(x)))

REDUCE(prod_f32, float, float, ONE, TIMES, AS_IT_IS)
REDUCE(prod_s32, int32_t, int32_t, ONE, TIMES_32, AS_IT_IS)
REDUCE(prod_s64, int64_t, int64_t, ONE, TIMES_64, AS_IT_IS)

/* No product of 8 or 16 bits has this value. */
#define NOTHING_YET	INT64_MIN
#define NOTHING(reduce, x)		NOTHING_YET
#define TIMES_SCALED(reduce, sum, x)	next_product(reduce, sum, x)
#define PRODUCT_S8(reduce, sum)		product(reduce, sum, INT8_MIN, INT8_MAX)
#define PRODUCT_S16(reduce, sum) \
	product(reduce, sum, INT16_MIN, INT16_MAX)

/* As TFLite scales 48 bits: by a multiplier of 16 bits; the result wraps. */
static int32_t scale_product(const struct reduce *reduce, int64_t x)
{
	int32_t multiplier = reduce->factor.multiplier;
	int32_t shift = 15 - reduce->factor.shift;

	multiplier = multiplier < 0x7fff0000 ? (multiplier + (1 << 15)) >> 16 :
					       0x7fff;

	return (x * multiplier + ((int64_t)1 << (shift - 1))) >> shift;
}

/* Scaled at each step, so that it does not grow out of its type. */
static int64_t next_product(const struct reduce *reduce, int64_t so_far,
			    int32_t x)
{
	x -= reduce->zero_point;

	return so_far == NOTHING_YET ? x : scale_product(reduce, so_far * x);
}

static int32_t product(const struct reduce *reduce, int64_t so_far,
		       int32_t min, int32_t max)
{
	int32_t x = cml_quant_add(scale_product(reduce, so_far),
				  reduce->output_zero_point);

	return x < min ? min : x > max ? max : x;
}

REDUCE(prod_s8, int8_t, int64_t, NOTHING, TIMES_SCALED, PRODUCT_S8)
REDUCE(prod_s16, int16_t, int64_t, NOTHING, TIMES_SCALED, PRODUCT_S16)

/* A byte of a constant may be anything. */
#define NONZERO(reduce, x)	((x) != 0)
#define OR(reduce, sum, x)	((sum) | ((x) != 0))
#define AND(reduce, sum, x)	((sum) & ((x) != 0))

REDUCE(any, uint8_t, uint8_t, NONZERO, OR, AS_IT_IS)
REDUCE(all, uint8_t, uint8_t, NONZERO, AND, AS_IT_IS)

/* Scales and zero points of input and output: */
enum quantization {
	NONE,		/* there are none */
	SAME,		/* elements are copied */
	OF_SUM, OF_MEAN, OF_PRODUCT,
};

static const struct {
	int32_t builtin_code;
	uint32_t type;
	enum quantization quantization;
	void (*run)(const struct reduce *reduce, const void *in, size_t first,
		    void *out, size_t where, uint32_t count);
} kernels[] = {
	{ CML_OP_MEAN, CML_TFLITE_INT8, OF_MEAN, mean_s8 },
	{ CML_OP_MEAN, CML_TFLITE_UINT8, OF_MEAN, mean_u8 },
	{ CML_OP_MEAN, CML_TFLITE_INT16, OF_MEAN, mean_s16 },
	{ CML_OP_MEAN, CML_TFLITE_FLOAT32, NONE, mean_f32 },
	{ CML_OP_MEAN, CML_TFLITE_INT32, NONE, mean_s32 },
	{ CML_OP_MEAN, CML_TFLITE_INT64, NONE, mean_s64 },
	{ CML_OP_SUM, CML_TFLITE_INT8, OF_SUM, mean_s8 },
	{ CML_OP_SUM, CML_TFLITE_UINT8, OF_SUM, mean_u8 },
	{ CML_OP_SUM, CML_TFLITE_INT16, OF_SUM, mean_s16 },
	{ CML_OP_SUM, CML_TFLITE_FLOAT32, NONE, sum_f32 },
	{ CML_OP_SUM, CML_TFLITE_INT32, NONE, sum_s32 },
	{ CML_OP_SUM, CML_TFLITE_INT64, NONE, sum_s64 },
	{ CML_OP_REDUCE_MAX, CML_TFLITE_INT8, SAME, max_s8 },
	{ CML_OP_REDUCE_MAX, CML_TFLITE_UINT8, SAME, max_u8 },
	{ CML_OP_REDUCE_MAX, CML_TFLITE_INT16, SAME, max_s16 },
	{ CML_OP_REDUCE_MAX, CML_TFLITE_FLOAT32, NONE, max_f32 },
	{ CML_OP_REDUCE_MAX, CML_TFLITE_INT32, NONE, max_s32 },
	{ CML_OP_REDUCE_MAX, CML_TFLITE_INT64, NONE, max_s64 },
	{ CML_OP_REDUCE_MIN, CML_TFLITE_INT8, SAME, min_s8 },
	{ CML_OP_REDUCE_MIN, CML_TFLITE_UINT8, SAME, min_u8 },
	{ CML_OP_REDUCE_MIN, CML_TFLITE_INT16, SAME, min_s16 },
	{ CML_OP_REDUCE_MIN, CML_TFLITE_FLOAT32, NONE, min_f32 },
	{ CML_OP_REDUCE_MIN, CML_TFLITE_INT32, NONE, min_s32 },
	{ CML_OP_REDUCE_MIN, CML_TFLITE_INT64, NONE, min_s64 },
	{ CML_OP_REDUCE_PROD, CML_TFLITE_INT8, OF_PRODUCT, prod_s8 },
	{ CML_OP_REDUCE_PROD, CML_TFLITE_INT16, OF_PRODUCT, prod_s16 },
	{ CML_OP_REDUCE_PROD, CML_TFLITE_FLOAT32, NONE, prod_f32 },
	{ CML_OP_REDUCE_PROD, CML_TFLITE_INT32, NONE, prod_s32 },
	{ CML_OP_REDUCE_PROD, CML_TFLITE_INT64, NONE, prod_s64 },
	{ CML_OP_REDUCE_ANY, CML_TFLITE_BOOL, NONE, any },
	{ CML_OP_REDUCE_ALL, CML_TFLITE_BOOL, NONE, all },
};

static enum cml_status choose_kernel(struct cml_node *node)
{
	for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
		if (kernels[i].builtin_code != node->tflite.builtin_code ||
		    kernels[i].type != cml_node_input(node, INPUT)->type)
			continue;
		node->op->kernel = i;
		return CML_OK;
	}

	return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
			  "reduction does not have this type");
}

/* One bit for each axis. The axes of a scalar do not matter to TFLite. */
static enum cml_status read_axes(struct cml_node *node, uint32_t *axes)
{
	const struct cml_tensor *tensor = cml_node_input(node, AXES);
	int32_t rank = cml_node_input(node, INPUT)->rank;
	const int32_t *values = NULL;
	const void *data = NULL;
	enum cml_status status = cml_node_type(node, tensor, CML_TFLITE_INT32);

	if (!status)
		status = cml_node_need_constant(node, AXES, &data);
	if (status)
		return status;
	values = data;
	*axes = 0;
	for (uint32_t i = 0; rank && i < tensor->count; i++) {
		if (values[i] < -rank || values[i] >= rank)
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "axis is not one of the input's");
		*axes |= 1u << (values[i] < 0 ? values[i] + rank : values[i]);
	}

	return CML_OK;
}

static enum cml_status check_shape(struct cml_node *node, uint32_t axes)
{
	const struct cml_tensor *input = cml_node_input(node, INPUT);
	bool keep = cml_fb_u8(node->fb, node->tflite.options,
			      REDUCER_KEEP_DIMS, 0);
	int32_t dims[CML_MAX_RANK] = { 0 };
	uint32_t rank = 0;

	if (!input->count)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "input of a reduction has no elements");
	for (uint32_t d = 0; d < input->rank; d++) {
		if (!(axes >> d & 1))
			dims[rank++] = input->dims[d];
		else if (keep)
			dims[rank++] = 1;
	}

	return cml_node_shape(node, cml_node_output(node, 0), rank, dims);
}

/* Inside out; dimensions of 1 are left out. */
static void fill_loops(const struct cml_tensor *input, uint32_t axes,
		       struct reduce *reduce)
{
	struct loops *loops[] = { &reduce->kept, &reduce->reduced };
	uint32_t next[] = { MAX_GROUPS, MAX_GROUPS };
	uint32_t stride = 1;
	int32_t last = -1;

	reduce->all = axes == (1u << input->rank) - 1;
	reduce->count = 1;
	for (uint32_t i = 0; i < MAX_GROUPS; i++)
		for (uint32_t kind = 0; kind < 2; kind++)
			loops[kind]->dims[i] = loops[kind]->strides[i] = 1;
	for (uint32_t d = input->rank; d-- > 0;) {
		int32_t kind = axes >> d & 1;
		uint32_t dim = input->dims[d];

		if (dim == 1)
			continue;
		if (kind != last)
			loops[kind]->strides[--next[kind]] = stride;
		loops[kind]->dims[next[kind]] *= dim;
		reduce->count *= kind ? dim : 1;
		stride *= dim;
		last = kind;
	}
}

/* A mean's factor has the number of elements in it, as TFLite computes it. */
static void divide_factor(struct cml_factor *factor, uint32_t count)
{
	int32_t shift = 31 - __builtin_clz(count);

	/* It must not fall below CML_QUANT_MIN_SHIFT. */
	if (shift > factor->shift - CML_QUANT_MIN_SHIFT)
		shift = factor->shift - CML_QUANT_MIN_SHIFT;
	factor->multiplier = ((int64_t)factor->multiplier << shift) / count;
	factor->shift -= shift;
}

static enum cml_status fill_factor(struct cml_node *node, struct reduce *reduce)
{
	enum quantization kind = kernels[node->op->kernel].quantization;
	double in = cml_node_input(node, INPUT)->scale;
	double out = cml_node_output(node, 0)->scale;

	if (kind == OF_PRODUCT)
		out = pow(out, 1.0 / reduce->count);
	if (!cml_quant_factor(in / out, &reduce->factor) ||
	    (kind == OF_PRODUCT && reduce->factor.shift > MAX_PRODUCT_SHIFT))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "scales of a reduction are too far apart");
	if (kind == OF_MEAN)
		divide_factor(&reduce->factor, reduce->count);

	return CML_OK;
}

static enum cml_status fill_quantization(struct cml_node *node,
					 struct reduce *reduce)
{
	enum quantization kind = kernels[node->op->kernel].quantization;
	const struct cml_tensor *input = cml_node_input(node, INPUT);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = CML_OK;

	if (kind == NONE ||
	    (kind == SAME && !(input->scale > 0) && !(output->scale > 0)))
		return CML_OK;
	if (input->type == CML_TFLITE_INT16 &&
	    (input->zero_point || output->zero_point))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "zero point of int16 is not 0");
	if (kind == SAME)
		return cml_node_same_quantization(node, input, output);
	status = cml_node_quantized(node, input);
	if (!status)
		status = cml_node_quantized(node, output);
	if (status)
		return status;
	reduce->zero_point = input->zero_point;
	reduce->output_zero_point = output->zero_point;

	return fill_factor(node, reduce);
}

static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, INPUT);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = choose_kernel(node);
	struct reduce *reduce = NULL;
	void *params = NULL;
	uint32_t axes = 0;

	if (!status)
		status = cml_node_type(node, output, input->type);
	if (!status)
		status = read_axes(node, &axes);
	if (!status)
		status = check_shape(node, axes);
	if (!status)
		status = cml_node_params(node, sizeof(*reduce), &params);
	if (status)
		return status;
	reduce = params;
	fill_loops(input, axes, reduce);
	status = fill_quantization(node, reduce);
	if (status)
		return status;
	node->macs = input->count;
	cml_node_tiles(node, output->count, reduce->count);

	return CML_OK;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct reduce *reduce = cml_op_params(run, op);
	struct cml_range rest = cml_tile(op, tile,
					 cml_op_output(run, op, 0)->count);
	const uint32_t *dims = reduce->kept.dims;
	const uint32_t *strides = reduce->kept.strides;
	uint32_t block = strides[MAX_GROUPS - 1] == 1 ? BLOCK : BLOCK_APART;

	while (rest.begin < rest.end) {
		uint32_t row = rest.begin / dims[2];
		uint32_t column = rest.begin % dims[2];
		uint32_t count = dims[2] - column;
		size_t first = row / dims[1] * strides[0] +
			       row % dims[1] * strides[1] +
			       column * strides[2];

		if (count > block)
			count = block;
		if (count > rest.end - rest.begin)
			count = rest.end - rest.begin;
		kernels[op->kernel].run(reduce, cml_op_in(run, op, INPUT),
					first, cml_op_out(run, op, 0),
					rest.begin, count);
		rest.begin += count;
	}
}

#define OPERATOR(lower, upper, newest, all_types, more)			\
const struct cml_op_type cml_op_ ## lower = {				\
	.name = #upper,							\
	.builtin_code = CML_OP_ ## upper,				\
	.options_type = 27,						\
	.max_version = newest,						\
	.types = all_types,						\
	.empty_inputs = 1 << 1,						\
	.min_inputs = 2, .max_inputs = 2,				\
	.min_outputs = 1, .max_outputs = 1,				\
	.notes = "Axes have to be constant." more,			\
	.prepare = prepare,						\
	.run = run,							\
};

#define NUMBERS	(CML_S8 | CML_S16 | CML_F32 | CML_S32 | CML_S64 | CML_U8)

OPERATOR(mean, MEAN, 3, NUMBERS, "")
OPERATOR(sum, SUM, 2, NUMBERS,
	 " int8 and int16 are summed as such; LiteRT 2.3.0's reference takes "
	 "them for uint8 (its issue 4079).")
OPERATOR(reduce_max, REDUCE_MAX, 3, NUMBERS, "")
OPERATOR(reduce_min, REDUCE_MIN, 3, NUMBERS, "")
OPERATOR(reduce_prod, REDUCE_PROD, 2, NUMBERS & ~CML_U8, "")
OPERATOR(reduce_any, REDUCE_ANY, 1, CML_BOOL, "")
OPERATOR(reduce_all, REDUCE_ALL, 1, CML_BOOL, "")
