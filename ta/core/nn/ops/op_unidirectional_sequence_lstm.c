// SPDX-License-Identifier: Apache-2.0
/*
 * Long short-term memory, float32. A step, for each cell:
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

#include "recurrent.h"

enum { LSTM_ACTIVATION = 0, LSTM_CELL_CLIP = 1, LSTM_PROJECTION_CLIP = 2,
       LSTM_TIME_MAJOR = 3 };

/* Gates, in the order of the inputs */
enum { GATE_INPUT, GATE_FORGET, GATE_UPDATE, GATE_OUTPUT, GATES };

/* First inputs of each kind: one a gate, but the peephole has no update */
enum { IN_WEIGHTS = 1, IN_RECURRENT = 5, IN_PEEPHOLE = 9, IN_BIAS = 12,
       IN_PROJECTION = 16, IN_PROJECTION_BIAS = 17, IN_HIDDEN = 18,
       IN_CELL = 19, IN_NORM = 20 };

#define INPUTS_WITHOUT_NORM	20
#define INPUTS			24

/* What the reference adds to the variance. */
#define NORM_EPSILON		1e-8f

struct lstm {
	struct cml_sequence sequence;
	uint32_t cells, hidden;		/* hidden: of the state h */
	uint32_t activation;
	float cell_clip, projection_clip;	/* 0: none */
};

/* Elements of the inputs of one gate; NULL: absent */
struct gate {
	const float *weights, *recurrent, *peephole, *bias, *norm;
	uint32_t activation;
	bool sigmoid;
};

/* Preparing --------------------------------------------------------------*/

static int32_t peephole_input(size_t gate)
{
	static const int8_t inputs[] = {
		[GATE_INPUT] = 9, [GATE_FORGET] = 10, [GATE_UPDATE] = -1,
		[GATE_OUTPUT] = 11,
	};

	return inputs[gate];
}

static enum cml_status absent(struct cml_node *node, size_t index)
{
	if (cml_node_input(node, index))
		return cml_refuse(node, CML_MODEL_MALFORMED,
				  "gate has only a part of its tensors");

	return CML_OK;
}

static enum cml_status check_gate(struct cml_node *node,
				  const struct lstm *lstm, size_t gate)
{
	bool peephole = cml_node_input(node, IN_PEEPHOLE + 2);
	bool norm = cml_node_input(node, IN_NORM + GATE_FORGET);
	/* The input gate's weights are there, or it is left out. */
	bool used = gate != GATE_INPUT || cml_node_input(node, IN_WEIGHTS);
	bool used_peephole = used && peephole && gate != GATE_UPDATE;
	const struct {
		int32_t index;
		bool used;
		uint32_t rank;
		int32_t columns;
	} wanted[] = {
		{ IN_WEIGHTS + gate, used, 2, lstm->sequence.inputs },
		{ IN_RECURRENT + gate, used, 2, lstm->hidden },
		{ peephole_input(gate), used_peephole, 1, 0 },
		{ IN_BIAS + gate, used, 1, 0 },
		{ IN_NORM + gate, used && norm, 1, 0 },
	};
	enum cml_status status = CML_OK;

	for (size_t i = 0; !status && i < 5; i++) {
		int32_t dims[] = { lstm->cells, wanted[i].columns };

		if (wanted[i].index < 0)
			continue;
		if (wanted[i].used)
			status = cml_recurrent_input(node, wanted[i].index,
						     CML_TFLITE_FLOAT32,
						     wanted[i].rank, dims);
		else
			status = absent(node, wanted[i].index);
	}

	return status;
}

static enum cml_status check_projection(struct cml_node *node,
					const struct lstm *lstm)
{
	int32_t dims[] = { lstm->hidden, lstm->cells };
	enum cml_status status = CML_OK;

	if (!cml_node_input(node, IN_PROJECTION)) {
		if (lstm->hidden != lstm->cells)
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "state is not of as many values as "
					  "there are cells, and no projection");
		return absent(node, IN_PROJECTION_BIAS);
	}
	status = cml_recurrent_input(node, IN_PROJECTION, CML_TFLITE_FLOAT32,
				     2, dims);
	if (!status && cml_node_input(node, IN_PROJECTION_BIAS))
		status = cml_recurrent_input(node, IN_PROJECTION_BIAS,
					     CML_TFLITE_FLOAT32, 1, dims);

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

static enum cml_status read_options(struct cml_node *node, struct lstm *lstm)
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
	/* Without one the reference mixes up c and the update. */
	if (lstm->activation == CML_ACT_NONE ||
	    !cml_recurrent_has_activation(lstm->activation))
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "fused activation is not supported");

	return cml_sequence_prepare(node,
				    cml_fb_u8(node->fb, table, LSTM_TIME_MAJOR,
					      0),
				    &lstm->sequence);
}

/* Sizes follow from the output gate's weights; then all is checked. */
static enum cml_status check_tensors(struct cml_node *node, struct lstm *lstm)
{
	const struct cml_tensor *weights = NULL;
	const struct cml_tensor *recurrent = NULL;
	uint64_t batch = lstm->sequence.batch;
	enum cml_status status = CML_OK;

	weights = cml_node_input(node, IN_WEIGHTS + GATE_OUTPUT);
	recurrent = cml_node_input(node, IN_RECURRENT + GATE_OUTPUT);
	if (!weights || !recurrent)
		return cml_refuse(node, CML_MODEL_MALFORMED,
				  "operator lacks a required tensor");
	if (recurrent->rank == 1)
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "diagonal recurrent weights are not "
				  "supported");
	lstm->cells = weights->dims[0];
	lstm->hidden = recurrent->dims[1];
	for (size_t i = 0; !status && i < GATES; i++)
		status = check_gate(node, lstm, i);
	if (!status)
		status = check_projection(node, lstm);
	if (!status)
		status = cml_recurrent_state(node, IN_HIDDEN,
					     CML_TFLITE_FLOAT32,
					     batch * lstm->hidden);
	if (!status)
		status = cml_recurrent_state(node, IN_CELL, CML_TFLITE_FLOAT32,
					     batch * lstm->cells);
	if (!status)
		status = cml_sequence_output(node, &lstm->sequence,
					     lstm->hidden);

	return status;
}

static enum cml_status prepare(struct cml_node *node)
{
	struct lstm *lstm = NULL;
	void *params = NULL;
	uint64_t cost = 0;
	enum cml_status status = cml_node_type(node, cml_node_input(node, 0),
					       CML_TFLITE_FLOAT32);

	if (!status)
		status = cml_node_params(node, sizeof(*lstm), &params);
	if (status)
		return status;
	lstm = params;
	if (node->op->input_count != INPUTS_WITHOUT_NORM &&
	    node->op->input_count != INPUTS)
		return cml_refuse(node, CML_MODEL_MALFORMED,
				  "operator has neither 20 nor 24 tensors");
	status = read_options(node, lstm);
	if (!status)
		status = check_tensors(node, lstm);
	if (status)
		return status;
	/* Weights are at most 2^24 each, and so are the output's elements. */
	cost = ((uint64_t)lstm->sequence.inputs + lstm->hidden + 16) * GATES;
	if (cml_node_input(node, IN_PROJECTION))
		cost += lstm->hidden;
	cost *= (uint64_t)lstm->cells * lstm->sequence.time;
	node->macs = cost * lstm->sequence.batch;
	node->scratch = (size_t)lstm->cells * GATES * sizeof(float);
	cml_node_tiles(node, lstm->sequence.batch, cost);

	return CML_OK;
}

/* Running ----------------------------------------------------------------*/

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

static void compute_gate(const struct lstm *lstm, const struct gate *gate,
			 const float *input, const float *hidden,
			 const float *cell, float *values)
{
	uint32_t cells = lstm->cells;

	if (gate->norm)
		memset(values, 0, cells * sizeof(*values));
	else
		memcpy(values, gate->bias, cells * sizeof(*values));
	cml_recurrent_multiply(gate->weights, input, cells,
			       lstm->sequence.inputs, values);
	cml_recurrent_multiply(gate->recurrent, hidden, cells, lstm->hidden,
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

static void update_cell(const struct lstm *lstm, bool input_gate,
			const float *values, float *cell)
{
	uint32_t cells = lstm->cells;
	const float *forget = values + (size_t)GATE_FORGET * cells;
	const float *update = values + (size_t)GATE_UPDATE * cells;

	for (uint32_t i = 0; i < cells; i++) {
		float share = input_gate ? values[i] : 1 - forget[i];

		cell[i] = clip(forget[i] * cell[i] + share * update[i],
			       lstm->cell_clip);
	}
}

/* @values: the output gate; what follows it is done in its place. */
static void update_hidden(const struct lstm *lstm, const float *projection,
			  const float *bias, const float *cell, float *values,
			  float *hidden)
{
	for (uint32_t i = 0; i < lstm->cells; i++)
		values[i] *= cml_recurrent_activate(lstm->activation, cell[i]);
	if (!projection) {
		memcpy(hidden, values, lstm->hidden * sizeof(*hidden));
		return;
	}
	if (bias)
		memcpy(hidden, bias, lstm->hidden * sizeof(*hidden));
	else
		memset(hidden, 0, lstm->hidden * sizeof(*hidden));
	cml_recurrent_multiply(projection, values, lstm->hidden, lstm->cells,
			       hidden);
	for (uint32_t i = 0; i < lstm->hidden; i++)
		hidden[i] = clip(hidden[i], lstm->projection_clip);
}

static void find_gates(const struct cml_run *run, const struct cml_op *op,
		       const struct lstm *lstm, struct gate *gates)
{
	for (size_t i = 0; i < GATES; i++) {
		int32_t peephole = peephole_input(i);

		gates[i] = (struct gate){
			.weights = cml_op_in(run, op, IN_WEIGHTS + i),
			.recurrent = cml_op_in(run, op, IN_RECURRENT + i),
			.peephole = peephole < 0 ? NULL :
				    cml_op_in(run, op, peephole),
			.bias = cml_op_in(run, op, IN_BIAS + i),
			.norm = cml_op_in(run, op, IN_NORM + i),
			.activation = lstm->activation,
			.sigmoid = i != GATE_UPDATE,
		};
	}
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct lstm *lstm = cml_op_params(run, op);
	const struct cml_sequence *sequence = &lstm->sequence;
	struct cml_range batch = cml_tile(op, tile, sequence->batch);
	const float *projection = cml_op_in(run, op, IN_PROJECTION);
	const float *bias = cml_op_in(run, op, IN_PROJECTION_BIAS);
	size_t hidden_size = lstm->hidden * sizeof(float);
	float *values = (float *)run->scratch;	/* (GATES, cells) */
	float *output = cml_op_out(run, op, 0);
	struct gate gates[GATES];

	find_gates(run, op, lstm, gates);
	for (size_t b = batch.begin; b < batch.end; b++) {
		float *hidden = (float *)cml_op_in(run, op, IN_HIDDEN) +
				b * lstm->hidden;
		float *cell = (float *)cml_op_in(run, op, IN_CELL) +
			      b * lstm->cells;

		memset(hidden, 0, hidden_size);
		memset(cell, 0, lstm->cells * sizeof(*cell));
		for (size_t t = 0; t < sequence->time; t++) {
			size_t row = cml_sequence_row(sequence, b, t);
			const float *input = (const float *)
				cml_op_in(run, op, 0) + row * sequence->inputs;

			for (size_t i = 0; i < GATES; i++) {
				/* It sees the cell as it is by then. */
				if (i == GATE_OUTPUT)
					update_cell(lstm, gates[0].weights,
						    values, cell);
				if (gates[i].weights)
					compute_gate(lstm, &gates[i], input,
						     hidden, cell, values +
						     i * lstm->cells);
			}
			update_hidden(lstm, projection, bias, cell, values +
				      (size_t)GATE_OUTPUT * lstm->cells,
				      hidden);
			memcpy(output + row * lstm->hidden, hidden,
			       hidden_size);
		}
	}
}

const struct cml_op_type cml_op_unidirectional_sequence_lstm = {
	.name = "UNIDIRECTIONAL_SEQUENCE_LSTM",
	.builtin_code = CML_OP_UNIDIRECTIONAL_SEQUENCE_LSTM,
	.options_type = 71,
	.max_version = 4,
	.types = CML_F32,
	.min_inputs = 1, .max_inputs = INPUTS,
	.min_outputs = 1, .max_outputs = 1,
	.notes = CML_RECURRENT_NOTES,
	.prepare = prepare,
	.run = run,
};
