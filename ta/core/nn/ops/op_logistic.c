// SPDX-License-Identifier: Apache-2.0
/* LOGISTIC and TANH, which share a table for 16-bit elements. */
#include <math.h>

#include "activation.h"

/*
 * TFLite's logistic(i / 24) in units of 2^-16, as its results show it: up to 2
 * units above what is exact. tanh(x) is 2 * logistic(2 * x) - 1.
 */
static const uint16_t logistic_table[256] = {
	32768, 33451, 34133, 34813, 35493, 36169, 36843, 37513, 38180, 38841,
	39498, 40149, 40794, 41432, 42064, 42688, 43304, 43912, 44511, 45102,
	45683, 46255, 46817, 47369, 47911, 48443, 48964, 49475, 49975, 50464,
	50942, 51409, 51865, 52311, 52745, 53169, 53581, 53983, 54374, 54755,
	55125, 55485, 55834, 56174, 56503, 56823, 57133, 57433, 57724, 58007,
	58280, 58544, 58800, 59048, 59288, 59519, 59743, 59959, 60168, 60370,
	60565, 60753, 60935, 61110, 61279, 61441, 61599, 61750, 61896, 62036,
	62172, 62302, 62428, 62549, 62666, 62778, 62886, 62990, 63090, 63186,
	63279, 63368, 63454, 63536, 63615, 63691, 63765, 63835, 63903, 63968,
	64030, 64090, 64148, 64204, 64257, 64308, 64357, 64405, 64450, 64494,
	64536, 64576, 64614, 64652, 64687, 64721, 64754, 64786, 64816, 64845,
	64873, 64900, 64926, 64950, 64974, 64997, 65019, 65039, 65060, 65079,
	65097, 65115, 65132, 65149, 65164, 65179, 65194, 65208, 65221, 65234,
	65246, 65258, 65269, 65280, 65291, 65301, 65310, 65319, 65328, 65337,
	65345, 65352, 65360, 65367, 65374, 65381, 65387, 65393, 65399, 65404,
	65410, 65415, 65420, 65425, 65429, 65433, 65438, 65442, 65445, 65449,
	65453, 65456, 65459, 65462, 65465, 65468, 65471, 65474, 65476, 65479,
	65481, 65483, 65485, 65488, 65489, 65491, 65493, 65495, 65497, 65498,
	65500, 65501, 65503, 65504, 65505, 65507, 65508, 65509, 65510, 65511,
	65512, 65513, 65514, 65515, 65516, 65517, 65517, 65518, 65519, 65520,
	65520, 65521, 65522, 65522, 65523, 65523, 65524, 65524, 65525, 65525,
	65526, 65526, 65526, 65527, 65527, 65528, 65528, 65528, 65529, 65529,
	65529, 65529, 65530, 65530, 65530, 65530, 65531, 65531, 65531, 65531,
	65531, 65532, 65532, 65532, 65532, 65532, 65532, 65533, 65533, 65533,
	65533, 65533, 65533, 65533, 65533, 65534, 65534, 65534, 65534, 65534,
	65534, 65534, 65534, 65534, 65534, 65535,
};

struct logistic {
	struct cml_activation common;
	/* 16-bit elements times this, shifted right: units of 1 / (3 * 2^12) */
	int32_t multiplier, shift;
};

static float logistic(float x, float parameter)
{
	(void)parameter;

	return 1.0f / (1.0f + expf(-x));
}

/* By double, so that it does not depend on whose tanhf() it is. */
static float tanh_of(float x, float parameter)
{
	(void)parameter;

	return tanh((double)x);
}

/* True: @x is a power of two, or as near as TFLite wants it. */
static bool log2_of(float x, int32_t *log2)
{
	const float log_2 = 0.693147182f;
	float exact = logf(x) * (1.0f / log_2);
	float rounded = roundf(exact);

	*log2 = rounded;

	return fabsf(exact - rounded) < 1e-3f;
}

/* @most: by how much more than 2^-12 the scale may be a power of two. */
static enum cml_status prepare_s16(struct cml_node *node,
				   struct logistic *logistic, int32_t most)
{
	float scale = cml_node_input(node, 0)->scale;
	double multiplier = scale * 4096.0 * 3.0;
	int32_t log2 = 0;

	if (log2_of(scale, &log2) && log2 >= -12 && log2 <= -12 + most) {
		logistic->multiplier = 3 << (log2 + 12);
		return CML_OK;
	}
	for (; multiplier <= 32767.0 / 2 && logistic->shift <= 30;
	     logistic->shift++)
		multiplier *= 2;
	if (!(multiplier >= 1 && multiplier < 65536))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "input's scale is out of range");
	logistic->multiplier = multiplier;

	return CML_OK;
}

/* At most 2^31 - 2^15: a product with a shift is below 2^30. */
static int32_t rescale(const struct logistic *logistic, int16_t x)
{
	int32_t half = logistic->shift ? 1 << (logistic->shift - 1) : 0;

	return (x * logistic->multiplier + half) >> logistic->shift;
}

/* logistic(|x|) in units of 2^-16 and @bits more; @x in 1/24 and @bits more */
static int32_t interpolate(int32_t x, uint32_t bits, uint32_t limit)
{
	uint32_t magnitude = x < 0 ? -x : x;
	uint32_t i = magnitude >> bits;
	uint32_t part = magnitude & ((1u << bits) - 1);

	if (i >= 255)
		return limit;

	return ((uint32_t)logistic_table[i] << bits) +
	       part * (logistic_table[i + 1] - logistic_table[i]);
}

static void logistic_s16(const struct logistic *logistic, const int16_t *in,
			 int16_t *out, struct cml_range range)
{
	for (uint32_t i = range.begin; i < range.end; i++) {
		int32_t x = rescale(logistic, in[i]);
		int32_t y = interpolate(x, 9, 0x7fff << 10);

		if (x < 0)
			y = (1 << 25) - y - 1;
		out[i] = (y + (1 << 9)) >> 10;
	}
}

static void tanh_s16(const struct logistic *logistic, const int16_t *in,
		     int16_t *out, struct cml_range range)
{
	for (uint32_t i = range.begin; i < range.end; i++) {
		int32_t x = rescale(logistic, in[i]);
		int32_t y = interpolate(x, 8, 0xffff << 8) - (1 << 23);

		if (x < 0)
			y = -y - 1;
		out[i] = (y + (1 << 7)) >> 8;
	}
}

static enum cml_status check_logistic(struct cml_node *node)
{
	const struct cml_tensor *output = cml_node_output(node, 0);
	bool wide = output->type == CML_TFLITE_INT16;

	if (output->type != CML_TFLITE_FLOAT32 &&
	    output->scale != (wide ? 1.0f / 32768 : 1.0f / 256))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "output's scale does not span 0 to 1");

	return CML_OK;
}

static enum cml_status check_tanh(struct cml_node *node)
{
	const struct cml_tensor *output = cml_node_output(node, 0);
	int32_t log2 = 0;

	if (output->type == CML_TFLITE_INT16 &&
	    !(log2_of(output->scale, &log2) && log2 == -15))
		return cml_refuse(node, CML_MODEL_QUANTIZATION,
				  "output's scale does not span -1 to 1");

	return CML_OK;
}

static enum cml_status prepare_either(struct cml_node *node,
				      cml_real_function *function, int32_t most)
{
	struct logistic *logistic = NULL;
	void *params = NULL;
	enum cml_status status = cml_activation_prepare(node, sizeof(*logistic),
							32, &params);

	if (status)
		return status;
	logistic = params;
	cml_activation_real_table(node, function, &logistic->common);
	if (cml_node_input(node, 0)->type == CML_TFLITE_INT16)
		status = prepare_s16(node, logistic, most);

	return status;
}

static enum cml_status prepare_logistic(struct cml_node *node)
{
	enum cml_status status = prepare_either(node, logistic, 0);

	return status ? status : check_logistic(node);
}

static enum cml_status prepare_tanh(struct cml_node *node)
{
	enum cml_status status = prepare_either(node, tanh_of, 1);

	return status ? status : check_tanh(node);
}

static void run_logistic(const struct cml_run *run, const struct cml_op *op,
			 uint32_t tile)
{
	const struct cml_tensor *input = cml_op_input(run, op, 0);

	if (input->type == CML_TFLITE_INT16)
		logistic_s16(cml_op_params(run, op), cml_op_in(run, op, 0),
			     cml_op_out(run, op, 0),
			     cml_tile(op, tile, input->count));
	else
		cml_activation_run(run, op, tile, logistic);
}

static void run_tanh(const struct cml_run *run, const struct cml_op *op,
		     uint32_t tile)
{
	const struct cml_tensor *input = cml_op_input(run, op, 0);

	if (input->type == CML_TFLITE_INT16)
		tanh_s16(cml_op_params(run, op), cml_op_in(run, op, 0),
			 cml_op_out(run, op, 0),
			 cml_tile(op, tile, input->count));
	else
		cml_activation_run(run, op, tile, tanh_of);
}

const struct cml_op_type cml_op_logistic = {
	.name = "LOGISTIC",
	.builtin_code = CML_OP_LOGISTIC,
	.max_version = 3,
	.types = CML_S8 | CML_S16 | CML_F32 | CML_U8,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.prepare = prepare_logistic,
	.run = run_logistic,
};

const struct cml_op_type cml_op_tanh = {
	.name = "TANH",
	.builtin_code = CML_OP_TANH,
	.max_version = 3,
	.types = CML_S8 | CML_S16 | CML_F32 | CML_U8,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.prepare = prepare_tanh,
	.run = run_tanh,
};
