// SPDX-License-Identifier: Apache-2.0
/*
 * Elementwise operators of two or three inputs, each of which may be broadcast
 * as NumPy does it. The output is gone through in segments: stretches in which
 * each input either goes along, element by element, or stands still.
 */
#ifndef CML_OPS_BROADCAST_H
#define CML_OPS_BROADCAST_H

#include "nn/op.h"

#define CML_BROADCAST_INPUTS	3

/* Part of an operator's parameters. */
struct cml_broadcast {
	uint32_t rank;			/* of the rows, up to CML_MAX_RANK */
	uint32_t inner;			/* elements of a row */
	uint32_t count;			/* of the output */
	uint32_t dims[CML_MAX_RANK];	/* of the rows, outermost first */
	/* By input: from one to the next in that dimension; 0: broadcast */
	uint32_t stride[CML_BROADCAST_INPUTS][CML_MAX_RANK];
	uint32_t step[CML_BROADCAST_INPUTS];	/* in a row: 0 or 1 */
};

struct cml_segment {
	uint32_t out, count;
	uint32_t in[CML_BROADCAST_INPUTS];	/* where they begin */
};

/*
 * Of the node's first @inputs inputs. Checks that they broadcast, and that the
 * output has the shape that comes of it.
 */
enum cml_status cml_broadcast_prepare(struct cml_node *node, size_t inputs,
				      struct cml_broadcast *broadcast);
/* Takes the next segment off @rest; false: there is none. */
bool cml_broadcast_next(const struct cml_broadcast *broadcast,
			struct cml_range *rest, struct cml_segment *segment);

#endif /* CML_OPS_BROADCAST_H */
