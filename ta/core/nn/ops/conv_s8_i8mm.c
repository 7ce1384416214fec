// SPDX-License-Identifier: Apache-2.0
#if defined(__aarch64__)

#include "conv_panel.h"

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

/* A block of weights of each of two channels, side by side */
#define WEIGHTS(row0, row1) \
	vcombine_s8(vld1_s8(row0), vld1_s8(row1))

/* The same of channels @j and @j + 4, and of two blocks, with whole loads */
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

/* The first @pairs pairs of pixels times the channels from @c on. */
TARGET static INLINE void
multiply(const struct cml_conv_call *call, const struct cml_panel *panel, size_t c,
	 int pairs, bool fast, struct cml_neon_range range, int8x16_t *out)
{
	struct cml_panel_factors factors = cml_panel_factors(call, c);
	const int32_t *bias = call->bias + c;
	const int8_t *data = panel->data;
	size_t patch = panel->patch;
	size_t whole = patch - patch % BLOCK;
	size_t k = 0;
	const int8_t *rows[CML_PANEL_CHANNELS];
	int32x4_t acc[4][4];
	int8x16_t b[4];

	cml_panel_rows(call, patch, c, rows);
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
		MULTIPLY(acc, pairs, data, b);
		MULTIPLY(acc, pairs, data + CML_PANEL_PIXELS * BLOCK, b2);
		data += 2 * CML_PANEL_PIXELS * BLOCK;
	}
	if (k < whole) {
		b[0] = WEIGHTS(rows[0] + k, rows[4] + k);
		b[1] = WEIGHTS(rows[1] + k, rows[5] + k);
		b[2] = WEIGHTS(rows[2] + k, rows[6] + k);
		b[3] = WEIGHTS(rows[3] + k, rows[7] + k);
		MULTIPLY(acc, pairs, data, b);
		data += CML_PANEL_PIXELS * BLOCK;
	}
	if (whole < patch) {
		const int8_t *tails = panel->tails + c * BLOCK;

		b[0] = WEIGHTS(tails, tails + 4 * BLOCK);
		b[1] = WEIGHTS(tails + BLOCK, tails + 5 * BLOCK);
		b[2] = WEIGHTS(tails + 2 * BLOCK, tails + 6 * BLOCK);
		b[3] = WEIGHTS(tails + 3 * BLOCK, tails + 7 * BLOCK);
		MULTIPLY(acc, pairs, data, b);
	}

	out[0] = PAIR(acc, 0, fast, &factors, range);
	if (pairs > 1)
		out[1] = PAIR(acc, 1, fast, &factors, range);
	if (pairs > 2) {
		out[2] = PAIR(acc, 2, fast, &factors, range);
		out[3] = PAIR(acc, 3, fast, &factors, range);
	}
}

TARGET static INLINE void multiply_all(const struct cml_conv_call *call,
				       const struct cml_panel *panel,
				       int pairs, bool fast)
{
	struct cml_neon_range range = cml_neon_range(call->conv->output_zero_point,
						     call->conv->min, call->conv->max);
	size_t channels = call->conv->out_c;

	for (size_t c = 0; c < channels; c += CML_PANEL_CHANNELS) {
		int8x16_t tile[CML_PANEL_PIXELS / 2];

		multiply(call, panel, c, pairs, fast, range, tile);
		cml_panel_store(call->conv, panel, c, tile);
	}
}

/* Stack: 544 bytes, registers of the caller and rows of weights. */
TARGET static void panel_kernel(const struct cml_conv_call *call,
				const struct cml_panel *panel)
{
	if (!call->conv->fast)
		multiply_all(call, panel, 4, false);
	else if (panel->pixels > 4)
		multiply_all(call, panel, 4, true);
	else if (panel->pixels > 2)
		multiply_all(call, panel, 2, true);
	else
		multiply_all(call, panel, 1, true);
}

void cml_conv_s8_i8mm(const struct cml_conv_call *call)
{
	cml_conv_panels(call, BLOCK, panel_kernel);
}

#else
/* ISO C wants a declaration in a file. */
typedef int cml_conv_s8_i8mm_is_for_arm64;
#endif
