// SPDX-License-Identifier: Apache-2.0
#if defined(__aarch64__)

#include "conv_panel.h"

/* Whole vectors */
#define BLOCK	16
#define DOT	dot

/*
 * 16 products onto four sums. -128 * -128 twice does not fit in 16 bits, so
 * pairs of products are widened as they are added.
 */
static inline int32x4_t dot(int32x4_t acc, int8x16_t a, int8x16_t b)
{
	acc = vpadalq_s16(acc, vmull_s8(vget_low_s8(a), vget_low_s8(b)));

	return vpadalq_s16(acc, vmull_high_s8(a, b));
}

/*
 * Accumulators are [pixel][channel] of four partial sums, for two pixels at a
 * time. Every index into them is a constant, so that they stay in registers.
 */
#define CHANNEL(acc, c, a0, a1, b) \
	do { \
		int8x16_t b_ = (b); \
		acc[0][c] = DOT(acc[0][c], a0, b_); \
		acc[1][c] = DOT(acc[1][c], a1, b_); \
	} while (0)

#define MULTIPLY(acc, a0, a1, rows, k) \
	do { \
		CHANNEL(acc, 0, a0, a1, vld1q_s8((rows)[0] + (k))); \
		CHANNEL(acc, 1, a0, a1, vld1q_s8((rows)[1] + (k))); \
		CHANNEL(acc, 2, a0, a1, vld1q_s8((rows)[2] + (k))); \
		CHANNEL(acc, 3, a0, a1, vld1q_s8((rows)[3] + (k))); \
		CHANNEL(acc, 4, a0, a1, vld1q_s8((rows)[4] + (k))); \
		CHANNEL(acc, 5, a0, a1, vld1q_s8((rows)[5] + (k))); \
		CHANNEL(acc, 6, a0, a1, vld1q_s8((rows)[6] + (k))); \
		CHANNEL(acc, 7, a0, a1, vld1q_s8((rows)[7] + (k))); \
	} while (0)

/* Sums of channels @j and @j + 4: {p0 cj, p0 cj+4, p1 cj, p1 cj+4} */
#define SUMS(acc, j, bias) \
	vaddq_s32(cml_panel_numbers(bias, j), \
		  vpaddq_s32(vpaddq_s32(acc[0][j], acc[0][(j) + 4]), \
			     vpaddq_s32(acc[1][j], acc[1][(j) + 4])))

/* Pixels @p and @p + 1 times the channels from @c on. */
static int8x16_t multiply(const struct cml_conv_call *call,
			  const struct cml_panel *panel, size_t p,
			  size_t c, const int8_t *const rows[8],
			  const int8_t *const tails[8],
			  const struct cml_panel_factors *factors,
			  struct cml_neon_range range)
{
	const int32_t *bias = call->bias + c;
	const int8_t *data = panel->data + p * BLOCK;
	size_t whole = panel->patch - panel->patch % BLOCK;
	int32x4_t zero = vdupq_n_s32(0);
	int32x4_t acc[2][8] = {
		{ zero, zero, zero, zero, zero, zero, zero, zero },
		{ zero, zero, zero, zero, zero, zero, zero, zero },
	};
	int8x16_t a0 = vdupq_n_s8(0);
	int8x16_t a1 = vdupq_n_s8(0);

	for (size_t k = 0; k < whole; k += BLOCK) {
		a0 = vld1q_s8(data);
		a1 = vld1q_s8(data + BLOCK);
		MULTIPLY(acc, a0, a1, rows, k);
		data += CML_PANEL_PIXELS * BLOCK;
	}
	if (whole < panel->patch) {
		a0 = vld1q_s8(data);
		a1 = vld1q_s8(data + BLOCK);
		MULTIPLY(acc, a0, a1, tails, 0);
	}

	return cml_panel_pair(SUMS(acc, 0, bias), SUMS(acc, 1, bias),
			      SUMS(acc, 2, bias), SUMS(acc, 3, bias),
			      call->conv->fast, factors, range);
}

/* Stack: 800 bytes, accumulators, the factors of a tile and rows of weights. */
static void panel_kernel(const struct cml_conv_call *call,
			  const struct cml_panel *panel)
{
	struct cml_neon_range range = cml_neon_range(call->conv->output_zero_point,
						     call->conv->min, call->conv->max);
	size_t channels = call->conv->out_c;

	for (size_t c = 0; c < channels; c += CML_PANEL_CHANNELS) {
		struct cml_panel_factors factors =
			cml_panel_factors(call, c);
		const int8_t *rows[CML_PANEL_CHANNELS];
		const int8_t *tails[CML_PANEL_CHANNELS];
		int8x16_t tile[CML_PANEL_PIXELS / 2];

		cml_panel_rows(call, panel->patch, c, rows);
		for (size_t i = 0; i < CML_PANEL_CHANNELS; i++)
			tails[i] = panel->tails + (c + i) * BLOCK;
		for (size_t p = 0; p < panel->pixels; p += 2)
			tile[p / 2] = multiply(call, panel, p, c, rows, tails,
					       &factors, range);
		cml_panel_store(call->conv, panel, c, tile);
	}
}

void cml_conv_s8_neon(const struct cml_conv_call *call)
{
	cml_conv_panels(call, BLOCK, panel_kernel);
}

#else
/* ISO C wants a declaration in a file. */
typedef int cml_conv_s8_neon_is_for_arm64;
#endif
