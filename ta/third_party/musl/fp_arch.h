// SPDX-License-Identifier: Apache-2.0
/* libm.h has portable fp_barrier() and fp_force_eval(). */
