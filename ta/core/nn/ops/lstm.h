// SPDX-License-Identifier: Apache-2.0
/* What LSTMs of float32 and of int8 have in common. */
#ifndef CML_LSTM_H
#define CML_LSTM_H

#include "recurrent.h"

/* Gates, in the order of the inputs */
enum { CML_LSTM_INPUT, CML_LSTM_FORGET, CML_LSTM_UPDATE, CML_LSTM_OUTPUT,
       CML_LSTM_GATES };

/* First inputs of each kind: one a gate, but the peephole has no update */
enum { CML_LSTM_IN_WEIGHTS = 1, CML_LSTM_IN_RECURRENT = 5,
       CML_LSTM_IN_PEEPHOLE = 9, CML_LSTM_IN_BIAS = 12,
       CML_LSTM_IN_PROJECTION = 16, CML_LSTM_IN_PROJECTION_BIAS = 17,
       CML_LSTM_IN_HIDDEN = 18, CML_LSTM_IN_CELL = 19, CML_LSTM_IN_NORM = 20 };

#define CML_LSTM_INPUTS	24

struct cml_lstm {
	struct cml_sequence sequence;
	uint32_t cells, hidden_state;		/* hidden_state: of the state h */
	uint32_t activation;
	float cell_clip, projection_clip;	/* 0: none */
};

/* Input of the gate's peephole; -1: the update has none. */
static inline int32_t cml_lstm_peephole(size_t gate)
{
	static const int8_t inputs[] = {
		[CML_LSTM_INPUT] = 9, [CML_LSTM_FORGET] = 10,
		[CML_LSTM_UPDATE] = -1, [CML_LSTM_OUTPUT] = 11,
	};

	return inputs[gate];
}

/* Fills @lstm; types and shapes are right for float32, or for int8. */
enum cml_status cml_lstm_check(struct cml_node *node, struct cml_lstm *lstm);

/* The int8 kind: @lstm is checked but for what is quantised (lstm_s8.c). */
enum cml_status cml_lstm_s8_prepare(struct cml_node *node,
				    const struct cml_lstm *lstm);
void cml_lstm_s8_run(const struct cml_run *run, const struct cml_op *op,
		     uint32_t tile);

#endif /* CML_LSTM_H */
