// SPDX-License-Identifier: Apache-2.0
/*
 * How large may a photo be? The decoder allocates all that it will need when it
 * has read the headers, so a file's headers, with other sides written into
 * them, tell it for any size.
 */
#include <stdlib.h>
#include <string.h>

#include "jpeg.h"
#include "report.h"
#include "stream.h"

/* The stream that the photo comes out of holds a segment, sealed and not. */
#define STREAM_SIZE	(2 * CML_STREAM_SEGMENT_SIZE + 256)
#define ASPECT_WIDTH	4
#define ASPECT_HEIGHT	3
#define STEP		16	/* pixels of width: what the answer is exact to */
#define SMALL_WIDTH	640
#define SMALL_HEIGHT	480

enum { SOI = 0xd8, SOF0 = 0xc0, SOF2 = 0xc2, SOS = 0xda };

bool photo_template(struct cml_bytes file, struct photo_template *template)
{
	struct cml_cursor cur = cml_cursor(file);

	*template = (struct photo_template){ 0 };
	if (cml_cursor_be16(&cur) != (0xff00 | SOI))
		return false;
	while (cml_cursor_ok(&cur)) {
		uint16_t marker = cml_cursor_be16(&cur);
		size_t begin = file.len - cml_cursor_remaining(&cur);
		uint16_t len = cml_cursor_be16(&cur);

		if (marker >> 8 != 0xff || len < 2)
			return false;
		if (marker == (0xff00 | SOF0) || marker == (0xff00 | SOF2))
			template->sides = begin + 3;
		cml_cursor_take(&cur, len - 2);
		if (marker == (0xff00 | SOS) && cml_cursor_ok(&cur)) {
			template->bytes = cml_bytes(file.ptr, begin + len);
			return template->sides;
		}
	}

	return false;
}

static uint64_t no_clock(void *ctx)
{
	(void)ctx;

	return 0;
}

struct session {
	struct account account;
	const struct report *report;
	struct cml_detector *detector;
};

static enum cml_status push(struct session *session,
			    const struct cml_run *run, struct cml_bytes photo)
{
	const struct cml_allocator *allocator = &session->account.allocator;
	struct cml_inference *inference = NULL;
	enum cml_status status = CML_NO_MEMORY;
	void *stream = NULL;

	status = cml_inference_new(allocator, session->detector, run, 0,
				   no_clock, NULL, &inference);
	if (status)
		return status;
	stream = allocator->alloc(allocator->ctx, STREAM_SIZE);
	status = stream ? cml_inference_push(inference, photo) : CML_NO_MEMORY;
	/* The rest of the photo is missing, but its memory is given back. */
	cml_inference_decode(inference);
	/* Where it does not fit the TA does without, on one core. */
	account_try(&session->account, network_extra(session->report->graph));
	allocator->release(allocator->ctx, stream, STREAM_SIZE);
	cml_inference_free(inference);

	return status;
}

/* What a photo of these sides takes at most; 0 if it is refused. */
static size_t photo_peak(struct session *session,
			 const struct photo_template *template,
			 uint32_t width, uint32_t height)
{
	const struct cml_allocator *allocator = &session->account.allocator;
	const struct cml_graph *graph = session->report->graph;
	size_t arena = cml_graph_arena_size(graph);
	size_t scratch = cml_graph_scratch_size(graph);
	struct cml_run run = { .graph = graph };
	uint8_t *headers = malloc(template->bytes.len);
	enum cml_status status = CML_NO_MEMORY;

	if (!headers)
		return 0;
	memcpy(headers, template->bytes.ptr, template->bytes.len);
	headers[template->sides] = height >> 8;
	headers[template->sides + 1] = height;
	headers[template->sides + 2] = width >> 8;
	headers[template->sides + 3] = width;

	session->account.peak = session->account.used;
	run.arena = allocator->alloc(allocator->ctx, arena);
	run.scratch = allocator->alloc(allocator->ctx, scratch);
	if (run.arena && (run.scratch || !scratch))
		status = push(session, &run,
			      cml_bytes(headers, template->bytes.len));
	allocator->release(allocator->ctx, run.scratch, scratch);
	allocator->release(allocator->ctx, run.arena, arena);
	free(headers);

	return status ? 0 : session->account.peak;
}

static struct photo_limit search(struct session *session,
				 const struct photo_template *template)
{
	struct photo_limit best = {
		.small_peak = photo_peak(session, template, SMALL_WIDTH,
					 SMALL_HEIGHT),
	};
	uint32_t fits = 0;
	uint32_t fails = CML_JPEG_MAX_SIDE / STEP + 1;

	while (fails - fits > 1) {
		uint32_t middle = (fits + fails) / 2;
		uint32_t width = middle * STEP;
		uint32_t height = width * ASPECT_HEIGHT / ASPECT_WIDTH;
		size_t peak = photo_peak(session, template, width, height);

		if (peak) {
			best.width = width;
			best.height = height;
			best.peak = peak;
			fits = middle;
		} else {
			fails = middle;
		}
	}

	return best;
}

struct photo_limit photo_limit(const struct report *report,
			       const struct photo_template *template,
			       size_t limit)
{
	struct session session = { .report = report };
	struct account *account = &session.account;
	struct photo_limit best = { 0 };

	account_init(account, limit);
	/* What is shared is there already. */
	if (account_take(account, report->file.len) &&
	    account_take(account, GRAPH_HEAD + cml_graph_size(report->graph)) &&
	    !cml_detector_new(&account->allocator, report->graph,
			      &session.detector))
		best = search(&session, template);
	cml_detector_free(session.detector);

	return best;
}
