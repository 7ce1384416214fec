// SPDX-License-Identifier: Apache-2.0
/* Sums of all elements so far along an axis, from either end. */
#include <stddef.h>

#include "arguments.h"

enum { CUMSUM_EXCLUSIVE, CUMSUM_REVERSE };
enum { INPUT, AXIS };

#define TYPES	(CML_F32 | CML_S32 | CML_S64)

struct params {
	struct cml_axis axis;
	bool exclusive;		/* a sum does not have its own element */
	bool reverse;		/* from the end */
};

static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, INPUT);
	const struct cml_tensor *output = cml_node_output(node, 0);
	struct cml_fb_table options = node->tflite.options;
	enum cml_status status = cml_argument_types(node, input, TYPES);
	struct params *kept = NULL;
	void *params = NULL;
	uint32_t axis = 0;

	if (!status)
		status = cml_node_type(node, output, input->type);
	if (!status)
		status = cml_node_shape(node, output, input->rank, input->dims);
	if (!status)
		status = cml_argument_axis(node, AXIS, input->rank, &axis);
	if (!status)
		status = cml_node_params(node, sizeof(*kept), &params);
	if (status)
		return status;
	kept = params;
	kept->axis = cml_axis_of(input, axis);
	kept->exclusive = cml_fb_u8(node->fb, options, CUMSUM_EXCLUSIVE, 0);
	kept->reverse = cml_fb_u8(node->fb, options, CUMSUM_REVERSE, 0);
	cml_node_tiles(node, kept->axis.outer * kept->axis.inner,
		       kept->axis.size);

	return CML_OK;
}

/* Integers wrap, so their sums are taken unsigned. */
#define DEFINE_SUM(name, type) \
static void name(const void *input, void *output, size_t first, \
		 ptrdiff_t step, const struct params *params) \
{ \
	const type *in = (const type *)input + first; \
	type *out = (type *)output + first; \
	type sum = 0; \
\
	for (ptrdiff_t i = 0; i < (ptrdiff_t)params->axis.size; i++) { \
		type before = sum; \
\
		sum += in[i * step]; \
		out[i * step] = params->exclusive ? before : sum; \
	} \
}

DEFINE_SUM(sum_f32, float)
DEFINE_SUM(sum_32, uint32_t)
DEFINE_SUM(sum_64, uint64_t)

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct params *params = cml_op_params(run, op);
	const struct cml_axis *axis = &params->axis;
	struct cml_range lines = cml_tile(op, tile, axis->outer * axis->inner);
	uint32_t type = cml_op_input(run, op, INPUT)->type;
	const void *input = cml_op_in(run, op, INPUT);
	void *output = cml_op_out(run, op, 0);
	ptrdiff_t step = axis->inner;

	if (params->reverse)
		step = -step;
	for (uint32_t line = lines.begin; line < lines.end; line++) {
		size_t first = (size_t)(line / axis->inner) * axis->size *
			       axis->inner + line % axis->inner;

		if (params->reverse)
			first += (size_t)(axis->size - 1) * axis->inner;
		if (type == CML_TFLITE_FLOAT32)
			sum_f32(input, output, first, step, params);
		else if (type == CML_TFLITE_INT32)
			sum_32(input, output, first, step, params);
		else
			sum_64(input, output, first, step, params);
	}
}

const struct cml_op_type cml_op_cumsum = {
	.name = "CUMSUM",
	.builtin_code = CML_OP_CUMSUM,
	.options_type = 102,
	.max_version = 1,
	.types = TYPES,
	.min_inputs = 2, .max_inputs = 2,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "The axis is a constant.",
	.prepare = prepare,
	.run = run,
};
