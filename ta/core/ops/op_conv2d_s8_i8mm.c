// SPDX-License-Identifier: Apache-2.0
#if defined(__aarch64__)

#include "conv2d_panel.h"
#include "neon.h"

/* One SMMLA: (2 pixels, 8 values) times (2 channels, 8 values) */
#define BLOCK	8
#define TARGET	__attribute__((target("arch=armv8.2-a+i8mm")))

/*
 * The tile is [pixel pair][channel pair] of {p0c0, p0c1, p1c0, p1c1}. Every
 * index into it is a constant, so that it stays in registers.
 */
#define ROW(acc, i, panel, b) \
	do { \
		int8x16_t a_ = vld1q_s8((panel) + 16 * (i)); \
		acc[i][0] = vmmlaq_s32(acc[i][0], a_, (b)[0]); \
		acc[i][1] = vmmlaq_s32(acc[i][1], a_, (b)[1]); \
		acc[i][2] = vmmlaq_s32(acc[i][2], a_, (b)[2]); \
		acc[i][3] = vmmlaq_s32(acc[i][3], a_, (b)[3]); \
	} while (0)

/* One block: 8 pixels at @panel, and four pairs of rows of weights. */
#define MULTIPLY(acc, panel, b) \
	do { \
		ROW(acc, 0, panel, b); \
		ROW(acc, 1, panel, b); \
		ROW(acc, 2, panel, b); \
		ROW(acc, 3, panel, b); \
	} while (0)

/* Blocks at @k of two rows of weights, side by side */
#define PAIR(rows, j, k) \
	vcombine_s8(vld1_s8((rows)[2 * (j)] + (k)), \
		    vld1_s8((rows)[2 * (j) + 1] + (k)))

/* The same of two blocks each, with whole loads */
#define PAIRS(b, b2, rows, j, k) \
	do { \
		int64x2_t r0_ = vreinterpretq_s64_s8( \
			vld1q_s8((rows)[2 * (j)] + (k))); \
		int64x2_t r1_ = vreinterpretq_s64_s8( \
			vld1q_s8((rows)[2 * (j) + 1] + (k))); \
		(b)[j] = vreinterpretq_s8_s64(vzip1q_s64(r0_, r1_)); \
		(b2)[j] = vreinterpretq_s8_s64(vzip2q_s64(r0_, r1_)); \
	} while (0)

#define START(acc, j, bias) \
	do { \
		int32x2_t two_ = vld1_s32((bias) + 2 * (j)); \
		acc[0][j] = vcombine_s32(two_, two_); \
		acc[1][j] = acc[0][j]; \
		acc[2][j] = acc[0][j]; \
		acc[3][j] = acc[0][j]; \
	} while (0)

/* Eight channels of a pixel, from the halves @zip selects of its pair. */
#define PIXEL(zip, acc, i, numbers, range) \
	cml_neon_requantize( \
		vreinterpretq_s32_s64(zip( \
			vreinterpretq_s64_s32(acc[i][0]), \
			vreinterpretq_s64_s32(acc[i][1]))), \
		vreinterpretq_s32_s64(zip( \
			vreinterpretq_s64_s32(acc[i][2]), \
			vreinterpretq_s64_s32(acc[i][3]))), \
		numbers, range)

#define FINISH(out, acc, i, numbers, range) \
	do { \
		(out)[2 * (i)] = PIXEL(vzip1q_s64, acc, i, numbers, range); \
		(out)[2 * (i) + 1] = PIXEL(vzip2q_s64, acc, i, numbers, \
					   range); \
	} while (0)

/*
 * 8 pixels at @panel times the channels of @rows, requantised.
 * Stack: 128 bytes of tail and the tile's spills.
 */
TARGET static void multiply(const int8_t *panel, const int8_t *const rows[8],
			    size_t patch, const int32_t *bias,
			    const struct cml_neon_channels *numbers,
			    struct cml_neon_output range,
			    int8x8_t out[CML_PANEL_PIXELS])
{
	int8_t tail[CML_PANEL_CHANNELS][CML_PANEL_MAX_BLOCK] = { 0 };
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

		PAIRS(b, b2, rows, 0, k);
		PAIRS(b, b2, rows, 1, k);
		PAIRS(b, b2, rows, 2, k);
		PAIRS(b, b2, rows, 3, k);
		MULTIPLY(acc, panel, b);
		MULTIPLY(acc, panel + CML_PANEL_PIXELS * BLOCK, b2);
		panel += 2 * CML_PANEL_PIXELS * BLOCK;
	}
	if (k < whole) {
		b[0] = PAIR(rows, 0, k);
		b[1] = PAIR(rows, 1, k);
		b[2] = PAIR(rows, 2, k);
		b[3] = PAIR(rows, 3, k);
		MULTIPLY(acc, panel, b);
		panel += CML_PANEL_PIXELS * BLOCK;
	}
	if (whole < patch) {
		cml_panel_tail(rows, whole, patch - whole, tail);
		b[0] = PAIR(tails, 0, 0);
		b[1] = PAIR(tails, 1, 0);
		b[2] = PAIR(tails, 2, 0);
		b[3] = PAIR(tails, 3, 0);
		MULTIPLY(acc, panel, b);
	}

	FINISH(out, acc, 0, numbers, range);
	FINISH(out, acc, 1, numbers, range);
	FINISH(out, acc, 2, numbers, range);
	FINISH(out, acc, 3, numbers, range);
}

TARGET static void panel_kernel(const struct cml_conv *conv,
				const int8_t *panel, size_t patch,
				int8_t *output, size_t pixels)
{
	struct cml_neon_output range = cml_neon_output(conv->output_zero_point,
						       conv->min, conv->max);
	size_t channels = conv->out_c;

	for (size_t c = 0; c < channels; c += CML_PANEL_CHANNELS) {
		struct cml_neon_channels numbers =
			cml_neon_channels(conv->multiplier + c,
					  conv->shift + c);
		const int8_t *rows[CML_PANEL_CHANNELS];
		int8x8_t tile[CML_PANEL_PIXELS];

		cml_panel_rows(conv, patch, c, rows);
		multiply(panel, rows, patch, conv->bias + c, &numbers, range,
			 tile);
		cml_panel_store(tile, output + c, pixels, channels,
				channels - c);
	}
}

void op_conv2d_s8_i8mm(const struct cml_op *op)
{
	cml_conv2d_panels(op, BLOCK, panel_kernel);
}

#else
/* ISO C wants a declaration in a file. */
typedef int op_conv2d_s8_i8mm_is_for_arm64;
#endif
