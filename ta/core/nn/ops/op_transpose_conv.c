// SPDX-License-Identifier: Apache-2.0
/*
 * Each pixel of the input adds the kernel, times itself, to the output. Here
 * it is told from the output: which taps of which pixels reach it.
 */
#include "dot.h"
#include "weights.h"
#include "window.h"

enum { SHAPE, WEIGHTS, INPUT, BIAS };

enum { TRANSPOSE_PADDING = 0, TRANSPOSE_STRIDE_W = 1, TRANSPOSE_STRIDE_H = 2,
       TRANSPOSE_ACTIVATION = 3, TRANSPOSE_BIAS_TYPE = 4 };

struct transpose {
	int32_t batch;
	int32_t in_h, in_w, in_c;
	int32_t out_h, out_w, out_c;
	int32_t kernel_h, kernel_w;
	int32_t stride_h, stride_w;
	int32_t pad_h, pad_w;		/* cut off the output's beginning */
	int32_t input_zero_point;
	struct cml_bounds bounds;
	struct cml_factor factors[];	/* by output channel, if quantised */
};

/* What one output pixel comes of. */
struct walk {
	size_t image;		/* elements of the input before this image */
	int32_t y, tap_y;
	int32_t x, tap_x;
	int32_t first_x, first_tap_x;
	/* Where the pixel and, in a channel's weights, its tap begin */
	size_t input, weights;
};

static int32_t last_pixel(int32_t place, int32_t stride, int32_t size)
{
	return place / stride < size ? place / stride : size - 1;
}

static struct walk start_walk(const struct transpose *shape, uint32_t pixel)
{
	int32_t row = pixel / shape->out_w;
	int32_t y = row % shape->out_h + shape->pad_h;
	int32_t x = (int32_t)(pixel % shape->out_w) + shape->pad_w;
	struct walk walk = {
		.image = (size_t)(row / shape->out_h) * shape->in_h *
			 shape->in_w * shape->in_c,
		.y = last_pixel(y, shape->stride_h, shape->in_h),
		.first_x = last_pixel(x, shape->stride_w, shape->in_w),
	};

	walk.tap_y = y - walk.y * shape->stride_h;
	walk.first_tap_x = x - walk.first_x * shape->stride_w;
	walk.x = walk.first_x;
	walk.tap_x = walk.first_tap_x;

	return walk;
}

/* From the last pixel and its first tap on; false: that was all. */
static bool next_tap(const struct transpose *shape, struct walk *walk)
{
	if (walk->x < 0 || walk->tap_x >= shape->kernel_w) {
		walk->x = walk->first_x;
		walk->tap_x = walk->first_tap_x;
		walk->y--;
		walk->tap_y += shape->stride_h;
	}
	if (walk->y < 0 || walk->tap_y >= shape->kernel_h || walk->x < 0 ||
	    walk->tap_x >= shape->kernel_w)
		return false;
	walk->input = walk->image +
		      ((size_t)walk->y * shape->in_w + walk->x) * shape->in_c;
	walk->weights = ((size_t)walk->tap_y * shape->kernel_w + walk->tap_x) *
			shape->in_c;
	walk->x--;
	walk->tap_x += shape->stride_w;

	return true;
}

/* One tile: sums of a channel at a pixel, as each type has them. */
struct call {
	const struct transpose *shape;
	const void *input, *weights;
	const void *bias;		/* NULL: none */
	void *output;
	struct cml_range pixels;
};

static int8_t pixel_s8(const struct call *call, struct walk walk,
		       int32_t channel, const int8_t *weights)
{
	const struct transpose *shape = call->shape;
	const int32_t *bias = call->bias;
	uint32_t sum = bias ? bias[channel] : 0;
	int32_t scaled = 0;

	while (next_tap(shape, &walk))
		sum += cml_dot_s8((const int8_t *)call->input + walk.input,
				  shape->input_zero_point,
				  weights + walk.weights, shape->in_c);
	scaled = cml_quant_scale((int32_t)sum, shape->factors[channel]);
	scaled = cml_quant_add(scaled, shape->bounds.zero_point);

	return cml_quant_clamp(scaled, shape->bounds.min, shape->bounds.max);
}

static int16_t pixel_s16(const struct call *call, struct walk walk,
			 int32_t channel, const int8_t *weights)
{
	const struct transpose *shape = call->shape;
	const int64_t *bias = call->bias;
	uint64_t sum = bias ? bias[channel] : 0;

	while (next_tap(shape, &walk))
		sum += cml_dot_s16((const int16_t *)call->input + walk.input,
				   weights + walk.weights, shape->in_c);

	return cml_bound_wide((int64_t)sum, shape->factors[channel],
			      &shape->bounds);
}

static float pixel_f32(const struct call *call, struct walk walk,
		       int32_t channel, const float *weights)
{
	const struct transpose *shape = call->shape;
	const float *bias = call->bias;
	float sum = 0;

	while (next_tap(shape, &walk))
		sum += cml_dot_f32((const float *)call->input + walk.input,
				   weights + walk.weights, shape->in_c);
	if (bias)
		sum += bias[channel];

	return cml_bound_f32(sum, &shape->bounds);
}

static void run_pixel(const struct call *call, uint32_t type, uint32_t pixel)
{
	const struct transpose *shape = call->shape;
	const struct walk walk = start_walk(shape, pixel);
	size_t patch = (size_t)shape->kernel_h * shape->kernel_w * shape->in_c;

	for (int32_t c = 0; c < shape->out_c; c++) {
		size_t at = (size_t)pixel * shape->out_c + c;
		const int8_t *weights = (const int8_t *)call->weights +
					c * patch;

		switch (type) {
		case CML_TFLITE_INT8:
			((int8_t *)call->output)[at] =
				pixel_s8(call, walk, c, weights);
			break;
		case CML_TFLITE_INT16:
			((int16_t *)call->output)[at] =
				pixel_s16(call, walk, c, weights);
			break;
		default:
			((float *)call->output)[at] =
				pixel_f32(call, walk, c,
					  (const float *)call->weights +
					  c * patch);
			break;
		}
	}
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct transpose *shape = cml_op_params(run, op);
	struct call call = {
		.shape = shape,
		.input = cml_op_in(run, op, INPUT),
		.weights = cml_op_in(run, op, WEIGHTS),
		.bias = cml_op_in(run, op, BIAS),
		.output = cml_op_out(run, op, 0),
		.pixels = cml_tile(op, tile, (uint32_t)shape->batch *
				   shape->out_h * shape->out_w),
	};
	uint32_t type = cml_op_input(run, op, INPUT)->type;

	for (uint32_t p = call.pixels.begin; p < call.pixels.end; p++)
		run_pixel(&call, type, p);
}

/* The output is as the first input tells. */
static enum cml_status check_shapes(struct cml_node *node)
{
	const struct cml_tensor *told = cml_node_input(node, SHAPE);
	const struct cml_tensor *input = cml_node_input(node, INPUT);
	const struct cml_tensor *weights = cml_node_input(node, WEIGHTS);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = cml_node_type(node, told, CML_TFLITE_INT32);
	const void *dims = NULL;

	if (!status)
		status = cml_node_need_constant(node, SHAPE, &dims);
	if (status)
		return status;
	if (told->rank != 1 || told->count != 4 || input->rank != 4 ||
	    weights->rank != 4)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "input, weights or output do not have 4 "
				  "dimensions");
	status = cml_node_shape(node, output, 4, dims);
	if (status)
		return status;
	if (input->dims[0] != output->dims[0] ||
	    weights->dims[0] != output->dims[3])
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "output does not have the input's batch or "
				  "the weights' channels");
	if (weights->dims[3] != input->dims[3])
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "weights do not have the input's channels");

	return CML_OK;
}

/* As of a convolution from the output back to the input. */
static enum cml_status fill_shape(struct cml_node *node,
				  struct transpose *shape)
{
	const struct cml_tensor *input = cml_node_input(node, INPUT);
	const struct cml_tensor *weights = cml_node_input(node, WEIGHTS);
	const struct cml_tensor *output = cml_node_output(node, 0);
	struct cml_fb_table options = node->tflite.options;
	uint32_t padding = cml_fb_u8(node->fb, options, TRANSPOSE_PADDING, 0);
	struct cml_window h = {
		.in = output->dims[1], .kernel = weights->dims[1],
		.stride = cml_fb_i32(node->fb, options, TRANSPOSE_STRIDE_H, 0),
		.dilation = 1,
	};
	struct cml_window w = {
		.in = output->dims[2], .kernel = weights->dims[2],
		.stride = cml_fb_i32(node->fb, options, TRANSPOSE_STRIDE_W, 0),
		.dilation = 1,
	};
	enum cml_status status = cml_window(node, padding, &h);

	if (!status)
		status = cml_window(node, padding, &w);
	if (status)
		return status;
	if (h.out != input->dims[1] || w.out != input->dims[2])
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "convolution of the output would not have "
				  "the input's size");
	shape->batch = input->dims[0];
	shape->in_h = input->dims[1];
	shape->in_w = input->dims[2];
	shape->in_c = input->dims[3];
	shape->out_h = output->dims[1];
	shape->out_w = output->dims[2];
	shape->out_c = output->dims[3];
	shape->kernel_h = h.kernel;
	shape->kernel_w = w.kernel;
	shape->stride_h = h.stride;
	shape->stride_w = w.stride;
	shape->pad_h = h.pad;
	shape->pad_w = w.pad;

	return CML_OK;
}

static enum cml_status fill_factors(struct cml_node *node,
				    const struct cml_weighted *at,
				    const float *scales,
				    struct transpose *shape)
{
	bool wide = cml_node_input(node, INPUT)->type == CML_TFLITE_INT16;

	for (int32_t c = 0; c < shape->out_c; c++) {
		struct cml_factor *factor = &shape->factors[c];

		if (!cml_quant_factor(cml_weighted_factor(node, at, scales[c]),
				      factor) ||
		    (wide && factor->shift > CML_WIDE_MAX_SHIFT))
			return cml_refuse(node, CML_MODEL_QUANTIZATION,
					  "output's scale is too small for its "
					  "inputs'");
	}

	return CML_OK;
}

static enum cml_status make_params(struct cml_node *node,
				   const struct cml_weighted *at,
				   struct transpose **shape)
{
	const struct cml_tensor *weights = cml_node_input(node, WEIGHTS);
	size_t size = sizeof(**shape);
	const float *scales = NULL;
	void *params = NULL;
	enum cml_status status = cml_weighted_scales(node, at, &scales);

	if (scales)
		size += weights->dims[0] * sizeof(struct cml_factor);
	if (!status)
		status = cml_node_params(node, size, &params);
	if (status)
		return status;
	*shape = params;
	(*shape)->input_zero_point = cml_node_input(node, INPUT)->zero_point;
	status = fill_shape(node, *shape);
	if (!status && scales)
		status = fill_factors(node, at, scales, *shape);

	return status;
}

static enum cml_status prepare(struct cml_node *node)
{
	struct cml_fb_table options = node->tflite.options;
	struct cml_weighted at = {
		.input = INPUT, .weights = WEIGHTS, .bias = BIAS,
		.bias_type = cml_fb_u8(node->fb, options, TRANSPOSE_BIAS_TYPE,
				       0),
	};
	enum cml_status status = cml_weighted_check(node, &at);
	struct transpose *shape = NULL;
	uint32_t pixels = 0;

	if (!status && at.bias_type == CML_TFLITE_INT32 &&
	    cml_node_input(node, INPUT)->type == CML_TFLITE_INT16)
		status = cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				    "sums of int16 are to be 32 bits");
	if (!status)
		status = check_shapes(node);
	if (!status)
		status = make_params(node, &at, &shape);
	if (!status)
		status = cml_weighted_bounds(node, cml_fb_u8(node->fb, options,
					     TRANSPOSE_ACTIVATION, 0),
					     &shape->bounds);
	if (status)
		return status;
	pixels = (uint32_t)shape->batch * shape->out_h * shape->out_w;
	node->macs = (uint64_t)shape->batch * shape->in_h * shape->in_w *
		     cml_node_input(node, WEIGHTS)->count;
	if (pixels)
		cml_node_tiles(node, pixels, node->macs / pixels);

	return CML_OK;
}

const struct cml_op_type cml_op_transpose_conv = {
	.name = "TRANSPOSE_CONV",
	.builtin_code = CML_OP_TRANSPOSE_CONV,
	.options_type = 49,
	.max_version = 5,
	.types = CML_S8 | CML_S16 | CML_F32,
	.min_inputs = 3, .max_inputs = 4,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "The output's shape, weights and bias are constants; int16 "
		 "has int8 weights and an int64 bias.",
	.prepare = prepare,
	.run = run,
};
