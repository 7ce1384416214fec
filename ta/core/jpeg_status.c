// SPDX-License-Identifier: Apache-2.0
#include <stddef.h>
#include <stdio.h>

#include "jpeglib.h"
#include "jerror.h"

#include "jpeg_status.h"

enum cml_status cml_jpeg_status(int msg_code)
{
	switch (msg_code) {
	case JERR_ARITH_NOTIMPL:
	case JERR_BAD_PRECISION:
	case JERR_CCIR601_NOTIMPL:
	case JERR_CONVERSION_NOTIMPL:
	case JERR_FRACT_SAMPLE_NOTIMPL:
	case JERR_NOT_COMPILED:
	case JERR_SOF_UNSUPPORTED:
		return CML_JPEG_UNSUPPORTED;
	case JERR_IMAGE_TOO_BIG:
	case JERR_WIDTH_OVERFLOW:
		return CML_JPEG_TOO_LARGE;
	case JERR_NO_BACKING_STORE:
		return CML_JPEG_PROGRESSIVE_TOO_LARGE;
	case JERR_OUT_OF_MEMORY:
		return CML_NO_MEMORY;
	/* What the file cannot cause */
	case JERR_BAD_ALIGN_TYPE:
	case JERR_BAD_ALLOC_CHUNK:
	case JERR_BAD_BUFFER_MODE:
	case JERR_BAD_LIB_VERSION:
	case JERR_BAD_POOL_ID:
	case JERR_BAD_STATE:
	case JERR_BAD_STRUCT_SIZE:
	case JERR_BAD_VIRTUAL_ACCESS:
	case JERR_VIRTUAL_BUG:
		return CML_INTERNAL;
	default:
		return CML_JPEG_CORRUPT;
	}
}
