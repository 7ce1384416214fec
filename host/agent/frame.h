/* SPDX-License-Identifier: Apache-2.0 */
/* Frames (protocol.h) out of the bytes that arrive, and into those that go. */
#ifndef FRAME_H
#define FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol.h"

struct frame {
	uint8_t type;
	const uint8_t *data;	/* in the inbox: until it is filled again */
	size_t len;
};

/* Bytes that arrived. It grows to the frame that is announced, if allowed. */
struct inbox {
	uint8_t *data;
	size_t size;		/* of the memory */
	size_t begin, end;	/* of what is not yet taken */
	size_t limit;		/* of a payload */
};

enum frame_state {
	FRAME_WHOLE,
	FRAME_PARTIAL,	/* more has to arrive */
	FRAME_TOO_LONG,
};

/* Takes the next frame out of the inbox. */
enum frame_state frame_next(struct inbox *inbox, struct frame *frame);
/*
 * Where to put what arrives, and how much there is room for: never 0, unless
 * there is no memory. The caller adds to inbox->end what it put there.
 */
uint8_t *inbox_room(struct inbox *inbox, size_t *room);
void inbox_free(struct inbox *inbox);

/* Reads what has arrived: bytes, 0 at the end, or -1 and errno. */
ssize_t inbox_fill(struct inbox *inbox, int fd);
/* Waits for a whole frame; false at the end, or when what comes is none. */
bool frame_receive(struct inbox *inbox, int fd, struct frame *frame);

/* Writes a header in front of a payload of @len bytes. */
void frame_header(uint8_t header[FRAME_HEADER_SIZE], uint8_t type, size_t len);
/* Sends one frame, all of it: on sockets that block. */
bool frame_send(int fd, uint8_t type, const void *data, size_t len);
/* FAILED with errno; @what is no secret. */
bool frame_send_failed(int fd, int error, const char *what);

static inline uint32_t load_u32(const uint8_t *bytes)
{
	return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	       (uint32_t)bytes[3] << 24;
}

static inline void store_u32(uint8_t *bytes, uint32_t value)
{
	for (size_t i = 0; i < 4; i++)
		bytes[i] = value >> 8 * i;
}

#endif /* FRAME_H */
