// SPDX-License-Identifier: Apache-2.0
/* From one quantisation to another, as QUANTIZE, ABS and the RELUs do. */
#ifndef CML_RESCALE_H
#define CML_RESCALE_H

#include "unary.h"

/* Parameters of an operator. */
struct cml_rescale {
	struct cml_factor factor;
	int32_t input_zero_point, output_zero_point;
	int32_t min, max;
	uint8_t input_type, output_type;
	bool absolute;		/* negative numbers become positive */
	bool tabulated;
	uint8_t table[256];	/* byte for byte, if both types have one */
};

/*
 * Parameters for the node: the input's numbers times @factor, within the
 * range of the output's type. Both tensors are quantised integers.
 */
enum cml_status cml_rescale_prepare(struct cml_node *node, double factor,
				    struct cml_rescale **rescale);
/* When the rest of @rescale is as it should be. */
void cml_rescale_finish(struct cml_rescale *rescale);
void cml_rescale_run(const struct cml_rescale *rescale,
		     struct cml_unary_span span);

#endif /* CML_RESCALE_H */
