// SPDX-License-Identifier: Apache-2.0
/* 1 / sqrt(x) in fixed point, bit for bit as TFLite's reference kernels. */
#ifndef CML_INVERSE_SQRT_H
#define CML_INVERSE_SQRT_H

#include "nn/quant.h"

/* @x is positive. */
struct cml_factor cml_inverse_sqrt(int32_t x);

#endif /* CML_INVERSE_SQRT_H */
