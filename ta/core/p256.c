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

/* 2^512 mod p: times this, a number is in Montgomery form. */
static const struct number square_of_r = { {
	0x00000003, 0x00000000, 0xffffffff, 0xfffffffb,
	0xfffffffe, 0xffffffff, 0xfffffffd, 0x00000004,
} };

static const struct number one = { { 1 } };

/* n - 1, big endian */
static const uint8_t order_minus_one[CML_P256_SCALAR_SIZE] = {
	0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
	0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x50,
};

const uint8_t cml_p256_base[CML_P256_POINT_SIZE] = {
	SEC1_UNCOMPRESSED,
	0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47,
	0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2,
	0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0,
	0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96,
	0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b,
	0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16,
	0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce,
	0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
};

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

static void store(const struct number *value, uint8_t bytes[FIELD_SIZE])
{
	for (size_t i = 0; i < FIELD_SIZE; i++)
		bytes[FIELD_SIZE - 1 - i] = value->limb[i / 4] >> (8 * (i % 4));
}

static bool equal(const struct number *a, const struct number *b)
{
	return !below(a, b) && !below(b, a);
}

/* (a - b) mod 2^256 */
static struct number difference(const struct number *a,
				const struct number *b)
{
	struct number result = { 0 };
	uint64_t acc = 0;

	for (size_t i = 0; i < LIMBS; i++) {
		acc = (uint64_t)a->limb[i] - b->limb[i] - (acc >> 63);
		result.limb[i] = acc;
	}

	return result;
}

/* (a + b) mod p, for a and b below p, as in all that follows */
static struct number add(const struct number *a, const struct number *b)
{
	struct number sum = { 0 };
	uint64_t acc = 0;

	for (size_t i = 0; i < LIMBS; i++) {
		acc += (uint64_t)a->limb[i] + b->limb[i];
		sum.limb[i] = acc;
		acc >>= 32;
	}

	return acc || !below(&sum, &prime) ? difference(&sum, &prime) : sum;
}

/* (a - b) mod p */
static struct number subtract(const struct number *a, const struct number *b)
{
	struct number opposite = difference(&prime, b);

	/* Of b = 0 it is p itself, which add() takes off again. */
	return add(a, &opposite);
}

/*
 * (a * b / 2^256) mod p, after Montgomery, limb by limb of b. Since p is -1
 * modulo 2^32, the multiple of p that clears the lowest limb is that limb.
 */
static struct number multiply(const struct number *a, const struct number *b)
{
	uint32_t sum[LIMBS + 2] = { 0 };
	struct number product = { 0 };
	uint64_t acc = 0;
	uint32_t times = 0;

	for (size_t i = 0; i < LIMBS; i++) {
		acc = 0;
		for (size_t j = 0; j < LIMBS; j++) {
			acc += sum[j] + (uint64_t)a->limb[j] * b->limb[i];
			sum[j] = acc;
			acc >>= 32;
		}
		acc += sum[LIMBS];
		sum[LIMBS] = acc;
		sum[LIMBS + 1] = acc >> 32;

		times = sum[0];
		acc = 0;
		for (size_t j = 0; j < LIMBS; j++) {
			acc += sum[j] + (uint64_t)times * prime.limb[j];
			if (j)
				sum[j - 1] = acc;
			acc >>= 32;
		}
		acc += sum[LIMBS];
		sum[LIMBS - 1] = acc;
		sum[LIMBS] = sum[LIMBS + 1] + (acc >> 32);
	}
	for (size_t i = 0; i < LIMBS; i++)
		product.limb[i] = sum[i];

	return sum[LIMBS] || !below(&product, &prime) ?
	       difference(&product, &prime) : product;
}

/* x^3 - 3x + b, all in Montgomery form */
static struct number right_side(const struct number *x)
{
	struct number b = multiply(&curve_b, &square_of_r);
	struct number right = multiply(x, x);

	right = multiply(&right, x);
	for (size_t i = 0; i < 3; i++)
		right = subtract(&right, x);

	return add(&right, &b);
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

	x = multiply(&x, &square_of_r);
	y = multiply(&y, &square_of_r);
	left = multiply(&y, &y);
	right = right_side(&x);

	return equal(&left, &right);
}

/* A square root, if there is one: to the power of (p + 1) / 4, p = 3 mod 4 */
static struct number square_root(const struct number *square)
{
	/* 2^254 - 2^222 + 2^190 + 2^94; its highest one is bit 253 */
	struct number root = *square;

	for (int bit = 252; bit >= 0; bit--) {
		root = multiply(&root, &root);
		if (bit >= 222 || bit == 190 || bit == 94)
			root = multiply(&root, square);
	}

	return root;
}

/* Stack: 0.7 KiB */
bool cml_p256_point_from_x(const uint8_t x_bytes[CML_P256_SECRET_SIZE],
			   const uint8_t x_plus_base[CML_P256_SECRET_SIZE],
			   uint8_t point[CML_P256_POINT_SIZE])
{
	struct number base_x = load(cml_p256_base + 1);
	struct number base_y = load(cml_p256_base + 1 + FIELD_SIZE);
	struct number sum_x = load(x_plus_base);
	struct number x = load(x_bytes);
	struct number right = { 0 };
	struct number left = { 0 };
	struct number run = { 0 };
	struct number y = { 0 };

	if (!below(&x, &prime) || !below(&sum_x, &prime))
		return false;
	base_x = multiply(&base_x, &square_of_r);
	base_y = multiply(&base_y, &square_of_r);
	sum_x = multiply(&sum_x, &square_of_r);
	x = multiply(&x, &square_of_r);

	right = right_side(&x);
	y = square_root(&right);
	left = multiply(&y, &y);
	if (!equal(&left, &right))
		return false;

	/*
	 * Addition of points: x(Q + G) + x(Q) + x(G) is the square of the
	 * slope (y - y(G)) / (x - x(G)). Of y and -y, one gives it.
	 */
	run = subtract(&x, &base_x);
	run = multiply(&run, &run);
	right = add(&sum_x, &x);
	right = add(&right, &base_x);
	right = multiply(&right, &run);
	left = subtract(&y, &base_y);
	left = multiply(&left, &left);
	if (!equal(&left, &right)) {
		y = subtract(&(struct number){ 0 }, &y);
		left = subtract(&y, &base_y);
		left = multiply(&left, &left);
		if (!equal(&left, &right))
			return false;
	}

	y = multiply(&y, &one);
	point[0] = SEC1_UNCOMPRESSED;
	for (size_t i = 0; i < FIELD_SIZE; i++)
		point[1 + i] = x_bytes[i];
	store(&y, point + 1 + FIELD_SIZE);

	return true;
}

bool cml_p256_is_scalar(const uint8_t scalar[CML_P256_SCALAR_SIZE])
{
	unsigned int borrow = 0;
	unsigned int any = 0;

	/* Below n - 1 when subtracting that needs a borrow at the end */
	for (size_t i = CML_P256_SCALAR_SIZE; i > 0; i--) {
		any |= scalar[i - 1];
		borrow = ((unsigned int)scalar[i - 1] -
			  order_minus_one[i - 1] - borrow) >> 31;
	}

	return any && borrow;
}
