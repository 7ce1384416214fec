// SPDX-License-Identifier: Apache-2.0
/*
 * Arithmetic on numbers from outside. Each returns true when the result does
 * not fit, as OP-TEE's ADD_OVERFLOW does; *res is then not to be used.
 */
#ifndef CML_CHECKED_H
#define CML_CHECKED_H

#define CML_ADD_OVERFLOW(a, b, res) __builtin_add_overflow((a), (b), (res))
#define CML_SUB_OVERFLOW(a, b, res) __builtin_sub_overflow((a), (b), (res))
#define CML_MUL_OVERFLOW(a, b, res) __builtin_mul_overflow((a), (b), (res))

#endif /* CML_CHECKED_H */
