// SPDX-License-Identifier: Apache-2.0
/* (batch, depth) times (units, depth), transposed, is (batch, units). */
#include "dense.h"
#include "dot.h"

enum { INPUT, WEIGHTS, BIAS };

enum { DENSE_ACTIVATION = 0, DENSE_WEIGHTS_FORMAT = 1, DENSE_KEEP_DIMS = 2,
       DENSE_BIAS_TYPE = 4 };

/* Kernels; _NARROW: sums are 32 bits, and wrap. */
enum { PORTABLE_S8, PORTABLE_S16, PORTABLE_S16_NARROW, PORTABLE_F32 };

static void portable_s8(const struct cml_dense_call *call)
{
	const struct cml_dense *dense = call->dense;
	const int32_t *bias = cml_dense_bias(dense);
	int8_t *output = call->output;

	for (uint32_t i = call->outputs.begin; i < call->outputs.end; i++) {
		uint32_t unit = i % dense->units;
		size_t row = i / dense->units;
		uint32_t sum = cml_dot_s8(
			(const int8_t *)call->input + row * dense->depth, 0,
			(const int8_t *)call->weights +
			(size_t)unit * dense->depth, dense->depth);

		sum += (uint32_t)bias[unit];
		output[i] = cml_bound_scaled((int32_t)sum, dense->factors[unit],
					     &dense->bounds);
	}
}

static void portable_s16(const struct cml_dense_call *call, bool narrow)
{
	const struct cml_dense *dense = call->dense;
	const int32_t *narrow_bias = call->bias;
	const int64_t *bias = call->bias;
	int16_t *output = call->output;

	for (uint32_t i = call->outputs.begin; i < call->outputs.end; i++) {
		uint32_t unit = i % dense->units;
		size_t row = i / dense->units;
		uint64_t sum = cml_dot_s16(
			(const int16_t *)call->input + row * dense->depth,
			(const int8_t *)call->weights +
			(size_t)unit * dense->depth, dense->depth);

		if (bias)
			sum += narrow ? (uint64_t)narrow_bias[unit] :
					(uint64_t)bias[unit];
		if (narrow)
			sum = (uint64_t)(int32_t)(uint32_t)sum;
		output[i] = cml_bound_scaled((int64_t)sum, dense->factors[unit],
					     &dense->bounds);
	}
}

static void portable_f32(const struct cml_dense_call *call)
{
	const struct cml_dense *dense = call->dense;
	const float *bias = call->bias;
	float *output = call->output;

	for (uint32_t i = call->outputs.begin; i < call->outputs.end; i++) {
		uint32_t unit = i % dense->units;
		size_t row = i / dense->units;
		float sum = cml_dot_f32(
			(const float *)call->input + row * dense->depth,
			(const float *)call->weights +
			(size_t)unit * dense->depth, dense->depth);

		if (bias)
			sum += bias[unit];
		output[i] = cml_bound_f32(sum, &dense->bounds);
	}
}

/* What follows from shapes and options. */
static enum cml_status fill_shape(struct cml_node *node,
				  struct cml_dense *dense)
{
	const struct cml_tensor *input = cml_node_input(node, INPUT);
	const struct cml_tensor *weights = cml_node_input(node, WEIGHTS);
	int32_t dims[CML_MAX_RANK] = { 0 };
	uint32_t rank = 2;

	dense->units = weights->dims[0];
	dense->depth = weights->dims[1];
	dense->batch = input->count / dense->depth;
	if (input->count % dense->depth)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "input is not of whole rows of the weights' "
				  "length");
	dims[0] = dense->batch;
	if (cml_fb_u8(node->fb, node->tflite.options, DENSE_KEEP_DIMS, 0)) {
		rank = input->rank;
		if (!rank ||
		    input->dims[rank - 1] != (int32_t)dense->depth)
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "input's last dimension is not the "
					  "weights'");
		for (uint32_t i = 0; i + 1 < rank; i++)
			dims[i] = input->dims[i];
	}
	dims[rank - 1] = dense->units;

	return cml_node_shape(node, cml_node_output(node, 0), rank, dims);
}

/* Into what the kernel of the input's type reads. */
static void fill_numbers(struct cml_node *node, const struct cml_weighted *at,
			 const float *scales, struct cml_dense *dense)
{
	const struct cml_tensor *input = cml_node_input(node, INPUT);
	const int8_t *weights = cml_node_constant(node, WEIGHTS);
	const int32_t *bias = cml_node_constant(node, BIAS);
	int32_t *folded = (int32_t *)(dense->factors + dense->units);

	for (uint32_t i = 0; scales && i < dense->units; i++)
		dense->factors[i] = cml_weighted_factor(node, at, scales[i]);
	if (input->type != CML_TFLITE_INT8)
		return;
	for (uint32_t i = 0; i < dense->units; i++) {
		uint32_t sum = 0;

		for (uint32_t j = 0; j < dense->depth; j++)
			sum += (uint32_t)*weights++;
		sum *= (uint32_t)-input->zero_point;
		folded[i] = (int32_t)(sum + (bias ? (uint32_t)bias[i] : 0));
	}
}

static uint16_t choose_kernel(const struct cml_node *node,
			      const struct cml_weighted *at)
{
	switch (cml_node_input(node, INPUT)->type) {
	case CML_TFLITE_INT8:
		return PORTABLE_S8;
	case CML_TFLITE_INT16:
		return at->bias_type == CML_TFLITE_INT32 ?
		       PORTABLE_S16_NARROW : PORTABLE_S16;
	default:
		return PORTABLE_F32;
	}
}

static enum cml_status make_params(struct cml_node *node,
				   const struct cml_weighted *at,
				   struct cml_dense **dense)
{
	const struct cml_tensor *weights = cml_node_input(node, WEIGHTS);
	size_t size = sizeof(**dense);
	const float *scales = NULL;
	void *params = NULL;
	enum cml_status status = cml_weighted_scales(node, at, &scales);

	if (scales)
		size += weights->dims[0] * (sizeof(double) + sizeof(int32_t));
	if (!status)
		status = cml_node_params(node, size, &params);
	if (status)
		return status;
	*dense = params;
	status = fill_shape(node, *dense);
	if (!status)
		fill_numbers(node, at, scales, *dense);

	return status;
}

static enum cml_status prepare(struct cml_node *node)
{
	struct cml_fb_table options = node->tflite.options;
	struct cml_weighted at = {
		.input = INPUT, .weights = WEIGHTS, .bias = BIAS,
		.bias_type = cml_fb_u8(node->fb, options, DENSE_BIAS_TYPE, 0),
	};
	enum cml_status status = cml_weighted_check(node, &at);
	struct cml_dense *dense = NULL;

	if (!status && cml_node_input(node, WEIGHTS)->rank != 2)
		status = cml_refuse(node, CML_MODEL_SHAPE,
				    "weights do not have 2 dimensions");
	if (!status &&
	    cml_fb_u8(node->fb, options, DENSE_WEIGHTS_FORMAT, 0))
		status = cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				    "weights are shuffled");
	if (!status)
		status = make_params(node, &at, &dense);
	if (!status)
		status = cml_weighted_bounds(node, cml_fb_u8(node->fb, options,
					     DENSE_ACTIVATION, 0),
					     &dense->bounds);
	if (status)
		return status;
	node->op->kernel = choose_kernel(node, &at);
	node->macs = (uint64_t)dense->batch * dense->units * dense->depth;
	cml_node_tiles(node, dense->batch * dense->units, dense->depth);

	return CML_OK;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct cml_dense *dense = cml_op_params(run, op);
	struct cml_dense_call call = {
		.dense = dense,
		.input = cml_op_in(run, op, INPUT),
		.weights = cml_op_in(run, op, WEIGHTS),
		.bias = cml_op_in(run, op, BIAS),
		.output = cml_op_out(run, op, 0),
		.outputs = cml_tile(op, tile, dense->batch * dense->units),
	};

	switch (op->kernel) {
	case PORTABLE_S16:
		portable_s16(&call, false);
		break;
	case PORTABLE_S16_NARROW:
		portable_s16(&call, true);
		break;
	case PORTABLE_F32:
		portable_f32(&call);
		break;
	default:
		portable_s8(&call);
		break;
	}
}

static const char *const kernel_names[] = {
	[PORTABLE_S8] = "int8", [PORTABLE_S16] = "int16",
	[PORTABLE_S16_NARROW] = "int16", [PORTABLE_F32] = "float32",
};

const struct cml_op_type cml_op_fully_connected = {
	.name = "FULLY_CONNECTED",
	.builtin_code = CML_OP_FULLY_CONNECTED,
	.options_type = 8,
	.max_version = 14,
	.types = CML_S8 | CML_S16 | CML_F32,
	.min_inputs = 2, .max_inputs = 3,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "Weights and bias are constants; int16 has int8 weights.",
	.kernels = kernel_names,
	.kernel_count = sizeof(kernel_names) / sizeof(kernel_names[0]),
	.prepare = prepare,
	.run = run,
};
