// SPDX-License-Identifier: Apache-2.0
/*
 * The parts of libjpeg-turbo that this build leaves out, by the names under
 * which the parts that are in refer to them. libjpeg-turbo has no switch for
 * these. Each ends the decoding with JERR_NOT_COMPILED, which jpeg.c reports
 * as CML_JPEG_UNSUPPORTED; most cannot be reached, because jpeg.c refuses the
 * file before or never asks for the feature.
 */
#include <stddef.h>
#include <stdio.h>

#define JPEG_INTERNALS
#include "jpeglib.h"

#define ABSENT_INIT(name) \
	void name(j_decompress_ptr cinfo); \
	void name(j_decompress_ptr cinfo) \
	{ \
		ERREXIT(cinfo, JERR_NOT_COMPILED); \
	}

#define ABSENT_INIT_BOOLEAN(name) \
	void name(j_decompress_ptr cinfo, boolean flag); \
	void name(j_decompress_ptr cinfo, boolean flag) \
	{ \
		(void)flag; \
		ERREXIT(cinfo, JERR_NOT_COMPILED); \
	}

#define ABSENT_IDCT(name) \
	void name(j_decompress_ptr cinfo, jpeg_component_info *compptr, \
		  JCOEFPTR coef_block, JSAMPARRAY output_buf, \
		  JDIMENSION output_col); \
	void name(j_decompress_ptr cinfo, jpeg_component_info *compptr, \
		  JCOEFPTR coef_block, JSAMPARRAY output_buf, \
		  JDIMENSION output_col) \
	{ \
		(void)compptr; \
		(void)coef_block; \
		(void)output_buf; \
		(void)output_col; \
		ERREXIT(cinfo, JERR_NOT_COMPILED); \
	}

/* Samples of 12 bits */
ABSENT_INIT_BOOLEAN(j12init_d_coef_controller)
ABSENT_INIT_BOOLEAN(j12init_d_main_controller)
ABSENT_INIT_BOOLEAN(j12init_d_post_controller)
ABSENT_INIT(j12init_color_deconverter)
ABSENT_INIT(j12init_inverse_dct)
ABSENT_INIT(j12init_merged_upsampler)
ABSENT_INIT(j12init_upsampler)

/* Lossless JPEG, samples of 2 to 16 bits */
ABSENT_INIT(jinit_lhuff_decoder)
ABSENT_INIT(jinit_lossless_decompressor)
ABSENT_INIT(j12init_lossless_decompressor)
ABSENT_INIT(j16init_lossless_decompressor)
ABSENT_INIT_BOOLEAN(jinit_d_diff_controller)
ABSENT_INIT_BOOLEAN(j12init_d_diff_controller)
ABSENT_INIT_BOOLEAN(j16init_d_diff_controller)
ABSENT_INIT_BOOLEAN(j16init_d_main_controller)
ABSENT_INIT_BOOLEAN(j16init_d_post_controller)
ABSENT_INIT(j16init_color_deconverter)
ABSENT_INIT(j16init_upsampler)

/* Output with a colour map, and upsampling merged with colour conversion */
ABSENT_INIT(jinit_1pass_quantizer)
ABSENT_INIT(jinit_2pass_quantizer)
ABSENT_INIT(j12init_1pass_quantizer)
ABSENT_INIT(j12init_2pass_quantizer)
ABSENT_INIT(jinit_merged_upsampler)

/* Other inverse DCTs than ISLOW at full size */
ABSENT_IDCT(jpeg_idct_ifast)
ABSENT_IDCT(jpeg_idct_float)
ABSENT_IDCT(jpeg_idct_1x1)
ABSENT_IDCT(jpeg_idct_2x2)
ABSENT_IDCT(jpeg_idct_4x4)
