// SPDX-License-Identifier: Apache-2.0
/* Numbers from a start towards a limit, in steps; all three are constants. */
#include <math.h>

#include "arguments.h"

enum { RANGE_START, RANGE_LIMIT, RANGE_DELTA, RANGE_INPUTS };

/* In the terms of start and limit: the way from one to the other. */
static bool leads_there(bool up, bool down, bool forwards, bool backwards)
{
	return (!down && forwards) || (!up && backwards);
}

/* How many; 0: none, or the step never leads from start to limit. */
static uint64_t count_integers(const int64_t *of)
{
	uint64_t start = of[RANGE_START], limit = of[RANGE_LIMIT];
	uint64_t step = of[RANGE_DELTA];
	uint64_t span = limit - start;

	if (!leads_there(of[RANGE_START] < of[RANGE_LIMIT],
			 of[RANGE_START] > of[RANGE_LIMIT],
			 of[RANGE_DELTA] > 0, of[RANGE_DELTA] < 0))
		return 0;
	if (of[RANGE_DELTA] < 0) {
		span = -span;
		step = -step;
	}

	return span / step + !!(span % step);
}

/* The same in float, as the reference has it; NaN or infinite at worst. */
static float count_floats(const float *of)
{
	if (!leads_there(of[RANGE_START] < of[RANGE_LIMIT],
			 of[RANGE_START] > of[RANGE_LIMIT],
			 of[RANGE_DELTA] > 0, of[RANGE_DELTA] < 0))
		return 0;

	return ceilf(fabsf((of[RANGE_LIMIT] - of[RANGE_START]) /
			   of[RANGE_DELTA]));
}

static enum cml_status open_shape(struct cml_node *node, int32_t count)
{
	return cml_node_open_shape(node, cml_node_output(node, 0), 1, &count);
}

static enum cml_status check_float(struct cml_node *node, bool *right)
{
	float of[RANGE_INPUTS] = { 0 };
	enum cml_status status = CML_OK;

	for (size_t i = 0; i < RANGE_INPUTS; i++) {
		const void *data = NULL;

		status = cml_node_need_constant(node, i, &data);
		if (status)
			return status;
		of[i] = *(const float *)data;
	}
	/* False for NaN */
	if (count_floats(of) <= CML_TFLITE_MAX_DIM)
		status = open_shape(node, count_floats(of));
	/* The right side is at most 2^24, thus exact. */
	*right = count_floats(of) == (float)cml_node_output(node, 0)->count;

	return status;
}

static enum cml_status check_integers(struct cml_node *node, bool *right)
{
	int64_t of[RANGE_INPUTS] = { 0 };
	enum cml_status status = CML_OK;

	for (size_t i = 0; !status && i < RANGE_INPUTS; i++)
		status = cml_argument_integers(node, i, 1, INT64_MIN,
					       INT64_MAX, &of[i]);
	if (!status && count_integers(of) <= CML_TFLITE_MAX_DIM)
		status = open_shape(node, count_integers(of));
	*right = !status &&
		 count_integers(of) == cml_node_output(node, 0)->count;

	return status;
}

static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = cml_argument_types(node, output, CML_F32 |
						    CML_S32 | CML_S64);
	bool right = false;

	for (size_t i = 0; !status && i < RANGE_INPUTS; i++) {
		status = cml_node_type(node, cml_node_input(node, i),
				       output->type);
		if (!status && cml_node_input(node, i)->rank)
			return cml_refuse(node, CML_MODEL_SHAPE,
					  "end or step of a range is not a "
					  "scalar");
	}
	if (status)
		return status;
	status = output->type == CML_TFLITE_FLOAT32 ?
		 check_float(node, &right) : check_integers(node, &right);
	if (!status && (!right || output->rank != 1))
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "output does not have as many elements as "
				  "the range");

	return status;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct cml_tensor *tensor = cml_op_output(run, op, 0);
	const void *start = cml_op_in(run, op, RANGE_START);
	const void *delta = cml_op_in(run, op, RANGE_DELTA);
	void *output = cml_op_out(run, op, 0);

	(void)tile;
	if (tensor->type == CML_TFLITE_FLOAT32) {
		/* Sums, not products: rounded as the reference rounds. */
		float value = *(const float *)start;

		for (uint32_t i = 0; i < tensor->count; i++) {
			((float *)output)[i] = value;
			value += *(const float *)delta;
		}
	} else if (tensor->type == CML_TFLITE_INT32) {
		for (uint32_t i = 0; i < tensor->count; i++)
			((uint32_t *)output)[i] = *(const uint32_t *)start +
						  i * *(const uint32_t *)delta;
	} else {
		for (uint32_t i = 0; i < tensor->count; i++)
			((uint64_t *)output)[i] = *(const uint64_t *)start +
						  i * *(const uint64_t *)delta;
	}
}

const struct cml_op_type cml_op_range = {
	.name = "RANGE",
	.builtin_code = CML_OP_RANGE,
	.options_type = 73,
	.max_version = 2,
	.types = CML_F32 | CML_S32 | CML_S64,
	.min_inputs = RANGE_INPUTS, .max_inputs = RANGE_INPUTS,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "Of constants only.",
	.prepare = prepare,
	.run = run,
};
