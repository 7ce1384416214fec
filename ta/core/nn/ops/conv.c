// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "conv.h"
#include "one_product.h"

/* Of numbers by channel */
#define S8_ARRAYS	3
#define S16_ARRAYS	2

enum { INPUT, WEIGHTS, BIAS };

static enum cml_status check_tensors(struct cml_node *node,
				     const struct cml_weighted *at)
{
	const struct cml_tensor *input = cml_node_input(node, INPUT);
	const struct cml_tensor *weights = cml_node_input(node, WEIGHTS);
	enum cml_status status = cml_weighted_check(node, at);

	if (status)
		return status;
	if (at->bias_type == CML_TFLITE_INT32 &&
	    input->type == CML_TFLITE_INT16)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "sums of int16 are to be 32 bits");
	if (input->rank != 4 || weights->rank != 4)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "input or weights do not have 4 dimensions");
	if (weights->dims[at->axis] > CML_CONV_MAX_CHANNELS)
		return cml_refuse(node, CML_MODEL_LIMIT,
				  "more than 262144 output channels");

	return CML_OK;
}

/* Everything that follows from shapes and options. */
static enum cml_status fill_shape(struct cml_node *node,
				  const struct cml_conv_options *options,
				  struct cml_conv *conv)
{
	const struct cml_tensor *input = cml_node_input(node, INPUT);
	const struct cml_tensor *weights = cml_node_input(node, WEIGHTS);
	const struct cml_tensor *output = cml_node_output(node, 0);
	struct cml_window h = {
		.in = input->dims[1], .kernel = weights->dims[1],
		.stride = options->stride_h, .dilation = options->dilation_h,
	};
	struct cml_window w = {
		.in = input->dims[2], .kernel = weights->dims[2],
		.stride = options->stride_w, .dilation = options->dilation_w,
	};
	enum cml_status status = cml_window(node, options->padding, &h);

	if (!status)
		status = cml_window(node, options->padding, &w);
	if (status)
		return status;
	conv->batch = input->dims[0];
	conv->in_h = h.in;
	conv->in_w = w.in;
	conv->in_c = input->dims[3];
	conv->out_h = h.out;
	conv->out_w = w.out;
	conv->kernel_h = h.kernel;
	conv->kernel_w = w.kernel;
	conv->stride_h = h.stride;
	conv->stride_w = w.stride;
	conv->dilation_h = h.dilation;
	conv->dilation_w = w.dilation;
	conv->pad_h = h.pad;
	conv->pad_w = w.pad;

	return cml_node_shape(node, output, 4, (const int32_t[]){
			conv->batch, conv->out_h, conv->out_w, conv->out_c });
}

/* A channel's factor into two arrays of numbers, one after the other. */
static enum cml_status fill_factor(struct cml_node *node, double real,
				   int32_t max_shift, int32_t channels,
				   int32_t *numbers)
{
	struct cml_factor factor = { 0 };

	if (!cml_quant_factor(real, &factor) || factor.shift > max_shift)
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "output's scale is too small for its "
				  "inputs'");
	numbers[0] = factor.multiplier;
	numbers[channels] = factor.shift;

	return CML_OK;
}

/* Bias and factors, without the weights' part of the bias. */
static enum cml_status fill_numbers(struct cml_node *node,
				    const struct cml_weighted *at,
				    const float *scales, struct cml_conv *conv)
{
	bool wide = cml_node_input(node, INPUT)->type == CML_TFLITE_INT16;
	const int32_t *bias = cml_node_constant(node, BIAS);
	int32_t max_shift = wide ? CML_WIDE_MAX_SHIFT : CML_QUANT_MAX_SHIFT;
	int32_t *factors = conv->numbers + (wide ? 0 : conv->channels);
	enum cml_status status = CML_OK;

	for (int32_t c = 0; !status && c < conv->out_c; c++) {
		if (!wide)
			conv->numbers[c] = bias ? bias[c] : 0;
		status = fill_factor(node,
				     cml_weighted_factor(node, at, scales[c]),
				     max_shift, conv->channels, factors + c);
	}

	return status;
}

/* Parameters without anything in them but the numbers of channels. */
static enum cml_status make(struct cml_node *node, int32_t channels,
			    struct cml_conv **conv)
{
	int32_t whole = (channels + CML_CHANNEL_GROUP - 1) /
			CML_CHANNEL_GROUP * CML_CHANNEL_GROUP;
	size_t size = sizeof(**conv);
	enum cml_status status = CML_INTERNAL;
	void *memory = NULL;

	switch (cml_node_input(node, INPUT)->type) {
	case CML_TFLITE_INT8:
		size += S8_ARRAYS * sizeof(int32_t) * whole;
		break;
	case CML_TFLITE_INT16:
		size += S16_ARRAYS * sizeof(int32_t) * whole;
		break;
	default:
		break;
	}
	status = cml_node_params(node, size, &memory);
	if (status)
		return status;
	*conv = memory;
	(*conv)->out_c = channels;
	(*conv)->channels = whole;

	return CML_OK;
}

enum cml_status cml_conv_prepare(struct cml_node *node,
				 const struct cml_conv_options *options,
				 int32_t axis, struct cml_conv **conv)
{
	const struct cml_weighted at = {
		.input = INPUT, .weights = WEIGHTS, .bias = BIAS,
		.axis = axis, .bias_type = options->bias_type,
	};
	enum cml_status status = check_tensors(node, &at);
	const float *scales = NULL;

	if (!status)
		status = cml_weighted_scales(node, &at, &scales);
	if (!status)
		status = make(node, cml_node_input(node, WEIGHTS)->dims[axis],
			      conv);
	if (!status)
		status = fill_shape(node, options, *conv);
	if (!status && scales)
		status = fill_numbers(node, &at, scales, *conv);
	if (!status)
		status = cml_weighted_bounds(node, options->activation,
					     &(*conv)->bounds);
	if (status)
		return status;
	(*conv)->input_zero_point = cml_node_input(node, INPUT)->zero_point;
	(*conv)->output_zero_point = (*conv)->bounds.zero_point;
	(*conv)->min = (*conv)->bounds.min;
	(*conv)->max = (*conv)->bounds.max;

	return CML_OK;
}

void cml_conv_set_fast(struct cml_conv *conv, int32_t patch)
{
	const int32_t *shift = conv->numbers + 2 * conv->channels;
	/* Each product is at most 2^14, half of a step 2^29. */
	int64_t products = (int64_t)patch << 14;

	conv->fast = true;
	for (int32_t c = 0; c < conv->out_c; c++) {
		int64_t bias = conv->numbers[c];

		if ((bias < 0 ? -bias : bias) + products >= INT64_C(3) << 29 ||
		    shift[c] > -1 || shift[c] < -30)
			conv->fast = false;
	}
}

/* Eight at a time, in the bytes of a word: loading a model waits for this. */
uint32_t cml_conv_magnitude(const int8_t *weights, size_t count)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	const uint64_t bytes = UINT64_C(0x00ff00ff00ff00ff);
	const uint64_t halves = UINT64_C(0x0000ffff0000ffff);
	uint64_t sum = 0;

	for (; count >= 8; count -= 8, weights += 8) {
		uint64_t eight = 0;
		uint64_t signs = 0;

		memcpy(&eight, weights, sizeof(eight));
		signs = eight >> 7 & ones;
		/* No byte carries: 128 is as far as it gets. */
		eight = (eight ^ signs * 255) + signs;
		eight = (eight & bytes) + (eight >> 8 & bytes);
		sum += (eight & halves) + (eight >> 16 & halves);
	}
	sum = (uint32_t)sum + (sum >> 32);
	for (; count; count--, weights++)
		sum += *weights < 0 ? -*weights : *weights;

	return sum;
}

bool cml_conv_one_product(const struct cml_conv *conv, int32_t channel,
			  uint32_t magnitude)
{
	struct cml_factor factor = {
		.multiplier = conv->numbers[conv->channels + channel],
		.shift = conv->numbers[2 * conv->channels + channel],
	};
	int64_t bias = conv->numbers[channel];
	int64_t sum = (bias < 0 ? -bias : bias) + 128 * (int64_t)magnitude;

	return sum < INT64_C(1) << 31 &&
	       cml_scale_fits(factor, conv->output_zero_point, conv->min);
}

struct cml_conv_call cml_conv_call(const struct cml_run *run,
				   const struct cml_op *op, uint32_t tile)
{
	const struct cml_conv *conv = cml_op_params(run, op);

	return (struct cml_conv_call){
		.conv = conv,
		.input = cml_op_in(run, op, INPUT),
		.weights = cml_op_in(run, op, WEIGHTS),
		.output = cml_op_out(run, op, 0),
		.bias = conv->numbers,
		.multiplier = conv->numbers + conv->channels,
		.shift = conv->numbers + 2 * conv->channels,
		.scratch = run->scratch,
		.pixels = cml_conv_pixels(op, conv, tile),
		.part = tile % conv->tile_parts,
	};
}

#define SHORT	64	/* bytes; a call is as long as copying them */

/* As memcpy(). */
static inline void copy_short(int8_t *to, const int8_t *from, size_t size)
{
	if (size > SHORT) {
		memcpy(to, from, size);
	} else if (size >= 8) {
		for (size_t i = 0; i < size - 8; i += 8)
			memcpy(to + i, from + i, 8);
		/* It may overlap the one before. */
		memcpy(to + size - 8, from + size - 8, 8);
	} else {
		for (size_t i = 0; i < size; i++)
			to[i] = from[i];
	}
}

const int8_t *cml_conv_gather(const struct cml_conv *conv, const int8_t *image,
			      int32_t oy, int32_t ox, bool in_place, int8_t *row)
{
	int32_t y0 = oy * conv->stride_h - conv->pad_h;
	int32_t x0 = ox * conv->stride_w - conv->pad_w;
	size_t line = (size_t)conv->kernel_w * conv->in_c;
	int32_t last = x0 + (conv->kernel_w - 1) * conv->dilation_w;
	bool whole = conv->dilation_w == 1 && x0 >= 0 && last < conv->in_w;
	int8_t *out = row;

	if (in_place)
		return image + ((size_t)y0 * conv->in_w + x0) * conv->in_c;

	for (int32_t ky = 0; ky < conv->kernel_h; ky++, out += line) {
		int32_t y = y0 + ky * conv->dilation_h;
		const int8_t *in = NULL;	/* (in_w, in_c) */

		if (y < 0 || y >= conv->in_h) {
			memset(out, conv->input_zero_point, line);
			continue;
		}
		in = image + (size_t)y * conv->in_w * conv->in_c;
		if (whole) {
			copy_short(out, in + (size_t)x0 * conv->in_c, line);
			continue;
		}
		for (int32_t kx = 0; kx < conv->kernel_w; kx++) {
			int32_t x = x0 + kx * conv->dilation_w;
			int8_t *tap = out + (size_t)kx * conv->in_c;

			if (x < 0 || x >= conv->in_w)
				memset(tap, conv->input_zero_point,
				       conv->in_c);
			else
				copy_short(tap, in + (size_t)x * conv->in_c,
					   conv->in_c);
		}
	}

	return row;
}
