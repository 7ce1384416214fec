// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "gemm.h"
#if defined(__aarch64__)
#include <arm_neon.h>
#endif

#define ROWS		CML_GEMM_ROWS
#define COLUMNS		CML_GEMM_COLUMNS
#define DEPTH		CML_GEMM_DEPTH
/* Tiles may reach over the edge. */
#define ROOM_ROWS	(ROWS + 16)
#define ROOM_COLUMNS	(COLUMNS + 16)
#define FIELD_BITS	21
#define FIELD_ROWS	3	/* of one word */
#define BLOCK		8	/* values of one SMMLA's row */
#define TESTED_STEP	97	/* elements, of which one is tested */

struct shape {
	const char *name;
	uint32_t cpu;		/* what it needs */
	int words;		/* of three rows in a tile; 0: SMMLA */
	int columns;
	void (*run)(const struct cml_gemm *gemm);
};

struct cml_gemm {
	const struct cml_allocator *allocator;
	const struct shape *shape;
	/*
	 * Words: tiles of (DEPTH, words). SMMLA: tiles of 8 rows, each
	 * (DEPTH / 8, 8 rows, 8).
	 */
	uint64_t a[ROOM_ROWS * DEPTH / FIELD_ROWS];
	/* Words: tiles of (DEPTH, columns). SMMLA: as a; 8 are read too far. */
	int8_t b[ROOM_COLUMNS * DEPTH + 8];
	int32_t product[ROOM_ROWS * ROOM_COLUMNS];	/* (rows, columns) */
};

/* Any numbers; those of b so small that sums of DEPTH products fit a field. */
static int8_t value_a(size_t row, size_t k)
{
	return (int8_t)(row * 37 + k * 101 + 11);
}

static int8_t value_b(size_t k, size_t column)
{
	return (int8_t)((k * 29 + column * 53) % 25) - 12;
}

static inline __attribute__((always_inline)) void
put_fields(uint64_t word, int32_t *product)
{
	int64_t first = (int64_t)(word << (64 - FIELD_BITS)) >>
			(64 - FIELD_BITS);
	int64_t rest = (int64_t)(word - first) >> FIELD_BITS;
	int64_t second = (int64_t)((uint64_t)rest << (64 - FIELD_BITS)) >>
			 (64 - FIELD_BITS);

	product[0] = first;
	product[ROOM_COLUMNS] = second;
	product[2 * ROOM_COLUMNS] = (rest - second) >> FIELD_BITS;
}

/* A tile of @words times three rows and @columns columns, all in registers */
#define SCALAR(words, columns) \
static void scalar_ ## words ## _ ## columns(const struct cml_gemm *gemm) \
{ \
	int32_t *product = ((struct cml_gemm *)(uintptr_t)gemm)->product; \
	const uint64_t *a = gemm->a; \
	\
	for (size_t row = 0; row < ROWS; row += FIELD_ROWS * (words)) { \
		const int8_t *b = gemm->b; \
		\
		for (size_t c = 0; c < COLUMNS; c += (columns)) { \
			uint64_t sums[columns][words] = { { 0 } }; \
			\
			for (size_t k = 0; k < DEPTH; k++) { \
				uint64_t weights = 0; \
				\
				memcpy(&weights, b, \
				       (columns) > 4 ? 8 : 4); \
				b += (columns); \
				_Pragma("GCC unroll 8") \
				for (int j = 0; j < (columns); j++) { \
					int64_t w = (int8_t) \
						    (weights >> 8 * j); \
					\
					_Pragma("GCC unroll 8") \
					for (int i = 0; i < (words); i++) \
						sums[j][i] += \
							a[k * (words) + i] * \
							(uint64_t)w; \
				} \
			} \
			_Pragma("GCC unroll 8") \
			for (int j = 0; j < (columns); j++) { \
				_Pragma("GCC unroll 8") \
				for (int i = 0; i < (words); i++) \
					put_fields(sums[j][i], product + \
						   (row + FIELD_ROWS * i) * \
						   ROOM_COLUMNS + c + j); \
			} \
		} \
		a += DEPTH * (words); \
	} \
}

SCALAR(1, 8)
SCALAR(2, 4)
SCALAR(2, 6)
SCALAR(2, 8)
SCALAR(3, 4)
SCALAR(3, 8)

#if defined(__aarch64__)
#define TARGET	__attribute__((target("arch=armv8.2-a+i8mm")))

#define ROW(i) \
	do { \
		int8x16_t a_ = vld1q_s8(a + 2 * BLOCK * (i)); \
		acc[i][0] = vmmlaq_s32(acc[i][0], a_, b0); \
		acc[i][1] = vmmlaq_s32(acc[i][1], a_, b1); \
		acc[i][2] = vmmlaq_s32(acc[i][2], a_, b2); \
		acc[i][3] = vmmlaq_s32(acc[i][3], a_, b3); \
	} while (0)

/* Accumulators are [pair of rows][pair of columns] of {r0 c0, r0 c1, r1...}. */
TARGET static void smmla(const struct cml_gemm *gemm)
{
	int32_t *product = ((struct cml_gemm *)(uintptr_t)gemm)->product;
	const int8_t *panel = (const int8_t *)gemm->a;

	for (size_t row = 0; row < ROWS; row += 8) {
		const int8_t *b = gemm->b;

		for (size_t c = 0; c < COLUMNS; c += 8) {
			const int8_t *a = panel;
			int32x4_t acc[4][4];

			memset(acc, 0, sizeof(acc));
			for (size_t k = 0; k < DEPTH; k += BLOCK) {
				int8x16_t b0 = vld1q_s8(b);
				int8x16_t b1 = vld1q_s8(b + 2 * BLOCK);
				int8x16_t b2 = vld1q_s8(b + 4 * BLOCK);
				int8x16_t b3 = vld1q_s8(b + 6 * BLOCK);

				ROW(0);
				ROW(1);
				ROW(2);
				ROW(3);
				a += 8 * BLOCK;
				b += 8 * BLOCK;
			}
			for (int i = 0; i < 8; i++) {
				int32_t *out = product +
					       (row + i) * ROOM_COLUMNS + c;

				for (int j = 0; j < 4; j++) {
					int32x4_t sums = acc[i / 2][j];

					vst1_s32(out + 2 * j, i % 2 ?
						 vget_high_s32(sums) :
						 vget_low_s32(sums));
				}
			}
		}
		panel += 8 * DEPTH;
	}
}
#endif

static const struct shape shapes[] = {
	{ "64-bit multiply, 3 x 8", CML_CPU_PORTABLE, 1, 8, scalar_1_8 },
	{ "64-bit multiply, 6 x 4", CML_CPU_PORTABLE, 2, 4, scalar_2_4 },
	{ "64-bit multiply, 6 x 6", CML_CPU_PORTABLE, 2, 6, scalar_2_6 },
	{ "64-bit multiply, 6 x 8", CML_CPU_PORTABLE, 2, 8, scalar_2_8 },
	{ "64-bit multiply, 9 x 4", CML_CPU_PORTABLE, 3, 4, scalar_3_4 },
	{ "64-bit multiply, 9 x 8", CML_CPU_PORTABLE, 3, 8, scalar_3_8 },
#if defined(__aarch64__)
	{ "SMMLA, 8 x 8", CML_CPU_I8MM, 0, 8, smmla },
#endif
};

size_t cml_gemm_count(void)
{
	return sizeof(shapes) / sizeof(shapes[0]);
}

const char *cml_gemm_name(size_t index)
{
	return shapes[index].name;
}

bool cml_gemm_runs(size_t index, uint32_t cpu)
{
	return (shapes[index].cpu & cpu) == shapes[index].cpu;
}

static void pack_words(struct cml_gemm *gemm)
{
	size_t words = gemm->shape->words;
	size_t columns = gemm->shape->columns;
	uint64_t *a = gemm->a;
	int8_t *b = gemm->b;

	for (size_t row = 0; row < ROWS; row += FIELD_ROWS * words) {
		for (size_t k = 0; k < DEPTH; k++) {
			for (size_t i = row; i < row + FIELD_ROWS * words;
			     i += FIELD_ROWS) {
				uint64_t first = (int64_t)value_a(i, k);
				uint64_t second = (int64_t)value_a(i + 1, k);
				uint64_t third = (int64_t)value_a(i + 2, k);

				*a++ = first + (second << FIELD_BITS) +
				       (third << 2 * FIELD_BITS);
			}
		}
	}
	for (size_t c = 0; c < COLUMNS; c += columns)
		for (size_t k = 0; k < DEPTH; k++)
			for (size_t j = c; j < c + columns; j++)
				*b++ = value_b(k, j);
}

static void pack_blocks(struct cml_gemm *gemm)
{
	int8_t *a = (int8_t *)gemm->a;
	int8_t *b = gemm->b;

	for (size_t row = 0; row < ROWS; row += 8)
		for (size_t k = 0; k < DEPTH; k += BLOCK)
			for (size_t i = row; i < row + 8; i++)
				for (size_t v = k; v < k + BLOCK; v++)
					*a++ = value_a(i, v);
	for (size_t c = 0; c < COLUMNS; c += 8)
		for (size_t k = 0; k < DEPTH; k += BLOCK)
			for (size_t j = c; j < c + 8; j++)
				for (size_t v = k; v < k + BLOCK; v++)
					*b++ = value_b(v, j);
}

struct cml_gemm *cml_gemm_new(const struct cml_allocator *allocator,
			      size_t index)
{
	struct cml_gemm *gemm = allocator->alloc(allocator->ctx, sizeof(*gemm));

	if (!gemm)
		return NULL;
	gemm->allocator = allocator;
	gemm->shape = &shapes[index];
	if (gemm->shape->words)
		pack_words(gemm);
	else
		pack_blocks(gemm);

	return gemm;
}

void cml_gemm_free(struct cml_gemm *gemm)
{
	if (gemm)
		gemm->allocator->release(gemm->allocator->ctx, gemm,
					 sizeof(*gemm));
}

void cml_gemm_run(void *gemm)
{
	const struct cml_gemm *self = gemm;

	self->shape->run(self);
}

bool cml_gemm_correct(const struct cml_gemm *gemm)
{
	for (size_t i = 0; i < ROWS * COLUMNS; i += TESTED_STEP) {
		size_t row = i / COLUMNS;
		size_t column = i % COLUMNS;
		int32_t sum = 0;

		for (size_t k = 0; k < DEPTH; k++)
			sum += value_a(row, k) * value_b(k, column);
		if (gemm->product[row * ROOM_COLUMNS + column] != sum)
			return false;
	}

	return true;
}
