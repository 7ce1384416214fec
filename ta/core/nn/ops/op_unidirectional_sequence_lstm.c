// SPDX-License-Identifier: Apache-2.0
/*
 * Long short-term memory; here in float32, in int8 in lstm_s8.c. A step, for
 * each cell:
 *
 *   gate = sigmoid(bias + weights * x + recurrent weights * h + peephole * c)
 *   update = activation(the same with weights of its own, no peephole)
 *   c = clip(forget gate * c + input gate * update)
 *   h = clip(projection * (output gate * activation(c)) + projection bias)
 *
 * Without weights of the input gate, that gate is 1 - forget gate. With
 * layer normalisation the sum of a gate, without bias, is normalised over the
 * cells, then scaled and the bias added. Peephole, projection and layer
 * normalisation may be absent.
 */
#include <math.h>
#include <string.h>

#include "lstm.h"

enum { REAL, INTEGER };

/* What the reference adds to the variance. */
#define NORM_EPSILON		1e-8f

/* Elements of the inputs of one gate; NULL: absent */
struct gate {
	const float *weights, *recurrent, *peephole, *bias, *norm;
	uint32_t activation;
	bool sigmoid;
};

static enum cml_status prepare(struct cml_node *node)
{
	uint32_t type = cml_node_input(node, 0)->type;
	struct cml_lstm lstm = { 0 };
	void *params = NULL;
	enum cml_status status = CML_OK;

	if (type != CML_TFLITE_INT8)
		status = cml_node_type(node, cml_node_input(node, 0),
				       CML_TFLITE_FLOAT32);
	if (!status)
		status = cml_lstm_check(node, &lstm);
	if (status)
		return status;
	if (type == CML_TFLITE_INT8) {
		node->op->kernel = INTEGER;
		return cml_lstm_s8_prepare(node, &lstm);
	}
	node->op->kernel = REAL;
	node->scratch = (size_t)lstm.cells * CML_LSTM_GATES * sizeof(float);
	status = cml_node_params(node, sizeof(lstm), &params);
	if (!status)
		memcpy(params, &lstm, sizeof(lstm));

	return status;
}

static void normalize(float *values, uint32_t count)
{
	float sum = 0;
	float squares = 0;
	float mean, scale;

	for (uint32_t i = 0; i < count; i++)
		sum += values[i];
	mean = sum / count;
	for (uint32_t i = 0; i < count; i++)
		squares += (values[i] - mean) * (values[i] - mean);
	scale = 1 / sqrtf(squares / count + NORM_EPSILON);
	for (uint32_t i = 0; i < count; i++)
		values[i] = (values[i] - mean) * scale;
}

static void compute_gate(const struct cml_lstm *lstm, const struct gate *gate,
			 const float *input, const float *hidden_state,
			 const float *cell, float *values)
{
	uint32_t cells = lstm->cells;

	if (gate->norm)
		memset(values, 0, cells * sizeof(*values));
	else
		memcpy(values, gate->bias, cells * sizeof(*values));
	cml_recurrent_multiply(gate->weights, input, cells,
			       lstm->sequence.inputs, values);
	cml_recurrent_multiply(gate->recurrent, hidden_state, cells, lstm->hidden_state,
			       values);
	for (uint32_t i = 0; gate->peephole && i < cells; i++)
		values[i] += gate->peephole[i] * cell[i];
	if (gate->norm) {
		normalize(values, cells);
		for (uint32_t i = 0; i < cells; i++)
			values[i] = values[i] * gate->norm[i] + gate->bias[i];
	}
	for (uint32_t i = 0; i < cells; i++)
		values[i] = gate->sigmoid ? cml_recurrent_sigmoid(values[i]) :
			    cml_recurrent_activate(gate->activation,
						   values[i]);
}

static float clip(float value, float limit)
{
	if (!(limit > 0))
		return value;

	return value > limit ? limit : value < -limit ? -limit : value;
}

static void update_cell(const struct cml_lstm *lstm, bool input_gate,
			const float *values, float *cell)
{
	uint32_t cells = lstm->cells;
	const float *forget = values + (size_t)CML_LSTM_FORGET * cells;
	const float *update = values + (size_t)CML_LSTM_UPDATE * cells;

	for (uint32_t i = 0; i < cells; i++) {
		float share = input_gate ? values[i] : 1 - forget[i];

		cell[i] = clip(forget[i] * cell[i] + share * update[i],
			       lstm->cell_clip);
	}
}

/* @values: the output gate; what follows it is done in its place. */
static void update_hidden(const struct cml_lstm *lstm, const float *projection,
			  const float *bias, const float *cell, float *values,
			  float *hidden_state)
{
	for (uint32_t i = 0; i < lstm->cells; i++)
		values[i] *= cml_recurrent_activate(lstm->activation, cell[i]);
	if (!projection) {
		memcpy(hidden_state, values, lstm->hidden_state * sizeof(*hidden_state));
		return;
	}
	if (bias)
		memcpy(hidden_state, bias, lstm->hidden_state * sizeof(*hidden_state));
	else
		memset(hidden_state, 0, lstm->hidden_state * sizeof(*hidden_state));
	cml_recurrent_multiply(projection, values, lstm->hidden_state, lstm->cells,
			       hidden_state);
	for (uint32_t i = 0; i < lstm->hidden_state; i++)
		hidden_state[i] = clip(hidden_state[i], lstm->projection_clip);
}

static void find_gates(const struct cml_run *run, const struct cml_op *op,
		       const struct cml_lstm *lstm, struct gate *gates)
{
	for (size_t i = 0; i < CML_LSTM_GATES; i++) {
		int32_t peephole = cml_lstm_peephole(i);

		gates[i] = (struct gate){
			.weights = cml_op_in(run, op, CML_LSTM_IN_WEIGHTS + i),
			.recurrent = cml_op_in(run, op,
					       CML_LSTM_IN_RECURRENT + i),
			.peephole = peephole < 0 ? NULL :
				    cml_op_in(run, op, peephole),
			.bias = cml_op_in(run, op, CML_LSTM_IN_BIAS + i),
			.norm = cml_op_in(run, op, CML_LSTM_IN_NORM + i),
			.activation = lstm->activation,
			.sigmoid = i != CML_LSTM_UPDATE,
		};
	}
}

static void run_real(const struct cml_run *run, const struct cml_op *op,
		     uint32_t tile)
{
	const struct cml_lstm *lstm = cml_op_params(run, op);
	const struct cml_sequence *sequence = &lstm->sequence;
	struct cml_range batch = cml_tile(op, tile, sequence->batch);
	const float *projection = cml_op_in(run, op, CML_LSTM_IN_PROJECTION);
	const float *bias = cml_op_in(run, op, CML_LSTM_IN_PROJECTION_BIAS);
	size_t hidden_size = lstm->hidden_state * sizeof(float);
	float *states = (float *)cml_op_in(run, op, CML_LSTM_IN_HIDDEN);
	float *all_cells = (float *)cml_op_in(run, op, CML_LSTM_IN_CELL);
	float *values = (float *)run->scratch;	/* (CML_LSTM_GATES, cells) */
	float *output = cml_op_out(run, op, 0);
	struct gate gates[CML_LSTM_GATES];

	find_gates(run, op, lstm, gates);
	for (size_t b = batch.begin; b < batch.end; b++) {
		float *hidden_state = states + b * lstm->hidden_state;
		float *cell = all_cells + b * lstm->cells;

		memset(hidden_state, 0, hidden_size);
		memset(cell, 0, lstm->cells * sizeof(*cell));
		for (size_t t = 0; t < sequence->time; t++) {
			size_t row = cml_sequence_row(sequence, b, t);
			const float *input = (const float *)
				cml_op_in(run, op, 0) + row * sequence->inputs;

			for (size_t i = 0; i < CML_LSTM_GATES; i++) {
				/* It sees the cell as it is by then. */
				if (i == CML_LSTM_OUTPUT)
					update_cell(lstm, gates[0].weights,
						    values, cell);
				if (gates[i].weights)
					compute_gate(lstm, &gates[i], input,
						     hidden_state, cell, values +
						     i * lstm->cells);
			}
			update_hidden(lstm, projection, bias, cell, values +
				      (size_t)CML_LSTM_OUTPUT * lstm->cells,
				      hidden_state);
			memcpy(output + row * lstm->hidden_state, hidden_state,
			       hidden_size);
		}
	}
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	if (op->kernel == INTEGER)
		cml_lstm_s8_run(run, op, tile);
	else
		run_real(run, op, tile);
}

const struct cml_op_type cml_op_unidirectional_sequence_lstm = {
	.name = "UNIDIRECTIONAL_SEQUENCE_LSTM",
	.builtin_code = CML_OP_UNIDIRECTIONAL_SEQUENCE_LSTM,
	.options_type = 71,
	.max_version = 4,
	.types = CML_F32 | CML_S8,
	.min_inputs = 1, .max_inputs = CML_LSTM_INPUTS,
	.min_outputs = 1, .max_outputs = 1,
	.has_state = true,
	.notes = CML_RECURRENT_NOTES "; in float32 any activation but none, in "
		 "int8 tanh and no layer normalisation",
	.prepare = prepare,
	.run = run,
};
