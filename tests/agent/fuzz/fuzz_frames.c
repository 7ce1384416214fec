// SPDX-License-Identifier: Apache-2.0
/*
 * The agent's inbox: the first byte says in what pieces the rest arrives. The
 * frames that come out are those that a simple reading of the whole finds.
 */
#include <stdlib.h>
#include <string.h>

#include "frame.h"

#define LIMIT	1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct inbox inbox = { .limit = LIMIT };
	struct frame frame = { 0 };
	enum frame_state state = FRAME_PARTIAL;
	size_t piece = 0, at = 0, room = 0, expected = 0;
	uint8_t *to = NULL;

	if (!size)
		return 0;
	piece = data[0] + 1;
	data++;
	size--;
	while (at < size && state != FRAME_TOO_LONG) {
		to = inbox_room(&inbox, &room);
		if (!to || !room)
			abort();
		if (room > piece)
			room = piece;
		if (room > size - at)
			room = size - at;
		memcpy(to, data + at, room);
		inbox.end += room;
		at += room;
		while ((state = frame_next(&inbox, &frame)) == FRAME_WHOLE) {
			if (frame.type != data[expected] || frame.len > LIMIT ||
			    frame.len != load_u32(data + expected + 1) ||
			    memcmp(frame.data,
				   data + expected + FRAME_HEADER_SIZE,
				   frame.len))
				abort();
			expected += FRAME_HEADER_SIZE + frame.len;
		}
	}
	if (expected > at)
		abort();
	if (state == FRAME_TOO_LONG && load_u32(data + expected + 1) <= LIMIT)
		abort();
	inbox_free(&inbox);

	return 0;
}
