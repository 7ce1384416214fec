// SPDX-License-Identifier: Apache-2.0
/* Sums of products, of rows that lie next to each other in memory. */
#ifndef CML_OPS_DOT_H
#define CML_OPS_DOT_H

#include <stddef.h>
#include <stdint.h>

#define CML_DOT_LANES	8

/* In a fixed order, the same on every processor; lanes suit vector units. */
static inline float cml_dot_f32(const float *a, const float *b, size_t count)
{
	float lanes[CML_DOT_LANES] = { 0 };
	float sum = 0;
	size_t i = 0;

	for (; count - i >= CML_DOT_LANES; i += CML_DOT_LANES)
		for (size_t j = 0; j < CML_DOT_LANES; j++)
			lanes[j] += a[i + j] * b[i + j];
	for (; i < count; i++)
		sum += a[i] * b[i];
	for (size_t j = 0; j < CML_DOT_LANES / 2; j++)
		lanes[j] += lanes[j + CML_DOT_LANES / 2];

	return sum + ((lanes[0] + lanes[2]) + (lanes[1] + lanes[3]));
}

/* Of (a - @zero_point) * b; it wraps. */
static inline uint32_t cml_dot_s8(const int8_t *a, int32_t zero_point,
				  const int8_t *b, size_t count)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += (uint32_t)((a[i] - zero_point) * b[i]);

	return sum;
}

/* Below 2^24 products it cannot overflow. */
static inline int64_t cml_dot_s16(const int16_t *a, const int8_t *b,
				  size_t count)
{
	int64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += a[i] * b[i];

	return sum;
}

#endif /* CML_OPS_DOT_H */
