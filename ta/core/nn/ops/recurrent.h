// SPDX-License-Identifier: Apache-2.0
/*
 * What operators with a state have in common. Their state is memory of the
 * arena that belongs to the operator, from its variable inputs: it is cleared
 * at the start of every run, so nothing is kept between requests.
 *
 * Sequences are of (time, batch, values) or (batch, time, values). The batch
 * is what tiles divide: each element has a state of its own.
 */
#ifndef CML_RECURRENT_H
#define CML_RECURRENT_H

#include "nn/op.h"

#define CML_RECURRENT_NOTES \
	"state begins as zeros in every run; no int8 weights with float32 " \
	"activations"

struct cml_sequence {
	uint32_t batch, time;
	uint32_t inputs;	/* values of a step */
	bool time_major;
};

/* Sizes of input 0, which is float32 of rank 3. */
enum cml_status cml_sequence_prepare(struct cml_node *node, bool time_major,
				     struct cml_sequence *sequence);

/* Of all rows of (time, batch) or (batch, time), the one of a step. */
static inline size_t cml_sequence_row(const struct cml_sequence *sequence,
				      size_t batch, size_t time)
{
	return sequence->time_major ? time * sequence->batch + batch :
	       batch * sequence->time + time;
}

/* The output is as the input, but of @values a step. */
enum cml_status cml_sequence_output(struct cml_node *node, uint32_t values);

/* Input @index is there, of @type, of @rank, @dims[0] and perhaps @dims[1]. */
enum cml_status cml_recurrent_input(struct cml_node *node, size_t index,
				    uint32_t type, uint32_t rank,
				    const int32_t *dims);
/* Input @index is a state of @count elements; others are none. */
enum cml_status cml_recurrent_state(struct cml_node *node, size_t index,
				    uint32_t type, uint64_t count);

/* Activations fused in float: all of the schema's but SIGN_BIT. */
bool cml_recurrent_has_activation(uint32_t activation);
float cml_recurrent_activate(uint32_t activation, float value);
float cml_recurrent_sigmoid(float value);

/* @sum[i] += (row i of @weights) * @values; (rows, columns) */
void cml_recurrent_multiply(const float *weights, const float *values,
			    uint32_t rows, uint32_t columns, float *sum);

#endif /* CML_RECURRENT_H */
