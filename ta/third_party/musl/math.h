// SPDX-License-Identifier: Apache-2.0
/* The part of <math.h> that ta/core and these files of musl use. */
#ifndef CML_MUSL_MATH_H
#define CML_MUSL_MATH_H

#include <features.h>

typedef float float_t;
typedef double double_t;

#define INFINITY	__builtin_inff()
#define NAN		__builtin_nanf("")
#define M_PI_2		1.57079632679489661923
#define isfinite(x)	__builtin_isfinite(x)
#define isinf(x)	__builtin_isinf(x)
#define isnan(x)	__builtin_isnan(x)
#define signbit(x)	__builtin_signbit(x)
#define fabs(x)		__builtin_fabs(x)
#define fabsf(x)	__builtin_fabsf(x)

double exp(double x);
double expm1(double x);
double floor(double x);
double log(double x);
double pow(double x, double y);
double round(double x);
double scalbn(double x, int n);
double sqrt(double x);
double tanh(double x);

float ceilf(float x);
float cosf(float x);
float erff(float x);
float expf(float x);
float expm1f(float x);
float floorf(float x);
float log1pf(float x);
float logf(float x);
float powf(float x, float y);
float rintf(float x);
float roundf(float x);
float sinf(float x);
float sqrtf(float x);
float tanhf(float x);

#endif /* CML_MUSL_MATH_H */
