// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "activation.h"

enum { GELU_APPROXIMATE = 0 };

/* 1 - erf(x) of x from -1.5 to 1.5: the series, up to x^39 */
static double erfc_near_0(double x)
{
	/* -1 to the n, over n! * (2 * n + 1) */
	static const double terms[] = {
		1.0, -1.0 / 3, 1.0 / 10, -1.0 / 42, 1.0 / 216, -1.0 / 1320,
		1.0 / 9360, -1.0 / 75600, 1.0 / 685440, -1.0 / 6894720,
		1.0 / 76204800, -1.0 / 918086400, 1.0 / 11975040000,
		-1.0 / 168129561600, 1.0 / 2528170444800,
		-1.0 / 40537905408000, 1.0 / 690452066304000,
		-1.0 / 12449059983360000, 1.0 / 236887827111936000,
		-1.0 / 4744158915944448000,
	};
	const double factor = 1.1283791670955126;	/* 2 / sqrt(pi) */
	double sum = 0;

	for (size_t i = sizeof(terms) / sizeof(terms[0]); i-- > 0;)
		sum = sum * x * x + terms[i];

	return 1 - factor * x * sum;
}

/*
 * erfc(), right to 8 digits or more: musl has erff(), but 1 + erff() of a
 * negative number loses them.
 */
static double erfc_of(double x)
{
	const double factor = 0.5641895835477563;	/* 1 / sqrt(pi) */
	double z = x < 0 ? -x : x;
	double above = 0;

	if (z <= 1.5)
		return erfc_near_0(x);
	/* 1 / (z + 1/2 / (z + 2/2 / (z + 3/2 / ...))) from the inside out */
	for (int32_t i = 32; i > 0; i--)
		above = 0.5 * i / (z + above);
	above = factor * exp(-z * z) / (z + above);

	return x < 0 ? 2 - above : above;
}

static float gelu(float x, float parameter)
{
	const float minus_sqrt_half = -0.70710678118654752440f;

	(void)parameter;

	return 0.5f * x * (float)erfc_of(x * minus_sqrt_half);
}

static float gelu_approximate(float x, float parameter)
{
	const float sqrt_2_over_pi = 0.79788456080286535588f;
	float inner = sqrt_2_over_pi * (x + 0.044715f * x * x * x);

	(void)parameter;

	return 0.5f * x * (1.0f + (float)tanh((double)inner));
}

static cml_real_function *const functions[] = { gelu, gelu_approximate };

static enum cml_status prepare(struct cml_node *node)
{
	void *params = NULL;
	enum cml_status status =
		cml_activation_prepare(node, sizeof(struct cml_activation), 64,
				       &params);

	if (status)
		return status;
	node->op->kernel = cml_fb_u8(node->fb, node->tflite.options,
				     GELU_APPROXIMATE, 0) != 0;
	cml_activation_real_table(node, functions[node->op->kernel], params);

	return CML_OK;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	cml_activation_run(run, op, tile, functions[op->kernel]);
}

const struct cml_op_type cml_op_gelu = {
	.name = "GELU",
	.builtin_code = CML_OP_GELU,
	.options_type = 116,
	.max_version = 3,
	.types = CML_S8 | CML_F32 | CML_U8,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.prepare = prepare,
	.run = run,
};
