// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "elements.h"

void cml_elements_limits(uint32_t type, int64_t *min, int64_t *max)
{
	size_t bits = 8 * cml_tflite_type_size(type);

	switch (type) {
	case CML_TFLITE_BOOL:
		*min = 0;
		*max = 1;
		break;
	case CML_TFLITE_UINT8:
		*min = 0;
		*max = UINT8_MAX;
		break;
	default:
		*max = (int64_t)(((uint64_t)1 << (bits - 1)) - 1);
		*min = -*max - 1;
		break;
	}
}

#define LOAD(c_type, expression) do { \
	const c_type *in = from; \
	\
	for (size_t i = 0; i < count; i++) \
		to[i] = (expression); \
} while (0)

void cml_elements_load(uint32_t type, const void *from, size_t count,
		       int64_t *to)
{
	switch (type) {
	case CML_TFLITE_INT8:
		LOAD(int8_t, in[i]);
		break;
	case CML_TFLITE_UINT8:
		LOAD(uint8_t, in[i]);
		break;
	case CML_TFLITE_BOOL:
		/* A constant may hold bytes that no bool has. */
		LOAD(uint8_t, in[i] != 0);
		break;
	case CML_TFLITE_INT16:
		LOAD(int16_t, in[i]);
		break;
	case CML_TFLITE_INT32:
		LOAD(int32_t, in[i]);
		break;
	default:
		LOAD(int64_t, in[i]);
		break;
	}
}

#define STORE(c_type, expression) do { \
	c_type *out = to; \
	\
	for (size_t i = 0; i < count; i++) \
		out[i] = (expression); \
} while (0)

void cml_elements_store(uint32_t type, void *to, size_t count,
			const int64_t *from)
{
	switch (type) {
	case CML_TFLITE_INT8:
	case CML_TFLITE_UINT8:
		STORE(uint8_t, (uint8_t)from[i]);
		break;
	case CML_TFLITE_BOOL:
		STORE(uint8_t, from[i] != 0);
		break;
	case CML_TFLITE_INT16:
		STORE(int16_t, (int16_t)from[i]);
		break;
	case CML_TFLITE_INT32:
		STORE(int32_t, (int32_t)from[i]);
		break;
	default:
		STORE(int64_t, from[i]);
		break;
	}
}

/* IEEE 754 binary16; every value of it is a float. */
static float from_half(uint16_t half)
{
	uint32_t exponent = half >> 10 & 0x1f;
	uint32_t fraction = half & 0x3ff;
	uint32_t bits = 0;
	float value = 0;

	if (!exponent) {
		/* 0, or too small for a leading 1: units of 2^-24 */
		value = fraction * (1.0f / (1 << 24));
		return half & 0x8000 ? -value : value;
	}
	bits = (uint32_t)(half & 0x8000) << 16 | fraction << 13;
	/* Infinities and NaNs keep all bits of the exponent set. */
	bits |= (exponent == 0x1f ? 0xff : exponent + (127 - 15)) << 23;
	memcpy(&value, &bits, sizeof(value));

	return value;
}

void cml_elements_load_f16(const void *from, size_t count, float *to)
{
	LOAD(uint16_t, from_half(in[i]));
}
