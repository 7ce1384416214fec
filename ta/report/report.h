// SPDX-License-Identifier: Apache-2.0
/*
 * What is told of a model: a CBOR map on standard output, whose keys
 * sandbox/model/report.py reads.
 */
#ifndef REPORT_H
#define REPORT_H

#include "account.h"
#include "cbor.h"
#include "inference.h"
#include "nn/graph_internal.h"

struct report {
	struct cml_bytes file;	/* as it is on disk */
	uint32_t cpu;
	enum cml_status status;
	struct cml_graph_problem problem;
	struct cml_graph *graph;	/* NULL: refused */
	/* Secure memory: pages counted whole, as the TA counts */
	size_t shared;		/* model and graph, once for all sessions */
	size_t own;		/* arena and scratch, of a session that runs it */
	size_t loading;		/* at most, while it is loaded */
	/* As an SSD detector; of no meaning unless the status is CML_OK */
	enum cml_status detector_status;
	uint32_t input_size;
	size_t small;		/* of a session with a small baseline photo */
};

/* Of the graph's block in the TA, before the graph: ta/inference/model.c. */
#define GRAPH_HEAD	256

/*
 * What running a graph takes beside arena and scratch: a copy of the inputs,
 * should another attempt be needed, and the workers' board.
 */
size_t network_extra(const struct cml_graph *graph);

/* A file whose sides are to be changed: up to the end of its first header. */
struct photo_template {
	struct cml_bytes bytes;
	size_t sides;		/* where height and width are in it */
};

/* The largest photo of 4 to 3 that a detector takes. */
struct photo_limit {
	uint32_t width, height;
	size_t peak;		/* bytes of the session, all in all */
	size_t small_peak;	/* with a photo of 640 x 480; 0: no room */
};

/* describe.c; writes into a map */
void describe_model(CborEncoder *map, const struct report *report,
		    CborError *error);

/* photos.c */

/* False if it is no JPEG that this code knows how to change. */
bool photo_template(struct cml_bytes file, struct photo_template *template);
/* In a session that may have @limit bytes in all. Nothing fits: no sides. */
struct photo_limit photo_limit(const struct report *report,
			       const struct photo_template *template,
			       size_t limit);

#endif /* REPORT_H */
