// SPDX-License-Identifier: Apache-2.0
/*
 * Photos, boxes and results. Payloads (little endian):
 *
 * jpeg		u64 memory limit, i64 allocation to fail (-1: none),
 *		u32 count, count times u32 piece size, file
 *	->	u32 width, u32 height, u32 orientation, u64 peak memory,
 *		width * height * 3 bytes
 *		The last piece size repeats until the file is used up.
 * resize	u32 width, u32 height, u32 orientation, u32 out size,
 *		i64 allocation to fail, width * height * 3 bytes
 *	->	out size * out size * 3 int8
 */
#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "jpeg.h"
#include "resize.h"

struct decoded {
	struct driver_reply *reply;
	struct cml_jpeg_info info;
	uint32_t rows;
};

static enum cml_status decoded_start(void *ctx,
				     const struct cml_jpeg_info *info)
{
	struct decoded *decoded = ctx;

	decoded->info = *info;
	driver_put_u32(decoded->reply, info->width);
	driver_put_u32(decoded->reply, info->height);
	driver_put_u32(decoded->reply, info->orientation);
	driver_put_u64(decoded->reply, 0);

	return CML_OK;
}

static void decoded_row(void *ctx, uint32_t y, const uint8_t *rgb)
{
	struct decoded *decoded = ctx;

	if (y != decoded->rows)
		abort();
	decoded->rows++;
	driver_put(decoded->reply, rgb, (size_t)decoded->info.width * 3);
}

/* Each piece in a block of its own: ASan sees a read past it. */
static enum cml_status push_piece(struct cml_jpeg *jpeg, struct cml_bytes data)
{
	enum cml_status status = CML_INTERNAL;
	uint8_t *copy = malloc(data.len ? data.len : 1);

	if (!copy)
		abort();
	memcpy(copy, data.ptr, data.len);
	status = cml_jpeg_push(jpeg, cml_bytes(copy, data.len));
	memset(copy, 0xa5, data.len);
	free(copy);

	return status;
}

static enum cml_status run_jpeg(struct cml_bytes payload,
				struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	uint64_t limit = driver_u64(&cur);
	int64_t fail = driver_u64(&cur);
	uint32_t count = driver_u32(&cur);
	struct cml_cursor sizes = cml_cursor(cml_cursor_take(&cur, 4 * count));
	struct decoded decoded = { .reply = reply };
	size_t live = driver_allocated();
	struct cml_jpeg *jpeg = NULL;
	enum cml_status status = CML_OK;
	size_t piece = cml_cursor_remaining(&cur);
	uint64_t peak = 0;

	driver_fail_allocation(fail);
	status = cml_jpeg_new(driver_allocator(), limit, decoded_start,
			      decoded_row, &decoded, &jpeg);
	while (!status && cml_cursor_remaining(&cur)) {
		if (cml_cursor_remaining(&sizes))
			piece = driver_u32(&sizes);
		if (piece > cml_cursor_remaining(&cur))
			piece = cml_cursor_remaining(&cur);
		status = push_piece(jpeg, cml_cursor_take(&cur, piece));
	}
	if (jpeg) {
		/* A failure stays; what comes after it changes nothing. */
		if (status && cml_jpeg_push(jpeg, payload) != status)
			abort();
		if (status && cml_jpeg_finish(jpeg) != status)
			abort();
		status = cml_jpeg_finish(jpeg);
		peak = cml_jpeg_peak_memory(jpeg);
	}
	cml_jpeg_free(jpeg);
	driver_fail_allocation(-1);
	if (driver_allocated() != live || peak > limit)
		abort();
	if (reply->len)
		memcpy(reply->data + 12, &peak, sizeof(peak));
	if (!status && decoded.rows != decoded.info.height)
		abort();

	return status;
}

static enum cml_status run_resize(struct cml_bytes payload,
				  struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	uint32_t width = driver_u32(&cur);
	uint32_t height = driver_u32(&cur);
	uint32_t orientation = driver_u32(&cur);
	uint32_t size = driver_u32(&cur);
	int64_t fail = driver_u64(&cur);
	size_t live = driver_allocated();
	struct cml_resize *resize = NULL;
	enum cml_status status = CML_OK;
	int8_t *out = calloc((size_t)size * size, 3);

	if (!out)
		abort();
	driver_fail_allocation(fail);
	status = cml_resize_new(driver_allocator(), width, height, orientation,
				size, out, &resize);
	driver_fail_allocation(-1);
	for (uint32_t y = 0; !status && y < height; y++) {
		struct cml_bytes row = cml_cursor_take(&cur, width * 3);

		if (!cml_cursor_ok(&cur))
			abort();
		cml_resize_row(resize, y, row.ptr);
	}
	cml_resize_free(resize);
	if (driver_allocated() != live)
		abort();
	if (!status)
		driver_put(reply, out, (size_t)size * size * 3);
	free(out);

	return status;
}

const struct driver_command driver_media_commands[] = {
	{ "jpeg", run_jpeg },
	{ "resize", run_resize },
	{ NULL, NULL },
};
