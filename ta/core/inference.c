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
	struct cml_graph *graph;
	struct cml_run run;
	struct cml_ssd *ssd;
};

struct cml_inference {
	const struct cml_allocator *allocator;
	struct cml_detector *detector;
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
static bool view(const struct cml_tensor_info *info, const uint8_t *data,
		 struct cml_tensor_view *view)
{
	*view = (struct cml_tensor_view){
		.data = (const int8_t *)data,
		.size = info->size,
		.scale = info->scale,
		.zero_point = info->zero_point,
	};
	for (size_t i = 0; i < 4; i++)
		view->dims[i] = info->dims[i];

	return info->type == CML_TFLITE_INT8 && info->rank == 4 &&
	       info->scale > 0;
}

/* Stack: 0.7 KiB of tensor views. */
static enum cml_status detector_ssd(struct cml_detector *detector,
				    struct cml_graph_problem *problem)
{
	const struct cml_run *run = &detector->run;
	enum cml_status status = CML_MODEL_NOT_DETECTOR;
	struct cml_tensor_view outputs[CML_SSD_OUTPUTS] = { 0 };
	struct cml_tensor_view input = { 0 };
	struct cml_tensor_info info = cml_graph_input(run->graph, 0);
	bool fits = cml_graph_input_count(run->graph) == 1 &&
		    cml_graph_output_count(run->graph) == CML_SSD_OUTPUTS &&
		    view(&info, cml_run_input(run, 0), &input);

	for (size_t i = 0; fits && i < CML_SSD_OUTPUTS; i++) {
		info = cml_graph_output(run->graph, i);
		fits = view(&info, cml_run_output(run, i), &outputs[i]);
	}
	if (fits)
		status = cml_ssd_new(detector->allocator, &input, outputs,
				     &detector->ssd);
	if (status && problem)
		*problem = (struct cml_graph_problem){
			.op_index = -1,
			.builtin_code = -1,
			.reason = cml_status_name(status),
		};

	return status;
}

/* What running needs beside the graph and the model. */
static enum cml_status detector_memory(struct cml_detector *detector)
{
	const struct cml_allocator *allocator = detector->allocator;
	const struct cml_graph *graph = detector->graph;
	size_t scratch = cml_graph_scratch_size(graph);
	struct cml_run *run = &detector->run;

	run->graph = graph;
	run->arena = allocator->alloc(allocator->ctx,
				      cml_graph_arena_size(graph));
	if (run->arena && scratch)
		run->scratch = allocator->alloc(allocator->ctx, scratch);

	return run->arena && (run->scratch || !scratch) ? CML_OK :
	       CML_NO_MEMORY;
}

enum cml_status cml_detector_new(const struct cml_allocator *allocator,
				 uint8_t *model, size_t len, uint32_t cpu,
				 struct cml_detector **detector,
				 struct cml_graph_problem *problem)
{
	enum cml_status status = CML_NO_MEMORY;
	struct cml_detector *self = NULL;

	*detector = NULL;
	self = allocator->alloc(allocator->ctx, sizeof(*self));
	if (!self)
		return CML_NO_MEMORY;
	self->allocator = allocator;

	status = cml_graph_prepare(allocator, model, len, cpu, &self->graph,
				   problem);
	if (status)
		goto out;
	self->run.model = model;
	status = detector_memory(self);
	if (status)
		goto out;
	status = detector_ssd(self, problem);
	if (status)
		goto out;
	*detector = self;
	self = NULL;	/* handed over */

out:
	cml_detector_free(self);
	return status;
}

const struct cml_run *cml_detector_run(const struct cml_detector *detector)
{
	return &detector->run;
}

void cml_detector_free(struct cml_detector *detector)
{
	const struct cml_allocator *allocator = NULL;

	if (!detector)
		return;
	allocator = detector->allocator;
	cml_ssd_free(detector->ssd);
	if (detector->graph) {
		const struct cml_graph *graph = detector->graph;

		allocator->release(allocator->ctx, detector->run.scratch,
				   cml_graph_scratch_size(graph));
		allocator->release(allocator->ctx, detector->run.arena,
				   cml_graph_arena_size(graph));
	}
	cml_graph_free(allocator, detector->graph);
	allocator->release(allocator->ctx, detector, sizeof(*detector));
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
			      (int8_t *)cml_run_input(&detector->run, 0),
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
	self->score_threshold = score_threshold_permille;
	self->clock = clock;
	self->clock_ctx = clock_ctx;
	scratch = cml_run_free_arena(&detector->run, &size);
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

enum cml_status cml_inference_finish(struct cml_inference *inference,
				     struct cml_result *result)
{
	struct cml_detector *detector = inference->detector;
	enum cml_status status = CML_BAD_STATE;
	uint64_t begin = 0;
	uint64_t run = 0;
	uint64_t end = 0;

	if (!inference->jpeg)
		return CML_BAD_STATE;
	status = cml_jpeg_finish(inference->jpeg);
	/* The network is about to use their memory. */
	inference_drop_photo(inference);
	if (status)
		return status;

	begin = inference->clock(inference->clock_ctx);
	cml_graph_run(&detector->run);
	run = inference->clock(inference->clock_ctx);
	cml_ssd_detect(detector->ssd, inference->score_threshold,
		       inference->width, inference->height,
		       result->detections, &result->detection_count);
	end = inference->clock(inference->clock_ctx);

	result->width = inference->width;
	result->height = inference->height;
	result->timings = (struct cml_timings){
		.jpeg_us = microseconds(0, inference->jpeg_us),
		.network_us = microseconds(begin, run),
		.boxes_us = microseconds(run, end),
	};

	return digest_outputs(&detector->run, result->output_digest);
}

void cml_inference_free(struct cml_inference *inference)
{
	const struct cml_allocator *allocator = NULL;

	if (!inference)
		return;
	allocator = inference->allocator;
	inference_drop_photo(inference);
	/* Pixels, activations and outputs: the model may stay for long. */
	cml_wipe(inference->detector->run.arena,
		 cml_graph_arena_size(inference->detector->graph));
	cml_wipe(inference->detector->run.scratch,
		 cml_graph_scratch_size(inference->detector->graph));
	allocator->release(allocator->ctx, inference, sizeof(*inference));
}
