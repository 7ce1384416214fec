// SPDX-License-Identifier: Apache-2.0
/*
 * LSTM with int8 activations and weights, and a cell state of int16 whose
 * scale is a power of two. Gates are summed with 12 fractional bits, each
 * product rescaled and saturated to 16 bits by itself; sigmoid, tanh and the
 * gates' results have 15. What zero points add to the sums is precomputed.
 */
#include <string.h>

#include "fixed16.h"
#include "lstm.h"

#define GATE_SCALE	(1.0f / 4096)	/* 12 fractional bits */
#define GATE_BITS	3		/* integer ones */
#define UNIT		(1.0 / 32768)	/* 15 fractional bits */
#define ONE		INT16_MAX
#define SIDE_OUTPUT	4		/* of the intermediate tensors */

struct gate_factors {
	struct cml_factor input, hidden_state, peephole;
};

struct lstm_s8 {
	struct cml_lstm lstm;
	struct gate_factors gates[CML_LSTM_GATES];
	struct cml_factor side;		/* output gate * tanh(cell), to int8 */
	struct cml_factor projection;
	int32_t side_zero_point;	/* to add, so it may be negated */
	int32_t hidden_zero_point;
	int32_t cell_bits;		/* integer ones of the cell state */
	int32_t cell_clip, projection_clip;	/* 0: none */
	/*
	 * (CML_LSTM_GATES, cells) of sums of inputs, as many of sums of the
	 * hidden_state state, (hidden_state) of the projection: where they begin.
	 */
	int32_t biases[];
};

/* Preparing --------------------------------------------------------------*/

static enum cml_status scale_of(struct cml_node *node, size_t index,
				float *scale)
{
	const struct cml_tensor *tensor = cml_node_input(node, index);
	enum cml_status status = cml_node_quantized(node, tensor);

	if (!status && tensor->zero_point)
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "zero point of weights or state is not 0");
	*scale = tensor->scale;

	return status;
}

static enum cml_status factor_of(struct cml_node *node, float real,
				 struct cml_factor *factor)
{
	if (!cml_quant_factor(real, factor))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "scales are too far apart");

	return CML_OK;
}

/* Of one gate, in float and double where the reference has them. */
static enum cml_status fill_gate(struct cml_node *node, struct lstm_s8 *self,
				 size_t gate)
{
	struct gate_factors *factors = &self->gates[gate];
	float input = cml_node_input(node, 0)->scale;
	float hidden_state = cml_node_input(node, CML_LSTM_IN_HIDDEN)->scale;
	int32_t peephole = cml_lstm_peephole(gate);
	float scale = 0;
	enum cml_status status = scale_of(node, CML_LSTM_IN_WEIGHTS + gate,
					  &scale);

	if (!status)
		status = factor_of(node, scale * input / GATE_SCALE,
				   &factors->input);
	if (!status)
		status = scale_of(node, CML_LSTM_IN_RECURRENT + gate, &scale);
	if (!status)
		status = factor_of(node, scale * hidden_state / GATE_SCALE,
				   &factors->hidden_state);
	if (status || peephole < 0 || !cml_node_input(node, peephole))
		return status;
	status = scale_of(node, peephole, &scale);
	if (!status)
		status = factor_of(node, (1 << self->cell_bits) * UNIT *
				   (double)scale / (double)GATE_SCALE,
				   &factors->peephole);

	return status;
}

/* Its scale is 2^-15 times a power of two, which tanh can take. */
static enum cml_status read_cell(struct cml_node *node, struct lstm_s8 *self)
{
	float scale = 0;
	enum cml_status status = scale_of(node, CML_LSTM_IN_CELL, &scale);

	if (status)
		return status;
	for (int32_t i = 0; i <= CML_FIXED16_MAX_BITS; i++) {
		float clip = self->lstm.cell_clip / scale;

		if ((double)scale != (1 << i) * UNIT)
			continue;
		self->cell_bits = i;
		self->cell_clip = clip < INT16_MAX ? (int32_t)clip : INT16_MAX;
		return CML_OK;
	}

	return cml_refuse(node, CML_MODEL_QUANTIZATION,
			  "scale of the cell state is not a power of two from "
			  "2^-15 to 2^-9");
}

static enum cml_status read_output(struct cml_node *node, struct lstm_s8 *self)
{
	const struct cml_tensor *hidden_state = cml_node_input(node,
							 CML_LSTM_IN_HIDDEN);
	const struct cml_tensor *output = cml_node_output(node, 0);
	const struct cml_tensor *side = cml_node_intermediate(node,
							      SIDE_OUTPUT);
	bool projection = cml_node_input(node, CML_LSTM_IN_PROJECTION);
	float scale = 0;
	float clip = 0;
	enum cml_status status = CML_OK;

	if (!side)
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "integer LSTM lacks its intermediate "
				  "tensors");
	status = cml_node_same_quantization(node, hidden_state, output);
	if (!status)
		status = cml_node_quantized(node, side);
	if (!status)
		status = factor_of(node, UNIT / (double)side->scale * UNIT,
				   &self->side);
	if (!status && projection)
		status = scale_of(node, CML_LSTM_IN_PROJECTION, &scale);
	if (!status && projection)
		status = factor_of(node, scale * side->scale / hidden_state->scale,
				   &self->projection);
	if (status)
		return status;
	self->side_zero_point = projection ? -side->zero_point :
				side->zero_point;
	self->hidden_zero_point = hidden_state->zero_point;
	clip = self->lstm.projection_clip / output->scale;
	self->projection_clip = clip < INT8_MAX ? (int32_t)clip : INT8_MAX;

	return CML_OK;
}

/* @begin: the bias, plus what @zero_point adds to each row of weights. */
static enum cml_status fill_biases(struct cml_node *node, size_t weights,
				   int32_t bias, int32_t zero_point,
				   int32_t *begin)
{
	const struct cml_tensor *tensor = cml_node_input(node, weights);
	const int32_t *biases = NULL;
	const int8_t *row = NULL;
	const void *data = NULL;
	enum cml_status status = cml_node_need_constant(node, weights, &data);

	if (status)
		return status;
	row = data;
	if (bias >= 0 && cml_node_input(node, bias)) {
		status = cml_node_need_constant(node, bias, &data);
		biases = data;
	}
	if (status)
		return status;
	for (int32_t i = 0; i < tensor->dims[0]; i++) {
		int32_t sum = biases ? biases[i] : 0;

		for (int32_t j = 0; j < tensor->dims[1]; j++)
			sum = cml_quant_add(sum, *row++ * zero_point);
		begin[i] = sum;
	}

	return CML_OK;
}

static enum cml_status fill_all_biases(struct cml_node *node,
				       struct lstm_s8 *self)
{
	const struct cml_tensor *hidden_state = cml_node_input(node,
							 CML_LSTM_IN_HIDDEN);
	int32_t input_zero_point = cml_node_input(node, 0)->zero_point;
	uint32_t cells = self->lstm.cells;
	int32_t *biases = self->biases;
	enum cml_status status = CML_OK;

	for (size_t i = 0; !status && i < CML_LSTM_GATES; i++, biases += cells)
		if (cml_node_input(node, CML_LSTM_IN_WEIGHTS + i))
			status = fill_biases(node, CML_LSTM_IN_WEIGHTS + i,
					     CML_LSTM_IN_BIAS + i,
					     -input_zero_point, biases);
	for (size_t i = 0; !status && i < CML_LSTM_GATES; i++, biases += cells)
		if (cml_node_input(node, CML_LSTM_IN_WEIGHTS + i))
			status = fill_biases(node, CML_LSTM_IN_RECURRENT + i,
					     -1, -hidden_state->zero_point, biases);
	/* The negated zero point was added, so it is added here too. */
	if (!status && cml_node_input(node, CML_LSTM_IN_PROJECTION))
		status = fill_biases(node, CML_LSTM_IN_PROJECTION,
				     CML_LSTM_IN_PROJECTION_BIAS,
				     -self->side_zero_point, biases);

	return status;
}

enum cml_status cml_lstm_s8_prepare(struct cml_node *node,
				    const struct cml_lstm *lstm)
{
	size_t count = (size_t)lstm->cells * CML_LSTM_GATES * 2 + lstm->hidden_state;
	struct lstm_s8 *self = NULL;
	void *params = NULL;
	enum cml_status status = cml_node_quantized(node,
						    cml_node_input(node, 0));

	if (!status)
		status = cml_node_params(node, sizeof(*self) +
					 count * sizeof(int32_t), &params);
	if (status)
		return status;
	self = params;
	self->lstm = *lstm;
	if (cml_node_input(node, CML_LSTM_IN_NORM + CML_LSTM_FORGET))
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "integer LSTM with layer normalisation is "
				  "not supported");
	/* There the reference takes one size for the other. */
	if (lstm->hidden_state != lstm->cells &&
	    cml_node_input(node, CML_LSTM_IN_PEEPHOLE + 2))
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_OP,
				  "integer LSTM with peephole and a projection "
				  "to another size is not supported");
	status = read_cell(node, self);
	if (!status)
		status = read_output(node, self);
	for (size_t i = 0; !status && i < CML_LSTM_GATES; i++)
		if (cml_node_input(node, CML_LSTM_IN_WEIGHTS + i))
			status = fill_gate(node, self, i);
	if (!status)
		status = fill_all_biases(node, self);
	/* Gates, and what is projected */
	node->scratch = lstm->cells * (CML_LSTM_GATES * sizeof(int16_t) + 1);

	return status;
}

/* Running ----------------------------------------------------------------*/

/* Everything about one element of the batch */
struct step {
	const struct cml_run *run;
	const struct cml_op *op;
	const struct lstm_s8 *self;
	const int8_t *input;
	int8_t *hidden_state, *side;
	int16_t *cell;
	int16_t *gates;		/* (CML_LSTM_GATES, cells) */
};

static int16_t saturate16(int32_t x)
{
	return x < INT16_MIN ? INT16_MIN : x > INT16_MAX ? INT16_MAX : x;
}

/* @bias plus the product of a row of weights and @values, scaled */
static int32_t product(const int8_t *weights, const int8_t *values,
		       uint32_t count, int32_t bias, struct cml_factor factor)
{
	int32_t sum = bias;

	for (uint32_t i = 0; i < count; i++)
		sum = cml_quant_add(sum, weights[i] * values[i]);

	return cml_quant_scale(sum, factor);
}

static void compute_gate(const struct step *step, size_t gate)
{
	const struct lstm_s8 *self = step->self;
	const struct cml_lstm *lstm = &self->lstm;
	const struct gate_factors *factors = &self->gates[gate];
	const int8_t *weights = cml_op_in(step->run, step->op,
					  CML_LSTM_IN_WEIGHTS + gate);
	const int8_t *recurrent = cml_op_in(step->run, step->op,
					    CML_LSTM_IN_RECURRENT + gate);
	int32_t index = cml_lstm_peephole(gate);
	const int16_t *peephole = index < 0 ? NULL :
				  cml_op_in(step->run, step->op, index);
	const int32_t *biases = self->biases + gate * lstm->cells;
	const int32_t *hidden_biases = biases + (size_t)lstm->cells *
				       CML_LSTM_GATES;
	int16_t *values = step->gates + gate * lstm->cells;

	for (size_t i = 0; i < lstm->cells; i++) {
		int32_t sum = saturate16(product(weights, step->input,
						 lstm->sequence.inputs,
						 biases[i], factors->input));

		sum = cml_quant_add(sum, product(recurrent, step->hidden_state,
						 lstm->hidden_state,
						 hidden_biases[i],
						 factors->hidden_state));
		sum = saturate16(sum);
		if (peephole) {
			int32_t more = cml_quant_scale(peephole[i] *
						       step->cell[i],
						       factors->peephole);

			sum = saturate16(cml_quant_add(sum, more));
		}
		values[i] = gate == CML_LSTM_UPDATE ?
			    cml_fixed16_tanh(sum, GATE_BITS) :
			    cml_fixed16_sigmoid(sum);
		weights += lstm->sequence.inputs;
		recurrent += lstm->hidden_state;
	}
}

static int32_t clip(int32_t value, int32_t limit)
{
	if (!limit)
		return value;

	return value > limit ? limit : value < -limit ? -limit : value;
}

static void update_cell(const struct step *step, bool input_gate)
{
	const struct lstm_s8 *self = step->self;
	uint32_t cells = self->lstm.cells;
	const int16_t *gates = step->gates;
	const int16_t *forget = gates + (size_t)CML_LSTM_FORGET * cells;
	const int16_t *update = gates + (size_t)CML_LSTM_UPDATE * cells;

	for (uint32_t i = 0; i < cells; i++) {
		int32_t share = input_gate ? gates[i] : ONE - forget[i];
		int32_t kept = cml_quant_shift_right(forget[i] * step->cell[i],
						     15);

		share = cml_quant_shift_right(share * update[i],
					      15 + self->cell_bits);
		step->cell[i] = clip(saturate16(kept + share),
				     self->cell_clip);
	}
}

static void update_hidden(const struct step *step)
{
	const struct lstm_s8 *self = step->self;
	const struct cml_lstm *lstm = &self->lstm;
	const int16_t *gate = step->gates +
			      (size_t)CML_LSTM_OUTPUT * lstm->cells;
	const int8_t *projection = cml_op_in(step->run, step->op,
					     CML_LSTM_IN_PROJECTION);
	const int32_t *biases = self->biases +
				(size_t)lstm->cells * CML_LSTM_GATES * 2;
	int8_t *side = projection ? step->side : step->hidden_state;

	for (uint32_t i = 0; i < lstm->cells; i++) {
		int32_t value = gate[i] * cml_fixed16_tanh(step->cell[i],
							   self->cell_bits);

		value = cml_quant_add(cml_quant_scale(value, self->side),
				      self->side_zero_point);
		side[i] = cml_quant_clamp(value, INT8_MIN, INT8_MAX);
	}
	for (uint32_t i = 0; projection && i < lstm->hidden_state; i++) {
		int32_t value = product(projection, side, lstm->cells,
					biases[i], self->projection);

		value = cml_quant_add(value, self->hidden_zero_point);
		value = cml_quant_clamp(value, INT8_MIN, INT8_MAX);
		step->hidden_state[i] = clip(value, self->projection_clip);
		projection += lstm->cells;
	}
}

static void compute_step(const struct step *step)
{
	bool input_gate = cml_op_input(step->run, step->op,
				       CML_LSTM_IN_WEIGHTS);

	for (size_t i = input_gate ? CML_LSTM_INPUT : CML_LSTM_FORGET;
	     i < CML_LSTM_GATES; i++) {
		/* The output gate sees the cell as it is by then. */
		if (i == CML_LSTM_OUTPUT)
			update_cell(step, input_gate);
		compute_gate(step, i);
	}
	update_hidden(step);
}

void cml_lstm_s8_run(const struct cml_run *run, const struct cml_op *op,
		     uint32_t tile)
{
	const struct lstm_s8 *self = cml_op_params(run, op);
	const struct cml_lstm *lstm = &self->lstm;
	const struct cml_sequence *sequence = &lstm->sequence;
	struct cml_range batch = cml_tile(op, tile, sequence->batch);
	size_t gates_size = lstm->cells * CML_LSTM_GATES * sizeof(int16_t);
	const int8_t *input = cml_op_in(run, op, 0);
	int8_t *hidden_state = (int8_t *)cml_op_in(run, op, CML_LSTM_IN_HIDDEN);
	int16_t *cell = (int16_t *)cml_op_in(run, op, CML_LSTM_IN_CELL);
	int8_t *output = cml_op_out(run, op, 0);

	for (size_t b = batch.begin; b < batch.end; b++) {
		struct step step = {
			.run = run,
			.op = op,
			.self = self,
			.hidden_state = hidden_state + b * lstm->hidden_state,
			.cell = cell + b * lstm->cells,
			.gates = (int16_t *)run->scratch,
			.side = (int8_t *)run->scratch + gates_size,
		};

		/* Zero, as the state's own scale has it */
		memset(step.hidden_state, self->hidden_zero_point, lstm->hidden_state);
		memset(step.cell, 0, lstm->cells * sizeof(*step.cell));
		for (size_t t = 0; t < sequence->time; t++) {
			size_t row = cml_sequence_row(sequence, b, t);

			step.input = input + row * sequence->inputs;
			compute_step(&step);
			memcpy(output + row * lstm->hidden_state, step.hidden_state,
			       lstm->hidden_state);
		}
	}
}
