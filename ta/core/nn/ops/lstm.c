// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "lstm.h"

enum { LSTM_ACTIVATION = 0, LSTM_CELL_CLIP = 1, LSTM_PROJECTION_CLIP = 2,
       LSTM_TIME_MAJOR = 3 };

#define INPUTS_WITHOUT_NORM	20

/* Types of tensors, by that of the input */
struct types {
	uint32_t weights, peephole, bias, norm, cell;
};

static struct types types_of(const struct cml_node *node)
{
	static const struct types real = {
		.weights = CML_TFLITE_FLOAT32,
		.peephole = CML_TFLITE_FLOAT32,
		.bias = CML_TFLITE_FLOAT32,
		.norm = CML_TFLITE_FLOAT32,
		.cell = CML_TFLITE_FLOAT32,
	};
	static const struct types integer = {
		.weights = CML_TFLITE_INT8,
		.peephole = CML_TFLITE_INT16,
		.bias = CML_TFLITE_INT32,
		.norm = CML_TFLITE_INT16,
		.cell = CML_TFLITE_INT16,
	};

	return cml_node_input(node, 0)->type == CML_TFLITE_INT8 ? integer :
	       real;
}

static enum cml_status absent(struct cml_node *node, size_t index)
{
	if (cml_node_input(node, index))
		return cml_refuse(node, CML_MODEL_MALFORMED,
				  "gate has only a part of its tensors");

	return CML_OK;
}

static enum cml_status check_gate(struct cml_node *node,
				  const struct cml_lstm *lstm, size_t gate)
{
	bool peephole = cml_node_input(node, CML_LSTM_IN_PEEPHOLE + 2);
	bool norm = cml_node_input(node, CML_LSTM_IN_NORM + CML_LSTM_FORGET);
	/* The input gate's weights are there, or it is left out. */
	bool used = gate != CML_LSTM_INPUT ||
		    cml_node_input(node, CML_LSTM_IN_WEIGHTS);
	bool used_peephole = used && peephole && gate != CML_LSTM_UPDATE;
	const struct types types = types_of(node);
	const struct {
		int32_t index;
		bool used;
		uint32_t type, rank;
		int32_t columns;
	} wanted[] = {
		{ CML_LSTM_IN_WEIGHTS + gate, used, types.weights, 2,
		  lstm->sequence.inputs },
		{ CML_LSTM_IN_RECURRENT + gate, used, types.weights, 2,
		  lstm->hidden_state },
		{ cml_lstm_peephole(gate), used_peephole, types.peephole, 1,
		  0 },
		{ CML_LSTM_IN_BIAS + gate, used, types.bias, 1, 0 },
		{ CML_LSTM_IN_NORM + gate, used && norm, types.norm, 1, 0 },
	};
	enum cml_status status = CML_OK;

	for (size_t i = 0; !status && i < 5; i++) {
		int32_t dims[] = { lstm->cells, wanted[i].columns };

		if (wanted[i].index < 0)
			continue;
		if (wanted[i].used)
			status = cml_recurrent_input(node, wanted[i].index,
						     wanted[i].type,
						     wanted[i].rank, dims);
		else
			status = absent(node, wanted[i].index);
	}

	return status;
}

static enum cml_status check_projection(struct cml_node *node,
					const struct cml_lstm *lstm)
{
	const struct types types = types_of(node);
	int32_t dims[] = { lstm->hidden_state, lstm->cells };
	enum cml_status status = CML_OK;

	if (!cml_node_input(node, CML_LSTM_IN_PROJECTION)) {
		if (lstm->hidden_state != lstm->cells)
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "state is not of as many values as "
					  "there are cells, and no projection");
		return absent(node, CML_LSTM_IN_PROJECTION_BIAS);
	}
	status = cml_recurrent_input(node, CML_LSTM_IN_PROJECTION,
				     types.weights, 2, dims);
	if (!status && cml_node_input(node, CML_LSTM_IN_PROJECTION_BIAS))
		status = cml_recurrent_input(node, CML_LSTM_IN_PROJECTION_BIAS,
					     types.bias, 1, dims);

	return status;
}

static enum cml_status read_clip(struct cml_node *node, uint32_t field,
				 float *clip)
{
	uint32_t bits = cml_fb_u32(node->fb, node->tflite.options, field, 0);

	memcpy(clip, &bits, sizeof(*clip));
	/* Also for NaN */
	if (!(*clip >= 0 && *clip <= __FLT_MAX__))
		return cml_refuse(node, CML_MODEL_MALFORMED,
				  "clip is negative or not finite");

	return CML_OK;
}

static enum cml_status read_options(struct cml_node *node,
				    struct cml_lstm *lstm)
{
	struct cml_fb_table table = node->tflite.options;
	enum cml_status status = read_clip(node, LSTM_CELL_CLIP,
					   &lstm->cell_clip);

	if (!status)
		status = read_clip(node, LSTM_PROJECTION_CLIP,
				   &lstm->projection_clip);
	if (status)
		return status;
	lstm->activation = cml_fb_u8(node->fb, table, LSTM_ACTIVATION, 0);
	/*
	 * Without one the reference mixes up c and the update; in int8 it is
	 * tanh whatever is said here, so another is refused.
	 */
	if (lstm->activation == CML_ACT_NONE ||
	    !cml_recurrent_has_activation(lstm->activation) ||
	    (cml_node_input(node, 0)->type == CML_TFLITE_INT8 &&
	     lstm->activation != CML_ACT_TANH))
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "fused activation is not supported");

	return cml_sequence_prepare(node,
				    cml_fb_u8(node->fb, table, LSTM_TIME_MAJOR,
					      0),
				    &lstm->sequence);
}

static enum cml_status check_states(struct cml_node *node,
				    const struct cml_lstm *lstm)
{
	const struct types types = types_of(node);
	uint64_t batch = lstm->sequence.batch;
	enum cml_status status = cml_recurrent_state(node, CML_LSTM_IN_HIDDEN,
						     types.weights,
						     batch * lstm->hidden_state);

	if (!status)
		status = cml_recurrent_state(node, CML_LSTM_IN_CELL, types.cell,
					     batch * lstm->cells);

	return status;
}

/* Sizes follow from the output gate's weights; then all is checked. */
static enum cml_status check_tensors(struct cml_node *node,
				     struct cml_lstm *lstm)
{
	const struct cml_tensor *weights =
		cml_node_input(node, CML_LSTM_IN_WEIGHTS + CML_LSTM_OUTPUT);
	const struct cml_tensor *recurrent =
		cml_node_input(node, CML_LSTM_IN_RECURRENT + CML_LSTM_OUTPUT);
	enum cml_status status = CML_OK;

	if (!weights || !recurrent)
		return cml_refuse(node, CML_MODEL_MALFORMED,
				  "operator lacks a required tensor");
	if (recurrent->rank == 1)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "diagonal recurrent weights are not "
				  "supported");
	lstm->cells = weights->dims[0];
	lstm->hidden_state = recurrent->dims[1];
	for (size_t i = 0; !status && i < CML_LSTM_GATES; i++)
		status = check_gate(node, lstm, i);
	if (!status)
		status = check_projection(node, lstm);
	if (!status)
		status = check_states(node, lstm);
	if (!status)
		status = cml_sequence_output(node, lstm->hidden_state);

	return status;
}

enum cml_status cml_lstm_check(struct cml_node *node, struct cml_lstm *lstm)
{
	uint64_t cost = 0;
	enum cml_status status = CML_INTERNAL;

	if (node->op->input_count != INPUTS_WITHOUT_NORM &&
	    node->op->input_count != CML_LSTM_INPUTS)
		return cml_refuse(node, CML_MODEL_MALFORMED,
				  "operator has neither 20 nor 24 tensors");
	status = read_options(node, lstm);
	if (!status)
		status = check_tensors(node, lstm);
	if (status)
		return status;
	/* Weights are at most 2^24 each, and so are the output's elements. */
	cost = ((uint64_t)lstm->sequence.inputs + lstm->hidden_state + 16) *
	       CML_LSTM_GATES;
	if (cml_node_input(node, CML_LSTM_IN_PROJECTION))
		cost += lstm->hidden_state;
	cost *= (uint64_t)lstm->cells * lstm->sequence.time;
	node->macs = cost * lstm->sequence.batch;
	cml_node_tiles(node, lstm->sequence.batch, cost);

	return CML_OK;
}
