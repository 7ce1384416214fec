// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "elements.h"
#include "lookup.h"

/* NaN, which is an infinity less another, is clamped like an infinity. */
static float clamp(float x, float min, float max)
{
	return x < min ? min : x < max ? x : max;
}

static void fill_bytes(const struct cml_tensor *input,
		       const struct cml_tensor *output,
		       cml_lookup_function *function, uint8_t *bytes)
{
	float inverse = 1 / output->scale;
	int64_t min = 0;
	int64_t max = 0;

	cml_elements_limits(input->type, &min, &max);
	for (int32_t x = min; x <= max; x++) {
		float real = input->scale * (float)(x - input->zero_point);
		float scaled = roundf(function(output, real) * inverse);

		scaled += (float)output->zero_point;
		bytes[(uint8_t)x] = (int32_t)clamp(scaled, min, max);
	}
}

/*
 * Points of the curve are moved by half of the error that a straight line has
 * in the middle of its step.
 */
static void fill_curve(const struct cml_tensor *input,
		       const struct cml_tensor *output,
		       cml_lookup_function *function, int16_t *curve)
{
	float low = input->scale * (float)(INT16_MIN - input->zero_point);
	float high = input->scale * (float)(INT16_MAX - input->zero_point);
	float out_low = output->scale *
			(float)(INT16_MIN - output->zero_point);
	float out_high = output->scale *
			 (float)(INT16_MAX - output->zero_point);
	float step = (high - low) / CML_LOOKUP_STEPS;
	float inverse = 65536.0f / (out_high - out_low);

	for (int i = 0; i < CML_LOOKUP_STEPS; i++) {
		float x = low + i * step;
		float here = function(output, x);
		float middle = function(output, x + step / 2);
		float next = function(output, low + (i + 1) * step);
		float point = roundf(here * inverse);
		float line = roundf((next * inverse + point) / 2);
		float error = line - roundf(middle * inverse);

		curve[i] = clamp(point - roundf(error / 2), INT16_MIN,
				 INT16_MAX);
	}
	curve[CML_LOOKUP_STEPS] = clamp(roundf(function(output, high) *
					       inverse),
					INT16_MIN, INT16_MAX);
}

enum cml_status cml_lookup_prepare(struct cml_node *node,
				   cml_lookup_function *function,
				   struct cml_lookup **lookup)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	struct cml_lookup *made = NULL;
	void *params = NULL;
	enum cml_status status = cml_node_params(node, sizeof(*made), &params);

	*lookup = NULL;
	if (status)
		return status;
	made = params;
	if (function && input->type == CML_TFLITE_INT16)
		fill_curve(input, output, function, made->curve);
	else if (function)
		fill_bytes(input, output, function, made->bytes);
	*lookup = made;

	return CML_OK;
}

void cml_lookup_bytes(const struct cml_lookup *lookup,
		      struct cml_unary_span span)
{
	for (size_t i = 0; i < span.count; i++)
		span.out[i] = lookup->bytes[span.in[i]];
}

/* The upper 9 bits find a point, the lower 7 are the way to the next. */
static int16_t curve_at(const int16_t *curve, int16_t x)
{
	int32_t index = (x >> 7) + CML_LOOKUP_STEPS / 2;
	/* Wraps, as the reference does. */
	int16_t slope = curve[index + 1] - curve[index];

	return curve[index] + ((slope * (x & 0x7f) + 64) >> 7);
}

void cml_lookup_s16(const struct cml_lookup *lookup, struct cml_unary_span span)
{
	const int16_t *in = (const int16_t *)span.in;
	int16_t *out = (int16_t *)span.out;

	for (size_t i = 0; i < span.count; i++)
		out[i] = curve_at(lookup->curve, in[i]);
}
