// SPDX-License-Identifier: Apache-2.0
/*
 * h = activation(bias + weights * x + recurrent weights * h), step by step.
 * RNN is one step; it begins with h = 0 as well.
 */
#include <string.h>

#include "recurrent.h"

enum { RNN_ACTIVATION = 0 };
enum { SEQUENCE_TIME_MAJOR = 0, SEQUENCE_ACTIVATION = 1 };

enum { INPUT, WEIGHTS, RECURRENT, BIAS, STATE };

struct rnn {
	struct cml_sequence sequence;
	uint32_t units;
	uint32_t activation;
};

/* The rest, when the sequence is known. */
static enum cml_status complete(struct cml_node *node, struct rnn *rnn)
{
	const struct cml_sequence *sequence = &rnn->sequence;
	const struct cml_tensor *weights = cml_node_input(node, WEIGHTS);
	int32_t units = weights->dims[0];
	int32_t shapes[][2] = {
		[WEIGHTS] = { units, sequence->inputs },
		[RECURRENT] = { units, units },
		[BIAS] = { units },
	};
	enum cml_status status = cml_node_type(node, cml_node_input(node, 0),
					       CML_TFLITE_FLOAT32);
	uint64_t cost = 0;

	for (size_t i = WEIGHTS; !status && i <= BIAS; i++)
		status = cml_recurrent_input(node, i, CML_TFLITE_FLOAT32,
					     i == BIAS ? 1 : 2, shapes[i]);
	if (!status)
		status = cml_recurrent_state(node, STATE, CML_TFLITE_FLOAT32,
					     (uint64_t)sequence->batch * units);
	if (status)
		return status;
	if (!cml_recurrent_has_activation(rnn->activation))
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "fused activation is not supported");
	rnn->units = units;
	/* At most 2^24 weights each, and 2^24 steps */
	cost = (uint64_t)sequence->time * units *
	       ((uint64_t)sequence->inputs + units);
	node->macs = cost * sequence->batch;
	cml_node_tiles(node, sequence->batch, cost);

	return CML_OK;
}

static enum cml_status prepare_sequence(struct cml_node *node)
{
	struct cml_fb_table table = node->tflite.options;
	struct rnn *rnn = NULL;
	void *params = NULL;
	enum cml_status status = cml_node_params(node, sizeof(*rnn), &params);

	if (status)
		return status;
	rnn = params;
	rnn->activation = cml_fb_u8(node->fb, table, SEQUENCE_ACTIVATION, 0);
	status = cml_sequence_prepare(node,
				      cml_fb_u8(node->fb, table,
						SEQUENCE_TIME_MAJOR, 0),
				      &rnn->sequence);
	if (!status)
		status = complete(node, rnn);
	if (!status)
		status = cml_sequence_output(node, rnn->units);

	return status;
}

/* One step, of (batch, values). */
static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, INPUT);
	const struct cml_tensor *output = cml_node_output(node, 0);
	int32_t dims[] = { input->dims[0], cml_node_input(node, 1)->dims[0] };
	struct rnn *rnn = NULL;
	void *params = NULL;
	enum cml_status status = cml_node_params(node, sizeof(*rnn), &params);

	if (status)
		return status;
	rnn = params;
	rnn->activation = cml_fb_u8(node->fb, node->tflite.options,
				    RNN_ACTIVATION, 0);
	rnn->sequence = (struct cml_sequence){
		.batch = input->dims[0], .time = 1, .inputs = input->dims[1],
	};
	if (input->rank != 2)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "input does not have two dimensions");
	if (input->variable)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "state is used as an ordinary input");
	status = complete(node, rnn);
	if (!status)
		status = cml_node_type(node, output, input->type);
	if (!status)
		status = cml_node_shape(node, output, 2, dims);

	return status;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct rnn *rnn = cml_op_params(run, op);
	const struct cml_sequence *sequence = &rnn->sequence;
	struct cml_range batch = cml_tile(op, tile, sequence->batch);
	const float *input = cml_op_in(run, op, INPUT);
	const float *weights = cml_op_in(run, op, WEIGHTS);
	const float *recurrent = cml_op_in(run, op, RECURRENT);
	const float *bias = cml_op_in(run, op, BIAS);
	float *states = (float *)cml_op_in(run, op, STATE);
	float *output = cml_op_out(run, op, 0);
	size_t size = rnn->units * sizeof(float);

	for (size_t b = batch.begin; b < batch.end; b++) {
		float *state = states + b * rnn->units;

		memset(state, 0, size);
		for (size_t t = 0; t < sequence->time; t++) {
			size_t row = cml_sequence_row(sequence, b, t);
			float *sum = output + row * rnn->units;

			memcpy(sum, bias, size);
			cml_recurrent_multiply(weights,
					       input + row * sequence->inputs,
					       rnn->units, sequence->inputs,
					       sum);
			cml_recurrent_multiply(recurrent, state, rnn->units,
					       rnn->units, sum);
			for (uint32_t i = 0; i < rnn->units; i++)
				sum[i] = cml_recurrent_activate(rnn->activation,
								sum[i]);
			memcpy(state, sum, size);
		}
	}
}

const struct cml_op_type cml_op_rnn = {
	.name = "RNN",
	.builtin_code = CML_OP_RNN,
	.options_type = 7,
	.max_version = 3,
	.types = CML_F32,
	.min_inputs = 5, .max_inputs = 5,
	.min_outputs = 1, .max_outputs = 1,
	.has_state = true,
	.notes = CML_RECURRENT_NOTES,
	.prepare = prepare,
	.run = run,
};

const struct cml_op_type cml_op_unidirectional_sequence_rnn = {
	.name = "UNIDIRECTIONAL_SEQUENCE_RNN",
	.builtin_code = CML_OP_UNIDIRECTIONAL_SEQUENCE_RNN,
	.options_type = 31,
	.max_version = 3,
	.types = CML_F32,
	.min_inputs = 5, .max_inputs = 5,
	.min_outputs = 1, .max_outputs = 1,
	.has_state = true,
	.notes = CML_RECURRENT_NOTES,
	.prepare = prepare_sequence,
	.run = run,
};
