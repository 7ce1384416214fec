// SPDX-License-Identifier: Apache-2.0
/*
 * From the output tensors of an SSD detector to labelled boxes: anchors,
 * decoding, thresholds and per-class non-maximum suppression.
 * fixtures/README.md, "Post-processing, exactly", is the specification.
 */
#ifndef CML_SSD_H
#define CML_SSD_H

#include <stdbool.h>
#include <stdint.h>

#include "memory.h"
#include "status.h"

#define CML_SSD_LEVELS		6
/* Per level a tensor of boxes, then per level a tensor of classes */
#define CML_SSD_OUTPUTS		(2 * CML_SSD_LEVELS)
#define CML_SSD_CLASSES		80
#define CML_SSD_MAX_DETECTIONS	100

struct cml_detection {
	uint32_t label;		/* index into cml_ssd_label() */
	float score;		/* 0 to 1 */
	/* x1, y1, x2, y2: pixels of the photo as displayed */
	float box[4];
};

/* What an int8 tensor, (1, h, w, c), is like. */
struct cml_tensor_view {
	int32_t dims[4];
	size_t size;		/* bytes */
	float scale;		/* > 0 */
	int32_t zero_point;	/* -128 to 127 */
};

struct cml_ssd;

/*
 * Checks that the tensors are those of a detector that this code knows, and
 * prepares.
 * @outputs: CML_SSD_OUTPUTS tensors in the model's order.
 * CML_MODEL_NOT_DETECTOR, CML_NO_MEMORY.
 */
enum cml_status cml_ssd_new(const struct cml_allocator *allocator,
			    const struct cml_tensor_view *input,
			    const struct cml_tensor_view *outputs,
			    struct cml_ssd **ssd);
/* Side of the square input, in pixels. */
uint32_t cml_ssd_input_size(const struct cml_ssd *ssd);
/*
 * Reads the @outputs, in the order of cml_ssd_new(). @width, @height: of the
 * photo as displayed.
 * @detections gets @count entries, best score first. Cannot fail: scratch was
 * allocated by cml_ssd_new().
 */
void cml_ssd_detect(struct cml_ssd *ssd,
		    const int8_t *const outputs[CML_SSD_OUTPUTS],
		    uint16_t score_threshold_permille,
		    uint32_t width, uint32_t height,
		    struct cml_detection detections[CML_SSD_MAX_DETECTIONS],
		    size_t *count);
void cml_ssd_free(struct cml_ssd *ssd);	/* wipes; NULL allowed */
/* UTF-8, static; NULL when there is no such label. */
const char *cml_ssd_label(uint32_t label);

#endif /* CML_SSD_H */
