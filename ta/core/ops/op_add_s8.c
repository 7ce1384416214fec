// SPDX-License-Identifier: Apache-2.0
#include "ops.h"

enum { ADD_ACTIVATION = 0 };

/* One input, as an int32 in units of 2^-20 of twice the larger scale */
static int32_t rescale(const struct cml_add *add, int input, int8_t value)
{
	/* At most 255 * 2^20: no overflow */
	int32_t x = (value - add->zero_point[input]) *
		    (1 << CML_ADD_LEFT_SHIFT);

	return cml_quant_scale(x, add->factor[input]);
}

void op_add_s8(const struct cml_op *op)
{
	const struct cml_add *add = &op->add;
	const int32_t *stride0 = add->stride[0];
	const int32_t *stride1 = add->stride[1];
	int8_t *output = op->output;	/* (h, w, c) */

	for (int32_t y = 0; y < add->h; y++) {
		for (int32_t x = 0; x < add->w; x++) {
			/* (c) of each input, or one value */
			const int8_t *a = op->input[0] +
					  (size_t)y * stride0[0] +
					  (size_t)x * stride0[1];
			const int8_t *b = op->input[1] +
					  (size_t)y * stride1[0] +
					  (size_t)x * stride1[1];

			for (int32_t c = 0; c < add->c; c++) {
				/* Each factor is at most 1/2: no overflow */
				int32_t sum = rescale(add, 0, *a) +
					      rescale(add, 1, *b);

				sum = cml_quant_scale(sum, add->output_factor);
				sum += add->output_zero_point;
				*output++ = cml_quant_clamp(sum, add->min,
							    add->max);
				a += stride0[2];
				b += stride1[2];
			}
		}
	}
}

/* A factor that is positive and below 1, as TFLite requires. */
static bool small_factor(double real, struct cml_factor *factor)
{
	return real > 0 && real < 1 && cml_quant_factor(real, factor) &&
	       factor->shift <= 0;
}

/* Shape of the sum, and steps of each input through it. */
static enum cml_status broadcast(struct cml_node *node, struct cml_add *add,
				 const struct cml_tflite_tensor *inputs,
				 int32_t dims[4])
{
	for (int32_t d = 1; d < 4; d++) {
		int32_t a = inputs[0].dims[d];
		int32_t b = inputs[1].dims[d];

		if (a != b && a != 1 && b != 1)
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "inputs of an addition do not "
					  "broadcast");
		dims[d] = a > b ? a : b;
		add->broadcast = add->broadcast || a != b;
	}
	for (int32_t i = 0; i < 2; i++) {
		int32_t step = 1;

		for (int32_t d = 3; d > 0; d--) {
			add->stride[i][d - 1] = inputs[i].dims[d] > 1 ? step :
						0;
			step *= inputs[i].dims[d];
		}
	}
	add->h = dims[1];
	add->w = dims[2];
	add->c = dims[3];

	return CML_OK;
}

/* The three factors, computed in float and double where TFLite does. */
static enum cml_status check_scales(struct cml_node *node, struct cml_add *add,
				    float scale0, float scale1,
				    float output_scale)
{
	double twice_max = 2 * (scale0 > scale1 ? scale0 : scale1);
	double unit = (1 << CML_ADD_LEFT_SHIFT) * output_scale;

	if (twice_max > (double)__FLT_MAX__ || unit > (double)__FLT_MAX__ ||
	    !small_factor(scale0 / twice_max, &add->factor[0]) ||
	    !small_factor(scale1 / twice_max, &add->factor[1]) ||
	    !small_factor(twice_max / unit, &add->output_factor))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "scales of an addition are too far apart");

	return CML_OK;
}

/* Stack: 688 bytes, three tensors as read and two of them again. */
static enum cml_status check(struct cml_node *node, struct cml_op *op)
{
	const struct cml_tflite_operator *tflite = &node->tflite;
	struct cml_add *add = &op->add;
	struct cml_fb *fb = &node->model->fb;
	struct cml_activation inputs[2] = { 0 };
	struct cml_activation output = { 0 };
	struct cml_tflite_tensor tensors[2] = { 0 };
	enum cml_status status = CML_INTERNAL;
	int32_t dims[4] = { 1, 1, 1, 1 };
	uint32_t activation = 0;
	uint32_t rank = 0;

	if (tflite->input_count != 2 || tflite->output_count != 1)
		return cml_refuse(node, CML_MODEL_MALFORMED,
				  "operator has the wrong number of tensors");
	activation = cml_fb_u8(fb, tflite->options, ADD_ACTIVATION, 0);
	if (fb->problem)
		return cml_refuse(node, CML_MODEL_MALFORMED, fb->problem);

	for (int32_t i = 0; i < 2; i++) {
		op->input_tensor[i] = tflite->inputs[i];
		status = cml_node_activation(node, tflite->inputs[i],
					     &inputs[i]);
		if (status)
			return status;
		add->zero_point[i] = inputs[i].zero_point;
		tensors[i] = inputs[i].tensor;
		if (tensors[i].rank > rank)
			rank = tensors[i].rank;
	}
	op->output_tensor = tflite->outputs[0];
	status = cml_node_activation(node, op->output_tensor, &output);
	if (status)
		return status;
	add->output_zero_point = output.zero_point;

	status = broadcast(node, add, tensors, dims);
	if (status)
		return status;
	status = cml_node_output_shape(node, &output.tensor, rank, dims);
	if (status)
		return status;
	status = check_scales(node, add, inputs[0].scale, inputs[1].scale,
			      output.scale);
	if (status)
		return status;
	if (!cml_quant_activation(activation, output.scale, output.zero_point,
				  &add->min, &add->max))
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "fused activation is unknown or does not fit "
				  "the output's scale");

	op->run = op_add_s8;
#if defined(__aarch64__)
	if (node->cpu & CML_CPU_NEON && !add->broadcast)
		op->run = op_add_s8_neon;
#endif

	return CML_OK;
}

static enum cml_status bind(struct cml_node *node, struct cml_op *op)
{
	(void)node;
	(void)op;

	return CML_OK;
}

const struct cml_op_type cml_op_add_s8 = {
	.builtin_code = CML_TFLITE_ADD,
	.options_type = CML_TFLITE_ADD_OPTIONS,
	.max_version = 5,
	.check = check,
	.bind = bind,
};
