// SPDX-License-Identifier: Apache-2.0
/* ARG_MAX and ARG_MIN: where along an axis the first of the extremes is. */
#include "arguments.h"

enum { OUTPUT_TYPE = 0 };
enum { INPUT, AXIS };

static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, INPUT);
	const struct cml_tensor *output = cml_node_output(node, 0);
	int32_t dims[CML_MAX_RANK] = { 0 };
	enum cml_status status = cml_argument_types(node, input, CML_S8 |
						    CML_U8 | CML_S32 | CML_F32 |
						    CML_BOOL);
	struct cml_axis *split = NULL;
	void *params = NULL;
	uint32_t axis = 0, rank = 0;

	if (!status)
		status = cml_argument_output_type(node, OUTPUT_TYPE);
	if (!status)
		status = cml_argument_axis(node, AXIS, input->rank, &axis);
	if (status)
		return status;
	for (uint32_t i = 0; i < input->rank; i++)
		if (i != axis)
			dims[rank++] = input->dims[i];
	status = cml_node_shape(node, output, rank, dims);
	if (!status && !input->count)
		status = cml_refuse(node, CML_MODEL_SHAPE,
				    "no elements to find an extreme among");
	if (!status)
		status = cml_node_params(node, sizeof(*split), &params);
	if (status)
		return status;
	split = params;
	*split = cml_axis_of(input, axis);
	node->macs = input->count;
	cml_node_tiles(node, output->count, split->size);

	return CML_OK;
}

/*
 * The first of @count that none exceeds; NaN exceeds and is exceeded never.
 * (The reference does not agree with itself about NaN.)
 */
#define DEFINE_FIND(name, type) \
static uint32_t name(const void *data, size_t begin, uint32_t count, \
		     size_t stride, bool least) \
{ \
	const type *x = (const type *)data + begin; \
	uint32_t found = 0; \
	type best = x[0]; \
\
	for (uint32_t i = 1; i < count; i++) { \
		type next = x[i * stride]; \
\
		if (least ? next < best : next > best) { \
			best = next; \
			found = i; \
		} \
	} \
\
	return found; \
}

DEFINE_FIND(find_s8, int8_t)
DEFINE_FIND(find_u8, uint8_t)
DEFINE_FIND(find_s32, int32_t)
DEFINE_FIND(find_f32, float)

static uint32_t find(const struct cml_tensor *tensor, const void *data,
		     size_t begin, const struct cml_axis *axis, bool least)
{
	switch (tensor->type) {
	case CML_TFLITE_INT8:
		return find_s8(data, begin, axis->size, axis->inner, least);
	case CML_TFLITE_INT32:
		return find_s32(data, begin, axis->size, axis->inner, least);
	case CML_TFLITE_FLOAT32:
		return find_f32(data, begin, axis->size, axis->inner, least);
	default:
		return find_u8(data, begin, axis->size, axis->inner, least);
	}
}

static void find_all(const struct cml_run *run, const struct cml_op *op,
		     uint32_t tile, bool least)
{
	const struct cml_tensor *input = cml_op_input(run, op, INPUT);
	const struct cml_tensor *output = cml_op_output(run, op, 0);
	const struct cml_axis *axis = cml_op_params(run, op);
	struct cml_range range = cml_tile(op, tile, output->count);
	void *places = cml_op_out(run, op, 0);

	for (uint32_t i = range.begin; i < range.end; i++) {
		size_t begin = (size_t)(i / axis->inner) * axis->size *
			       axis->inner + i % axis->inner;
		uint32_t place = find(input, cml_op_in(run, op, INPUT), begin,
				      axis, least);

		if (output->type == CML_TFLITE_INT64)
			((int64_t *)places)[i] = place;
		else
			((int32_t *)places)[i] = place;
	}
}

static void arg_max_run(const struct cml_run *run, const struct cml_op *op,
			uint32_t tile)
{
	find_all(run, op, tile, false);
}

static void arg_min_run(const struct cml_run *run, const struct cml_op *op,
			uint32_t tile)
{
	find_all(run, op, tile, true);
}

const struct cml_op_type cml_op_arg_max = {
	.name = "ARG_MAX",
	.builtin_code = CML_OP_ARG_MAX,
	.options_type = 40,
	.max_version = 3,
	.types = CML_S8 | CML_U8 | CML_S32 | CML_F32 | CML_BOOL,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "The axis is a constant.",
	.prepare = prepare,
	.run = arg_max_run,
};

const struct cml_op_type cml_op_arg_min = {
	.name = "ARG_MIN",
	.builtin_code = CML_OP_ARG_MIN,
	.options_type = 57,
	.max_version = 3,
	.types = CML_S8 | CML_U8 | CML_S32 | CML_F32 | CML_BOOL,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "The axis is a constant.",
	.prepare = prepare,
	.run = arg_min_run,
};
