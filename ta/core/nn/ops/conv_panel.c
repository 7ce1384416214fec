// SPDX-License-Identifier: Apache-2.0
#if defined(__aarch64__)

#include <arm_neon.h>
#include <string.h>

#include "conv_panel.h"

static size_t round_up(size_t size, size_t block)
{
	return (size + block - 1) / block * block;
}

/* A panel, one pixel's values in a row, and incomplete blocks of weights. */
size_t cml_conv_s8_neon_scratch(const struct cml_conv *conv)
{
	size_t patch = cml_conv_patch(conv);
	size_t size = (CML_PANEL_PIXELS + 1) *
		      round_up(patch, CML_PANEL_MAX_BLOCK);

	if (patch % CML_PANEL_MAX_BLOCK)
		size += round_up(conv->out_c, CML_PANEL_CHANNELS) *
			CML_PANEL_MAX_BLOCK;

	return size;
}

/* Of each eight {0, 1, 2, 3, 4, 5, 6, 7}: {0, 4, 1, 5, 2, 6, 3, 7} */
static void order(int32_t *numbers, size_t count)
{
	int32_t old[CML_PANEL_CHANNELS] = { 0 };

	for (size_t i = 0; i < count; i += CML_PANEL_CHANNELS) {
		memcpy(old, numbers + i, sizeof(old));
		for (size_t j = 0; j < CML_PANEL_CHANNELS / 2; j++) {
			numbers[i + 2 * j] = old[j];
			numbers[i + 2 * j + 1] =
				old[CML_PANEL_CHANNELS / 2 + j];
		}
	}
}

void cml_conv_s8_neon_order(struct cml_conv *conv)
{
	/* Bias, multiplier and shift are whole groups. */
	order(conv->numbers, 3 * (size_t)conv->channels);
}

/* Pixel @index of a panel; @row has @patch values, up to a whole block. */
static void scatter(const int8_t *row, size_t patch, size_t block,
		    size_t index, int8_t *panel)
{
	int8_t *out = panel + index * block;

	for (size_t k = 0; k < patch; k += block) {
		if (block == 16)
			vst1q_s8(out, vld1q_s8(row + k));
		else
			vst1_s8(out, vld1_s8(row + k));
		out += CML_PANEL_PIXELS * block;
	}
}

static void copy_tails(const struct cml_conv_call *call, size_t patch,
		       size_t block, int8_t *tails)
{
	const struct cml_conv *conv = call->conv;
	size_t rest = patch % block;
	const int8_t *weights = call->weights + patch - rest;

	memset(tails, 0, round_up(conv->out_c, CML_PANEL_CHANNELS) * block);
	for (int32_t c = 0; c < conv->out_c; c++) {
		memcpy(tails, weights, rest);
		tails += block;
		weights += patch;
	}
}

void cml_conv_panels(const struct cml_conv_call *call, size_t block,
		     cml_panel_kernel kernel)
{
	const struct cml_conv *conv = call->conv;
	size_t image_size = (size_t)conv->in_h * conv->in_w * conv->in_c;
	size_t patch = cml_conv_patch(conv);
	int8_t *data = call->scratch;
	int8_t *row = data + CML_PANEL_PIXELS * round_up(patch, block);
	int8_t *tails = row + round_up(patch, block);
	struct cml_panel panel = {
		.data = data, .patch = patch, .tails = tails,
		/* (batch * out_h * out_w, out_c) */
		.output = call->output +
			  (size_t)call->pixels.begin * conv->out_c,
	};
	/* A kernel of 1 x 1 never reads padding. */
	bool in_place = conv->kernel_h == 1 && conv->kernel_w == 1 &&
			patch % block == 0;
	uint32_t p = call->pixels.begin;

	if (patch % block)
		copy_tails(call, patch, block, tails);
	while (p < call->pixels.end) {
		panel.pixels = call->pixels.end - p;
		if (panel.pixels > CML_PANEL_PIXELS)
			panel.pixels = CML_PANEL_PIXELS;
		for (size_t i = 0; i < panel.pixels; i++, p++) {
			int32_t line = p / conv->out_w;
			const int8_t *image = call->input + line / conv->out_h *
							    image_size;

			scatter(cml_conv_gather(conv, image, line % conv->out_h,
				       p % conv->out_w, in_place, row),
				patch, block, i, data);
		}
		kernel(call, &panel);
		panel.output += panel.pixels * conv->out_c;
	}
}

#else
/* ISO C wants a declaration in a file. */
typedef int cml_conv_panel_is_for_arm64;
#endif
