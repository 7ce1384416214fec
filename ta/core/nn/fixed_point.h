// SPDX-License-Identifier: Apache-2.0
/*
 * Functions of fixed-point numbers, bit for bit as TFLite's reference kernels
 * compute them (with gemmlowp's series and Newton-Raphson steps).
 *
 * Qm is an int32 in units of 2^(m - 31): it has m bits before the point.
 */
#ifndef CML_FIXED_POINT_H
#define CML_FIXED_POINT_H

#include "quant.h"

/* @x times 2^exponent (0 to 31), saturated. */
int32_t cml_fixed_shift_left(int32_t x, uint32_t exponent);

/* exp(x), Q0, of x in Q5, -31 to 0. */
int32_t cml_fixed_exp(int32_t x);

/* 1 / (1 + x), Q0, of x in Q0, 0 or more. */
int32_t cml_fixed_one_over_one_plus(int32_t x);

/*
 * 1 / x, Q0, times 2^*over_one, of x in Q12, above 0: *over_one (-12 to 11) is
 * what makes it 1/2 or more.
 */
int32_t cml_fixed_reciprocal(int32_t x, int32_t *over_one);

/* log(x), Q5, of x in Q12, 1 or more. */
int32_t cml_fixed_log(int32_t x);

/* 1 / sqrt(@x) of an integer, 0 or more; that of 0 is as that of 1. */
struct cml_factor cml_fixed_inverse_sqrt(int32_t x);

#endif /* CML_FIXED_POINT_H */
