// SPDX-License-Identifier: Apache-2.0
/*
 * libjpeg-turbo pulls its input, and takes "not now" for an answer; what it
 * did not consume until then it wants to see again. Here input is pushed.
 * Between the two is a window of the file, large enough for whatever libjpeg
 * reads in one go: a marker segment (65535 bytes) or an MCU (under 8 KiB).
 */
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define JPEG_INTERNALS		/* for struct jpeg_color_deconverter */
#include "jpeglib.h"

#include "exif.h"
#include "jpeg.h"
#include "jpeg_memory.h"
#include "jpeg_status.h"

#define JPEG_WINDOW_SIZE	65536

enum jpeg_state {
	JPEG_IN_HEADER,		/* up to the first scan */
	JPEG_IN_SCANS,		/* of a file that has several */
	JPEG_IN_ROWS,
	JPEG_IN_TAIL,		/* rows are out; up to the next marker */
	JPEG_DONE,
};

struct cml_jpeg {
	struct jpeg_decompress_struct cinfo;
	struct jpeg_error_mgr err;
	struct jpeg_source_mgr src;
	struct jpeg_progress_mgr progress;
	jmp_buf escape;
	struct cml_jpeg_memory memory;
	enum jpeg_state state;
	enum cml_status status;		/* the first failure stays */
	struct cml_jpeg_sink sink;
	struct cml_jpeg_info info;
	uint8_t exif_orientation;	/* 0: none */
	uint8_t xmp_orientation;
	bool has_exif;
	/* libjpeg's own, to RGB */
	void (*color_convert)(j_decompress_ptr cinfo, JSAMPIMAGE input_buf,
			      JDIMENSION input_row, JSAMPARRAY output_buf,
			      int num_rows);
	uint8_t *pixels;		/* (width, 3) */
	size_t pixels_size;
	uint8_t *window;
	size_t skip;			/* bytes to drop from the input */
	bool tail_is_marker;		/* last byte of the tail is 0xff */
};

static struct cml_jpeg *jpeg_of(j_common_ptr cinfo)
{
	struct cml_jpeg_memory *memory = cinfo->client_data;

	return (void *)((char *)memory - offsetof(struct cml_jpeg, memory));
}

static void jpeg_fail(struct cml_jpeg *jpeg, enum cml_status status)
{
	jpeg->status = status;
	longjmp(jpeg->escape, 1);
}

static void on_error(j_common_ptr cinfo)
{
	struct cml_jpeg *jpeg = jpeg_of(cinfo);
	enum cml_status status = cml_jpeg_status(cinfo->err->msg_code);

	/* Coefficients are what is large in a file with several scans. */
	if (status == CML_NO_MEMORY && jpeg->state == JPEG_IN_SCANS &&
	    jpeg_has_multiple_scans(&jpeg->cinfo))
		status = CML_JPEG_PROGRESSIVE_TOO_LARGE;

	jpeg_fail(jpeg, status);
}

/* A warning, below level 0, means damage that libjpeg would paint over. */
static void on_message(j_common_ptr cinfo, int level)
{
	if (level >= 0)
		return;

	/* But not this one: a later JFIF. */
	if (cinfo->err->msg_code != JWRN_JFIF_MAJOR)
		jpeg_fail(jpeg_of(cinfo), CML_JPEG_CORRUPT);
}

static void on_reset(j_common_ptr cinfo)
{
	cinfo->err->num_warnings = 0;
	cinfo->err->msg_code = 0;
}

/* Called often: the place to stop a file that has scans without end. */
static void on_progress(j_common_ptr cinfo)
{
	struct cml_jpeg *jpeg = jpeg_of(cinfo);

	if (jpeg->cinfo.input_scan_number > CML_JPEG_MAX_SCANS)
		jpeg_fail(jpeg, CML_JPEG_TOO_LARGE);
}

static void source_nothing(j_decompress_ptr cinfo)
{
	(void)cinfo;
}

static boolean source_suspend(j_decompress_ptr cinfo)
{
	(void)cinfo;

	return FALSE;
}

static void source_skip(j_decompress_ptr cinfo, long count)
{
	struct cml_jpeg *jpeg = jpeg_of((j_common_ptr)cinfo);
	size_t left = 0;
	size_t here = 0;

	if (count <= 0)
		return;
	left = count;
	here = left < jpeg->src.bytes_in_buffer ? left :
	       jpeg->src.bytes_in_buffer;
	jpeg->src.next_input_byte += here;
	jpeg->src.bytes_in_buffer -= here;
	jpeg->skip = left - here;
}

/* APP1: EXIF or XMP. The window holds any segment whole: no copy is kept. */
static boolean on_app1(j_decompress_ptr cinfo)
{
	struct cml_jpeg *jpeg = jpeg_of((j_common_ptr)cinfo);
	struct cml_cursor cur = cml_cursor(cml_bytes(
		jpeg->src.next_input_byte, jpeg->src.bytes_in_buffer));
	uint16_t len = cml_cursor_be16(&cur);
	struct cml_bytes segment = { 0 };
	uint8_t orientation = 0;

	if (!cml_cursor_ok(&cur))
		return FALSE;
	if (len < 2)
		ERREXIT(cinfo, JERR_BAD_LENGTH);
	segment = cml_cursor_take(&cur, len - 2);
	if (!cml_cursor_ok(&cur))
		return FALSE;

	switch (cml_exif_read(segment, &orientation)) {
	case CML_EXIF_TIFF:
		if (!jpeg->has_exif)
			jpeg->exif_orientation = orientation;
		jpeg->has_exif = true;
		break;
	case CML_EXIF_XMP:
		jpeg->xmp_orientation = orientation;
		break;
	case CML_EXIF_NONE:
		break;
	}
	source_skip(cinfo, len);

	return TRUE;
}

/* The header was read: is it a photo for us? */
static void jpeg_check(struct cml_jpeg *jpeg)
{
	const struct jpeg_decompress_struct *cinfo = &jpeg->cinfo;

	if (cinfo->arith_code || cinfo->data_precision != 8)
		jpeg_fail(jpeg, CML_JPEG_UNSUPPORTED);
	if (cinfo->jpeg_color_space == JCS_CMYK ||
	    cinfo->jpeg_color_space == JCS_YCCK)
		jpeg_fail(jpeg, CML_JPEG_COLORSPACE);
	if (cinfo->jpeg_color_space == JCS_UNKNOWN)
		jpeg_fail(jpeg, CML_JPEG_UNSUPPORTED);
	if (cinfo->image_width > CML_JPEG_MAX_SIDE ||
	    cinfo->image_height > CML_JPEG_MAX_SIDE ||
	    (uint64_t)cinfo->image_width * cinfo->image_height >
	    CML_JPEG_MAX_PIXELS)
		jpeg_fail(jpeg, CML_JPEG_TOO_LARGE);
}

static void jpeg_begin(struct cml_jpeg *jpeg)
{
	enum cml_status status = CML_INTERNAL;

	jpeg_check(jpeg);
	jpeg->info.width = jpeg->cinfo.image_width;
	jpeg->info.height = jpeg->cinfo.image_height;
	jpeg->info.orientation = 1;
	if (jpeg->exif_orientation)
		jpeg->info.orientation = jpeg->exif_orientation;
	else if (jpeg->xmp_orientation)
		jpeg->info.orientation = jpeg->xmp_orientation;

	/* At most 3 * CML_JPEG_MAX_SIDE. */
	jpeg->pixels_size = (size_t)jpeg->info.width * 3;
	jpeg->pixels = cml_jpeg_alloc(&jpeg->memory, jpeg->pixels_size);
	if (!jpeg->pixels)
		jpeg_fail(jpeg, CML_NO_MEMORY);

	jpeg->cinfo.out_color_space = JCS_RGB;
	jpeg->cinfo.dct_method = JDCT_ISLOW;
	jpeg->cinfo.do_fancy_upsampling = TRUE;

	status = jpeg->sink.start(jpeg->sink.ctx, &jpeg->info);
	if (status)
		jpeg_fail(jpeg, status);
}

/*
 * A file with one scan, after its last row. Entropy-coded data that is left
 * over means that earlier data was damaged: the damage made the decoder
 * arrive early. Zeros are padding, which some cameras write.
 */
static void jpeg_check_tail(struct cml_jpeg *jpeg)
{
	struct jpeg_source_mgr *src = &jpeg->src;
	uint8_t byte = 0;

	while (src->bytes_in_buffer && jpeg->state == JPEG_IN_TAIL) {
		byte = *src->next_input_byte++;
		src->bytes_in_buffer--;
		if (jpeg->tail_is_marker && byte && byte != 0xff)
			jpeg->state = JPEG_DONE;
		else if (byte ? byte != 0xff : jpeg->tail_is_marker)
			jpeg_fail(jpeg, CML_JPEG_CORRUPT);
		jpeg->tail_is_marker = byte == 0xff;
	}
}

static void convert_nothing(j_decompress_ptr cinfo, JSAMPIMAGE input_buf,
			    JDIMENSION input_row, JSAMPARRAY output_buf,
			    int num_rows)
{
	(void)cinfo;
	(void)input_buf;
	(void)input_row;
	(void)output_buf;
	(void)num_rows;
}

/*
 * False when the window is used up. A row that nobody wants is not converted
 * to RGB, a third of its cost: what jpeg_skip_scanlines() does, which
 * cannot wait for input.
 */
static bool jpeg_next_row(struct cml_jpeg *jpeg)
{
	struct jpeg_decompress_struct *cinfo = &jpeg->cinfo;
	const struct cml_jpeg_sink *sink = &jpeg->sink;
	const uint32_t y = cinfo->output_scanline;
	const bool wanted = !sink->wants || sink->wants(sink->ctx, y);
	JSAMPROW rows[1] = { jpeg->pixels };

	cinfo->cconvert->color_convert = wanted ? jpeg->color_convert :
					 convert_nothing;
	if (!jpeg_read_scanlines(cinfo, rows, 1))
		return false;
	if (wanted)
		sink->row(sink->ctx, y, jpeg->pixels);

	return true;
}

/* Goes on as far as the window reaches. */
static void jpeg_advance(struct cml_jpeg *jpeg)
{
	struct jpeg_decompress_struct *cinfo = &jpeg->cinfo;

	if (jpeg->state == JPEG_IN_HEADER) {
		if (jpeg_read_header(cinfo, TRUE) == JPEG_SUSPENDED)
			return;
		jpeg_begin(jpeg);
		jpeg->state = JPEG_IN_SCANS;
	}

	if (jpeg->state == JPEG_IN_SCANS) {
		if (!jpeg_start_decompress(cinfo))
			return;
		jpeg->color_convert = cinfo->cconvert->color_convert;
		jpeg->state = JPEG_IN_ROWS;
	}

	while (jpeg->state == JPEG_IN_ROWS &&
	       cinfo->output_scanline < cinfo->output_height)
		if (!jpeg_next_row(jpeg))
			return;
	/* libjpeg reads ahead: it may have the marker, or the whole file. */
	if (jpeg->state == JPEG_IN_ROWS)
		jpeg->state = cinfo->unread_marker ||
			      jpeg_has_multiple_scans(cinfo) ?
			      JPEG_DONE : JPEG_IN_TAIL;
	jpeg_check_tail(jpeg);
}

/* libjpeg leaves by longjmp() to here and nowhere else. */
static enum cml_status jpeg_guard(struct cml_jpeg *jpeg,
				  void (*body)(struct cml_jpeg *jpeg))
{
	if (!setjmp(jpeg->escape))
		body(jpeg);

	return jpeg->status;
}

static void jpeg_create(struct cml_jpeg *jpeg)
{
	jpeg_create_decompress(&jpeg->cinfo);
	jpeg->cinfo.src = &jpeg->src;
	jpeg->cinfo.progress = &jpeg->progress;
	jpeg_set_marker_processor(&jpeg->cinfo, JPEG_APP0 + 1, on_app1);
}

enum cml_status cml_jpeg_new(const struct cml_allocator *allocator,
			     size_t memory_limit,
			     const struct cml_jpeg_sink *sink,
			     struct cml_jpeg **jpeg)
{
	struct cml_jpeg_memory memory = {
		.allocator = allocator,
		.limit = memory_limit,
	};
	enum cml_status status = CML_NO_MEMORY;
	struct cml_jpeg *self = NULL;

	*jpeg = NULL;
	self = cml_jpeg_alloc(&memory, sizeof(*self));
	if (!self)
		return CML_NO_MEMORY;
	self->memory = memory;
	self->sink = *sink;

	self->err.error_exit = on_error;
	self->err.emit_message = on_message;
	self->err.reset_error_mgr = on_reset;
	self->src.init_source = source_nothing;
	self->src.fill_input_buffer = source_suspend;
	self->src.skip_input_data = source_skip;
	self->src.resync_to_restart = jpeg_resync_to_restart;
	self->src.term_source = source_nothing;
	self->progress.progress_monitor = on_progress;
	self->cinfo.err = &self->err;
	self->cinfo.client_data = &self->memory;

	self->window = cml_jpeg_alloc(&self->memory, JPEG_WINDOW_SIZE);
	if (!self->window)
		goto out;
	self->src.next_input_byte = self->window;
	status = jpeg_guard(self, jpeg_create);
	if (status)
		goto out;
	*jpeg = self;
	self = NULL;	/* handed over */

out:
	cml_jpeg_free(self);
	return status;
}

/* Moves what is not consumed to the front and fills up behind it. */
static size_t jpeg_fill(struct cml_jpeg *jpeg, struct cml_bytes data)
{
	struct jpeg_source_mgr *src = &jpeg->src;
	size_t start = src->next_input_byte - jpeg->window;
	size_t end = start + src->bytes_in_buffer;
	size_t len = data.len;

	if (len > JPEG_WINDOW_SIZE - end) {
		memmove(jpeg->window, jpeg->window + start,
			src->bytes_in_buffer);
		src->next_input_byte = jpeg->window;
		end = src->bytes_in_buffer;
	}
	if (len > JPEG_WINDOW_SIZE - end)
		len = JPEG_WINDOW_SIZE - end;
	if (len)
		memcpy(jpeg->window + end, data.ptr, len);
	src->bytes_in_buffer += len;

	return len;
}

enum cml_status cml_jpeg_push(struct cml_jpeg *jpeg, struct cml_bytes data)
{
	size_t len = 0;

	while (!jpeg->status && jpeg->state != JPEG_DONE && data.len) {
		len = jpeg->skip;
		if (len) {
			if (len > data.len)
				len = data.len;
			jpeg->skip -= len;
		} else {
			len = jpeg_fill(jpeg, data);
			/*
			 * A full window that libjpeg does not want to start
			 * on: 65536 fill bytes before a marker.
			 */
			if (!len)
				jpeg->status = CML_JPEG_CORRUPT;
			else
				jpeg_guard(jpeg, jpeg_advance);
		}
		data.ptr += len;
		data.len -= len;
	}

	return jpeg->status;
}

enum cml_status cml_jpeg_finish(struct cml_jpeg *jpeg)
{
	if (!jpeg->status && jpeg->state < JPEG_IN_TAIL)
		jpeg->status = CML_JPEG_TRUNCATED;

	return jpeg->status;
}

size_t cml_jpeg_peak_memory(const struct cml_jpeg *jpeg)
{
	return jpeg->memory.peak;
}

void cml_jpeg_free(struct cml_jpeg *jpeg)
{
	struct cml_jpeg_memory memory = { 0 };

	if (!jpeg)
		return;
	jpeg_destroy_decompress(&jpeg->cinfo);
	cml_jpeg_release(&jpeg->memory, jpeg->pixels, jpeg->pixels_size);
	cml_jpeg_release(&jpeg->memory, jpeg->window, JPEG_WINDOW_SIZE);
	memory = jpeg->memory;
	cml_jpeg_release(&memory, jpeg, sizeof(*jpeg));
}
