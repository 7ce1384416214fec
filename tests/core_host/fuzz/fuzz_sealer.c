// SPDX-License-Identifier: Apache-2.0
/*
 * Streams sealed and opened again. The input is a script: how long the plaintext
 * is, what was announced, and in what pieces it is pushed. What was announced
 * rightly opens; a push gives as much as was foretold.
 */
#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "sealer.h"

#define MAX_LEN		(4 * CML_STREAM_SEGMENT_SIZE)
#define MAX_SEALED	(5 * CML_STREAM_SEGMENT_SIZE)

static const uint8_t key[CML_AES256_KEY_SIZE] = "a key for fuzzing";
static const char associated[] = "associated data";

struct fuzz_sealer {
	uint8_t plain[MAX_LEN];
	size_t plain_len;
	size_t opened;
	uint8_t sealed[MAX_SEALED];
	size_t sealed_len;
};

static enum cml_status collect(void *ctx, struct cml_bytes sealed)
{
	struct fuzz_sealer *fuzz = ctx;

	if (sealed.len > sizeof(fuzz->sealed) - fuzz->sealed_len)
		abort();
	memcpy(fuzz->sealed + fuzz->sealed_len, sealed.ptr, sealed.len);
	fuzz->sealed_len += sealed.len;

	return CML_OK;
}

static enum cml_status compare(void *ctx, struct cml_bytes plain)
{
	struct fuzz_sealer *fuzz = ctx;

	if (plain.len > fuzz->plain_len - fuzz->opened ||
	    memcmp(fuzz->plain + fuzz->opened, plain.ptr, plain.len))
		abort();
	fuzz->opened += plain.len;

	return CML_OK;
}

static size_t take(struct cml_cursor *cur, size_t limit)
{
	return limit ? cml_cursor_be32(cur) % limit : 0;
}

static enum cml_status seal(struct fuzz_sealer *fuzz, struct cml_cursor *cur,
			    size_t announced)
{
	uint8_t header[CML_STREAM_HEADER_SIZE] = { 0 };
	struct cml_sealer *sealer = NULL;
	enum cml_status status = CML_OK;
	size_t left = fuzz->plain_len;
	size_t len = 0;

	if (cml_sealer_new(driver_allocator(), key,
			   cml_bytes(associated, sizeof(associated)),
			   announced, collect, fuzz, header, &sealer))
		abort();
	collect(fuzz, cml_bytes(header, sizeof(header)));
	for (size_t done = 0; !status && left; done += len, left -= len) {
		const size_t before = fuzz->sealed_len;
		uint64_t size = 0;

		/* When the script ends the rest comes at once. */
		len = cml_cursor_remaining(cur) < 4 ? left :
		      take(cur, left + 1);
		size = cml_sealer_push_size(sealer, len);
		status = cml_sealer_push(sealer,
					 cml_bytes(fuzz->plain + done, len));
		if (!status && fuzz->sealed_len - before != size)
			abort();
	}
	if (!status)
		status = cml_sealer_finish(sealer);
	cml_sealer_free(sealer);

	return status;
}

static void open(struct fuzz_sealer *fuzz)
{
	struct cml_stream *stream = NULL;

	if (cml_stream_new(driver_allocator(), key,
			   cml_bytes(associated, sizeof(associated)),
			   fuzz->plain_len, compare, fuzz, &stream) ||
	    cml_stream_push(stream, cml_bytes(fuzz->sealed,
					      fuzz->sealed_len)) ||
	    cml_stream_finish(stream) || fuzz->opened != fuzz->plain_len)
		abort();
	cml_stream_free(stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cml_cursor cur = cml_cursor(cml_bytes(data, size));
	struct fuzz_sealer *fuzz = calloc(1, sizeof(*fuzz));
	enum cml_status status = CML_INTERNAL;
	size_t announced = 0;

	if (!fuzz)
		abort();
	fuzz->plain_len = 1 + take(&cur, MAX_LEN);
	announced = fuzz->plain_len;
	/* Now and then, another one */
	if (cml_cursor_u8(&cur) % 4 == 3)
		announced = 1 + take(&cur, MAX_LEN);
	for (size_t i = 0; i < fuzz->plain_len; i++)
		fuzz->plain[i] = i ^ (i >> 8);
	status = seal(fuzz, &cur, announced);
	if (status != (announced == fuzz->plain_len ? CML_OK :
		       CML_STREAM_LENGTH))
		abort();
	if (!status)
		open(fuzz);
	if (driver_allocated())
		abort();
	free(fuzz);

	return 0;
}
