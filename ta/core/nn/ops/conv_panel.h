// SPDX-License-Identifier: Apache-2.0
/*
 * Convolution as a matrix product, for the NEON kernels. The output is a
 * matrix of pixels times channels, made in tiles of 8 x 8.
 *
 * A panel is the input of 8 neighbouring output pixels: for each the values
 * under the kernel, in the order of the weights, padding included. It is in
 * scratch, in blocks of @block consecutive values:
 *
 *	(patch / block, 8 pixels, block)
 *
 * Weights stay where they are in the model, (out_c, patch), and are read in
 * rows; the kernel puts the numbers side by side as its instruction wants
 * them. Where a row does not end with a whole block, its last one is copied to
 * scratch with zeros after it; what the panel has there does not matter.
 */
#ifndef CML_OPS_CONV_PANEL_H
#define CML_OPS_CONV_PANEL_H

#include <string.h>

#include "conv.h"
#include "neon.h"

#define CML_PANEL_PIXELS	8
#define CML_PANEL_CHANNELS	8
#define CML_PANEL_MAX_BLOCK	16

struct cml_panel {
	const int8_t *data;
	size_t pixels;		/* 1 to 8 are wanted */
	size_t patch;
	/* (out_c up to whole tiles, block): incomplete blocks of weights */
	const int8_t *tails;
	int8_t *output;		/* (pixels, out_c) */
};

/* Multiplies a panel with all weights, and writes the output. */
typedef void (*cml_panel_kernel)(const struct cml_conv_call *call,
				 const struct cml_panel *panel);

void cml_conv_panels(const struct cml_conv_call *call, size_t block,
		     cml_panel_kernel kernel);

/*
 * Weights of the 8 channels from @first on; where there are fewer, the last is
 * repeated, and what comes of it is not stored.
 */
static inline void cml_panel_rows(const struct cml_conv_call *call, size_t patch,
				  size_t first, const int8_t *rows[8])
{
	size_t last = call->conv->out_c - 1;

	for (size_t i = 0; i < CML_PANEL_CHANNELS; i++)
		rows[i] = call->weights +
			  (first + i < last ? first + i : last) * patch;
}

/*
 * Per-channel numbers of a tile, as vectors: number j has those of channels
 * j and j + 4, twice. Accumulators are in the same order,
 * {p0 cj, p0 cj+4, p1 cj, p1 cj+4}, so that interleaving the bytes of four
 * gives eight channels of p0, then of p1.
 */
struct cml_panel_factors {
	struct cml_neon_factor j0, j1, j2, j3;
};

/* Two numbers of cml_conv_s8_neon_order(), twice. */
static inline int32x4_t cml_panel_numbers(const int32_t *numbers, size_t j)
{
	int32x2_t two = vld1_s32(numbers + 2 * j);

	return vcombine_s32(two, two);
}

static inline struct cml_neon_factor
cml_panel_factor(const struct cml_conv_call *call, size_t first, size_t j)
{
	return cml_neon_factor(cml_panel_numbers(call->multiplier + first, j),
			       cml_panel_numbers(call->shift + first, j));
}

/* Of the tile with channels from @first on. */
static inline struct cml_panel_factors
cml_panel_factors(const struct cml_conv_call *call, size_t first)
{
	return (struct cml_panel_factors){
		.j0 = cml_panel_factor(call, first, 0),
		.j1 = cml_panel_factor(call, first, 1),
		.j2 = cml_panel_factor(call, first, 2),
		.j3 = cml_panel_factor(call, first, 3),
	};
}

/* Eight channels of two pixels, from their accumulators. */
static inline int8x16_t
cml_panel_pair(int32x4_t a0, int32x4_t a1, int32x4_t a2, int32x4_t a3,
	       bool fast, const struct cml_panel_factors *factors,
	       struct cml_neon_range range)
{
	return cml_neon_interleave(
		cml_neon_output(a0, fast, factors->j0, range),
		cml_neon_output(a1, fast, factors->j1, range),
		cml_neon_output(a2, fast, factors->j2, range),
		cml_neon_output(a3, fast, factors->j3, range));
}

/* Channels from @first on of all pixels, which come in pairs. */
static inline void cml_panel_store(const struct cml_conv *conv,
				   const struct cml_panel *panel, size_t first,
				   const int8x16_t *pairs)
{
	int8_t *output = panel->output + first;
	size_t count = conv->out_c - first;

	for (size_t i = 0; i < panel->pixels; i++) {
		int8x8_t bytes = i % 2 ? vget_high_s8(pairs[i / 2]) :
				 vget_low_s8(pairs[i / 2]);
		int8_t some[CML_PANEL_CHANNELS];

		if (count >= CML_PANEL_CHANNELS) {
			vst1_s8(output, bytes);
		} else {
			vst1_s8(some, bytes);
			memcpy(output, some, count);
		}
		output += conv->out_c;
	}
}

#endif /* CML_OPS_CONV_PANEL_H */
