// SPDX-License-Identifier: Apache-2.0
/*
 * The orientation of a photo, from the APP1 segments of a JPEG file: EXIF
 * (CIPA DC-008: a TIFF file whose first directory may have tag 0x0112) and
 * XMP (tiff:Orientation). Says what Pillow's getexif() says; what is
 * malformed says nothing.
 */
#ifndef CML_EXIF_H
#define CML_EXIF_H

#include "bytes.h"

/* What one segment says. */
enum cml_exif_source {
	CML_EXIF_NONE = 0,	/* neither EXIF nor XMP */
	CML_EXIF_TIFF,
	CML_EXIF_XMP,
};

/*
 * @app1: the segment without marker and length. @orientation gets 1 to 8,
 * or 0 when the segment has no such tag.
 */
enum cml_exif_source cml_exif_read(struct cml_bytes app1,
				   uint8_t *orientation);

#endif /* CML_EXIF_H */
