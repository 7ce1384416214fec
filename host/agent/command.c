// SPDX-License-Identifier: Apache-2.0
/*
 * One command. A single loop moves bytes between the connection and the
 * command's streams; nothing in it blocks, so that neither direction waits for
 * the other.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "services.h"
#include "words.h"

/* What one read of the command's output takes, and one frame carries. */
#define CHUNK		(64 * 1024)
#define OUTBOX_SIZE	(4 * (FRAME_HEADER_SIZE + CHUNK))
/* Kept free of output, for CREDIT and EXIT. */
#define OUTBOX_RESERVE	64

struct command {
	int fd;
	struct inbox *inbox;
	/* Until RUN */
	struct words argv, env;
	struct window_size size;
	bool wants_tty;
	/* Then */
	struct child child;
	bool running;
	/* Bytes for the command's standard input: a ring. */
	uint8_t in[WINDOW];
	size_t in_begin, in_len;
	bool in_ends;
	size_t owed;		/* credit to be told */
	/* Frames for the host */
	uint8_t out[OUTBOX_SIZE];
	size_t out_begin, out_end;
	bool hung_up;
};

/* Of each command, unless ENV says otherwise. */
static const char *const default_env[] = {
	"HOME=/root", "LOGNAME=root", "USER=root", "SHELL=/bin/sh",
	"PATH=/usr/sbin:/usr/bin",
};

static bool set_default_env(struct command *command)
{
	const size_t count = sizeof(default_env) / sizeof(default_env[0]);

	for (size_t i = 0; i < count; i++)
		if (!words_set(&command->env, (const uint8_t *)default_env[i],
			       strlen(default_env[i])))
			return false;

	return true;
}

static bool parse_size(const struct frame *frame, struct window_size *size)
{
	if (frame->len != 8)
		return false;
	size->rows = load_u32(frame->data);
	size->columns = load_u32(frame->data + 4);

	return size->rows <= UINT16_MAX && size->columns <= UINT16_MAX;
}

static bool enter(const struct frame *frame)
{
	char path[4096] = "";

	if (frame->len >= sizeof(path) || memchr(frame->data, 0, frame->len)) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(path, frame->data, frame->len);

	return !chdir(path);
}

static bool refuse(struct command *command, int error, const char *what)
{
	frame_send_failed(command->fd, error, what);

	return false;
}

/* One frame before the command runs. False: it will not run. */
static bool prepare(struct command *command, const struct frame *frame)
{
	bool good = true;

	switch (frame->type) {
	case FRAME_ARG:
		good = words_add(&command->argv, frame->data, frame->len);
		break;
	case FRAME_ENV:
		good = words_set(&command->env, frame->data, frame->len);
		break;
	case FRAME_CWD:
		if (!enter(frame))
			return refuse(command, errno, "working directory");
		break;
	case FRAME_TTY:
		command->wants_tty = true;
		good = parse_size(frame, &command->size);
		break;
	default:
		good = false;
	}
	if (!good)
		return refuse(command, EINVAL, "command");
	if (command->argv.size + command->env.size > COMMAND_MAX_SIZE)
		return refuse(command, E2BIG, "command");

	return true;
}

static bool start(struct command *command)
{
	if (!command->argv.count)
		return refuse(command, EINVAL, "command");
	if (!child_start(&command->child, command->argv.list, command->env.list,
			 command->wants_tty ? &command->size : NULL))
		return refuse(command, errno, command->argv.list[0]);
	command->running = true;

	return true;
}

/* Where the next frame goes; what is before it was sent. */
static size_t outbox_room(struct command *command)
{
	if (command->out_begin == command->out_end)
		command->out_begin = command->out_end = 0;

	return sizeof(command->out) - command->out_end;
}

/* Small frames, for which room is reserved. */
static void put_frame(struct command *command, uint8_t type, const void *data,
		      size_t len)
{
	if (outbox_room(command) < FRAME_HEADER_SIZE + len)
		return;
	frame_header(command->out + command->out_end, type, len);
	memcpy(command->out + command->out_end + FRAME_HEADER_SIZE, data, len);
	command->out_end += FRAME_HEADER_SIZE + len;
}

static size_t output_room(struct command *command)
{
	const size_t room = outbox_room(command);

	if (room < FRAME_HEADER_SIZE + OUTBOX_RESERVE + 1)
		return 0;

	return room - FRAME_HEADER_SIZE - OUTBOX_RESERVE;
}

static void send_outbox(struct command *command)
{
	ssize_t sent = send(command->fd, command->out + command->out_begin,
			    command->out_end - command->out_begin,
			    MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent > 0)
		command->out_begin += sent;
	else if (errno != EAGAIN && errno != EINTR)
		command->hung_up = true;
}

/* Passes on what the command has written. False: nothing is there now. */
static bool take_output(struct command *command, int *fd, uint8_t type)
{
	const size_t room = output_room(command);
	uint8_t *frame = command->out + command->out_end;
	ssize_t got = 0;

	if (*fd < 0 || !room)
		return false;
	got = read(*fd, frame + FRAME_HEADER_SIZE,
		   room < CHUNK ? room : CHUNK);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (got <= 0) {
		/* A terminal nobody has open gives EIO. */
		if (*fd != command->child.in)
			close(*fd);
		*fd = -1;
		return false;
	}
	frame_header(frame, type, got);
	command->out_end += FRAME_HEADER_SIZE + got;

	return true;
}

static bool keep_input(struct command *command, const struct frame *frame)
{
	size_t at = (command->in_begin + command->in_len) % WINDOW;
	size_t part = 0;

	/* More than there was credit for */
	if (frame->len > WINDOW - command->in_len - command->owed)
		return false;
	if (command->in_ends)
		return false;
	if (command->child.in < 0) {
		/* Nobody reads it any more: as if it had been read. */
		command->owed += frame->len;
		return true;
	}
	part = WINDOW - at < frame->len ? WINDOW - at : frame->len;
	memcpy(command->in + at, frame->data, part);
	memcpy(command->in, frame->data + part, frame->len - part);
	command->in_len += frame->len;

	return true;
}

static void drop_input(struct command *command)
{
	command->owed += command->in_len;
	command->in_len = 0;
	child_close_stdin(&command->child);
}

static void pass_input(struct command *command)
{
	size_t part = WINDOW - command->in_begin;
	ssize_t put = 0;

	if (part > command->in_len)
		part = command->in_len;
	put = write(command->child.in, command->in + command->in_begin, part);
	if (put < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (put < 0) {
		drop_input(command);
		return;
	}
	command->in_begin = (command->in_begin + put) % WINDOW;
	command->in_len -= put;
	command->owed += put;
}

/* In portions: a frame a byte would cost more than the byte. */
static void give_credit(struct command *command)
{
	uint8_t data[4] = { 0 };

	if (command->owed < WINDOW / 4)
		return;
	if (outbox_room(command) < OUTBOX_RESERVE)
		return;
	store_u32(data, command->owed);
	put_frame(command, FRAME_CREDIT, data, sizeof(data));
	command->owed = 0;
}

/* One frame while the command runs. False: the host breaks the protocol. */
static bool obey(struct command *command, const struct frame *frame)
{
	struct window_size size = { 0 };

	switch (frame->type) {
	case FRAME_STDIN:
		return keep_input(command, frame);
	case FRAME_STDIN_END:
		command->in_ends = true;
		return !frame->len;
	case FRAME_SIGNAL:
		if (frame->len != 4)
			return false;
		child_signal(&command->child, load_u32(frame->data));
		return true;
	case FRAME_RESIZE:
		if (!parse_size(frame, &size))
			return false;
		child_resize(&command->child, &size);
		return true;
	default:
		return false;
	}
}

static void take_frames(struct command *command)
{
	enum frame_state state = FRAME_PARTIAL;
	struct frame frame = { 0 };

	while ((state = frame_next(command->inbox, &frame)) == FRAME_WHOLE)
		if (!obey(command, &frame)) {
			command->hung_up = true;
			return;
		}
	if (state == FRAME_TOO_LONG)
		command->hung_up = true;
}

static void take_arrived(struct command *command)
{
	const ssize_t got = inbox_fill(command->inbox, command->fd);

	if (got > 0)
		take_frames(command);
	else if (!got || (errno != EAGAIN && errno != EINTR))
		command->hung_up = true;
}

enum { HOST, ENDED, IN, OUT, ERR, POLLED };

static void wait_for_something(struct command *command,
			       struct pollfd fds[POLLED])
{
	struct child *child = &command->child;
	const bool room = output_room(command);
	const bool sends = command->out_begin < command->out_end;

	fds[HOST] = (struct pollfd){
		.fd = command->fd, .events = POLLIN | (sends ? POLLOUT : 0),
	};
	fds[ENDED] = (struct pollfd){ .fd = child->pidfd, .events = POLLIN };
	/* Without events an error of the pipe would still wake us for ever. */
	fds[IN] = (struct pollfd){
		.fd = command->in_len ? child->in : -1, .events = POLLOUT,
	};
	fds[OUT] = (struct pollfd){
		.fd = room ? child->out : -1, .events = POLLIN,
	};
	fds[ERR] = (struct pollfd){
		.fd = room ? child->err : -1, .events = POLLIN,
	};
	if (poll(fds, POLLED, -1) < 0)
		for (size_t i = 0; i < POLLED; i++)
			fds[i].revents = 0;
}

/* The command has ended: what it wrote is in the pipes, whoever has them. */
static void finish(struct command *command)
{
	uint8_t data[8] = { 0 };
	uint32_t status = 0, number = 0;

	child_reap(&command->child, &status, &number);
	while (!command->hung_up) {
		if (take_output(command, &command->child.err, FRAME_STDERR) ||
		    take_output(command, &command->child.out, FRAME_STDOUT))
			continue;
		if (output_room(command))
			break;
		/* The outbox is full: nothing else is left to do but wait. */
		poll(&(struct pollfd){ command->fd, POLLOUT, 0 }, 1, -1);
		send_outbox(command);
	}
	if (command->hung_up)
		return;
	store_u32(data, status);
	store_u32(data + 4, number);
	put_frame(command, FRAME_EXIT, data, sizeof(data));
	while (!command->hung_up && command->out_begin < command->out_end) {
		poll(&(struct pollfd){ command->fd, POLLOUT, 0 }, 1, -1);
		send_outbox(command);
	}
}

static void attend(struct command *command)
{
	struct pollfd fds[POLLED] = { 0 };
	struct child *child = &command->child;

	/* What came together with RUN */
	take_frames(command);
	while (!command->hung_up) {
		if (command->in_ends && !command->in_len)
			child_close_stdin(child);
		give_credit(command);
		wait_for_something(command, fds);
		if (fds[HOST].revents & POLLOUT)
			send_outbox(command);
		if (fds[HOST].revents & (POLLIN | POLLHUP | POLLERR))
			take_arrived(command);
		if (fds[OUT].revents)
			take_output(command, &child->out, FRAME_STDOUT);
		if (fds[ERR].revents)
			take_output(command, &child->err, FRAME_STDERR);
		if (fds[IN].revents)
			pass_input(command);
		if (fds[ENDED].revents) {
			finish(command);
			return;
		}
	}
	/* Before it is reaped: afterwards the number may be another's. */
	child_signal(child, SIGKILL);
}

void serve_command(int fd, struct inbox *inbox, const struct frame *first)
{
	struct command *command = calloc(1, sizeof(*command));
	struct frame frame = *first;

	if (!command) {
		frame_send_failed(fd, ENOMEM, "command");
		return;
	}
	command->fd = fd;
	command->inbox = inbox;
	if (!set_default_env(command))
		goto out;
	while (frame.type != FRAME_RUN)
		if (!prepare(command, &frame) ||
		    !frame_receive(inbox, fd, &frame))
			goto out;
	if (start(command)) {
		fcntl(fd, F_SETFL, O_NONBLOCK);
		attend(command);
	}
out:
	words_free(&command->argv);
	words_free(&command->env);
	free(command);
}
