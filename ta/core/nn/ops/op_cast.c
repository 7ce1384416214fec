// SPDX-License-Identifier: Apache-2.0
/* From any type to any other; quantisation does not matter. */
#include "elements.h"
#include "unary.h"

#define COST	8

static bool known(uint32_t type)
{
	return cml_tflite_type_size(type) && type != CML_TFLITE_FLOAT16;
}

static enum cml_status prepare(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);

	if (!cml_tflite_type_size(input->type) || !known(output->type))
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "no conversion between these types");

	return cml_unary_prepare(node, output->type, COST);
}

/* Towards 0, clamped; NaN is the greatest number. BOOL: anything but 0. */
static void from_floats(const float *from, size_t count, uint32_t type,
			int64_t *to)
{
	int64_t min = 0;
	int64_t max = 0;

	cml_elements_limits(type, &min, &max);
	for (size_t i = 0; i < count; i++) {
		if (type == CML_TFLITE_BOOL)
			to[i] = from[i] != 0;
		else if (from[i] < (float)min)
			to[i] = min;
		/* The greatest number may be rounded up to a power of two. */
		else if (from[i] < (float)max)
			to[i] = from[i];
		else
			to[i] = max;
	}
}

static void cast_floats(const float *in, size_t count, uint32_t type,
			void *out)
{
	int64_t numbers[CML_ELEMENTS];

	if (type == CML_TFLITE_FLOAT32) {
		for (size_t i = 0; i < count; i++)
			((float *)out)[i] = in[i];
		return;
	}
	from_floats(in, count, type, numbers);
	cml_elements_store(type, out, count, numbers);
}

static void cast_integers(const int64_t *in, size_t count, uint32_t type,
			  void *out)
{
	if (type != CML_TFLITE_FLOAT32) {
		cml_elements_store(type, out, count, in);
		return;
	}
	for (size_t i = 0; i < count; i++)
		((float *)out)[i] = in[i];
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	uint32_t from = cml_op_input(run, op, 0)->type;
	uint32_t to = cml_op_output(run, op, 0)->type;
	struct cml_unary_span span = cml_unary_span(run, op, tile);
	int64_t numbers[CML_ELEMENTS];
	float floats[CML_ELEMENTS];

	for (size_t at = 0; at < span.count; at += CML_ELEMENTS) {
		const uint8_t *in = span.in + at * cml_tflite_type_size(from);
		uint8_t *out = span.out + at * cml_tflite_type_size(to);
		size_t rest = span.count - at;
		size_t count = rest < CML_ELEMENTS ? rest : CML_ELEMENTS;

		if (from == CML_TFLITE_FLOAT16) {
			cml_elements_load_f16(in, count, floats);
			cast_floats(floats, count, to, out);
		} else if (from == CML_TFLITE_FLOAT32) {
			cast_floats((const float *)in, count, to, out);
		} else {
			cml_elements_load(from, in, count, numbers);
			cast_integers(numbers, count, to, out);
		}
	}
}

const struct cml_op_type cml_op_cast = {
	.name = "CAST",
	.builtin_code = CML_OP_CAST,
	.options_type = 37,
	.max_version = 9,
	.types = CML_S8 | CML_S16 | CML_F32 | CML_S32 | CML_S64 | CML_U8 |
		 CML_BOOL,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "float16 constants too. Floats are clamped to the range of "
		 "an integer.",
	.prepare = prepare,
	.run = run,
};
