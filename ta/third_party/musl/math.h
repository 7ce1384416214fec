// SPDX-License-Identifier: Apache-2.0
/* The part of <math.h> that ta/core and these files of musl use. */
#ifndef CML_MUSL_MATH_H
#define CML_MUSL_MATH_H

#include <features.h>

typedef float float_t;
typedef double double_t;

#define INFINITY	__builtin_inff()
#define isfinite(x)	__builtin_isfinite(x)

double exp(double x);
double log(double x);
double sqrt(double x);

#endif /* CML_MUSL_MATH_H */
