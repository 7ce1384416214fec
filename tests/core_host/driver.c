// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"

#define REQUEST_MAX_LEN (256u << 20)

void driver_put(struct driver_reply *reply, const void *data, size_t len)
{
	if (len > reply->size - reply->len) {
		reply->size = (reply->len + len) * 2;
		reply->data = realloc(reply->data, reply->size);
		if (!reply->data)
			abort();
	}
	if (len)
		memcpy(reply->data + reply->len, data, len);
	reply->len += len;
}

static void store_le(uint8_t *out, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		out[i] = value >> (8 * i);
}

void driver_put_u32(struct driver_reply *reply, uint32_t value)
{
	uint8_t bytes[4] = { 0 };

	store_le(bytes, value, sizeof(bytes));
	driver_put(reply, bytes, sizeof(bytes));
}

void driver_put_u64(struct driver_reply *reply, uint64_t value)
{
	uint8_t bytes[8] = { 0 };

	store_le(bytes, value, sizeof(bytes));
	driver_put(reply, bytes, sizeof(bytes));
}

static uint64_t cursor_le(struct cml_cursor *cur, size_t size)
{
	struct cml_bytes taken = cml_cursor_take(cur, size);
	uint64_t value = 0;

	for (size_t i = taken.len; i > 0; i--)
		value = value << 8 | taken.ptr[i - 1];

	return value;
}

uint32_t driver_u32(struct cml_cursor *cur)
{
	return cursor_le(cur, 4);
}

uint64_t driver_u64(struct cml_cursor *cur)
{
	return cursor_le(cur, 8);
}

struct cml_bytes driver_string(struct cml_cursor *cur)
{
	return cml_cursor_take(cur, driver_u32(cur));
}

struct cml_bytes driver_rest(struct cml_cursor *cur)
{
	return cml_cursor_take(cur, cml_cursor_remaining(cur));
}

static const struct driver_command *find(const char *name, size_t len)
{
	const struct driver_command *tables[] = {
		driver_cose_commands,
		driver_crypto_commands,
		driver_engine_commands,
		driver_job_commands,
		driver_media_commands,
		driver_sealer_commands,
		driver_vault_commands,
	};
	const struct driver_command *cmd = NULL;

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (cmd = tables[i]; cmd->name; cmd++)
			if (strlen(cmd->name) == len &&
			    !memcmp(cmd->name, name, len))
				return cmd;

	return NULL;
}

static void serve(uint8_t *request, uint32_t len)
{
	struct driver_reply reply = { 0 };
	const struct driver_command *cmd = NULL;
	struct cml_bytes payload = { 0 };
	uint8_t head[8] = { 0 };
	enum cml_status status = CML_INTERNAL;

	if (len < 1 || request[0] > len - 1) {
		fprintf(stderr, "driver: malformed request\n");
		exit(2);
	}
	cmd = find((const char *)request + 1, request[0]);
	if (!cmd) {
		fprintf(stderr, "driver: no command %.*s\n", request[0],
			(const char *)request + 1);
		exit(2);
	}
	payload = cml_bytes(request + 1 + request[0], len - 1 - request[0]);
	status = cmd->run(payload, &reply);

	store_le(head, reply.len + 4, 4);
	store_le(head + 4, status, 4);
	fwrite(head, 1, sizeof(head), stdout);
	if (reply.len)
		fwrite(reply.data, 1, reply.len, stdout);
	fflush(stdout);
	free(reply.data);
}

int main(void)
{
	uint8_t head[4] = { 0 };

	while (fread(head, 1, sizeof(head), stdin) == sizeof(head)) {
		struct cml_cursor cur = cml_cursor(cml_bytes(head, 4));
		uint32_t len = driver_u32(&cur);
		uint8_t *request = NULL;

		if (len > REQUEST_MAX_LEN)
			return 2;
		/* Exact size: ASan sees a read past the payload. */
		request = malloc(len ? len : 1);
		if (!request || fread(request, 1, len, stdin) != len)
			return 2;
		serve(request, len);
		free(request);
	}

	return 0;
}
