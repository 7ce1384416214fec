// SPDX-License-Identifier: Apache-2.0
/* Functions of one element, in a table of operators and types. */
#include <math.h>

#include "elements.h"
#include "inverse_sqrt.h"
#include "lookup.h"
#include "rescale.h"

/* Costs of an element */
enum { CHEAP = 8, DEAR = 64 };

typedef void loop(const struct cml_run *run, const struct cml_op *op,
		  struct cml_unary_span span);

struct kernel {
	int32_t builtin_code;
	uint8_t type;
	uint8_t cost;
	loop *loop;
	/* Of a quantised one; others are floats, plain integers or BOOL. */
	enum cml_status (*prepare)(struct cml_node *node);
};

/* Of what has no quantisation --------------------------------------------*/

#define LOOP(name, c_type, expression) \
	static void name(const struct cml_run *run, const struct cml_op *op, \
			 struct cml_unary_span span) \
	{ \
		const c_type *in = (const c_type *)span.in; \
		c_type *out = (c_type *)span.out; \
		\
		(void)run; \
		(void)op; \
		for (size_t i = 0; i < span.count; i++) { \
			c_type x = in[i]; \
			\
			out[i] = (expression); \
		} \
	}

LOOP(abs_f32, float, fabsf(x))
LOOP(neg_f32, float, -x)
LOOP(square_f32, float, x * x)
LOOP(sqrt_f32, float, sqrtf(x))
LOOP(rsqrt_f32, float, 1 / sqrtf(x))
LOOP(exp_f32, float, expf(x))
LOOP(log_f32, float, logf(x))
LOOP(sin_f32, float, sinf(x))
LOOP(cos_f32, float, cosf(x))
LOOP(floor_f32, float, floorf(x))
LOOP(ceil_f32, float, ceilf(x))
/* Halves to even */
LOOP(round_f32, float, rintf(x))
/* NaN stays NaN. */
LOOP(sign_f32, float, x > 0 ? 1 : x < 0 ? -1 : x == 0 ? 0 : x)
/* The least number stays as it is. */
LOOP(abs_s32, int32_t, (int32_t)(x < 0 ? 0 - (uint32_t)x : (uint32_t)x))
LOOP(neg_s32, int32_t, (int32_t)(0 - (uint32_t)x))
LOOP(neg_s64, int64_t, (int64_t)(0 - (uint64_t)x))
LOOP(sign_s32, int32_t, (x > 0) - (x < 0))
/* A constant may hold bytes that no bool has. */
LOOP(not_bool, uint8_t, !x)
/* Zero points are 0. */
LOOP(neg_s8, int8_t, (int8_t)-x)
LOOP(neg_s16, int16_t, (int16_t)-x)

/* Quantised --------------------------------------------------------------*/

static void run_rescale(const struct cml_run *run, const struct cml_op *op,
			struct cml_unary_span span)
{
	cml_rescale_run(cml_op_params(run, op), span);
}

static void run_bytes(const struct cml_run *run, const struct cml_op *op,
		      struct cml_unary_span span)
{
	cml_lookup_bytes(cml_op_params(run, op), span);
}

static void run_curve(const struct cml_run *run, const struct cml_op *op,
		      struct cml_unary_span span)
{
	cml_lookup_s16(cml_op_params(run, op), span);
}

static enum cml_status prepare_abs(struct cml_node *node)
{
	enum cml_status status = cml_unary_quantized(node);
	struct cml_rescale *rescale = NULL;

	/* A quotient of floats, as in the reference */
	if (!status)
		status = cml_rescale_prepare(node,
					     cml_node_input(node, 0)->scale /
					     cml_node_output(node, 0)->scale,
					     &rescale);
	if (status)
		return status;
	rescale->absolute = true;
	cml_rescale_finish(rescale);

	return CML_OK;
}

/* The reference negates numbers, whatever they stand for. */
static enum cml_status prepare_neg(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = cml_node_same_quantization(node, input,
							    output);

	if (!status && input->zero_point)
		status = cml_refuse(node, CML_MODEL_QUANTIZATION,
				    "zero point of what is negated is not 0");

	return status;
}

/* The reference has no result for negative numbers; here they count as 0. */
static void sqrt_quantized(const struct cml_run *run, const struct cml_op *op,
			   struct cml_unary_span span)
{
	const struct cml_tensor *input = cml_op_input(run, op, 0);
	const struct cml_tensor *output = cml_op_output(run, op, 0);
	size_t size = cml_tflite_type_size(input->type);
	int64_t numbers[CML_ELEMENTS];
	int64_t min = 0;
	int64_t max = 0;

	cml_elements_limits(output->type, &min, &max);
	for (size_t at = 0; at < span.count; at += CML_ELEMENTS) {
		size_t rest = span.count - at;
		size_t count = rest < CML_ELEMENTS ? rest : CML_ELEMENTS;

		cml_elements_load(input->type, span.in + at * size, count,
				  numbers);
		for (size_t i = 0; i < count; i++) {
			float x = input->scale *
				  (float)(numbers[i] - input->zero_point);
			float root = sqrtf(x > 0 ? x : 0) / output->scale;
			/* Towards 0; not below the zero point */
			int64_t y = root < 65536 ? root : 65536;

			y += output->zero_point;
			numbers[i] = y > max ? max : y;
		}
		cml_elements_store(output->type, span.out + at * size, count,
				   numbers);
	}
}

/* Bits that 1 / sqrt() of an integer has after the point */
#define RSQRT_BITS	20

/* The reference has no result for negative numbers; here they count as 0. */
static void fill_rsqrt(const struct cml_tensor *input,
		       const struct cml_tensor *output,
		       struct cml_factor factor, uint8_t *bytes)
{
	for (int32_t number = INT8_MIN; number <= INT8_MAX; number++) {
		int32_t x = number - input->zero_point;
		struct cml_factor root = { 0 };
		int32_t y = INT8_MAX;

		if (x > 0) {
			root = cml_inverse_sqrt(x);
			root.shift += RSQRT_BITS;
			y = cml_quant_scale(cml_quant_scale(1, root), factor);
			y = cml_quant_add(y, output->zero_point);
		}
		bytes[(uint8_t)number] = cml_quant_clamp(y, INT8_MIN,
							 INT8_MAX);
	}
}

static enum cml_status prepare_rsqrt_s8(struct cml_node *node)
{
	const struct cml_tensor *input = cml_node_input(node, 0);
	const struct cml_tensor *output = cml_node_output(node, 0);
	enum cml_status status = cml_unary_quantized(node);
	struct cml_lookup *lookup = NULL;
	struct cml_factor factor = { 0 };
	double scale = 0;

	if (!status)
		status = cml_lookup_prepare(node, NULL, &lookup);
	if (status)
		return status;
	/* The root and the product in float, as in the reference */
	scale = 1.0 / (sqrtf(input->scale) * output->scale);
	if (!(scale <= (double)__FLT_MAX__) ||
	    !cml_quant_factor(scale, &factor) ||
	    factor.shift - RSQRT_BITS < CML_QUANT_MIN_SHIFT)
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "scales of input and output are too far "
				  "apart");
	factor.shift -= RSQRT_BITS;
	fill_rsqrt(input, output, factor, lookup->bytes);

	return CML_OK;
}

static float real_rsqrt(const struct cml_tensor *output, float x)
{
	return x <= 0 ? INT16_MAX * output->scale : 1 / sqrtf(x);
}

static float real_exp(const struct cml_tensor *output, float x)
{
	(void)output;

	return expf(x);
}

static float real_log(const struct cml_tensor *output, float x)
{
	int32_t min = output->type == CML_TFLITE_INT16 ? INT16_MIN : INT8_MIN;

	return x <= 0 ? (float)(min - output->zero_point) * output->scale :
			logf(x);
}

static enum cml_status prepare_real(struct cml_node *node,
				    cml_lookup_function *function)
{
	enum cml_status status = cml_unary_quantized(node);
	struct cml_lookup *lookup = NULL;

	return status ? status : cml_lookup_prepare(node, function, &lookup);
}

static enum cml_status prepare_rsqrt_s16(struct cml_node *node)
{
	return prepare_real(node, real_rsqrt);
}

static enum cml_status prepare_exp(struct cml_node *node)
{
	return prepare_real(node, real_exp);
}

static enum cml_status prepare_log(struct cml_node *node)
{
	return prepare_real(node, real_log);
}

/* All of them ------------------------------------------------------------*/

#define PLAIN(code, type, cost, loop) \
	{ CML_OP_ ## code, CML_TFLITE_ ## type, cost, loop, NULL }
#define QUANTIZED(code, type, cost, loop, prepare) \
	{ CML_OP_ ## code, CML_TFLITE_ ## type, cost, loop, prepare }

static const struct kernel kernels[] = {
	PLAIN(ABS, FLOAT32, CHEAP, abs_f32),
	PLAIN(ABS, INT32, CHEAP, abs_s32),
	QUANTIZED(ABS, INT8, CHEAP, run_rescale, prepare_abs),
	QUANTIZED(ABS, INT16, DEAR, run_rescale, prepare_abs),
	PLAIN(NEG, FLOAT32, CHEAP, neg_f32),
	PLAIN(NEG, INT32, CHEAP, neg_s32),
	PLAIN(NEG, INT64, CHEAP, neg_s64),
	QUANTIZED(NEG, INT8, CHEAP, neg_s8, prepare_neg),
	QUANTIZED(NEG, INT16, CHEAP, neg_s16, prepare_neg),
	PLAIN(SQUARE, FLOAT32, CHEAP, square_f32),
	PLAIN(SQRT, FLOAT32, CHEAP, sqrt_f32),
	QUANTIZED(SQRT, INT8, DEAR, sqrt_quantized, cml_unary_quantized),
	QUANTIZED(SQRT, INT16, DEAR, sqrt_quantized, cml_unary_quantized),
	PLAIN(RSQRT, FLOAT32, CHEAP, rsqrt_f32),
	QUANTIZED(RSQRT, INT8, CHEAP, run_bytes, prepare_rsqrt_s8),
	QUANTIZED(RSQRT, INT16, CHEAP, run_curve, prepare_rsqrt_s16),
	PLAIN(EXP, FLOAT32, DEAR, exp_f32),
	QUANTIZED(EXP, INT8, CHEAP, run_bytes, prepare_exp),
	QUANTIZED(EXP, INT16, CHEAP, run_curve, prepare_exp),
	PLAIN(LOG, FLOAT32, DEAR, log_f32),
	QUANTIZED(LOG, INT8, CHEAP, run_bytes, prepare_log),
	QUANTIZED(LOG, INT16, CHEAP, run_curve, prepare_log),
	PLAIN(SIN, FLOAT32, DEAR, sin_f32),
	PLAIN(COS, FLOAT32, DEAR, cos_f32),
	PLAIN(FLOOR, FLOAT32, CHEAP, floor_f32),
	PLAIN(CEIL, FLOAT32, CHEAP, ceil_f32),
	PLAIN(ROUND, FLOAT32, CHEAP, round_f32),
	PLAIN(SIGN, FLOAT32, CHEAP, sign_f32),
	PLAIN(SIGN, INT32, CHEAP, sign_s32),
	PLAIN(LOGICAL_NOT, BOOL, CHEAP, not_bool),
};

static enum cml_status prepare(struct cml_node *node)
{
	uint32_t type = cml_node_input(node, 0)->type;
	enum cml_status status = CML_INTERNAL;
	size_t i = 0;

	while (i < sizeof(kernels) / sizeof(kernels[0]) &&
	       (kernels[i].builtin_code != node->tflite.builtin_code ||
		kernels[i].type != type))
		i++;
	if (i == sizeof(kernels) / sizeof(kernels[0]))
		return cml_refuse(node, CML_MODEL_UNSUPPORTED_TYPE,
				  "operator does not have this type");
	node->op->kernel = i;
	status = cml_unary_prepare(node, type, kernels[i].cost);
	if (!status && kernels[i].prepare)
		status = kernels[i].prepare(node);

	return status;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	kernels[op->kernel].loop(run, op, cml_unary_span(run, op, tile));
}

#define ELEMENTWISE(symbol, code, options, version, first_types, text) \
	const struct cml_op_type symbol = { \
		.name = #code, \
		.builtin_code = CML_OP_ ## code, \
		.options_type = options, \
		.max_version = version, \
		.types = first_types, \
		.min_inputs = 1, .max_inputs = 1, \
		.min_outputs = 1, .max_outputs = 1, \
		.notes = text, \
		.prepare = prepare, \
		.run = run, \
	}

#define REAL	(CML_F32 | CML_S8 | CML_S16)
#define NOT_NEGATIVE \
	"Quantised negative numbers count as 0, where LiteRT fails."

ELEMENTWISE(cml_op_abs, ABS, 78, 5, REAL | CML_S32, NULL);
ELEMENTWISE(cml_op_neg, NEG, 42, 1, REAL | CML_S32 | CML_S64,
	    "Quantised with zero points of 0 and equal scales only.");
ELEMENTWISE(cml_op_square, SQUARE, 66, 1, CML_F32, NULL);
ELEMENTWISE(cml_op_sqrt, SQRT, 0, 2, REAL, NOT_NEGATIVE);
ELEMENTWISE(cml_op_rsqrt, RSQRT, 0, 3, REAL, NOT_NEGATIVE);
ELEMENTWISE(cml_op_exp, EXP, 33, 2, REAL, NULL);
ELEMENTWISE(cml_op_log, LOG, 0, 2, REAL, NULL);
ELEMENTWISE(cml_op_sin, SIN, 0, 2, CML_F32, NULL);
ELEMENTWISE(cml_op_cos, COS, 84, 2, CML_F32, NULL);
ELEMENTWISE(cml_op_floor, FLOOR, 0, 1, CML_F32, NULL);
ELEMENTWISE(cml_op_ceil, CEIL, 0, 1, CML_F32, NULL);
ELEMENTWISE(cml_op_round, ROUND, 0, 1, CML_F32, NULL);
ELEMENTWISE(cml_op_sign, SIGN, 123, 2, CML_F32 | CML_S32, NULL);
ELEMENTWISE(cml_op_logical_not, LOGICAL_NOT, 63, 1, CML_BOOL, NULL);
