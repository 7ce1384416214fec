// SPDX-License-Identifier: Apache-2.0
/* Elements of any type, a few at a time, as numbers of one type. */
#ifndef CML_ELEMENTS_H
#define CML_ELEMENTS_H

#include "nn/tflite.h"

/* As many as are handed over at a time. */
#define CML_ELEMENTS	32

/* The least and the greatest number of an integer type; BOOL: 0 and 1. */
void cml_elements_limits(uint32_t type, int64_t *min, int64_t *max);

/*
 * @count elements, at most CML_ELEMENTS, of an integer type or BOOL. A BOOL
 * is any byte but 0, and is written as 1.
 */
void cml_elements_load(uint32_t type, const void *from, size_t count,
		       int64_t *to);
/* Numbers that do not fit lose their upper bits. */
void cml_elements_store(uint32_t type, void *to, size_t count,
			const int64_t *from);
/* FLOAT16 */
void cml_elements_load_f16(const void *from, size_t count, float *to);

#endif /* CML_ELEMENTS_H */
