// SPDX-License-Identifier: Apache-2.0
/*
 * Elements of the second input where the first is true, else of the third: as
 * they are, of whatever quantisation. SELECT takes a condition for each
 * element, each outermost slice, or all; SELECT_V2 broadcasts all three.
 */
#include "broadcast.h"

#define ELEMENT_COST	16

enum { CONDITION, CHOSEN, OTHERWISE, INPUTS };

#define SELECT_KERNEL(name, type)					\
static void name(const uint32_t *step, const uint8_t *condition,	\
		 const void *chosen, const void *otherwise, void *out,	\
		 size_t count)						\
{									\
	const type *a = chosen;						\
	const type *b = otherwise;					\
	type *output = out;						\
									\
	for (size_t i = 0; i < count; i++)				\
		output[i] = condition[i * step[CONDITION]] ?		\
			    a[i * step[CHOSEN]] :			\
			    b[i * step[OTHERWISE]];			\
}

SELECT_KERNEL(select_8, uint8_t)
SELECT_KERNEL(select_16, uint16_t)
SELECT_KERNEL(select_32, uint32_t)
SELECT_KERNEL(select_64, uint64_t)

/* A condition of rank 1 is one for each slice of @x. */
static enum cml_status by_slices(struct cml_node *node,
				 const struct cml_tensor *condition,
				 const struct cml_tensor *x,
				 struct cml_broadcast *shape)
{
	uint32_t slices = condition->count;
	uint32_t inner = slices ? x->count / slices : 0;

	if (condition->rank > 1 || x->rank < condition->rank ||
	    (condition->rank && x->dims[0] != condition->dims[0]))
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "condition is neither a scalar, nor of the "
				  "outermost dimension, nor of all");
	*shape = (struct cml_broadcast){
		.rank = 1,
		.inner = inner,
		.count = x->count,
		.dims = { slices },
		.stride = { { 1 }, { inner }, { inner } },
		.step = { 0, 1, 1 },
	};

	return CML_OK;
}

static enum cml_status prepare_shape(struct cml_node *node,
				     struct cml_broadcast *shape)
{
	const struct cml_tensor *condition = cml_node_input(node, CONDITION);
	const struct cml_tensor *x = cml_node_input(node, CHOSEN);
	const struct cml_tensor *y = cml_node_input(node, OTHERWISE);
	enum cml_status status = CML_INTERNAL;

	if (node->tflite.builtin_code == CML_OP_SELECT_V2 ||
	    (cml_same_shape(condition, x) && cml_same_shape(x, y)))
		return cml_broadcast_prepare(node, INPUTS, shape);
	if (!cml_same_shape(x, y))
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "inputs to select from differ in shape");
	status = cml_node_shape(node, cml_node_output(node, 0), x->rank,
				x->dims);

	return status ? status : by_slices(node, condition, x, shape);
}

static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *x = cml_node_input(node, CHOSEN);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = CML_INTERNAL;
	void *params = NULL;

	status = cml_node_type(node, cml_node_input(node, CONDITION),
			       CML_TFLITE_BOOL);
	if (!status)
		status = cml_node_type(node, cml_node_input(node, OTHERWISE),
				       x->type);
	if (!status)
		status = cml_node_type(node, output, x->type);
	if (!status && (!cml_tflite_type_size(x->type) ||
			x->type == CML_TFLITE_FLOAT16))
		status = cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				    "operator is not supported for this type");
	if (!status)
		status = cml_node_params(node, sizeof(struct cml_broadcast),
					 &params);
	if (!status)
		status = prepare_shape(node, params);
	if (!status)
		cml_node_tiles(node, output->count, ELEMENT_COST);

	return status;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct cml_broadcast *shape = cml_op_params(run, op);
	size_t size = cml_tflite_type_size(cml_op_output(run, op, 0)->type);
	struct cml_range rest = cml_tile(op, tile, shape->count);
	const uint8_t *condition = cml_op_in(run, op, CONDITION);
	const uint8_t *x = cml_op_in(run, op, CHOSEN);
	const uint8_t *y = cml_op_in(run, op, OTHERWISE);
	uint8_t *output = cml_op_out(run, op, 0);
	struct cml_segment part = { 0 };

	while (cml_broadcast_next(shape, &rest, &part)) {
		const uint8_t *test = condition + part.in[CONDITION];
		const uint8_t *chosen = x + part.in[CHOSEN] * size;
		const uint8_t *otherwise = y + part.in[OTHERWISE] * size;
		uint8_t *out = output + part.out * size;

		switch (size) {
		case 1:
			select_8(shape->step, test, chosen, otherwise, out,
				 part.count);
			break;
		case 2:
			select_16(shape->step, test, chosen, otherwise, out,
				  part.count);
			break;
		case 4:
			select_32(shape->step, test, chosen, otherwise, out,
				  part.count);
			break;
		case 8:
			select_64(shape->step, test, chosen, otherwise, out,
				  part.count);
			break;
		}
	}
}

#define SELECT(lower, upper, options, version)				\
const struct cml_op_type cml_op_ ## lower = {				\
	.name = #upper,							\
	.builtin_code = CML_OP_ ## upper,				\
	.options_type = options,					\
	.max_version = version,						\
	.types = CML_BOOL,						\
	.min_inputs = INPUTS, .max_inputs = INPUTS,			\
	.min_outputs = 1, .max_outputs = 1,				\
	.notes = "The other inputs are of any one type.",		\
	.prepare = prepare,						\
	.run = run,							\
};

SELECT(select, SELECT, 47, 4)
SELECT(select_v2, SELECT_V2, 98, 2)
