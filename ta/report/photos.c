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

/* What a photo of these sides takes at most; 0 if it is refused. */
static size_t photo_peak(struct account *account, const struct report *report,
			 struct cml_detector *detector,
			 const struct photo_template *template,
			 uint32_t width, uint32_t height)
{
	uint8_t *headers = malloc(template->bytes.len);
	size_t peak = 0;

	if (!headers)
		return 0;
	memcpy(headers, template->bytes.ptr, template->bytes.len);
	headers[template->sides] = height >> 8;
	headers[template->sides + 1] = height;
	headers[template->sides + 2] = width >> 8;
	headers[template->sides + 3] = width;
	peak = request_peak(account, report->graph, detector,
			    cml_bytes(headers, template->bytes.len));
	free(headers);

	return peak;
}

static struct photo_limit search(struct account *account,
				 const struct report *report,
				 struct cml_detector *detector,
				 const struct photo_template *template)
{
	struct photo_limit best = {
		.small_peak = photo_peak(account, report, detector, template,
					 SMALL_WIDTH, SMALL_HEIGHT),
	};
	uint32_t fits = 0;
	uint32_t fails = CML_JPEG_MAX_SIDE / STEP + 1;

	while (fails - fits > 1) {
		uint32_t middle = (fits + fails) / 2;
		uint32_t width = middle * STEP;
		uint32_t height = width * ASPECT_HEIGHT / ASPECT_WIDTH;
		size_t peak = photo_peak(account, report, detector, template,
					 width, height);

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
	struct photo_limit best = { 0 };
	struct cml_detector *detector = NULL;
	struct account account = { 0 };

	account_init(&account, limit);
	if (account_share(&account, report->model_size) &&
	    account_share(&account, report->board_size) &&
	    !cml_detector_new(&account.allocator, report->graph, &detector))
		best = search(&account, report, detector, template);
	cml_detector_free(detector);

	return best;
}
