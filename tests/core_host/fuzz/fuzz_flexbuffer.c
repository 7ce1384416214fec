// SPDX-License-Identifier: Apache-2.0
/*
 * The options of a custom operator: whatever they hold, a number that is found
 * is one that fits.
 */
#include <stdlib.h>
#include <string.h>

#include "nn/flexbuffer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct cml_flex_map *map, const char *key)
{
	struct cml_flex_value value = cml_flex_find(map, key);
	int32_t integer = 5;
	float real = 5;

	if (value.kind > CML_FLEX_OTHER)
		abort();
	if (!cml_flex_i32(map, key, &integer) && value.kind == CML_FLEX_ABSENT)
		abort();
	if (!cml_flex_f32(map, key, &real) && value.kind == CML_FLEX_ABSENT)
		abort();
	if (value.kind == CML_FLEX_ABSENT && (integer != 5 || real != 5))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const keys[] = {
		"max_detections", "max_classes_per_detection",
		"detections_per_class", "use_regular_nms",
		"nms_score_threshold", "nms_iou_threshold", "num_classes",
		"y_scale", "x_scale", "h_scale", "w_scale", "", "a",
	};
	/* So that nothing behind it is anyone's */
	uint8_t *copy = malloc(len ? len : 1);
	struct cml_flex_map map = { 0 };

	if (!copy)
		abort();
	memcpy(copy, data, len);
	if (cml_flex_open(cml_bytes(copy, len), &map))
		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
			check(&map, keys[i]);
	free(copy);

	return 0;
}
