// SPDX-License-Identifier: Apache-2.0
/*
 * Pooling: one number of all taps of a window, for each channel by itself.
 * Tensors are (n, h, w, c). Every window has a tap in the input at least.
 */
#include <math.h>

#include "window.h"

enum { POOL_PADDING = 0, POOL_STRIDE_W = 1, POOL_STRIDE_H = 2,
       POOL_KERNEL_W = 3, POOL_KERNEL_H = 4, POOL_ACTIVATION = 5 };

/* Channels that a window is gone through for at once. */
#define BLOCK	32

struct pool {
	struct cml_window h, w;
	uint32_t channels;
	int32_t min, max;		/* of the output: integers */
	float float_min, float_max;	/* float32 */
};

/* Those of a window that are in the input; in elements. */
struct taps {
	size_t first;
	uint32_t rows, columns;
	size_t row_stride;
};

static inline int32_t clamp(const struct pool *pool, int32_t x)
{
	return x < pool->min ? pool->min : x > pool->max ? pool->max : x;
}

static inline float clamp_float(const struct pool *pool, float x)
{
	return x < pool->float_min ? pool->float_min :
	       x > pool->float_max ? pool->float_max : x;
}

/* Halves away from zero */
static inline int32_t mean(int64_t sum, uint32_t count)
{
	int64_t divisor = count;
	int64_t half = divisor / 2;

	return (sum > 0 ? sum + half : sum - half) / divisor;
}

#define ADD(sum, x)		((sum) + (x))
#define ADD_SQUARE(sum, x)	((sum) + (x) * (x))
#define LARGER(a, b)		((a) < (b) ? (b) : (a))

#define MEAN(pool, sum, count)		clamp(pool, mean(sum, count))
#define MEAN_FLOAT(pool, sum, count) \
	clamp_float(pool, (sum) / (float)(count))
#define ROOT(pool, sum, count) \
	clamp_float(pool, sqrtf((sum) / (float)(count)))
#define LARGEST(pool, x, count)		clamp(pool, x)
#define LARGEST_FLOAT(pool, x, count)	clamp_float(pool, x)

/* One output pixel. Taps are summed in the reference's order. */
#define POOL(name, type, sum_type, start, step, finish)			\
static void name(const struct pool *pool, const struct taps *taps,	\
		 const void *in, void *out, size_t pixel)		\
{									\
	uint32_t channels = pool->channels;				\
	const type *input = (const type *)in + taps->first;		\
	type *output = (type *)out + pixel * channels;			\
	sum_type sums[BLOCK];						\
									\
	for (uint32_t c = 0; c < channels; c += BLOCK) {		\
		uint32_t count = channels - c < BLOCK ? channels - c :	\
						       BLOCK;		\
									\
		for (uint32_t i = 0; i < count; i++)			\
			sums[i] = (start);				\
		for (uint32_t t = 0; t < taps->rows * taps->columns; t++) { \
			const type *tap = input + c +			\
				t / taps->columns * taps->row_stride +	\
				(size_t)(t % taps->columns) * channels;	\
									\
			for (uint32_t i = 0; i < count; i++)		\
				sums[i] = step(sums[i], tap[i]);	\
		}							\
		for (uint32_t i = 0; i < count; i++)			\
			output[c + i] = finish(pool, sums[i],		\
					       taps->rows *		\
					       taps->columns);		\
	}								\
}

/* At most 2^24 taps: the sum of int8 fits in 32 bits. */
POOL(average_s8, int8_t, int32_t, 0, ADD, MEAN)
POOL(average_u8, uint8_t, int64_t, 0, ADD, MEAN)
POOL(average_s16, int16_t, int64_t, 0, ADD, MEAN)
POOL(average_f32, float, float, 0, ADD, MEAN_FLOAT)
POOL(max_s8, int8_t, int8_t, INT8_MIN, LARGER, LARGEST)
POOL(max_u8, uint8_t, uint8_t, 0, LARGER, LARGEST)
POOL(max_s16, int16_t, int16_t, INT16_MIN, LARGER, LARGEST)
POOL(max_f32, float, float, -__FLT_MAX__, LARGER, LARGEST_FLOAT)
POOL(l2_f32, float, float, 0, ADD_SQUARE, ROOT)

static const struct {
	int32_t builtin_code;
	uint32_t type;
	int32_t min, max;	/* of an integer type */
	void (*run)(const struct pool *pool, const struct taps *taps,
		    const void *in, void *out, size_t pixel);
} kernels[] = {
	{ CML_OP_AVERAGE_POOL_2D, CML_TFLITE_INT8, INT8_MIN, INT8_MAX,
	  average_s8 },
	{ CML_OP_AVERAGE_POOL_2D, CML_TFLITE_UINT8, 0, UINT8_MAX, average_u8 },
	{ CML_OP_AVERAGE_POOL_2D, CML_TFLITE_INT16, INT16_MIN, INT16_MAX,
	  average_s16 },
	{ CML_OP_AVERAGE_POOL_2D, CML_TFLITE_FLOAT32, 0, 0, average_f32 },
	{ CML_OP_MAX_POOL_2D, CML_TFLITE_INT8, INT8_MIN, INT8_MAX, max_s8 },
	{ CML_OP_MAX_POOL_2D, CML_TFLITE_UINT8, 0, UINT8_MAX, max_u8 },
	{ CML_OP_MAX_POOL_2D, CML_TFLITE_INT16, INT16_MIN, INT16_MAX,
	  max_s16 },
	{ CML_OP_MAX_POOL_2D, CML_TFLITE_FLOAT32, 0, 0, max_f32 },
	{ CML_OP_L2_POOL_2D, CML_TFLITE_FLOAT32, 0, 0, l2_f32 },
};

static enum cml_status choose_kernel(struct cml_node *node)
{
	for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
		if (kernels[i].builtin_code != node->tflite.builtin_code ||
		    kernels[i].type != cml_node_input(node, 0)->type)
			continue;
		node->op->kernel = i;
		return CML_OK;
	}

	return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
			  "pooling does not have this type");
}

static bool float_activation(uint32_t activation, struct pool *pool)
{
	pool->float_min = activation == CML_ACT_NONE ? -__FLT_MAX__ :
			  activation == CML_ACT_RELU_N1_TO_1 ? -1 : 0;
	pool->float_max = activation == CML_ACT_RELU6 ? 6 :
			  activation == CML_ACT_RELU_N1_TO_1 ? 1 : __FLT_MAX__;

	return activation <= CML_ACT_RELU6;
}

static enum cml_status fill_activation(struct cml_node *node, struct pool *pool)
{
	uint32_t activation = cml_fb_u8(node->fb, node->tflite.options,
					POOL_ACTIVATION, 0);
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	uint16_t kernel = node->op->kernel;
	enum cml_status status = CML_OK;
	bool fits = false;

	if (input->type == CML_TFLITE_FLOAT32) {
		fits = float_activation(activation, pool);
	} else {
		status = cml_node_same_quantization(node, input, output);
		if (status)
			return status;
		fits = cml_quant_activation_within(activation, output->scale,
						   output->zero_point,
						   kernels[kernel].min,
						   kernels[kernel].max,
						   &pool->min, &pool->max);
	}
	if (!fits)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "fused activation is unknown or does not fit "
				  "the output's scale");

	return CML_OK;
}

/* Everything that follows from shapes and options. */
static enum cml_status fill_shape(struct cml_node *node, struct pool *pool)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	struct cml_fb_table options = node->tflite.options;
	struct cml_fb *fb = node->fb;
	uint32_t padding = cml_fb_u8(fb, options, POOL_PADDING, 0);
	enum cml_status status = CML_INTERNAL;

	if (input->rank != 4 || !input->count)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "input does not have 4 dimensions, or no "
				  "elements");
	pool->h = (struct cml_window){
		.in = input->dims[1], .dilation = 1,
		.kernel = cml_fb_i32(fb, options, POOL_KERNEL_H, 0),
		.stride = cml_fb_i32(fb, options, POOL_STRIDE_H, 0),
	};
	pool->w = (struct cml_window){
		.in = input->dims[2], .dilation = 1,
		.kernel = cml_fb_i32(fb, options, POOL_KERNEL_W, 0),
		.stride = cml_fb_i32(fb, options, POOL_STRIDE_W, 0),
	};
	pool->channels = input->dims[3];
	status = cml_window(node, padding, &pool->h);
	if (!status)
		status = cml_window(node, padding, &pool->w);
	if (status)
		return status;

	return cml_node_shape(node, cml_node_output(node, 0), 4,
			      (const int32_t[]){ input->dims[0], pool->h.out,
						 pool->w.out,
						 input->dims[3] });
}

/* Taps of a window at most; the kernel may be larger than the input. */
static uint64_t taps_at_most(const struct pool *pool)
{
	int32_t rows = pool->h.kernel < pool->h.in ? pool->h.kernel :
						     pool->h.in;
	int32_t columns = pool->w.kernel < pool->w.in ? pool->w.kernel :
							pool->w.in;

	return (uint64_t)rows * columns;
}

static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *output = cml_node_output(node, 0);
	struct pool *pool = NULL;
	void *params = NULL;
	enum cml_status status = choose_kernel(node);

	if (!status)
		status = cml_node_type(node, output,
				       cml_node_input(node, 0)->type);
	if (!status)
		status = cml_node_params(node, sizeof(*pool), &params);
	if (status)
		return status;
	pool = params;
	status = fill_shape(node, pool);
	if (!status)
		status = fill_activation(node, pool);
	if (status)
		return status;
	node->macs = taps_at_most(pool) * output->count;
	cml_node_tiles(node, output->count / pool->channels,
		       taps_at_most(pool) * pool->channels);

	return CML_OK;
}

/* The part of the window at @position that is in the input. */
static struct cml_range inside(const struct cml_window *window,
			       uint32_t position)
{
	int32_t begin = (int32_t)position * window->stride - window->pad;
	int32_t end = begin + window->kernel;

	return (struct cml_range){
		.begin = begin < 0 ? 0 : begin,
		.end = end > window->in ? window->in : end,
	};
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct pool *pool = cml_op_params(run, op);
	uint32_t count = cml_op_output(run, op, 0)->count / pool->channels;
	struct cml_range pixels = cml_tile(op, tile, count);
	size_t row_stride = (size_t)pool->w.in * pool->channels;

	for (uint32_t p = pixels.begin; p < pixels.end; p++) {
		uint32_t row = p / pool->w.out;
		struct cml_range w = inside(&pool->w, p % pool->w.out);
		struct cml_range h = inside(&pool->h, row % pool->h.out);
		size_t image = row / pool->h.out * (size_t)pool->h.in;
		struct taps taps = {
			.first = (image + h.begin) * row_stride +
				 (size_t)w.begin * pool->channels,
			.rows = h.end - h.begin,
			.columns = w.end - w.begin,
			.row_stride = row_stride,
		};

		kernels[op->kernel].run(pool, &taps, cml_op_in(run, op, 0),
					cml_op_out(run, op, 0), p);
	}
}

const struct cml_op_type cml_op_average_pool_2d = {
	.name = "AVERAGE_POOL_2D",
	.builtin_code = CML_OP_AVERAGE_POOL_2D,
	.options_type = 5,
	.max_version = 3,
	.types = CML_S8 | CML_S16 | CML_F32 | CML_U8,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.prepare = prepare,
	.run = run,
};

const struct cml_op_type cml_op_max_pool_2d = {
	.name = "MAX_POOL_2D",
	.builtin_code = CML_OP_MAX_POOL_2D,
	.options_type = 5,
	.max_version = 3,
	.types = CML_S8 | CML_S16 | CML_F32 | CML_U8,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.prepare = prepare,
	.run = run,
};

const struct cml_op_type cml_op_l2_pool_2d = {
	.name = "L2_POOL_2D",
	.builtin_code = CML_OP_L2_POOL_2D,
	.options_type = 5,
	.max_version = 1,
	.types = CML_F32,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.prepare = prepare,
	.run = run,
};
