// SPDX-License-Identifier: Apache-2.0
/*
 * Fully connected layers of low rank over the latest inputs. Its state is the
 * (filters, memory) latest sums of each filter; a run begins with zeros, and
 * so adds one sum of each to them, the last.
 */
#include <string.h>

#include "recurrent.h"

enum { SVDF_RANK = 0, SVDF_ACTIVATION = 1 };

enum { INPUT, FEATURE, TIME, BIAS, STATE };
enum { REAL, INTEGER };

struct svdf {
	uint32_t batch, inputs, filters, memory, units, rank;
	uint32_t activation;
	/* Of int8: to the state's scale, and from it to the output's */
	struct cml_factor state, output;
	int32_t input_zero_point, output_zero_point;
};

/* By inputs */
static const uint8_t types[][STATE + 1] = {
	[REAL] = {
		CML_TFLITE_FLOAT32, CML_TFLITE_FLOAT32, CML_TFLITE_FLOAT32,
		CML_TFLITE_FLOAT32, CML_TFLITE_FLOAT32,
	},
	[INTEGER] = {
		CML_TFLITE_INT8, CML_TFLITE_INT8, CML_TFLITE_INT16,
		CML_TFLITE_INT32, CML_TFLITE_INT16,
	},
};

static enum cml_status read_options(struct cml_node *node, struct svdf *svdf)
{
	struct cml_fb_table table = node->tflite.options;
	const struct cml_tensor *input = cml_node_input(node, INPUT);
	int32_t filters = cml_node_input(node, FEATURE)->dims[0];
	int32_t rank = cml_fb_i32(node->fb, table, SVDF_RANK, 0);

	if (rank < 1 || filters % rank)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "rank does not divide the number of filters");
	*svdf = (struct svdf){
		.batch = input->dims[0],
		.inputs = input->dims[1],
		.filters = filters,
		.memory = cml_node_input(node, TIME)->dims[1],
		.units = filters / rank,
		.rank = rank,
		.activation = cml_fb_u8(node->fb, table, SVDF_ACTIVATION, 0),
	};
	/* In int8 the reference asks for one, and leaves it to saturation. */
	if (node->op->kernel == INTEGER ? svdf->activation != CML_ACT_RELU :
	    !cml_recurrent_has_activation(svdf->activation))
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "fused activation is not supported");

	return CML_OK;
}

static enum cml_status check_tensors(struct cml_node *node,
				     const struct svdf *svdf)
{
	const struct cml_tensor *state = cml_node_input(node, STATE);
	const struct cml_tensor *output = cml_node_output(node, 0);
	const uint8_t *wanted = types[node->op->kernel];
	uint64_t remembered = (uint64_t)svdf->filters * svdf->memory;
	int32_t shapes[][2] = {
		[INPUT] = { svdf->batch, svdf->inputs },
		[FEATURE] = { svdf->filters, svdf->inputs },
		[TIME] = { svdf->filters, svdf->memory },
		[BIAS] = { svdf->units },
	};
	int32_t dims[] = { svdf->batch, svdf->units };
	enum cml_status status = CML_OK;

	for (size_t i = INPUT; !status && i <= BIAS; i++)
		if (i != BIAS || cml_node_input(node, BIAS))
			status = cml_recurrent_input(node, i, wanted[i],
						     i == BIAS ? 1 : 2,
						     shapes[i]);
	if (!status)
		status = cml_recurrent_state(node, STATE, wanted[STATE],
					     remembered * svdf->batch);
	if (status)
		return status;
	if (state->rank != 2 || state->dims[0] != dims[0])
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "state is not of the batch's shape");
	status = cml_node_type(node, output, wanted[INPUT]);
	if (!status)
		status = cml_node_shape(node, output, 2, dims);

	return status;
}

static enum cml_status fill_factors(struct cml_node *node, struct svdf *svdf)
{
	const struct cml_tensor *input = cml_node_input(node, INPUT);
	const struct cml_tensor *output = cml_node_output(node, 0);
	static const uint8_t symmetric[] = { FEATURE, TIME, STATE };
	double scales[3];	/* of those */
	enum cml_status status = cml_node_quantized(node, input);

	if (!status)
		status = cml_node_quantized(node, output);
	for (size_t i = 0; !status && i < 3; i++) {
		const struct cml_tensor *tensor = cml_node_input(node,
								 symmetric[i]);

		status = cml_node_quantized(node, tensor);
		if (!status && tensor->zero_point)
			return cml_refuse(node, CML_MODEL_QUANTIZATION,
					  "zero point of weights or state is "
					  "not 0");
		scales[i] = tensor->scale;
	}
	if (status)
		return status;
	if (!cml_quant_factor((double)input->scale * scales[0] / scales[2],
			      &svdf->state) ||
	    !cml_quant_factor(scales[2] * scales[1] / (double)output->scale,
			      &svdf->output))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "scales are too far apart");
	svdf->input_zero_point = input->zero_point;
	svdf->output_zero_point = output->zero_point;

	return CML_OK;
}

static enum cml_status prepare(struct cml_node *node)
{
	struct svdf *svdf = NULL;
	void *params = NULL;
	uint64_t cost = 0;
	enum cml_status status = cml_node_params(node, sizeof(*svdf), &params);

	if (status)
		return status;
	svdf = params;
	node->op->kernel = cml_node_input(node, INPUT)->type ==
			   CML_TFLITE_INT8 ? INTEGER : REAL;
	status = read_options(node, svdf);
	if (!status)
		status = check_tensors(node, svdf);
	if (!status && node->op->kernel == INTEGER)
		status = fill_factors(node, svdf);
	if (status)
		return status;
	cost = svdf->filters * ((uint64_t)svdf->inputs + svdf->memory);
	node->macs = cost * svdf->batch;
	cml_node_tiles(node, svdf->batch, cost);

	return CML_OK;
}

static void run_real(const struct cml_run *run, const struct cml_op *op,
		     uint32_t tile)
{
	const struct svdf *svdf = cml_op_params(run, op);
	struct cml_range batch = cml_tile(op, tile, svdf->batch);
	const float *input = cml_op_in(run, op, INPUT);
	const float *feature = cml_op_in(run, op, FEATURE);
	const float *time = cml_op_in(run, op, TIME);
	const float *bias = cml_op_in(run, op, BIAS);
	size_t remembered = (size_t)svdf->filters * svdf->memory;
	float *states = (float *)cml_op_in(run, op, STATE);
	float *output = cml_op_out(run, op, 0);

	for (size_t b = batch.begin; b < batch.end; b++) {
		float *state = states + b * remembered;
		float *sum = output + b * svdf->units;

		memset(state, 0, remembered * sizeof(*state));
		memset(sum, 0, svdf->units * sizeof(*sum));
		for (size_t i = 0; i < svdf->filters; i++) {
			const float *values = state + i * svdf->memory;

			cml_recurrent_multiply(feature + i * svdf->inputs,
					       input + b * svdf->inputs, 1,
					       svdf->inputs, state +
					       (i + 1) * svdf->memory - 1);
			cml_recurrent_multiply(time + i * svdf->memory, values,
					       1, svdf->memory,
					       sum + i / svdf->rank);
		}
		for (uint32_t i = 0; i < svdf->units; i++)
			sum[i] = cml_recurrent_activate(svdf->activation,
							sum[i] +
							(bias ? bias[i] : 0));
	}
}

/* One sum of a filter, as the state has it */
static int16_t latest(const struct svdf *svdf, const int8_t *feature,
		      const int8_t *input)
{
	int32_t sum = 0;

	for (uint32_t i = 0; i < svdf->inputs; i++)
		sum = cml_quant_add(sum, feature[i] *
				    (input[i] - svdf->input_zero_point));
	sum = cml_quant_scale(sum, svdf->state);

	return sum < INT16_MIN ? INT16_MIN : sum > INT16_MAX ? INT16_MAX : sum;
}

static void run_integer(const struct cml_run *run, const struct cml_op *op,
			uint32_t tile)
{
	const struct svdf *svdf = cml_op_params(run, op);
	struct cml_range batch = cml_tile(op, tile, svdf->batch);
	const int8_t *input = cml_op_in(run, op, INPUT);
	const int8_t *feature = cml_op_in(run, op, FEATURE);
	const int16_t *time = cml_op_in(run, op, TIME);
	const int32_t *bias = cml_op_in(run, op, BIAS);
	size_t remembered = (size_t)svdf->filters * svdf->memory;
	int16_t *states = (int16_t *)cml_op_in(run, op, STATE);
	int8_t *output = cml_op_out(run, op, 0);

	for (size_t b = batch.begin; b < batch.end; b++) {
		int16_t *state = states + b * remembered;
		int32_t sum = 0;

		memset(state, 0, remembered * sizeof(*state));
		for (size_t i = 0; i < svdf->filters; i++) {
			size_t last = (i + 1) * svdf->memory - 1;
			size_t unit = i / svdf->rank;

			if (i % svdf->rank == 0)
				sum = bias ? bias[unit] : 0;
			state[last] = latest(svdf, feature + i * svdf->inputs,
					     input + b * svdf->inputs);
			sum = cml_quant_add(sum, time[last] * state[last]);
			if ((i + 1) % svdf->rank)
				continue;
			sum = cml_quant_add(cml_quant_scale(sum, svdf->output),
					    svdf->output_zero_point);
			output[b * svdf->units + unit] =
				cml_quant_clamp(sum, INT8_MIN, INT8_MAX);
		}
	}
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	if (op->kernel == INTEGER)
		run_integer(run, op, tile);
	else
		run_real(run, op, tile);
}

const struct cml_op_type cml_op_svdf = {
	.name = "SVDF",
	.builtin_code = CML_OP_SVDF,
	.options_type = 6,
	.max_version = 4,
	.types = CML_F32 | CML_S8,
	.min_inputs = 3, .max_inputs = 5,
	.min_outputs = 1, .max_outputs = 1,
	.has_state = true,
	.notes = CML_RECURRENT_NOTES "; in int8 RELU, which does nothing",
	.prepare = prepare,
	.run = run,
};
