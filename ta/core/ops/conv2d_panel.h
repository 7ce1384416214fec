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
 * them. Both operands are padded to a whole block: the panel with anything,
 * the weights with zeros.
 */
#ifndef CML_CONV2D_PANEL_H
#define CML_CONV2D_PANEL_H

#include <string.h>

#include "neon.h"
#include "ops.h"

#define CML_PANEL_PIXELS	8
#define CML_PANEL_CHANNELS	8
#define CML_PANEL_MAX_BLOCK	16

/*
 * Multiplies a panel with all weights, and writes @pixels (1 to 8) pixels of
 * the output.
 */
typedef void (*cml_panel_kernel)(const struct cml_conv *conv,
				 const int8_t *panel, size_t patch,
				 int8_t *output, size_t pixels);

void cml_conv2d_panels(const struct cml_op *op, size_t block,
		       cml_panel_kernel kernel);

/*
 * Rows of weights for the 8 channels from @first; where there are fewer, the
 * last is repeated, and what comes of it is not stored.
 */
static inline void cml_panel_rows(const struct cml_conv *conv, size_t patch,
				  size_t first, const int8_t *rows[8])
{
	size_t last = conv->out_c - 1;

	for (size_t i = 0; i < CML_PANEL_CHANNELS; i++)
		rows[i] = conv->weights +
			  (first + i < last ? first + i : last) * patch;
}

/* The last, incomplete block of each row, with zeros after it. */
static inline void cml_panel_tail(const int8_t *const rows[8], size_t offset,
				  size_t len,
				  int8_t tail[8][CML_PANEL_MAX_BLOCK])
{
	for (size_t i = 0; i < CML_PANEL_CHANNELS; i++)
		for (size_t j = 0; j < CML_PANEL_MAX_BLOCK; j++)
			tail[i][j] = j < len ? rows[i][offset + j] : 0;
}

/*
 * A tile of eight channels each: @pixels of them, and at most @count channels,
 * to a matrix with @stride channels a row.
 */
static inline void cml_panel_store(const int8x8_t tile[CML_PANEL_PIXELS],
				   int8_t *output, size_t pixels,
				   size_t stride, size_t count)
{
	for (size_t i = 0; i < pixels; i++) {
		int8_t bytes[CML_PANEL_CHANNELS];

		if (count >= CML_PANEL_CHANNELS) {
			vst1_s8(output, tile[i]);
		} else {
			vst1_s8(bytes, tile[i]);
			memcpy(output, bytes, count);
		}
		output += stride;
	}
}

#endif /* CML_CONV2D_PANEL_H */
