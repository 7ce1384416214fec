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

struct cml_detector;	/* a prepared model that is an SSD detector */

/*
 * @model: @len bytes, see cml_graph_prepare(). It stays with the caller, in
 * place, until cml_detector_free().
 */
enum cml_status cml_detector_new(const struct cml_allocator *allocator,
				 uint8_t *model, size_t len, uint32_t cpu,
				 struct cml_detector **detector,
				 struct cml_graph_problem *problem);
/* Its graph, and where its memory is. */
const struct cml_run *cml_detector_run(const struct cml_detector *detector);
void cml_detector_free(struct cml_detector *detector);	/* wipes */

/*
 * What a photo may take beyond the arena, in bytes: room for a progressive one
 * of about 2 megapixels (4:2:0), if the allocator has it.
 */
#define CML_PHOTO_EXTRA_MEMORY	(5u << 20)

struct cml_inference;	/* one photo; at most one per detector at a time */

enum cml_status cml_inference_new(const struct cml_allocator *allocator,
				  struct cml_detector *detector,
				  uint16_t score_threshold_permille,
				  cml_clock clock, void *clock_ctx,
				  struct cml_inference **inference);
/* Any number of plaintext bytes of the JPEG. */
enum cml_status cml_inference_push(struct cml_inference *inference,
				   struct cml_bytes jpeg);
/*
 * Runs the network. Fills all of @result but request_id and model_digest,
 * which are the caller's.
 */
enum cml_status cml_inference_finish(struct cml_inference *inference,
				     struct cml_result *result);
void cml_inference_free(struct cml_inference *inference);	/* wipes */

#endif /* CML_INFERENCE_H */
