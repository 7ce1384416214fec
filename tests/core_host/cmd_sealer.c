// SPDX-License-Identifier: Apache-2.0
/* Streams, sealed. */
#include <stdlib.h>
#include <string.h>

#include "crypto_openssl.h"
#include "driver.h"
#include "sealer.h"

struct sink {
	struct driver_reply sealed;
	int64_t calls, fail_call;
};

static enum cml_status collect(void *ctx, struct cml_bytes sealed)
{
	struct sink *sink = ctx;

	if (sink->fail_call == sink->calls++)
		return CML_STORAGE;
	driver_put(&sink->sealed, sealed.ptr, sealed.len);

	return CML_OK;
}

/* A push gives what was foretold. */
static enum cml_status push(struct cml_sealer *sealer, struct sink *sink,
			    struct cml_bytes piece)
{
	const uint64_t size = cml_sealer_push_size(sealer, piece.len);
	const size_t before = sink->sealed.len;
	enum cml_status status = cml_sealer_push(sealer, piece);

	if (!status && sink->sealed.len - before != size)
		return CML_INTERNAL;

	return status;
}

/* Pieces of the sizes given, over and over. */
static enum cml_status push_pieces(struct cml_sealer *sealer, struct sink *sink,
				   struct cml_bytes pieces,
				   struct cml_bytes plain)
{
	struct cml_cursor sizes = cml_cursor(pieces);
	struct cml_cursor cur = cml_cursor(plain);
	enum cml_status status = CML_OK;
	size_t len = 0;

	while (!status && cml_cursor_remaining(&cur)) {
		len = cml_cursor_remaining(&cur);
		if (pieces.len) {
			if (!cml_cursor_remaining(&sizes))
				sizes = cml_cursor(pieces);
			len = driver_u32(&sizes);
			if (len > cml_cursor_remaining(&cur))
				len = cml_cursor_remaining(&cur);
		}
		status = push(sealer, sink, cml_cursor_take(&cur, len));
	}
	/* An error sticks. */
	if (status && (cml_sealer_push(sealer, plain) != status ||
		       cml_sealer_finish(sealer) != status))
		return CML_INTERNAL;

	return status ? status : cml_sealer_finish(sealer);
}

/*
 * i64 allocation to fail, i64 crypto call to fail, i64 sink call to fail, key,
 * u64 plaintext length, associated data, sizes of pieces, plaintext
 * -> the stream
 */
static enum cml_status run_seal_stream(struct cml_bytes payload,
				       struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	const int64_t fail_allocation = driver_u64(&cur);
	const int64_t fail_crypto = driver_u64(&cur);
	struct sink sink = { .fail_call = driver_u64(&cur) };
	struct cml_bytes key = cml_cursor_take(&cur, CML_AES256_KEY_SIZE);
	const uint64_t plaintext_len = driver_u64(&cur);
	struct cml_bytes associated = driver_string(&cur);
	struct cml_bytes pieces = driver_string(&cur);
	struct cml_bytes plain = driver_rest(&cur);
	uint8_t header[CML_STREAM_HEADER_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;
	const size_t blocks = driver_allocated();
	struct cml_sealer *sealer = NULL;

	if (!cml_cursor_ok(&cur))
		return CML_INTERNAL;
	driver_fail_allocation(fail_allocation);
	openssl_fail_call(fail_crypto, CML_CRYPTO);
	status = cml_sealer_new(driver_allocator(), key.ptr, associated,
				plaintext_len, collect, &sink, header,
				&sealer);
	if (!status)
		status = push_pieces(sealer, &sink, pieces, plain);
	cml_sealer_free(sealer);
	openssl_fail_call(-1, CML_OK);
	driver_fail_allocation(-1);
	if (driver_allocated() != blocks)
		status = CML_INTERNAL;
	driver_put(reply, header, sizeof(header));
	driver_put(reply, sink.sealed.data, sink.sealed.len);
	free(sink.sealed.data);

	return status;
}

const struct driver_command driver_sealer_commands[] = {
	{ "seal_stream", run_seal_stream },
	{ NULL, NULL },
};
