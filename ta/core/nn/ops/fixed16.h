// SPDX-License-Identifier: Apache-2.0
/*
 * Sigmoid and tanh of 16-bit fixed-point numbers, bit for bit as gemmlowp's
 * portable ones, which TFLite's integer LSTM uses. Results have 15 fractional
 * bits.
 */
#ifndef CML_FIXED16_H
#define CML_FIXED16_H

#include <stdint.h>

#define CML_FIXED16_MAX_BITS	6

/* @x has 3 integer bits and 12 fractional bits. */
int16_t cml_fixed16_sigmoid(int16_t x);
/* @x has @integer_bits (0 to CML_FIXED16_MAX_BITS), the rest fractional. */
int16_t cml_fixed16_tanh(int16_t x, int32_t integer_bits);

#endif /* CML_FIXED16_H */
