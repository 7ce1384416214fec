// SPDX-License-Identifier: Apache-2.0
/*
 * One photo's way: plaintext JPEG bytes in, detections out. Joins jpeg,
 * resize, graph and ssd; knows nothing of keys, streams or the TEE.
 */
#ifndef CML_INFERENCE_H
#define CML_INFERENCE_H

#include "nn/graph.h"
#include "nn/measure.h"
#include "result.h"

struct cml_detector;	/* what is made of the outputs of one model */

/*
 * @graph stays with the caller, in place, until cml_detector_free().
 * CML_MODEL_NOT_DETECTOR, CML_NO_MEMORY.
 */
enum cml_status cml_detector_new(const struct cml_allocator *allocator,
				 const struct cml_graph *graph,
				 struct cml_detector **detector);
void cml_detector_free(struct cml_detector *detector);	/* wipes */

/*
 * What a photo may take beyond the arena, in bytes: room for a progressive one
 * of about 2 megapixels (4:2:0), if the allocator has it.
 */
#define CML_PHOTO_EXTRA_MEMORY	(5u << 20)

struct cml_inference;	/* one photo; at most one per detector at a time */

/*
 * @run: of the detector's graph, with an arena that is the photo's alone. The
 * photo is decoded in it.
 */
enum cml_status cml_inference_new(const struct cml_allocator *allocator,
				  struct cml_detector *detector,
				  const struct cml_run *run,
				  uint16_t score_threshold_permille,
				  cml_clock clock, void *clock_ctx,
				  struct cml_inference **inference);
/* Any number of plaintext bytes of the JPEG. */
enum cml_status cml_inference_push(struct cml_inference *inference,
				   struct cml_bytes jpeg);
/* No more bytes come: the graph's input is in the arena, and nothing else. */
enum cml_status cml_inference_decode(struct cml_inference *inference);
/*
 * Once the graph has run on that input: @run says where its outputs are. Fills
 * all of @result but request_id, model_digest and timings.network_us, which are
 * the caller's.
 */
enum cml_status cml_inference_detect(struct cml_inference *inference,
				     const struct cml_run *run,
				     struct cml_result *result);
/* The arena is the caller's to wipe. */
void cml_inference_free(struct cml_inference *inference);

#endif /* CML_INFERENCE_H */
