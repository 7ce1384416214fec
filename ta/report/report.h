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
#include "stream.h"

struct report {
	struct cml_bytes file;	/* as it is on disk */
	uint32_t cpu;
	enum cml_status status;
	struct cml_graph_problem problem;
	struct cml_graph *graph;	/* NULL: refused */
	/* In memory once, for all sessions */
	size_t model_size, board_size;
	size_t load_peak;		/* of the session that loads it */
	/* At most, beside those; 0: no result could have the outputs */
	size_t tensors_request;
	/* As an SSD detector; of no meaning unless the status is CML_OK */
	enum cml_status detector_status;
	size_t detector_size;		/* of each session */
	uint32_t input_size;
	size_t small;			/* peak with a small baseline photo */
};

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

/* request.c */

#define BOARD_SIZE	ACCOUNT_PAGE

/* The stream that a file comes out of holds a segment, sealed and not. */
#define STREAM_SIZE	(2 * CML_STREAM_SEGMENT_SIZE + 256)

/*
 * The most that @account has while a request runs, in what is left of its
 * limit; 0 if that is too little. Nothing of it stays.
 * @detector, @headers: of the photo; NULL and none: a request of tensors.
 */
size_t request_peak(struct account *account, const struct cml_graph *graph,
		    struct cml_detector *detector, struct cml_bytes headers);

/* photos.c */

/* False if it is no JPEG that this code knows how to change. */
bool photo_template(struct cml_bytes file, struct photo_template *template);
/*
 * Where one session and what it shares with others may have @limit bytes in
 * all. Nothing fits: no sides.
 */
struct photo_limit photo_limit(const struct report *report,
			       const struct photo_template *template,
			       size_t limit);

#endif /* REPORT_H */
