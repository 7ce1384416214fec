// SPDX-License-Identifier: Apache-2.0
/*
 * A photo's plaintext: JPEG with its EXIF, and the resize behind it. The
 * last byte says where the file is cut into the two pieces that are pushed;
 * it is part of the file, so that photos are seeds as they are.
 */
#include <stdlib.h>

#include "driver.h"
#include "jpeg.h"
#include "resize.h"

#define FUZZ_OUT_SIZE		32
#define FUZZ_MAX_PIXELS		(1u << 18)
/* What the detector's arena has to spare. */
#define FUZZ_MEMORY_LIMIT	(1100u << 10)

struct fuzz_photo {
	struct cml_resize *resize;
	int8_t out[FUZZ_OUT_SIZE * FUZZ_OUT_SIZE * 3];
	uint32_t next_row, height;
};

static enum cml_status on_start(void *ctx, const struct cml_jpeg_info *info)
{
	struct fuzz_photo *photo = ctx;

	if ((uint64_t)info->width * info->height > FUZZ_MAX_PIXELS)
		return CML_JPEG_TOO_LARGE;
	photo->height = info->height;

	return cml_resize_new(driver_allocator(), info->width, info->height,
			      info->orientation, FUZZ_OUT_SIZE, photo->out,
			      &photo->resize);
}

static bool on_wants(void *ctx, uint32_t y)
{
	struct fuzz_photo *photo = ctx;

	return cml_resize_wants(photo->resize, y);
}

static void on_row(void *ctx, uint32_t y, const uint8_t *rgb)
{
	struct fuzz_photo *photo = ctx;

	if (y < photo->next_row || y >= photo->height)
		abort();
	photo->next_row = y + 1;
	cml_resize_row(photo->resize, y, rgb);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_photo photo = { 0 };
	const struct cml_jpeg_sink sink = {
		.ctx = &photo,
		.start = on_start,
		.wants = on_wants,
		.row = on_row,
	};
	struct cml_jpeg *jpeg = NULL;
	enum cml_status status = CML_OK;
	size_t cut = 0;

	if (!size)
		return 0;
	cut = size * data[size - 1] / UINT8_MAX;
	if (cml_jpeg_new(driver_allocator(), FUZZ_MEMORY_LIMIT, &sink, &jpeg))
		abort();
	status = cml_jpeg_push(jpeg, cml_bytes(data, cut));
	if (!status)
		status = cml_jpeg_push(jpeg, cml_bytes(data + cut,
						       size - cut));
	if (!status)
		status = cml_jpeg_finish(jpeg);
	if (status == CML_INTERNAL || status == CML_BAD_STATE)
		abort();
	/* The last row of the square needs one of the last rows. */
	if (!status && !photo.next_row)
		abort();
	cml_jpeg_free(jpeg);
	cml_resize_free(photo.resize);
	if (driver_allocated())
		abort();

	return 0;
}
