// SPDX-License-Identifier: Apache-2.0
/*
 * The end of an SSD detector: boxes from their encodings, and the best of them
 * that do not overlap. Regular suppression goes class by class, and keeps the
 * best of all classes; fast suppression goes once by each box's best class.
 *
 * Candidates are taken from a heap by descending score, equal scores by index.
 * That is the order of the reference's stable sort, but nothing is sorted
 * beyond what is needed.
 */
#include <math.h>
#include <string.h>

#include "nn/flexbuffer.h"
#include "nn/op.h"

enum { ENCODINGS, CLASSES, ANCHORS };
enum { OUT_BOXES, OUT_CLASSES, OUT_SCORES, OUT_COUNT };

#define DEFAULT_PER_CLASS	100

struct box {
	float y1, x1, y2, x2;
};

struct found {
	float score;
	uint32_t box, class;
};

struct detection {
	uint32_t boxes, code_size;	/* values of an encoding: 4 or more */
	uint32_t columns, classes;	/* columns: with the background */
	uint32_t max_detections, categories, per_class;
	bool regular;
	float score_threshold, iou_threshold;
	float y_scale, x_scale, h_scale, w_scale;
	/* Places in scratch */
	size_t scores, heap, selected, found;
};

/* One run: what struct detection says, and where everything is. */
struct call {
	const struct detection *detection;
	const struct cml_tensor *encodings, *class_scores, *anchors;
	const void *encoding_data, *class_data, *anchor_data;
	struct box *boxes;	/* (boxes) */
	float *scores;		/* (boxes) of those in question */
	uint32_t *heap;		/* (boxes) */
	uint32_t *selected;	/* (as many as can be selected) */
	struct found *found;	/* (max_detections) of the regular kind */
	uint32_t selected_count, found_count;
};

/* Preparing --------------------------------------------------------------*/

/* Element @index, of float32 or uint8. */
static float element(const struct cml_tensor *tensor, const void *data,
		     size_t index)
{
	const uint8_t *bytes = data;
	const float *floats = data;

	if (tensor->type == CML_TFLITE_FLOAT32)
		return floats[index];

	return (float)(bytes[index] - tensor->zero_point) * tensor->scale;
}

static bool is_positive(float value)
{
	return value > 0 && value <= __FLT_MAX__;
}

static enum cml_status read_options(struct cml_node *node,
				    struct detection *detection)
{
	int32_t max_detections = 0, categories = 0, classes = 0, regular = 0;
	int32_t per_class = DEFAULT_PER_CLASS;
	struct cml_flex_map map = { 0 };

	if (!cml_flex_open(node->tflite.custom_options, &map) ||
	    !cml_flex_i32(&map, "max_detections", &max_detections) ||
	    !cml_flex_i32(&map, "max_classes_per_detection", &categories) ||
	    !cml_flex_i32(&map, "detections_per_class", &per_class) ||
	    !cml_flex_i32(&map, "num_classes", &classes) ||
	    !cml_flex_i32(&map, "use_regular_nms", &regular) ||
	    !cml_flex_f32(&map, "nms_score_threshold",
			  &detection->score_threshold) ||
	    !cml_flex_f32(&map, "nms_iou_threshold",
			  &detection->iou_threshold) ||
	    !cml_flex_f32(&map, "y_scale", &detection->y_scale) ||
	    !cml_flex_f32(&map, "x_scale", &detection->x_scale) ||
	    !cml_flex_f32(&map, "h_scale", &detection->h_scale) ||
	    !cml_flex_f32(&map, "w_scale", &detection->w_scale))
		return cml_refuse(node, CML_MODEL_MALFORMED,
				  "custom options are no map of the numbers "
				  "that they should be");
	if (max_detections < 1 || categories < 1 || per_class < 1 ||
	    classes < 1 ||
	    !(detection->iou_threshold > 0 && detection->iou_threshold <= 1) ||
	    !is_positive(detection->y_scale) ||
	    !is_positive(detection->x_scale) ||
	    !is_positive(detection->h_scale) ||
	    !is_positive(detection->w_scale))
		return cml_refuse(node, CML_MODEL_MALFORMED,
				  "custom options hold a number out of range");
	if (max_detections > CML_TFLITE_MAX_DIM ||
	    categories > CML_TFLITE_MAX_DIM)
		return cml_refuse(node, CML_MODEL_LIMIT, "too many detections");
	detection->max_detections = max_detections;
	detection->categories = categories;
	detection->classes = classes;
	detection->regular = regular;
	detection->per_class = per_class < max_detections ? per_class :
			       max_detections;

	return CML_OK;
}

/* float32, or quantised uint8 */
static enum cml_status check_type(struct cml_node *node, size_t input)
{
	const struct cml_tensor *tensor = cml_node_input(node, input);

	if (tensor->type == CML_TFLITE_UINT8)
		return cml_node_quantized(node, tensor);

	return cml_node_type(node, tensor, CML_TFLITE_FLOAT32);
}

static enum cml_status check_inputs(struct cml_node *node,
				    struct detection *detection)
{
	const struct cml_tensor *encodings = cml_node_input(node, ENCODINGS);
	const struct cml_tensor *classes = cml_node_input(node, CLASSES);
	const struct cml_tensor *anchors = cml_node_input(node, ANCHORS);
	enum cml_status status = cml_node_type(node, anchors, encodings->type);

	for (size_t i = ENCODINGS; !status && i <= ANCHORS; i++)
		status = check_type(node, i);
	if (status)
		return status;
	if (encodings->rank != 3 || encodings->dims[0] != 1 ||
	    encodings->dims[2] < 4 || classes->rank != 3 ||
	    classes->dims[0] != 1 || classes->dims[1] != encodings->dims[1] ||
	    anchors->rank != 2 || anchors->dims[0] != encodings->dims[1] ||
	    anchors->dims[1] != 4)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "encodings, classes and anchors do not have "
				  "shapes that go together");
	detection->boxes = encodings->dims[1];
	detection->code_size = encodings->dims[2];
	detection->columns = classes->dims[2];
	if (detection->columns != detection->classes &&
	    detection->columns - 1 != detection->classes)
		return cml_refuse(node, CML_MODEL_SHAPE,
				  "scores are not of as many classes as the "
				  "options say");

	return CML_OK;
}

/* So no box ends before it begins, which the reference fails for. */
static enum cml_status check_anchors(struct cml_node *node)
{
	const struct cml_tensor *anchors = cml_node_input(node, ANCHORS);
	const void *data = NULL;
	enum cml_status status = cml_node_need_constant(node, ANCHORS, &data);

	for (uint32_t i = 0; !status && i < anchors->count; i++) {
		float value = element(anchors, data, i);

		/* Also for NaN; y and x, then height and width */
		if (!(fabsf(value) <= __FLT_MAX__) || (i & 2 && value < 0))
			status = cml_refuse(node, CML_MODEL_MALFORMED,
					    "anchor is not finite or has a "
					    "negative size");
	}

	return status;
}

/* (1, rows, 4), (1, rows), (1, rows) and (1) */
static enum cml_status check_outputs(struct cml_node *node,
				     const struct detection *detection)
{
	static const uint8_t ranks[] = {
		[OUT_BOXES] = 3, [OUT_CLASSES] = 2, [OUT_SCORES] = 2,
		[OUT_COUNT] = 1,
	};
	uint64_t rows = (uint64_t)detection->max_detections *
			detection->categories;
	int32_t dims[] = { 1, rows, 4 };
	enum cml_status status = CML_OK;

	if (rows > CML_TFLITE_MAX_DIM)
		return cml_refuse(node, CML_MODEL_LIMIT, "too many detections");
	for (size_t i = OUT_BOXES; !status && i <= OUT_COUNT; i++) {
		status = cml_node_type(node, cml_node_output(node, i),
				       CML_TFLITE_FLOAT32);
		if (!status)
			status = cml_node_set_shape(node, i, ranks[i], dims);
	}

	return status;
}

static uint32_t min_of(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t selected_limit(const struct detection *detection)
{
	return min_of(detection->boxes, detection->regular ?
		      detection->per_class : detection->max_detections);
}

/* Scratch is boxes, and then what lies at the places noted here. */
static void plan(struct cml_node *node, struct detection *detection)
{
	uint64_t selected = selected_limit(detection);
	uint64_t boxes = detection->boxes;
	uint64_t unit = selected + 32;	/* overlaps, and the heap's work */

	detection->scores = boxes * sizeof(struct box);
	detection->heap = detection->scores + boxes * sizeof(float);
	detection->selected = detection->heap + boxes * sizeof(uint32_t);
	detection->found = detection->selected + selected * sizeof(uint32_t);
	node->scratch = detection->found;
	/* At most 2^24 scores, 2^25 + 32 for each, and as many rows again */
	if (detection->regular) {
		node->scratch += detection->max_detections *
				 sizeof(struct found);
		node->macs = boxes * detection->classes *
			     (unit + detection->max_detections);
	} else {
		node->macs = boxes * (unit + detection->classes) +
			     selected * detection->classes *
			     min_of(detection->categories, detection->classes);
	}
}

static enum cml_status prepare(struct cml_node *node)
{
	struct detection *detection = NULL;
	void *params = NULL;
	enum cml_status status = cml_node_params(node, sizeof(*detection),
						 &params);

	if (status)
		return status;
	detection = params;
	status = read_options(node, detection);
	if (!status)
		status = check_inputs(node, detection);
	if (!status)
		status = check_anchors(node);
	if (!status)
		status = check_outputs(node, detection);
	if (!status)
		plan(node, detection);

	return status;
}

/* Running ----------------------------------------------------------------*/

/* In double, rounded to float where the reference does. */
static void decode(const struct call *call)
{
	const struct detection *detection = call->detection;

	for (size_t i = 0; i < detection->boxes; i++) {
		float code[4], anchor[4];	/* y, x, h, w */
		float y, x, h, w;

		for (size_t j = 0; j < 4; j++) {
			code[j] = element(call->encodings, call->encoding_data,
					  i * detection->code_size + j);
			anchor[j] = element(call->anchors, call->anchor_data,
					    i * 4 + j);
		}
		y = (double)code[0] / (double)detection->y_scale *
		    (double)anchor[2] + (double)anchor[0];
		x = (double)code[1] / (double)detection->x_scale *
		    (double)anchor[3] + (double)anchor[1];
		h = 0.5 * exp((double)code[2] / (double)detection->h_scale) *
		    (double)anchor[2];
		w = 0.5 * exp((double)code[3] / (double)detection->w_scale) *
		    (double)anchor[3];
		call->boxes[i] = (struct box){ y - h, x - w, y + h, x + w };
	}
}

static float class_score(const struct call *call, size_t box, uint32_t class)
{
	const struct detection *detection = call->detection;

	class += detection->columns - detection->classes;

	return element(call->class_scores, call->class_data,
		       box * detection->columns + class);
}

static float overlap(float low_a, float high_a, float low_b, float high_b)
{
	float low = low_a > low_b ? low_a : low_b;
	float high = high_a < high_b ? high_a : high_b;

	return high > low ? high - low : 0;
}

/* Intersection over union is above the threshold. */
static bool suppresses(const struct call *call, uint32_t kept, uint32_t other)
{
	const struct box *a = &call->boxes[kept];
	const struct box *b = &call->boxes[other];
	float area_a = (a->y2 - a->y1) * (a->x2 - a->x1);
	float area_b = (b->y2 - b->y1) * (b->x2 - b->x1);
	float both = overlap(a->y1, a->y2, b->y1, b->y2) *
		     overlap(a->x1, a->x2, b->x1, b->x2);

	if (area_a <= 0 || area_b <= 0)
		return false;

	return both / (area_a + area_b - both) >
	       call->detection->iou_threshold;
}

/* Whether box @a comes before box @b. */
static bool precedes(const struct call *call, uint32_t a, uint32_t b)
{
	if (call->scores[a] != call->scores[b])
		return call->scores[a] > call->scores[b];

	return a < b;
}

static void sift(const struct call *call, uint32_t at, uint32_t count)
{
	uint32_t *heap = call->heap;
	uint32_t moved = heap[at];

	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= count)
			break;
		if (child + 1 < count &&
		    precedes(call, heap[child + 1], heap[child]))
			child++;
		if (!precedes(call, heap[child], moved))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = moved;
}

static bool is_suppressed(const struct call *call, uint32_t box)
{
	for (uint32_t i = 0; i < call->selected_count; i++)
		if (suppresses(call, call->selected[i], box))
			return true;

	return false;
}

/* Selects boxes by call->scores, at most @limit. */
static void select_boxes(struct call *call, uint32_t limit)
{
	const struct detection *detection = call->detection;
	uint32_t count = 0;

	/* No score that is NaN */
	for (uint32_t i = 0; i < detection->boxes; i++)
		if (call->scores[i] >= detection->score_threshold)
			call->heap[count++] = i;
	for (uint32_t i = count / 2; i > 0; i--)
		sift(call, i - 1, count);

	call->selected_count = 0;
	while (count && call->selected_count < limit) {
		uint32_t best = call->heap[0];

		call->heap[0] = call->heap[--count];
		if (count)
			sift(call, 0, count);
		if (!is_suppressed(call, best))
			call->selected[call->selected_count++] = best;
	}
}

/* Puts one into the list of the best, behind those of the same score. */
static void insert(struct call *call, uint32_t box, uint32_t class)
{
	uint32_t at = call->found_count;
	float score = call->scores[box];

	if (at == call->detection->max_detections) {
		if (!(score > call->found[at - 1].score))
			return;
		at--;
	} else {
		call->found_count++;
	}
	for (; at && score > call->found[at - 1].score; at--)
		call->found[at] = call->found[at - 1];
	call->found[at] = (struct found){ score, box, class };
}

static void regular(struct call *call, struct box *boxes, float *classes,
		    float *scores)
{
	const struct detection *detection = call->detection;
	uint32_t limit = selected_limit(detection);

	for (uint32_t class = 0; class < detection->classes; class++) {
		for (size_t i = 0; i < detection->boxes; i++)
			call->scores[i] = class_score(call, i, class);
		select_boxes(call, limit);
		for (uint32_t i = 0; i < call->selected_count; i++)
			insert(call, call->selected[i], class);
	}
	for (uint32_t i = 0; i < call->found_count; i++) {
		boxes[i] = call->boxes[call->found[i].box];
		classes[i] = call->found[i].class;
		scores[i] = call->found[i].score;
	}
}

/* As a sum would have it: NaN is below every number. */
static bool is_below(float a, float b)
{
	return a < b || (isnan(a) && !isnan(b));
}

/*
 * The class of the box that follows class @last by descending score, equal
 * scores by number; @last the number of classes: the best of all.
 */
static uint32_t next_class(const struct call *call, size_t box, uint32_t last)
{
	uint32_t classes = call->detection->classes;
	float bound = last < classes ? class_score(call, box, last) : 0;
	float highest = 0;
	uint32_t best = classes;

	for (uint32_t class = 0; class < classes; class++) {
		float score = class_score(call, box, class);

		if (last < classes &&
		    (is_below(bound, score) ||
		     (!is_below(score, bound) && class <= last)))
			continue;
		if (best == classes || is_below(highest, score)) {
			highest = score;
			best = class;
		}
	}

	return best;
}

static void fast(struct call *call, struct box *boxes, float *classes,
		 float *scores)
{
	const struct detection *detection = call->detection;
	uint32_t categories = min_of(detection->categories, detection->classes);

	for (size_t i = 0; i < detection->boxes; i++)
		call->scores[i] = class_score(call, i,
				next_class(call, i, detection->classes));
	select_boxes(call, selected_limit(detection));
	for (uint32_t i = 0; i < call->selected_count; i++) {
		size_t at = (size_t)i * detection->categories;
		uint32_t class = detection->classes;

		for (uint32_t j = 0; j < categories; j++, at++) {
			class = next_class(call, call->selected[i], class);
			boxes[at] = call->boxes[call->selected[i]];
			classes[at] = class;
			scores[at] = class_score(call, call->selected[i],
						 class);
		}
	}
	call->found_count = call->selected_count;
}

static void run(const struct cml_run *run, const struct cml_op *op,
		uint32_t tile)
{
	const struct detection *detection = cml_op_params(run, op);
	struct call call = {
		.detection = detection,
		.encodings = cml_op_input(run, op, ENCODINGS),
		.class_scores = cml_op_input(run, op, CLASSES),
		.anchors = cml_op_input(run, op, ANCHORS),
		.encoding_data = cml_op_in(run, op, ENCODINGS),
		.class_data = cml_op_in(run, op, CLASSES),
		.anchor_data = cml_op_in(run, op, ANCHORS),
		.boxes = (struct box *)run->scratch,
		.scores = (float *)(run->scratch + detection->scores),
		.heap = (uint32_t *)(run->scratch + detection->heap),
		.selected = (uint32_t *)(run->scratch + detection->selected),
		.found = (struct found *)(run->scratch + detection->found),
	};
	struct box *boxes = cml_op_out(run, op, OUT_BOXES);
	float *classes = cml_op_out(run, op, OUT_CLASSES);
	float *scores = cml_op_out(run, op, OUT_SCORES);
	float *count = cml_op_out(run, op, OUT_COUNT);

	(void)tile;
	memset(boxes, 0, cml_op_output(run, op, OUT_BOXES)->size);
	memset(classes, 0, cml_op_output(run, op, OUT_CLASSES)->size);
	memset(scores, 0, cml_op_output(run, op, OUT_SCORES)->size);
	decode(&call);
	if (detection->regular)
		regular(&call, boxes, classes, scores);
	else
		fast(&call, boxes, classes, scores);
	*count = call.found_count;
}

const struct cml_op_type cml_op_detection_postprocess = {
	.name = "TFLite_Detection_PostProcess",
	.builtin_code = CML_OP_CUSTOM,
	.max_version = 1,
	.types = CML_F32 | CML_U8,
	.min_inputs = 3, .max_inputs = 3,
	.min_outputs = 4, .max_outputs = 4,
	.notes = "anchors are constant; what is behind the last detection is 0",
	.prepare = prepare,
	.run = run,
};
