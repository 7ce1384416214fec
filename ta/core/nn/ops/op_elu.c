// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "activation.h"

static float elu(float x, float parameter)
{
	(void)parameter;

	return x < 0 ? expm1f(x) : x;
}

static enum cml_status prepare(struct cml_node *node)
{
	void *params = NULL;
	enum cml_status status =
		cml_activation_prepare(node, sizeof(struct cml_activation), 32,
				       &params);

	if (!status)
		cml_activation_real_table(node, elu, params);

	return status;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	cml_activation_run(run, op, tile, elu);
}

const struct cml_op_type cml_op_elu = {
	.name = "ELU",
	.builtin_code = CML_OP_ELU,
	.max_version = 1,
	.types = CML_S8 | CML_F32,
	.min_inputs = 1, .max_inputs = 1,
	.min_outputs = 1, .max_outputs = 1,
	.prepare = prepare,
	.run = run,
};
