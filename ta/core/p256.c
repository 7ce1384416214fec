// SPDX-License-Identifier: Apache-2.0
#include "p256.h"

#define SEC1_UNCOMPRESSED	0x04
#define LIMBS			8
#define FIELD_SIZE		32

/* Below 2^256, least significant limb first */
struct number {
	uint32_t limb[LIMBS];
};

/* FIPS 186-4, D.1.2.3: p = 2^256 - 2^224 + 2^192 + 2^96 - 1, and b */
static const struct number prime = { {
	0xffffffff, 0xffffffff, 0xffffffff, 0x00000000,
	0x00000000, 0x00000000, 0x00000001, 0xffffffff,
} };

static const struct number curve_b = { {
	0x27d2604b, 0x3bce3c3e, 0xcc53b0f6, 0x651d06b0,
	0x769886bc, 0xb3ebbd55, 0xaa3a93e7, 0x5ac635d8,
} };

static struct number load(const uint8_t bytes[FIELD_SIZE])
{
	struct number value = { 0 };

	for (size_t i = 0; i < FIELD_SIZE; i++)
		value.limb[(FIELD_SIZE - 1 - i) / 4] |=
			(uint32_t)bytes[i] << (8 * ((FIELD_SIZE - 1 - i) % 4));

	return value;
}

static bool below(const struct number *a, const struct number *b)
{
	for (size_t i = LIMBS; i > 0; i--)
		if (a->limb[i - 1] != b->limb[i - 1])
			return a->limb[i - 1] < b->limb[i - 1];

	return false;
}

/* (a + b) mod p, for a and b below p */
static struct number add(const struct number *a, const struct number *b)
{
	struct number sum = { 0 };
	uint64_t acc = 0;

	for (size_t i = 0; i < LIMBS; i++) {
		acc += (uint64_t)a->limb[i] + b->limb[i];
		sum.limb[i] = acc;
		acc >>= 32;
	}
	if (acc || !below(&sum, &prime)) {
		acc = 0;
		for (size_t i = 0; i < LIMBS; i++) {
			acc = (uint64_t)sum.limb[i] - prime.limb[i] -
			      (acc >> 63);
			sum.limb[i] = acc;
		}
	}

	return sum;
}

/* (a * b) mod p: doubled and added, one bit of b after another */
static struct number multiply(const struct number *a, const struct number *b)
{
	struct number product = { 0 };

	for (size_t bit = 32 * LIMBS; bit > 0; bit--) {
		product = add(&product, &product);
		if (b->limb[(bit - 1) / 32] >> ((bit - 1) % 32) & 1)
			product = add(&product, a);
	}

	return product;
}

bool cml_p256_is_point(const uint8_t point[CML_P256_POINT_SIZE])
{
	struct number x = load(point + 1);
	struct number y = load(point + 1 + FIELD_SIZE);
	struct number left = { 0 };
	struct number right = { 0 };

	if (point[0] != SEC1_UNCOMPRESSED || !below(&x, &prime) ||
	    !below(&y, &prime))
		return false;

	/* y^2 + 3x = x^3 + b */
	left = multiply(&y, &y);
	for (size_t i = 0; i < 3; i++)
		left = add(&left, &x);
	right = multiply(&x, &x);
	right = multiply(&right, &x);
	right = add(&right, &curve_b);

	return !below(&left, &right) && !below(&right, &left);
}
