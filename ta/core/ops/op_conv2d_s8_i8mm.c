// SPDX-License-Identifier: Apache-2.0
#if defined(__aarch64__)

#include "conv2d_panel.h"

/* One SMMLA: (2 pixels, 8 values) times (2 channels, 8 values) */
#define BLOCK	8
#define TARGET	__attribute__((target("arch=armv8.2-a+i8mm")))
/* So that what is constant at the call is constant inside */
#define INLINE	inline __attribute__((always_inline))

/*
 * Accumulators are [pixel pair][j] of {p0 cj, p0 cj+4, p1 cj, p1 cj+4}. Every
 * index into them is a constant, so that they stay in registers.
 */
#define ROW(acc, i, panel, b) \
	do { \
		int8x16_t a_ = vld1q_s8((panel) + 2 * BLOCK * (i)); \
		acc[i][0] = vmmlaq_s32(acc[i][0], a_, (b)[0]); \
		acc[i][1] = vmmlaq_s32(acc[i][1], a_, (b)[1]); \
		acc[i][2] = vmmlaq_s32(acc[i][2], a_, (b)[2]); \
		acc[i][3] = vmmlaq_s32(acc[i][3], a_, (b)[3]); \
	} while (0)

/* One block of @pairs (1, 2 or 4) pairs of pixels, and of all channels */
#define MULTIPLY(acc, pairs, panel, b) \
	do { \
		ROW(acc, 0, panel, b); \
		if ((pairs) > 1) \
			ROW(acc, 1, panel, b); \
		if ((pairs) > 2) { \
			ROW(acc, 2, panel, b); \
			ROW(acc, 3, panel, b); \
		} \
	} while (0)

/* Weights of channels @j and @j + 4: a block each, side by side */
#define WEIGHTS(rows, j, k) \
	vcombine_s8(vld1_s8((rows)[j] + (k)), vld1_s8((rows)[(j) + 4] + (k)))

/* The same of two blocks, with whole loads */
#define WEIGHTS2(b, b2, rows, j, k) \
	do { \
		int64x2_t r0_ = vreinterpretq_s64_s8( \
			vld1q_s8((rows)[j] + (k))); \
		int64x2_t r1_ = vreinterpretq_s64_s8( \
			vld1q_s8((rows)[(j) + 4] + (k))); \
		(b)[j] = vreinterpretq_s8_s64(vzip1q_s64(r0_, r1_)); \
		(b2)[j] = vreinterpretq_s8_s64(vzip2q_s64(r0_, r1_)); \
	} while (0)

#define START(acc, j, bias) \
	do { \
		acc[0][j] = cml_panel_numbers(bias, j); \
		acc[1][j] = acc[0][j]; \
		acc[2][j] = acc[0][j]; \
		acc[3][j] = acc[0][j]; \
	} while (0)

#define PAIR(acc, i, fast, factors, range) \
	cml_panel_pair(acc[i][0], acc[i][1], acc[i][2], acc[i][3], fast, \
		       factors, range)

/*
 * The first @pairs pairs of pixels of the panel times the channels of @rows.
 * Stack: 128 bytes of tail.
 */
TARGET static INLINE void
multiply(const int8_t *panel, int pairs, const int8_t *const rows[8],
	 size_t patch, const int32_t *bias, bool fast,
	 const struct cml_panel_factors *factors, struct cml_neon_range range,
	 int8x16_t *out)
{
	int8_t tail[CML_PANEL_CHANNELS][CML_PANEL_MAX_BLOCK];
	const int8_t *const tails[CML_PANEL_CHANNELS] = {
		tail[0], tail[1], tail[2], tail[3],
		tail[4], tail[5], tail[6], tail[7],
	};
	size_t whole = patch - patch % BLOCK;
	size_t k = 0;
	int32x4_t acc[4][4];
	int8x16_t b[4];

	START(acc, 0, bias);
	START(acc, 1, bias);
	START(acc, 2, bias);
	START(acc, 3, bias);

	for (; k + 2 * BLOCK <= whole; k += 2 * BLOCK) {
		int8x16_t b2[4];

		WEIGHTS2(b, b2, rows, 0, k);
		WEIGHTS2(b, b2, rows, 1, k);
		WEIGHTS2(b, b2, rows, 2, k);
		WEIGHTS2(b, b2, rows, 3, k);
		MULTIPLY(acc, pairs, panel, b);
		MULTIPLY(acc, pairs, panel + CML_PANEL_PIXELS * BLOCK, b2);
		panel += 2 * CML_PANEL_PIXELS * BLOCK;
	}
	if (k < whole) {
		b[0] = WEIGHTS(rows, 0, k);
		b[1] = WEIGHTS(rows, 1, k);
		b[2] = WEIGHTS(rows, 2, k);
		b[3] = WEIGHTS(rows, 3, k);
		MULTIPLY(acc, pairs, panel, b);
		panel += CML_PANEL_PIXELS * BLOCK;
	}
	if (whole < patch) {
		cml_panel_tail(rows, whole, patch - whole, tail);
		b[0] = WEIGHTS(tails, 0, 0);
		b[1] = WEIGHTS(tails, 1, 0);
		b[2] = WEIGHTS(tails, 2, 0);
		b[3] = WEIGHTS(tails, 3, 0);
		MULTIPLY(acc, pairs, panel, b);
	}

	out[0] = PAIR(acc, 0, fast, factors, range);
	if (pairs > 1)
		out[1] = PAIR(acc, 1, fast, factors, range);
	if (pairs > 2) {
		out[2] = PAIR(acc, 2, fast, factors, range);
		out[3] = PAIR(acc, 3, fast, factors, range);
	}
}

TARGET static INLINE void multiply_all(const struct cml_conv *conv,
				       const int8_t *panel, size_t patch,
				       int8_t *output, size_t pixels,
				       int pairs, bool fast)
{
	struct cml_neon_range range = cml_neon_range(conv->output_zero_point,
						     conv->min, conv->max);
	size_t channels = conv->out_c;

	for (size_t c = 0; c < channels; c += CML_PANEL_CHANNELS) {
		struct cml_panel_factors factors =
			cml_panel_factors(conv, c, range);
		const int8_t *rows[CML_PANEL_CHANNELS];
		int8x16_t tile[CML_PANEL_PIXELS / 2];

		cml_panel_rows(conv, patch, c, rows);
		multiply(panel, pairs, rows, patch, conv->bias + c, fast,
			 &factors, range, tile);
		cml_panel_store(tile, output + c, pixels, channels,
				channels - c);
	}
}

TARGET static void panel_kernel(const struct cml_conv *conv,
				const int8_t *panel, size_t patch,
				int8_t *output, size_t pixels)
{
	if (!conv->fast)
		multiply_all(conv, panel, patch, output, pixels, 4, false);
	else if (pixels > 4)
		multiply_all(conv, panel, patch, output, pixels, 4, true);
	else if (pixels > 2)
		multiply_all(conv, panel, patch, output, pixels, 2, true);
	else
		multiply_all(conv, panel, patch, output, pixels, 1, true);
}

void op_conv2d_s8_i8mm(const struct cml_op *op)
{
	cml_conv2d_panels(op, BLOCK, panel_kernel);
}

#else
/* ISO C wants a declaration in a file. */
typedef int op_conv2d_s8_i8mm_is_for_arm64;
#endif
