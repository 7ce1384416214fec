// SPDX-License-Identifier: Apache-2.0
/* ADD and SUB of all types but ADD's int8, which has kernels of its own. */
#ifndef CML_OPS_SUM_H
#define CML_OPS_SUM_H

#include "nn/op.h"

enum cml_status cml_sum_prepare(struct cml_node *node);
void cml_sum_run(const struct cml_run *run, const struct cml_op *op,
		 uint32_t tile);

#endif /* CML_OPS_SUM_H */
