// SPDX-License-Identifier: Apache-2.0
/*
 * fixtures/README.md, "Post-processing, exactly", has the rules and the names
 * used here. Two of them are worked around, without changing a result:
 *
 * - Candidates are never listed (there may be 80 per anchor) nor sorted. They
 *   are visited by descending logit: of the levels' highest values not yet
 *   visited, take the highest, and look for it in its level's tensor. Memory
 *   order is anchor order, then class order. Equal logits of two levels: the
 *   lower level has the lower anchors, and goes first.
 * - A box is decoded when its first candidate comes, and remembered.
 *
 * Arithmetic is double without fused multiply-add (sub.mk), as NumPy's.
 */
#include <math.h>
#include <string.h>

#include "ssd.h"

#define SSD_MAX_SIDE		512
#define SSD_MAX_SHAPES		6	/* anchors per cell */
#define SSD_TRAINED_SIZE	300.0
#define SSD_FIRST_STRIDE	16
#define SSD_IOU_THRESHOLD	0.5
#define SSD_PERMILLE		1000
#define SSD_VALUES		256	/* of an int8 */

/* s and r of README.md, a negative s: sqrt(s_l * s_{l+1}) */
struct ssd_shape {
	double s, r;
};

/* In fractions of the network's input. */
struct ssd_size {
	double h, w;
};

struct ssd_box {
	double y1, x1, y2, x2;
};

enum ssd_box_state {
	SSD_BOX_UNKNOWN = 0,
	SSD_BOX_INSIDE,		/* decoded, has area inside the photo */
	SSD_BOX_OUTSIDE,	/* decoded, is to be dropped */
};

struct ssd_level {
	struct cml_tensor_view boxes;	/* (1, n, n, shape_count * 4) */
	struct cml_tensor_view classes;	/* (1, n, n, shape_count * 80) */
	const int8_t *box_data, *class_data;	/* while detecting */
	uint32_t n;
	uint32_t shape_count;
	uint32_t first_anchor;
	double stride;
	struct ssd_size sizes[SSD_MAX_SHAPES];
	uint32_t histogram[SSD_VALUES];	/* of classes, by value + 128 */
};

struct cml_ssd {
	const struct cml_allocator *allocator;
	uint32_t input_size;
	uint32_t anchor_count;
	struct ssd_level levels[CML_SSD_LEVELS];
	struct ssd_box *boxes;		/* (anchor_count) */
	uint8_t *box_states;		/* (anchor_count) ssd_box_state */
	struct ssd_box kept[CML_SSD_MAX_DETECTIONS];
};

/* One detection in the making. */
struct ssd_run {
	uint32_t width, height;
	struct cml_detection *detections;
	size_t count;
};

static const double scales[CML_SSD_LEVELS + 1] = {
	0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0,
};

static void fill_sizes(struct ssd_level *level, size_t index,
		       uint32_t input_size)
{
	static const struct ssd_shape first_shapes[] = {
		{ 0.1, 1 }, { 0.2, 2 }, { 0.2, 0.5 },
	};
	const double s = scales[index];
	/* 0.3333, not 1/3: the network was trained with it. */
	const struct ssd_shape other_shapes[] = {
		{ s, 1 }, { s, 2 }, { s, 0.5 }, { s, 3 }, { s, 0.3333 },
		{ sqrt(s * scales[index + 1]), 1 },
	};
	const struct ssd_shape *shapes = index ? other_shapes : first_shapes;

	level->shape_count = index ? 6 : 3;
	for (uint32_t a = 0; a < level->shape_count; a++) {
		const double root = sqrt(shapes[a].r);

		level->sizes[a].h = shapes[a].s / root *
				    (SSD_TRAINED_SIZE / input_size);
		level->sizes[a].w = shapes[a].s * root *
				    (SSD_TRAINED_SIZE / input_size);
	}
}

static bool has_shape(const struct cml_tensor_view *view, uint32_t n,
		      uint32_t channels)
{
	return view->dims[0] == 1 && view->dims[1] == (int32_t)n &&
	       view->dims[2] == (int32_t)n &&
	       view->dims[3] == (int32_t)channels &&
	       view->size == (size_t)n * n * channels;
}

static bool fill_levels(struct cml_ssd *ssd,
			const struct cml_tensor_view outputs[CML_SSD_OUTPUTS])
{
	/* Each level halves the one before, SAME padding. */
	uint32_t n = (ssd->input_size + SSD_FIRST_STRIDE - 1) /
		     SSD_FIRST_STRIDE;
	uint32_t stride = SSD_FIRST_STRIDE;

	for (size_t i = 0; i < CML_SSD_LEVELS; i++) {
		struct ssd_level *level = &ssd->levels[i];

		level->n = n;
		level->stride = (double)stride / ssd->input_size;
		level->first_anchor = ssd->anchor_count;
		level->boxes = outputs[i];
		level->classes = outputs[CML_SSD_LEVELS + i];
		fill_sizes(level, i, ssd->input_size);
		if (!has_shape(&level->boxes, n, level->shape_count * 4) ||
		    !has_shape(&level->classes, n,
			       level->shape_count * CML_SSD_CLASSES))
			return false;
		ssd->anchor_count += n * n * level->shape_count;
		n = (n + 1) / 2;
		stride *= 2;
	}

	return true;
}

static bool fill_input(struct cml_ssd *ssd,
		       const struct cml_tensor_view *input)
{
	const int32_t side = input->dims[1];

	/* int8 pixel = pixel - 128: what resize.h writes. */
	if (side < 1 || side > SSD_MAX_SIDE || !has_shape(input, side, 3) ||
	    input->scale != 1.0f / 127.5f || input->zero_point != -1)
		return false;
	ssd->input_size = side;

	return true;
}

enum cml_status cml_ssd_new(const struct cml_allocator *allocator,
			    const struct cml_tensor_view *input,
			    const struct cml_tensor_view *outputs,
			    struct cml_ssd **ssd)
{
	enum cml_status status = CML_NO_MEMORY;
	struct cml_ssd *self = NULL;

	*ssd = NULL;
	self = allocator->alloc(allocator->ctx, sizeof(*self));
	if (!self)
		return CML_NO_MEMORY;
	self->allocator = allocator;
	if (!fill_input(self, input) || !fill_levels(self, outputs)) {
		status = CML_MODEL_NOT_DETECTOR;
		goto out;
	}

	self->boxes = allocator->alloc(allocator->ctx, self->anchor_count *
				       sizeof(*self->boxes));
	self->box_states = allocator->alloc(allocator->ctx,
					    self->anchor_count);
	if (!self->boxes || !self->box_states)
		goto out;
	*ssd = self;
	self = NULL;	/* handed over */
	status = CML_OK;

out:
	cml_ssd_free(self);
	return status;
}

uint32_t cml_ssd_input_size(const struct cml_ssd *ssd)
{
	return ssd->input_size;
}

static double real(const struct cml_tensor_view *view, int32_t q)
{
	return (double)(q - view->zero_point) * (double)view->scale;
}

static double clip(double value)
{
	return value < 0 ? 0 : value > 1 ? 1 : value;
}

static bool is_inside(const struct ssd_box *box)
{
	return isfinite(box->y1) && isfinite(box->x1) &&
	       isfinite(box->y2) && isfinite(box->x2) &&
	       clip(box->y2) > clip(box->y1) && clip(box->x2) > clip(box->x1);
}

/* @index: of the anchor in its level. */
static enum ssd_box_state decode(struct cml_ssd *ssd,
				 const struct ssd_level *level, uint32_t index,
				 struct ssd_box *box)
{
	const uint32_t anchor = level->first_anchor + index;
	const uint32_t cell = index / level->shape_count;
	const struct ssd_size *size =
		&level->sizes[index % level->shape_count];
	const int8_t *t = level->box_data + (size_t)index * 4;
	const double middle = (level->n - 1) / 2.0;
	double cy = 0.5 + level->stride * (cell / level->n - middle);
	double cx = 0.5 + level->stride * (cell % level->n - middle);
	double h = 0;
	double w = 0;

	if (ssd->box_states[anchor] == SSD_BOX_UNKNOWN) {
		cy = real(&level->boxes, t[0]) / 10 * size->h + cy;
		cx = real(&level->boxes, t[1]) / 10 * size->w + cx;
		h = size->h * exp(real(&level->boxes, t[2]) / 5);
		w = size->w * exp(real(&level->boxes, t[3]) / 5);
		ssd->boxes[anchor] = (struct ssd_box){
			.y1 = cy - h / 2,
			.x1 = cx - w / 2,
			.y2 = cy + h / 2,
			.x2 = cx + w / 2,
		};
		ssd->box_states[anchor] = is_inside(&ssd->boxes[anchor]) ?
					  SSD_BOX_INSIDE : SSD_BOX_OUTSIDE;
	}
	*box = ssd->boxes[anchor];

	return ssd->box_states[anchor];
}

static double area(const struct ssd_box *box)
{
	return (box->y2 - box->y1) * (box->x2 - box->x1);
}

static double overlap(double low_a, double high_a, double low_b, double high_b)
{
	const double low = low_a > low_b ? low_a : low_b;
	const double high = high_a < high_b ? high_a : high_b;

	return high > low ? high - low : 0;
}

static bool suppresses(const struct ssd_box *kept, const struct ssd_box *box)
{
	const double inter = overlap(kept->y1, kept->y2, box->y1, box->y2) *
			     overlap(kept->x1, kept->x2, box->x1, box->x2);

	return inter > SSD_IOU_THRESHOLD * (area(box) + area(kept) - inter);
}

/* @at: place of the candidate in the level's class tensor. */
static void visit(struct cml_ssd *ssd, const struct ssd_level *level,
		  size_t at, double logit, struct ssd_run *run)
{
	const uint32_t label = at % CML_SSD_CLASSES;
	struct ssd_box box = { 0 };

	if (decode(ssd, level, at / CML_SSD_CLASSES, &box) != SSD_BOX_INSIDE)
		return;
	for (size_t i = 0; i < run->count; i++)
		if (run->detections[i].label == label &&
		    suppresses(&ssd->kept[i], &box))
			return;

	ssd->kept[run->count] = box;
	run->detections[run->count] = (struct cml_detection){
		.label = label,
		.score = 1 / (1 + exp(-logit)),
		.box = {
			clip(box.x1) * run->width, clip(box.y1) * run->height,
			clip(box.x2) * run->width, clip(box.y2) * run->height,
		},
	};
	run->count++;
}

/* All candidates of one level with the value @q. */
static void visit_value(struct cml_ssd *ssd, const struct ssd_level *level,
			int32_t q, struct ssd_run *run)
{
	const int8_t *data = level->class_data;
	const size_t size = level->classes.size;
	const double logit = real(&level->classes, q);
	uint32_t left = level->histogram[q - INT8_MIN];
	const int8_t *found = NULL;
	size_t at = 0;

	while (left && run->count < CML_SSD_MAX_DETECTIONS) {
		/* memchr() looks for the byte that is q modulo 256. */
		found = memchr(data + at, q, size - at);
		if (!found)
			return;
		at = found - data;
		visit(ssd, level, at, logit, run);
		at++;
		left--;
	}
}

static void count_values(struct ssd_level *level)
{
	memset(level->histogram, 0, sizeof(level->histogram));
	for (size_t i = 0; i < level->classes.size; i++)
		level->histogram[level->class_data[i] - INT8_MIN]++;
}

void cml_ssd_detect(struct cml_ssd *ssd,
		    const int8_t *const outputs[CML_SSD_OUTPUTS],
		    uint16_t score_threshold_permille,
		    uint32_t width, uint32_t height,
		    struct cml_detection detections[CML_SSD_MAX_DETECTIONS],
		    size_t *count)
{
	const double t = (double)score_threshold_permille / SSD_PERMILLE;
	struct ssd_run run = {
		.width = width,
		.height = height,
		.detections = detections,
	};
	/* The highest value of each level that is not visited yet */
	int32_t next[CML_SSD_LEVELS] = { 0 };
	double logit = 0;

	*count = 0;
	/* No logit is a score of 1. */
	if (score_threshold_permille >= SSD_PERMILLE)
		return;
	logit = log(t / (1 - t));

	memset(ssd->box_states, SSD_BOX_UNKNOWN, ssd->anchor_count);
	for (size_t i = 0; i < CML_SSD_LEVELS; i++) {
		ssd->levels[i].box_data = outputs[i];
		ssd->levels[i].class_data = outputs[CML_SSD_LEVELS + i];
		count_values(&ssd->levels[i]);
		next[i] = INT8_MAX;
	}

	while (run.count < CML_SSD_MAX_DETECTIONS) {
		double highest = 0;
		size_t best = CML_SSD_LEVELS;

		for (size_t i = 0; i < CML_SSD_LEVELS; i++) {
			double here = real(&ssd->levels[i].classes, next[i]);

			if (next[i] < INT8_MIN || here < logit)
				continue;
			if (best == CML_SSD_LEVELS || here > highest) {
				highest = here;
				best = i;
			}
		}
		if (best == CML_SSD_LEVELS)
			break;
		visit_value(ssd, &ssd->levels[best], next[best], &run);
		next[best]--;
	}
	*count = run.count;
}

void cml_ssd_free(struct cml_ssd *ssd)
{
	const struct cml_allocator *allocator = NULL;

	if (!ssd)
		return;
	allocator = ssd->allocator;
	allocator->release(allocator->ctx, ssd->box_states, ssd->anchor_count);
	allocator->release(allocator->ctx, ssd->boxes,
			   ssd->anchor_count * sizeof(*ssd->boxes));
	allocator->release(allocator->ctx, ssd, sizeof(*ssd));
}
