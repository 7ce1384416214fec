// SPDX-License-Identifier: Apache-2.0
/*
 * A client that keeps no rules: commands to the inference TA straight through
 * /dev/tee0, as a normal world under attack would send them. Reads lines from
 * stdin, writes one line for each:
 *
 *   open                       a new session, in place of the last
 *   ID PARAM PARAM PARAM PARAM
 *
 * PARAM is none, value:A, inval:A (in and out), outval, or TYPE:SIZE with TYPE
 * in, out, inout (memory filled with 0xa5), file (memory filled from the file
 * that SIZE names), nullin, nullout (no memory, yet a size). The answer is the
 * TEE_Result and its origin, or "errno N" when the kernel refuses.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/tee.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cml_ta.h"

#define PARAMS 4

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

static void say(int failed, uint32_t res, uint32_t origin)
{
	if (failed)
		printf("errno %d\n", errno);
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
	say(failed, call.arg.ret, call.arg.ret_origin);
}

/* Shared memory of @size bytes, filled; its descriptor, or -1. */
static int share(struct session *session, size_t size, const char *path,
		 struct tee_ioctl_param *param)
{
	struct tee_ioctl_shm_alloc_data data = { .size = size ? size : 1 };
	int fd = ioctl(session->device, TEE_IOC_SHM_ALLOC, &data);
	uint8_t *memory = NULL;
	FILE *file = NULL;

	if (fd < 0)
		return -1;
	memory = mmap(NULL, data.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		      0);
	if (memory == MAP_FAILED)
		abort();
	memset(memory, 0xa5, data.size);
	if (path) {
		file = fopen(path, "rb");
		if (!file || fread(memory, 1, size, file) != size)
			abort();
		fclose(file);
	}
	munmap(memory, data.size);
	param->a = 0;
	param->b = size;
	param->c = data.id;

	return fd;
}

static size_t file_size(const char *path)
{
	FILE *file = fopen(path, "rb");
	long size = 0;

	if (!file || fseek(file, 0, SEEK_END))
		abort();
	size = ftell(file);
	fclose(file);

	return size;
}

static int fill(struct session *session, const char *word,
		struct tee_ioctl_param *param)
{
	char type[16] = "";
	char rest[256] = "";
	uint64_t size = 0;

	sscanf(word, "%15[a-z]:%255s", type, rest);
	size = strtoull(rest, NULL, 0);
	param->a = size;
	if (!strcmp(type, "value"))
		param->attr = TEE_IOCTL_PARAM_ATTR_TYPE_VALUE_INPUT;
	else if (!strcmp(type, "inval"))
		param->attr = TEE_IOCTL_PARAM_ATTR_TYPE_VALUE_INOUT;
	else if (!strcmp(type, "outval"))
		param->attr = TEE_IOCTL_PARAM_ATTR_TYPE_VALUE_OUTPUT;
	else if (!strcmp(type, "in") || !strcmp(type, "nullin") ||
		 !strcmp(type, "file"))
		param->attr = TEE_IOCTL_PARAM_ATTR_TYPE_MEMREF_INPUT;
	else if (!strcmp(type, "out") || !strcmp(type, "nullout"))
		param->attr = TEE_IOCTL_PARAM_ATTR_TYPE_MEMREF_OUTPUT;
	else if (!strcmp(type, "inout"))
		param->attr = TEE_IOCTL_PARAM_ATTR_TYPE_MEMREF_INOUT;
	else
		return -1;

	if (!strncmp(type, "null", 4)) {
		*param = (struct tee_ioctl_param){
			.attr = param->attr, .b = size, .c = TEE_MEMREF_NULL,
		};
		return -1;
	}
	if (!strcmp(type, "file"))
		return share(session, file_size(rest), rest, param);
	if (param->attr >= TEE_IOCTL_PARAM_ATTR_TYPE_MEMREF_INPUT)
		return share(session, size, NULL, param);

	return -1;
}

static void invoke(struct session *session, uint32_t command,
		   char words[PARAMS][300])
{
	union invoke_call call = { .size = { 0 } };
	struct tee_ioctl_buf_data data = {
		.buf_ptr = (uintptr_t)&call, .buf_len = sizeof(call),
	};
	int fds[PARAMS] = { -1, -1, -1, -1 };
	int failed = 0;

	call.arg.func = command;
	call.arg.session = session->id;
	call.arg.num_params = PARAMS;
	for (size_t i = 0; i < PARAMS; i++)
		fds[i] = fill(session, words[i], &call.arg.params[i]);
	failed = ioctl(session->device, TEE_IOC_INVOKE, &data);
	say(failed, call.arg.ret, call.arg.ret_origin);
	for (size_t i = 0; i < PARAMS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

int main(void)
{
	struct session session = { .device = open("/dev/tee0", O_RDWR) };
	char words[PARAMS][300] = { "" };
	char line[2048] = "";
	uint32_t command = 0;

	if (session.device < 0)
		return 1;
	while (fgets(line, sizeof(line), stdin)) {
		if (!strncmp(line, "open", 4))
			open_session(&session);
		else if (sscanf(line, "%" SCNu32 " %299s %299s %299s %299s",
				&command, words[0], words[1], words[2],
				words[3]) == 5)
			invoke(&session, command, words);
		else
			printf("what?\n");
	}

	return 0;
}
