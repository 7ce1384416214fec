// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "frame.h"

/* What is read at once, at most, when frames are small. */
#define INBOX_SIZE	(64 * 1024)

enum frame_state frame_next(struct inbox *inbox, struct frame *frame)
{
	const size_t have = inbox->end - inbox->begin;
	const uint8_t *header = inbox->data + inbox->begin;
	size_t len = 0;

	if (have < FRAME_HEADER_SIZE)
		return FRAME_PARTIAL;
	len = load_u32(header + 1);
	if (len > inbox->limit)
		return FRAME_TOO_LONG;
	if (have - FRAME_HEADER_SIZE < len)
		return FRAME_PARTIAL;
	*frame = (struct frame){ header[0], header + FRAME_HEADER_SIZE, len };
	inbox->begin += FRAME_HEADER_SIZE + len;

	return FRAME_WHOLE;
}

/* How large the inbox has to be for the frame that is on its way. */
static size_t needed(const struct inbox *inbox)
{
	const size_t have = inbox->end - inbox->begin;
	size_t len = 0;

	if (have >= FRAME_HEADER_SIZE)
		len = load_u32(inbox->data + inbox->begin + 1);
	if (len > inbox->limit)
		len = 0;
	if (have + 1 > FRAME_HEADER_SIZE + len)
		len = have + 1 - FRAME_HEADER_SIZE;

	return FRAME_HEADER_SIZE + len;
}

uint8_t *inbox_room(struct inbox *inbox, size_t *room)
{
	size_t size = needed(inbox);
	uint8_t *grown = NULL;

	if (size < INBOX_SIZE)
		size = INBOX_SIZE;
	if (inbox->begin) {
		memmove(inbox->data, inbox->data + inbox->begin,
			inbox->end - inbox->begin);
		inbox->end -= inbox->begin;
		inbox->begin = 0;
	}
	if (size > inbox->size) {
		grown = realloc(inbox->data, size);
		if (!grown) {
			*room = 0;
			return NULL;
		}
		inbox->data = grown;
		inbox->size = size;
	}
	*room = inbox->size - inbox->end;

	return inbox->data + inbox->end;
}

void inbox_free(struct inbox *inbox)
{
	free(inbox->data);
	*inbox = (struct inbox){ 0 };
}

ssize_t inbox_fill(struct inbox *inbox, int fd)
{
	size_t room = 0;
	uint8_t *at = inbox_room(inbox, &room);
	ssize_t got = -1;

	if (!at) {
		errno = ENOMEM;
		return -1;
	}
	got = recv(fd, at, room, 0);
	if (got > 0)
		inbox->end += got;

	return got;
}

bool frame_receive(struct inbox *inbox, int fd, struct frame *frame)
{
	enum frame_state state = FRAME_PARTIAL;
	ssize_t got = 0;

	for (;;) {
		state = frame_next(inbox, frame);
		if (state != FRAME_PARTIAL)
			return state == FRAME_WHOLE;
		got = inbox_fill(inbox, fd);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
	}
}

void frame_header(uint8_t header[FRAME_HEADER_SIZE], uint8_t type, size_t len)
{
	header[0] = type;
	store_u32(header + 1, len);
}

bool frame_send(int fd, uint8_t type, const void *data, size_t len)
{
	uint8_t header[FRAME_HEADER_SIZE] = { 0 };
	struct iovec parts[] = {
		{ header, sizeof(header) },
		{ (void *)data, len },
	};
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	ssize_t sent = 0;

	frame_header(header, type, len);
	while (parts[0].iov_len || parts[1].iov_len) {
		sent = sendmsg(fd, &message, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return false;
		for (size_t i = 0; i < 2; i++) {
			len = (size_t)sent < parts[i].iov_len ?
			      (size_t)sent : parts[i].iov_len;
			parts[i].iov_base = (uint8_t *)parts[i].iov_base + len;
			parts[i].iov_len -= len;
			sent -= len;
		}
	}

	return true;
}

bool frame_send_failed(int fd, int error, const char *what)
{
	uint8_t data[256] = { 0 };
	size_t len = strlen(what);

	if (len > sizeof(data) - 4)
		len = sizeof(data) - 4;
	store_u32(data, error);
	memcpy(data + 4, what, len);

	return frame_send(fd, FRAME_FAILED, data, 4 + len);
}
