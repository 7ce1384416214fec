// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "nn/fixed_point.h"
#include "activation.h"
#include "softmax.h"

enum { SOFTMAX_BETA = 0 };

/* Of 512 pieces, and the end of the last */
#define TABLE_SIZE	513
/* Of 16-bit elements, so that sums of exponentials fit in 32 bits */
#define MAX_DEPTH_S16	65536

struct softmax_s16 {
	struct cml_factor factor;	/* 10 / 65535 is the unit */
	int16_t exp[TABLE_SIZE];	/* of -10 to 0 */
	int16_t inverse[TABLE_SIZE];	/* 1 / (1 + x) of 0 to 1 */
};

struct softmax {
	uint32_t depth, rows;
	float beta;
	uint8_t flip;		/* makes elements signed: 0, or 0x80 */
	union {
		int32_t exp[256];	/* Q0, by how far below the maximum */
		struct softmax_s16 s16;
	};
};

/* 8-bit ----------------------------------------------------------------- */

static enum cml_status prepare_bytes(struct cml_node *node,
				     struct softmax *softmax)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	struct cml_softmax_scale scale = { 0 };

	softmax->flip = input->type == CML_TFLITE_UINT8 ? 0x80 : 0;
	if (!cml_softmax_scale((double)softmax->beta * input->scale, &scale))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "beta times the input's scale is 2^-26 or "
				  "less");
	for (int32_t i = 0; i < 256; i++)
		softmax->exp[i] = cml_softmax_exp(&scale, -i);

	return CML_OK;
}

static void bytes_row(const struct softmax *softmax, const uint8_t *in,
		      uint8_t *out)
{
	uint8_t flip = softmax->flip;
	int8_t max = cml_softmax_max(in, softmax->depth, flip);
	int32_t inverse = 0, over_one = 0, shift = 0;
	int64_t sum = 0;

	for (uint32_t i = 0; i < softmax->depth; i++) {
		int32_t e = softmax->exp[max - (int8_t)(in[i] ^ flip)];

		sum += cml_quant_shift_right(e, 12);
	}
	if (sum > INT32_MAX)
		sum = INT32_MAX;
	inverse = cml_fixed_reciprocal(sum, &over_one);
	/* To units of 1/256; beyond 31 none is as much as half of one. */
	shift = over_one + 31 - 8;

	for (uint32_t i = 0; i < softmax->depth; i++) {
		int32_t e = softmax->exp[max - (int8_t)(in[i] ^ flip)];
		int32_t y = INT8_MIN;

		if (shift <= 31)
			y += cml_quant_shift_right(
				cml_quant_mul_high(inverse, e), shift);
		out[i] = (uint8_t)cml_quant_clamp(y, INT8_MIN, INT8_MAX) ^ flip;
	}
}

/* 16-bit ---------------------------------------------------------------- */

static double exp_of(double x)
{
	return exp(x);
}

static double inverse_of_one_plus(double x)
{
	return 1.0 / (1.0 + x);
}

/*
 * Each piece begins where the function does, less half of what a straight line
 * would be off in its middle. Outputs are in units of 2^-15, from -1 to 1.
 */
static void fill_table(int16_t *table, double (*function)(double),
		       double unit, int32_t zero_point)
{
	double min = unit * (INT16_MIN - zero_point);
	double max = unit * (INT16_MAX - zero_point);
	double step = (max - min) / (TABLE_SIZE - 1);
	double out_unit = 2.0 / 65535;
	double inverse = 65536.0 / (out_unit * INT16_MAX -
				    out_unit * INT16_MIN);

	for (int32_t i = 0; i < TABLE_SIZE; i++) {
		double x = min + i * step;
		double y = round((i < TABLE_SIZE - 1 ? function(x) :
				  function(max)) * inverse);

		if (i < TABLE_SIZE - 1) {
			double next = function(min + (i + 1) * step) * inverse;
			double middle = function(x + step / 2) * inverse;

			y -= round((round((next + y) / 2) - round(middle)) / 2);
		}
		table[i] = y < INT16_MIN ? INT16_MIN :
			   y > INT16_MAX ? INT16_MAX : y;
	}
}

static int16_t look_up(const int16_t *table, int32_t x)
{
	const int16_t *base = NULL;

	x = x < INT16_MIN ? INT16_MIN : x > INT16_MAX ? INT16_MAX : x;
	base = table + 256 + (x >> 7);

	return base[0] + (((base[1] - base[0]) * (x & 0x7f) + 64) >> 7);
}

static enum cml_status prepare_s16(struct cml_node *node,
				   struct softmax *softmax)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	float scale = input->scale * softmax->beta;
	struct softmax_s16 *s16 = &softmax->s16;

	if (input->rank > 4 || softmax->depth > MAX_DEPTH_S16)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "softmax of 16-bit elements has more than 4 "
				  "axes, or more than 65536 elements along the "
				  "last");
	/* Also false for NaN */
	if (!(scale > 0) ||
	    !cml_quant_factor(scale / (10.0 / 65535.0), &s16->factor))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "beta times the input's scale is out of "
				  "range");
	fill_table(s16->exp, exp_of, 10.0 / 65535, INT16_MAX);
	fill_table(s16->inverse, inverse_of_one_plus, 1.0 / 65535, INT16_MIN);

	return CML_OK;
}

static void s16_row(const struct softmax *softmax, const int16_t *in,
		    int16_t *out)
{
	const struct softmax_s16 *s16 = &softmax->s16;
	int32_t zeros = 0, inverse = 0, shift = 0;
	int16_t max = INT16_MIN;
	int32_t sum = 0;

	for (uint32_t i = 0; i < softmax->depth; i++)
		if (in[i] > max)
			max = in[i];
	for (uint32_t i = 0; i < softmax->depth; i++) {
		int32_t x = cml_quant_scale(in[i] - max, s16->factor);

		out[i] = look_up(s16->exp, cml_quant_add(x, INT16_MAX));
		sum += out[i];
	}
	/* At least 2^14, as the greatest element's exponential is near 2^15 */
	zeros = __builtin_clz(sum);
	/* As 1 + x, x in units of 2^-16 from -2^15 on */
	inverse = (((int64_t)sum << (zeros - 1)) + (1 << 13)) >> 14;
	inverse = look_up(s16->inverse, inverse - (1 << 15) - (1 << 16));
	shift = 31 - zeros;
	for (uint32_t i = 0; i < softmax->depth; i++) {
		int32_t y = ((int64_t)out[i] * inverse +
			     (1 << (shift - 1))) >> shift;

		out[i] = y < 0 ? 0 : y > INT16_MAX ? INT16_MAX : y;
	}
}

/* All ------------------------------------------------------------------- */

static void f32_row(const struct softmax *softmax, const float *in, float *out)
{
	float max = -__FLT_MAX__;
	float sum = 0;

	for (uint32_t i = 0; i < softmax->depth; i++)
		if (in[i] > max)
			max = in[i];
	for (uint32_t i = 0; i < softmax->depth; i++) {
		out[i] = expf((in[i] - max) * softmax->beta);
		sum += out[i];
	}
	for (uint32_t i = 0; i < softmax->depth; i++)
		out[i] /= sum;
}

/* Results are in units of 1 / (256 or 32768), within a thousandth of that. */
static enum cml_status check_output(struct cml_node *node)
{
	const struct cml_tensor *output = cml_node_output(node, 0);
	bool wide = output->type == CML_TFLITE_INT16;
	float unit = wide ? 1.0f / 32768 : 1.0f / 256;
	int32_t zero_point = output->type == CML_TFLITE_INT8 ? INT8_MIN : 0;

	if (output->type != CML_TFLITE_FLOAT32 &&
	    (output->zero_point != zero_point ||
	     fabsf(output->scale - unit) > 0.001f * unit))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "output's scale and zero point do not span 0 "
				  "to 1");

	return CML_OK;
}

static enum cml_status prepare(struct cml_node *node)
{
	uint32_t type = cml_node_input(node, 0)->type;
	enum cml_status status = cml_activation_check(node);
	struct softmax *softmax = NULL;
	void *params = NULL;

	if (!status)
		status = check_output(node);
	if (!status)
		status = cml_node_params(node, sizeof(*softmax), &params);
	if (status)
		return status;
	softmax = params;
	softmax->beta = cml_activation_option(node, SOFTMAX_BETA);
	status = cml_activation_rows(node, &softmax->depth, &softmax->rows);
	if (!status && cml_is_byte(type))
		status = prepare_bytes(node, softmax);
	else if (!status && type == CML_TFLITE_INT16)
		status = prepare_s16(node, softmax);
	if (status)
		return status;
	cml_node_in_place(node, 0);
	cml_node_tiles(node, softmax->rows, 16ull * softmax->depth);

	return CML_OK;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct softmax *softmax = cml_op_params(run, op);
	struct cml_range rows = cml_tile(op, tile, softmax->rows);
	uint32_t type = cml_op_input(run, op, 0)->type;
	const void *input = cml_op_in(run, op, 0);
	void *output = cml_op_out(run, op, 0);

	for (uint32_t row = rows.begin; row < rows.end; row++) {
		size_t at = (size_t)row * softmax->depth;

		if (type == CML_TFLITE_FLOAT32)
			f32_row(softmax, (const float *)input + at,
				(float *)output + at);
		else if (type == CML_TFLITE_INT16)
			s16_row(softmax, (const int16_t *)input + at,
				(int16_t *)output + at);
		else
			bytes_row(softmax, (const uint8_t *)input + at,
				  (uint8_t *)output + at);
	}
}

const struct cml_op_type cml_op_softmax = {
	.name = "SOFTMAX",
	.builtin_code = CML_OP_SOFTMAX,
	.options_type = 9,
	.max_version = 4,
	.types = CML_S8 | CML_S16 | CML_F32 | CML_U8,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.notes = "Along the last axis; the output is of the input's type.",
	.prepare = prepare,
	.run = run,
};
