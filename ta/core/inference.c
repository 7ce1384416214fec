// SPDX-License-Identifier: Apache-2.0
/*
 * Decoder and resize live in the part of the graph's arena that is free until
 * the network runs, so a photo needs no memory of its own: but for the
 * coefficients of a large progressive one, which come from the allocator if it
 * has them. They are gone before the network starts.
 */
#include "inference.h"
#include "jpeg.h"
#include "region.h"
#include "resize.h"

struct cml_detector {
	const struct cml_allocator *allocator;
	const struct cml_graph *graph;
	struct cml_ssd *ssd;
};

struct cml_inference {
	const struct cml_allocator *allocator;
	struct cml_detector *detector;
	int8_t *input;			/* of the graph */
	uint16_t score_threshold;
	cml_clock clock;
	void *clock_ctx;
	struct cml_region region;
	struct cml_jpeg *jpeg;		/* NULL once the network ran */
	struct cml_resize *resize;	/* NULL until the header was read */
	uint32_t width, height;		/* as displayed */
	uint64_t jpeg_us;
};

/* As a detector has them: int8 with four dimensions. */
static bool view(const struct cml_tensor_info *info,
		 struct cml_tensor_view *view)
{
	*view = (struct cml_tensor_view){
		.size = info->size,
		.scale = info->scale,
		.zero_point = info->zero_point,
	};
	for (size_t i = 0; i < 4; i++)
		view->dims[i] = info->dims[i];

	return info->type == CML_TFLITE_INT8 && info->rank == 4 &&
	       info->scale > 0;
}

/* Stack: 0.6 KiB of tensor views. */
static enum cml_status detector_ssd(struct cml_detector *detector)
{
	const struct cml_graph *graph = detector->graph;
	struct cml_tensor_view outputs[CML_SSD_OUTPUTS] = { 0 };
	struct cml_tensor_view input = { 0 };
	struct cml_tensor_info info = cml_graph_input(graph, 0);
	bool fits = cml_graph_input_count(graph) == 1 &&
		    cml_graph_output_count(graph) == CML_SSD_OUTPUTS &&
		    view(&info, &input);

	for (size_t i = 0; fits && i < CML_SSD_OUTPUTS; i++) {
		info = cml_graph_output(graph, i);
		fits = view(&info, &outputs[i]);
	}

	return fits ? cml_ssd_new(detector->allocator, &input, outputs,
				  &detector->ssd) : CML_MODEL_NOT_DETECTOR;
}

enum cml_status cml_detector_new(const struct cml_allocator *allocator,
				 const struct cml_graph *graph,
				 struct cml_detector **detector)
{
	struct cml_detector *self = allocator->alloc(allocator->ctx,
						     sizeof(*self));
	enum cml_status status = CML_NO_MEMORY;

	*detector = NULL;
	if (!self)
		return CML_NO_MEMORY;
	self->allocator = allocator;
	self->graph = graph;
	status = detector_ssd(self);
	if (status)
		cml_detector_free(self);
	else
		*detector = self;

	return status;
}

void cml_detector_free(struct cml_detector *detector)
{
	if (!detector)
		return;
	cml_ssd_free(detector->ssd);
	detector->allocator->release(detector->allocator->ctx, detector,
				     sizeof(*detector));
}

static enum cml_status on_start(void *ctx, const struct cml_jpeg_info *info)
{
	struct cml_inference *inference = ctx;
	struct cml_detector *detector = inference->detector;
	const bool transposed = info->orientation >= 5;

	inference->width = transposed ? info->height : info->width;
	inference->height = transposed ? info->width : info->height;

	return cml_resize_new(&inference->region.allocator, info->width,
			      info->height, info->orientation,
			      cml_ssd_input_size(detector->ssd),
			      inference->input,
			      &inference->resize);
}

static bool on_wants(void *ctx, uint32_t y)
{
	struct cml_inference *inference = ctx;

	return cml_resize_wants(inference->resize, y);
}

static void on_row(void *ctx, uint32_t y, const uint8_t *rgb)
{
	struct cml_inference *inference = ctx;

	cml_resize_row(inference->resize, y, rgb);
}

enum cml_status cml_inference_new(const struct cml_allocator *allocator,
				  struct cml_detector *detector,
				  const struct cml_run *run,
				  uint16_t score_threshold_permille,
				  cml_clock clock, void *clock_ctx,
				  struct cml_inference **inference)
{
	struct cml_jpeg_sink sink = {
		.start = on_start,
		.wants = on_wants,
		.row = on_row,
	};
	enum cml_status status = CML_NO_MEMORY;
	struct cml_inference *self = NULL;
	void *scratch = NULL;
	size_t size = 0;

	*inference = NULL;
	self = allocator->alloc(allocator->ctx, sizeof(*self));
	if (!self)
		return CML_NO_MEMORY;
	self->allocator = allocator;
	self->detector = detector;
	self->input = (int8_t *)cml_run_input(run, 0);
	self->score_threshold = score_threshold_permille;
	self->clock = clock;
	self->clock_ctx = clock_ctx;
	scratch = cml_run_free_arena(run, &size);
	cml_region_init(&self->region, scratch, size, allocator);

	sink.ctx = self;
	status = cml_jpeg_new(&self->region.allocator,
			      self->region.size + CML_PHOTO_EXTRA_MEMORY,
			      &sink, &self->jpeg);
	if (status)
		goto out;
	*inference = self;
	self = NULL;	/* handed over */

out:
	cml_inference_free(self);
	return status;
}

enum cml_status cml_inference_push(struct cml_inference *inference,
				   struct cml_bytes jpeg)
{
	const uint64_t begin = inference->clock(inference->clock_ctx);
	enum cml_status status = CML_BAD_STATE;

	if (!inference->jpeg)
		return CML_BAD_STATE;
	status = cml_jpeg_push(inference->jpeg, jpeg);
	inference->jpeg_us += inference->clock(inference->clock_ctx) - begin;

	return status;
}

static void inference_drop_photo(struct cml_inference *inference)
{
	cml_resize_free(inference->resize);
	inference->resize = NULL;
	cml_jpeg_free(inference->jpeg);
	inference->jpeg = NULL;
}

static enum cml_status digest_outputs(const struct cml_run *run,
				      uint8_t digest[CML_SHA256_SIZE])
{
	enum cml_status status = CML_INTERNAL;
	struct cml_sha256 *sha = NULL;

	status = cml_crypto_sha256_new(&sha);
	for (size_t i = 0; !status && i < cml_graph_output_count(run->graph);
	     i++)
		status = cml_crypto_sha256_update(sha, cml_bytes(
			cml_run_output(run, i),
			cml_graph_output(run->graph, i).size));
	if (!status)
		status = cml_crypto_sha256_final(sha, digest);
	cml_crypto_sha256_free(sha);

	return status;
}

static uint32_t microseconds(uint64_t begin, uint64_t end)
{
	const uint64_t elapsed = end - begin;

	return elapsed < UINT32_MAX ? elapsed : UINT32_MAX;
}

enum cml_status cml_inference_decode(struct cml_inference *inference)
{
	enum cml_status status = CML_BAD_STATE;

	if (!inference->jpeg)
		return CML_BAD_STATE;
	status = cml_jpeg_finish(inference->jpeg);
	/* The network is about to use their memory. */
	inference_drop_photo(inference);

	return status;
}

enum cml_status cml_inference_detect(struct cml_inference *inference,
				     const struct cml_run *run,
				     struct cml_result *result)
{
	uint64_t begin = inference->clock(inference->clock_ctx);
	const int8_t *outputs[CML_SSD_OUTPUTS] = { NULL };
	uint64_t end = 0;

	for (size_t i = 0; i < CML_SSD_OUTPUTS; i++)
		outputs[i] = (const int8_t *)cml_run_output(run, i);
	cml_ssd_detect(inference->detector->ssd, outputs,
		       inference->score_threshold, inference->width,
		       inference->height, result->detections,
		       &result->detection_count);
	end = inference->clock(inference->clock_ctx);

	result->width = inference->width;
	result->height = inference->height;
	result->timings.jpeg_us = microseconds(0, inference->jpeg_us);
	result->timings.boxes_us = microseconds(begin, end);

	return digest_outputs(run, result->output_digest);
}

void cml_inference_free(struct cml_inference *inference)
{
	const struct cml_allocator *allocator = NULL;

	if (!inference)
		return;
	allocator = inference->allocator;
	inference_drop_photo(inference);
	allocator->release(allocator->ctx, inference, sizeof(*inference));
}
