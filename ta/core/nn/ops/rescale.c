// SPDX-License-Identifier: Apache-2.0
#include "elements.h"
#include "rescale.h"

static int32_t rescale_one(const struct cml_rescale *rescale, int64_t value)
{
	/* A type of 32 bits has no zero point: no overflow. */
	int32_t x = value - rescale->input_zero_point;

	if (rescale->absolute && x < 0)
		x = -x;
	x = cml_quant_scale(x, rescale->factor);
	x = cml_quant_add(x, rescale->output_zero_point);

	return x < rescale->min ? rescale->min :
	       x > rescale->max ? rescale->max : x;
}

static void rescale_all(const struct cml_rescale *rescale,
			struct cml_unary_span span)
{
	size_t in_size = cml_tflite_type_size(rescale->input_type);
	size_t out_size = cml_tflite_type_size(rescale->output_type);
	int64_t numbers[CML_ELEMENTS];

	for (size_t at = 0; at < span.count; at += CML_ELEMENTS) {
		size_t rest = span.count - at;
		size_t count = rest < CML_ELEMENTS ? rest : CML_ELEMENTS;

		cml_elements_load(rescale->input_type, span.in + at * in_size,
				  count, numbers);
		for (size_t i = 0; i < count; i++)
			numbers[i] = rescale_one(rescale, numbers[i]);
		cml_elements_store(rescale->output_type,
				   span.out + at * out_size, count, numbers);
	}
}

enum cml_status cml_rescale_prepare(struct cml_node *node, double factor,
				    struct cml_rescale **rescale)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = CML_INTERNAL;
	struct cml_rescale *made = NULL;
	void *params = NULL;
	int64_t min = 0;
	int64_t max = 0;

	*rescale = NULL;
	status = cml_node_params(node, sizeof(*made), &params);
	if (status)
		return status;
	made = params;
	/* It is not negative; a quotient of floats may be 0 or infinite. */
	if (!(factor <= (double)__FLT_MAX__) ||
	    !cml_quant_factor(factor, &made->factor))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "scales of input and output are too far "
				  "apart");
	cml_elements_limits(output->type, &min, &max);
	made->min = min;
	made->max = max;
	made->input_zero_point = input->zero_point;
	made->output_zero_point = output->zero_point;
	made->input_type = input->type;
	made->output_type = output->type;
	*rescale = made;

	return CML_OK;
}

void cml_rescale_finish(struct cml_rescale *rescale)
{
	struct cml_unary_span all = {
		.in = rescale->table,
		.out = rescale->table,
		.count = sizeof(rescale->table),
	};

	if (cml_tflite_type_size(rescale->input_type) != 1 ||
	    cml_tflite_type_size(rescale->output_type) != 1)
		return;
	for (size_t i = 0; i < sizeof(rescale->table); i++)
		rescale->table[i] = i;
	rescale_all(rescale, all);
	rescale->tabulated = true;
}

void cml_rescale_run(const struct cml_rescale *rescale,
		     struct cml_unary_span span)
{
	if (!rescale->tabulated) {
		rescale_all(rescale, span);
		return;
	}
	for (size_t i = 0; i < span.count; i++)
		span.out[i] = rescale->table[span.in[i]];
}
