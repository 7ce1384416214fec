// SPDX-License-Identifier: Apache-2.0
/*
 * A client that keeps no rules: commands to the inference TA straight through
 * /dev/tee0, as a normal world under attack would send them. Reads lines from
 * stdin, writes one line for each:
 *
 *   open                       a new session, in place of the last
 *   ID PARAM PARAM PARAM PARAM
 *   twin ID PARAM PARAM PARAM PARAM
 *                              from two threads at once: two lines
 *
 * PARAM is none, value:A, inval:A (in and out), outval, or TYPE:SIZE with TYPE
 * in, out, inout (memory filled with 0xa5), file (memory filled from the file
 * that SIZE names, once it is there), race (the same, and a thread on another
 * core alters it, a byte there and back, for as long as the command runs), blink
 * (OFFSET,MASK,FILE: the same, and that one byte is as it is half of the time,
 * and the other half XORed with MASK), save (16 KiB out, kept in the file that
 * SIZE names), nullin, nullout (no memory, yet a size). The answer is the
 * TEE_Result and its origin, or "errno N" when the kernel refuses.
 */
#define _GNU_SOURCE /* for CPU_SET() */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/tee.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cml_ta.h"

#define PARAMS		4
#define SAVE_SIZE	16384
/* A file may yet have to be written, in answer to one that was saved. */
#define FILE_TRIES	2000
#define FILE_WAIT_US	10000

struct session {
	int device;
	uint32_t id;
	int open;
};

/* Room for an argument and its parameters, which the kernel wants together. */
union open_call {
	struct tee_ioctl_open_session_arg arg;
	uint8_t size[sizeof(struct tee_ioctl_open_session_arg) +
		     PARAMS * sizeof(struct tee_ioctl_param)];
};

union invoke_call {
	struct tee_ioctl_invoke_arg arg;
	uint8_t size[sizeof(struct tee_ioctl_invoke_arg) +
		     PARAMS * sizeof(struct tee_ioctl_param)];
};

static void say(int error, uint32_t res, uint32_t origin)
{
	if (error)
		printf("errno %d\n", error);
	else
		printf("0x%08" PRIx32 " %" PRIu32 "\n", res, origin);
	fflush(stdout);
}

static void open_session(struct session *session)
{
	static const uint8_t uuid[] = {
		0x2f, 0x6a, 0x3c, 0x5e, 0x9b, 0x1d, 0x4e, 0x0f,
		0x8a, 0x67, 0xc1, 0xd5, 0xb9, 0x4e, 0x77, 0x20,
	};
	union open_call call = { .size = { 0 } };
	struct tee_ioctl_buf_data data = {
		.buf_ptr = (uintptr_t)&call, .buf_len = sizeof(call),
	};
	struct tee_ioctl_close_session_arg last = { .session = session->id };
	int failed = 0;

	if (session->open)
		ioctl(session->device, TEE_IOC_CLOSE_SESSION, &last);
	memcpy(call.arg.uuid, uuid, sizeof(uuid));
	call.arg.num_params = PARAMS;
	failed = ioctl(session->device, TEE_IOC_OPEN_SESSION, &data);
	session->id = call.arg.session;
	session->open = !failed && !call.arg.ret;
	say(failed ? errno : 0, call.arg.ret, call.arg.ret_origin);
}

/* Memory that both worlds see, during one command. */
struct shared {
	int fd;			/* -1: none */
	uint8_t *memory;
	size_t size, mapped;
	const char *save;	/* where it goes afterwards, or NULL */
	size_t at;		/* the byte that blinks, and how */
	uint8_t mask;		/* 0: any byte alters, for a moment */
	pthread_t racer;
	bool races;
	atomic_bool begun, done;
};

/* To core @core, which stays this thread's: 0 commands, 1 alters memory. */
static void pin(int core)
{
	cpu_set_t cores;

	CPU_ZERO(&cores);
	CPU_SET(core, &cores);
	if (sched_setaffinity(0, sizeof(cores), &cores))
		abort();
}

static void wait_a_little(uint32_t turns)
{
	for (volatile uint32_t wait = 0; wait < turns; wait++)
		;
}

/*
 * A byte altered and restored, over and over: one is wrong most of the time.
 * The one that blinks is each half of the time, and for so short a time that
 * between two reads, however near, it may have changed.
 */
static void *race(void *arg)
{
	struct shared *shared = arg;
	const uint8_t mask = shared->mask ? shared->mask : 0x80;
	volatile uint8_t *byte = shared->memory + shared->at;
	uint32_t random = 1;

	pin(1);
	while (!shared->done) {
		shared->begun = true;
		random = random * 1664525 + 1013904223;
		if (!shared->mask)
			byte = shared->memory + random % shared->size;
		*byte ^= mask;
		wait_a_little(shared->mask ? random >> 26 : 200);
		*byte ^= mask;
		if (shared->mask)
			wait_a_little(random >> 8 & 0x3f);
	}

	return NULL;
}

/* Shared memory of @size bytes, filled. */
static void share(struct session *session, size_t size, const char *path,
		  struct tee_ioctl_param *param, struct shared *shared)
{
	struct tee_ioctl_shm_alloc_data data = { .size = size ? size : 1 };
	FILE *file = NULL;

	shared->fd = ioctl(session->device, TEE_IOC_SHM_ALLOC, &data);
	if (shared->fd < 0)
		return;
	shared->memory = mmap(NULL, data.size, PROT_READ | PROT_WRITE,
			      MAP_SHARED, shared->fd, 0);
	if (shared->memory == MAP_FAILED)
		abort();
	shared->size = size;
	shared->mapped = data.size;
	memset(shared->memory, 0xa5, data.size);
	if (path) {
		file = fopen(path, "rb");
		if (!file || fread(shared->memory, 1, size, file) != size)
			abort();
		fclose(file);
	}
	param->a = 0;
	param->b = size;
	param->c = data.id;
}

static void take_back(struct shared *shared, size_t len)
{
	uint8_t copy[SAVE_SIZE] = { 0 };
	FILE *file = NULL;

	if (shared->fd < 0)
		return;
	shared->done = true;
	if (shared->races)
		pthread_join(shared->racer, NULL);
	if (shared->save && len <= sizeof(copy)) {
		/* 9p cannot write out of the TEE driver's pages. */
		memcpy(copy, shared->memory, len);
		file = fopen(shared->save, "wb");
		if (!file || fwrite(copy, 1, len, file) != len)
			abort();
		fclose(file);
	}
	munmap(shared->memory, shared->mapped);
	close(shared->fd);
}

static size_t file_size(const char *path)
{
	FILE *file = fopen(path, "rb");
	long size = 0;

	for (int i = 0; !file && i < FILE_TRIES; i++) {
		usleep(FILE_WAIT_US);
		file = fopen(path, "rb");
	}
	if (!file || fseek(file, 0, SEEK_END))
		abort();
	size = ftell(file);
	fclose(file);

	return size;
}

static void fill(struct session *session, const char *word,
		 struct tee_ioctl_param *param, struct shared *shared)
{
	const char *rest = strchr(word, ':');
	bool races = false;
	char type[16] = "";
	uint64_t size = 0;
	int path = 0;

	*shared = (struct shared){ .fd = -1 };
	rest = rest ? rest + 1 : "";

	sscanf(word, "%15[a-z]", type);
	if (!strcmp(type, "blink")) {
		if (sscanf(rest, "%zu,%" SCNu8 ",%n", &shared->at,
			   &shared->mask, &path) != 2)
			abort();
		rest += path;
	}
	races = !strcmp(type, "race") || !strcmp(type, "blink");
	size = strtoull(rest, NULL, 0);
	param->a = size;
	if (!strcmp(type, "value"))
		param->attr = TEE_IOCTL_PARAM_ATTR_TYPE_VALUE_INPUT;
	else if (!strcmp(type, "inval"))
		param->attr = TEE_IOCTL_PARAM_ATTR_TYPE_VALUE_INOUT;
	else if (!strcmp(type, "outval"))
		param->attr = TEE_IOCTL_PARAM_ATTR_TYPE_VALUE_OUTPUT;
	else if (!strcmp(type, "in") || !strcmp(type, "nullin") ||
		 !strcmp(type, "file") || races)
		param->attr = TEE_IOCTL_PARAM_ATTR_TYPE_MEMREF_INPUT;
	else if (!strcmp(type, "out") || !strcmp(type, "nullout") ||
		 !strcmp(type, "save"))
		param->attr = TEE_IOCTL_PARAM_ATTR_TYPE_MEMREF_OUTPUT;
	else if (!strcmp(type, "inout"))
		param->attr = TEE_IOCTL_PARAM_ATTR_TYPE_MEMREF_INOUT;
	else
		return;

	if (!strncmp(type, "null", 4)) {
		*param = (struct tee_ioctl_param){
			.attr = param->attr, .b = size, .c = TEE_MEMREF_NULL,
		};
	} else if (!strcmp(type, "save")) {
		share(session, SAVE_SIZE, NULL, param, shared);
		shared->save = rest;
	} else if (!strcmp(type, "file") || races) {
		share(session, file_size(rest), rest, param, shared);
	} else if (param->attr >= TEE_IOCTL_PARAM_ATTR_TYPE_MEMREF_INPUT) {
		share(session, size, NULL, param, shared);
	}
	if (races && shared->fd >= 0) {
		if (shared->at >= shared->size)
			abort();
		pin(0);
		if (pthread_create(&shared->racer, NULL, race, shared))
			abort();
		shared->races = true;
		while (!shared->begun)
			sched_yield();
	}
}

struct command {
	struct session *session;
	uint32_t id;
	char words[PARAMS][300];
	uint32_t res, origin;
	int error;		/* errno, or 0 */
};

static void *invoke(void *arg)
{
	struct command *command = arg;
	union invoke_call call = { .size = { 0 } };
	struct tee_ioctl_buf_data data = {
		.buf_ptr = (uintptr_t)&call, .buf_len = sizeof(call),
	};
	struct shared shared[PARAMS] = { 0 };

	call.arg.func = command->id;
	call.arg.session = command->session->id;
	call.arg.num_params = PARAMS;
	for (size_t i = 0; i < PARAMS; i++)
		fill(command->session, command->words[i], &call.arg.params[i],
		     &shared[i]);
	if (ioctl(command->session->device, TEE_IOC_INVOKE, &data))
		command->error = errno;
	command->res = call.arg.ret;
	command->origin = call.arg.ret_origin;
	for (size_t i = 0; i < PARAMS; i++)
		take_back(&shared[i], call.arg.params[i].b);

	return NULL;
}

static void run(struct command *command, bool twice)
{
	struct command twin = *command;
	pthread_t thread;

	if (twice && pthread_create(&thread, NULL, invoke, &twin))
		abort();
	invoke(command);
	say(command->error, command->res, command->origin);
	if (!twice)
		return;
	pthread_join(thread, NULL);
	say(twin.error, twin.res, twin.origin);
}

int main(void)
{
	struct session session = { .device = open("/dev/tee0", O_RDWR) };
	char line[2048] = "";

	if (session.device < 0)
		return 1;
	while (fgets(line, sizeof(line), stdin)) {
		const bool twice = !strncmp(line, "twin ", 5);
		struct command command = { .session = &session };

		if (!strncmp(line, "open", 4))
			open_session(&session);
		else if (sscanf(line + (twice ? 5 : 0),
				"%" SCNu32 " %299s %299s %299s %299s",
				&command.id, command.words[0],
				command.words[1], command.words[2],
				command.words[3]) == 5)
			run(&command, twice);
		else
			printf("what?\n");
	}

	return 0;
}
