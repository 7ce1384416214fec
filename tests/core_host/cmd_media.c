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
 * input	u32 out size, u32 piece size, file
 *	->	out size * out size * 3 int8: decoded and resized at once
 * ssd		i64 allocation to fail, u32 threshold in 1/1000,
 *		u32 width, u32 height, 13 tensors (input first): f32 scale,
 *		u32 zero point, 4 u32 dims, data
 *	->	detections: u32 label, f32 score, 4 f32 box
 * labels	nothing
 *	->	labels, a line each
 * result	u32 room, u64 sequence, counter, model
 *		version, 112 bytes of digests and device, 5 u32 (width,
 *		height, timings), detections
 *	->	CBOR
 * infer	i64 allocation to fail, u32 cpu, u32 threshold in 1/1000,
 *		u32 piece size, u32 model size, model, file
 *	->	CBOR of the result, what it is of all zero
 */
#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "inference.h"
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
	const struct cml_jpeg_sink sink = {
		.ctx = &decoded,
		.start = decoded_start,
		.row = decoded_row,
	};
	size_t live = driver_allocated();
	struct cml_jpeg *jpeg = NULL;
	enum cml_status status = CML_OK;
	size_t piece = cml_cursor_remaining(&cur);
	uint64_t peak = 0;

	driver_fail_allocation(fail);
	status = cml_jpeg_new(driver_allocator(), limit, &sink, &jpeg);
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

struct resized {
	struct cml_resize *resize;
	uint32_t size;
	int8_t *out;
};

static enum cml_status resized_start(void *ctx,
				     const struct cml_jpeg_info *info)
{
	struct resized *resized = ctx;

	return cml_resize_new(driver_allocator(), info->width, info->height,
			      info->orientation, resized->size, resized->out,
			      &resized->resize);
}

static bool resized_wants(void *ctx, uint32_t y)
{
	struct resized *resized = ctx;

	return cml_resize_wants(resized->resize, y);
}

static void resized_row(void *ctx, uint32_t y, const uint8_t *rgb)
{
	struct resized *resized = ctx;

	cml_resize_row(resized->resize, y, rgb);
}

static enum cml_status run_input(struct cml_bytes payload,
				 struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	struct resized resized = { .size = driver_u32(&cur) };
	size_t piece = driver_u32(&cur);
	const struct cml_jpeg_sink sink = {
		.ctx = &resized,
		.start = resized_start,
		.wants = resized_wants,
		.row = resized_row,
	};
	size_t out_size = (size_t)resized.size * resized.size * 3;
	enum cml_status status = CML_INTERNAL;
	struct cml_jpeg *jpeg = NULL;

	resized.out = calloc(out_size, 1);
	if (!resized.out)
		abort();
	status = cml_jpeg_new(driver_allocator(), SIZE_MAX, &sink, &jpeg);
	while (!status && cml_cursor_remaining(&cur)) {
		if (piece > cml_cursor_remaining(&cur))
			piece = cml_cursor_remaining(&cur);
		status = push_piece(jpeg, cml_cursor_take(&cur, piece));
	}
	if (!status)
		status = cml_jpeg_finish(jpeg);
	cml_jpeg_free(jpeg);
	cml_resize_free(resized.resize);
	if (!status)
		driver_put(reply, resized.out, out_size);
	free(resized.out);

	return status;
}

static float driver_f32(struct cml_cursor *cur)
{
	uint32_t bits = driver_u32(cur);
	float value = 0;

	memcpy(&value, &bits, sizeof(value));

	return value;
}

static void put_f32(struct driver_reply *reply, float value)
{
	driver_put(reply, &value, sizeof(value));
}

/* @values: in a block of its own, which the caller frees. */
static struct cml_tensor_view read_tensor(struct cml_cursor *cur,
					  int8_t **values)
{
	struct cml_tensor_view view = { 0 };
	struct cml_bytes data = { 0 };

	view.scale = driver_f32(cur);
	view.zero_point = driver_u32(cur);
	view.size = 1;
	for (size_t i = 0; i < 4; i++) {
		view.dims[i] = driver_u32(cur);
		view.size *= view.dims[i];
	}
	data = cml_cursor_take(cur, view.size);
	*values = malloc(view.size ? view.size : 1);
	if (!*values || !cml_cursor_ok(cur))
		abort();
	memcpy(*values, data.ptr, data.len);

	return view;
}

static enum cml_status run_ssd(struct cml_bytes payload,
			       struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	int64_t fail = driver_u64(&cur);
	uint32_t threshold = driver_u32(&cur);
	uint32_t width = driver_u32(&cur);
	uint32_t height = driver_u32(&cur);
	struct cml_tensor_view tensors[1 + CML_SSD_OUTPUTS] = { 0 };
	int8_t *values[1 + CML_SSD_OUTPUTS] = { NULL };
	struct cml_detection detections[CML_SSD_MAX_DETECTIONS] = { 0 };
	size_t live = driver_allocated();
	enum cml_status status = CML_OK;
	struct cml_ssd *ssd = NULL;
	size_t count = 0;

	for (size_t i = 0; i < 1 + CML_SSD_OUTPUTS; i++)
		tensors[i] = read_tensor(&cur, &values[i]);
	driver_fail_allocation(fail);
	status = cml_ssd_new(driver_allocator(), &tensors[0], &tensors[1],
			     &ssd);
	driver_fail_allocation(-1);
	/* Twice: what one run leaves behind must not change the next. */
	for (size_t run = 0; !status && run < 2; run++)
		cml_ssd_detect(ssd, (const int8_t *const *)&values[1],
			       threshold, width, height, detections, &count);
	cml_ssd_free(ssd);
	for (size_t i = 0; i < 1 + CML_SSD_OUTPUTS; i++)
		free(values[i]);
	if (driver_allocated() != live)
		abort();
	for (size_t i = 0; i < count; i++) {
		driver_put_u32(reply, detections[i].label);
		put_f32(reply, detections[i].score);
		for (size_t k = 0; k < 4; k++)
			put_f32(reply, detections[i].box[k]);
	}

	return status;
}

static enum cml_status run_labels(struct cml_bytes payload,
				  struct driver_reply *reply)
{
	const char *label = NULL;

	for (uint32_t i = 0; (label = cml_ssd_label(i)); i++) {
		driver_put(reply, label, strlen(label));
		driver_put(reply, "\n", 1);
	}

	return payload.len ? CML_INTERNAL : CML_OK;
}

static enum cml_status run_result(struct cml_bytes payload,
				  struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	size_t len = driver_u32(&cur);
	uint64_t sequence = driver_u64(&cur);
	uint64_t counter = driver_u64(&cur);
	uint64_t version = driver_u64(&cur);
	struct cml_result result = {
		.sequence = sequence,
		.counter = counter,
		.model_version = version,
		.model_name = "a-name.of_32_characters-at-most.",
		.ta_version = "1.2.3",
	};
	struct cml_bytes ids = cml_cursor_take(&cur, 3 * CML_SHA256_SIZE +
					       CML_DEVICE_ID_SIZE);
	enum cml_status status = CML_INTERNAL;
	uint8_t *out = malloc(len ? len : 1);

	if (!out || !cml_cursor_ok(&cur))
		abort();
	memcpy(result.request_digest, ids.ptr, CML_SHA256_SIZE);
	memcpy(result.model_digest, ids.ptr + CML_SHA256_SIZE,
	       CML_SHA256_SIZE);
	memcpy(result.output_digest, ids.ptr + 2 * CML_SHA256_SIZE,
	       CML_SHA256_SIZE);
	memcpy(result.device_id, ids.ptr + 3 * CML_SHA256_SIZE,
	       CML_DEVICE_ID_SIZE);
	result.width = driver_u32(&cur);
	result.height = driver_u32(&cur);
	result.timings.jpeg_us = driver_u32(&cur);
	result.timings.network_us = driver_u32(&cur);
	result.timings.boxes_us = driver_u32(&cur);
	while (cml_cursor_remaining(&cur) &&
	       result.detection_count < CML_SSD_MAX_DETECTIONS) {
		struct cml_detection *detection =
			&result.detections[result.detection_count++];

		detection->label = driver_u32(&cur);
		detection->score = driver_f32(&cur);
		for (size_t k = 0; k < 4; k++)
			detection->box[k] = driver_f32(&cur);
	}
	status = cml_result_encode(&result, out, &len);
	if (!status)
		driver_put(reply, out, len);
	free(out);

	return status;
}

/* Every look at it is a millisecond later. */
static uint64_t test_clock(void *ctx)
{
	uint64_t *now = ctx;

	*now += 1000;

	return *now;
}

static enum cml_status infer_photo(struct cml_detector *detector,
				   const struct cml_run *run,
				   uint32_t threshold, size_t piece,
				   struct cml_bytes photo,
				   struct cml_result *result)
{
	struct cml_cursor cur = cml_cursor(photo);
	struct cml_inference *inference = NULL;
	enum cml_status status = CML_INTERNAL;
	uint64_t begin = 0;
	uint64_t now = 0;

	status = cml_inference_new(driver_allocator(), detector, run,
				   threshold, test_clock, &now, &inference);
	while (!status && cml_cursor_remaining(&cur)) {
		if (piece > cml_cursor_remaining(&cur))
			piece = cml_cursor_remaining(&cur);
		status = cml_inference_push(inference,
					    cml_cursor_take(&cur, piece));
	}
	if (!status)
		status = cml_inference_decode(inference);
	if (!status && cml_inference_push(inference, photo) != CML_BAD_STATE)
		abort();
	if (!status && cml_inference_decode(inference) != CML_BAD_STATE)
		abort();
	if (!status) {
		begin = test_clock(&now);
		cml_graph_run(run);
		result->timings.network_us = test_clock(&now) - begin;
		status = cml_inference_detect(inference, run, result);
	}
	cml_inference_free(inference);

	return status;
}

/* With what a run needs, for as long as it takes. */
static enum cml_status infer(const struct cml_graph *graph,
			     const uint8_t *model, uint32_t threshold,
			     size_t piece, struct cml_bytes photo,
			     struct cml_result *result)
{
	const struct cml_allocator *allocator = driver_allocator();
	size_t arena_size = cml_graph_arena_size(graph);
	size_t scratch_size = cml_graph_scratch_size(graph);
	struct cml_detector *detector = NULL;
	struct cml_run run = {
		.graph = graph,
		.model = model,
		.arena = allocator->alloc(allocator->ctx, arena_size),
		.scratch = allocator->alloc(allocator->ctx, scratch_size),
	};
	enum cml_status status = CML_NO_MEMORY;

	if (run.arena && run.scratch)
		status = cml_detector_new(allocator, graph, &detector);
	if (!status)
		status = infer_photo(detector, &run, threshold, piece, photo,
				     result);
	cml_detector_free(detector);
	allocator->release(allocator->ctx, run.arena, arena_size);
	allocator->release(allocator->ctx, run.scratch, scratch_size);

	return status;
}

static enum cml_status run_infer(struct cml_bytes payload,
				 struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	int64_t fail = driver_u64(&cur);
	uint32_t cpu = driver_u32(&cur);
	uint32_t threshold = driver_u32(&cur);
	uint32_t piece = driver_u32(&cur);
	struct cml_bytes model = cml_cursor_take(&cur, driver_u32(&cur));
	struct cml_bytes photo = cml_cursor_take(&cur,
						 cml_cursor_remaining(&cur));
	const struct cml_allocator *allocator = driver_allocator();
	struct cml_graph_problem problem = { 0 };
	struct cml_graph *graph = NULL;
	size_t live = driver_allocated();
	enum cml_status status = CML_NO_MEMORY;
	struct cml_result *result = calloc(1, sizeof(*result));
	uint8_t out[CML_RESULT_MAX_SIZE] = { 0 };
	size_t len = sizeof(out);
	uint8_t *aligned = NULL;

	if (!result || !cml_cursor_ok(&cur))
		abort();
	/* As the TA has it: at the start of a page. */
	aligned = allocator->alloc(allocator->ctx, model.len);
	if (!aligned)
		abort();
	memcpy(aligned, model.ptr, model.len);
	result->ta_version = "";

	driver_fail_allocation(fail);
	status = cml_graph_prepare(allocator, aligned, model.len, cpu, &graph,
				   &problem);
	if (status && status != CML_NO_MEMORY && !problem.reason)
		abort();
	if (!status)
		status = infer(graph, aligned, threshold, piece, photo, result);
	driver_fail_allocation(-1);
	cml_graph_free(allocator, graph);
	allocator->release(allocator->ctx, aligned, model.len);
	if (driver_allocated() != live)
		abort();
	if (!status)
		status = cml_result_encode(result, out, &len);
	if (!status)
		driver_put(reply, out, len);
	free(result);

	return status;
}

const struct driver_command driver_media_commands[] = {
	{ "jpeg", run_jpeg },
	{ "resize", run_resize },
	{ "input", run_input },
	{ "ssd", run_ssd },
	{ "labels", run_labels },
	{ "result", run_result },
	{ "infer", run_infer },
	{ NULL, NULL },
};
