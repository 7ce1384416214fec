// SPDX-License-Identifier: Apache-2.0
/* Keys, headers, streams and results, as bytes in and bytes out. */
#include <stdlib.h>

#include "crypto_openssl.h"
#include "driver.h"
#include "header.h"
#include "hkdf.h"
#include "p256.h"
#include "result.h"
#include "stream.h"

/* salt, info, u32 output length, IKM -> output */
static enum cml_status run_hkdf(struct cml_bytes payload,
				struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	struct cml_bytes salt = driver_string(&cur);
	struct cml_bytes info = driver_string(&cur);
	uint32_t len = driver_u32(&cur);
	struct cml_bytes ikm = driver_rest(&cur);
	uint8_t out[CML_HKDF_MAX_OUT + 1] = { 0 };
	enum cml_status status = CML_INTERNAL;

	if (!cml_cursor_ok(&cur) || len > sizeof(out))
		return CML_INTERNAL;
	status = cml_hkdf(ikm, salt, info, out, len);
	if (!status)
		driver_put(reply, out, len);

	return status;
}

/* key -> key id */
static enum cml_status run_key_id(struct cml_bytes payload,
				  struct driver_reply *reply)
{
	uint8_t id[CML_KEY_ID_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;

	if (payload.len != CML_AES256_KEY_SIZE)
		return CML_INTERNAL;
	status = cml_key_id(payload.ptr, id);
	driver_put(reply, id, sizeof(id));

	return status;
}

/*
 * u32 expected kind, header -> u32 threshold, u64 length, version, sequence,
 * key id, model digest, name (33), header
 */
static enum cml_status run_header(struct cml_bytes payload,
				  struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	uint32_t kind = driver_u32(&cur);
	struct cml_header header = { 0 };
	enum cml_status status = CML_INTERNAL;

	status = cml_header_parse(driver_rest(&cur), CML_KINDS(kind), &header);
	if (status)
		return status;
	driver_put_u32(reply, header.score_threshold);
	driver_put_u64(reply, header.plaintext_len);
	driver_put_u64(reply, header.version);
	driver_put_u64(reply, header.sequence);
	driver_put(reply, header.key_id, sizeof(header.key_id));
	driver_put(reply, header.model_digest, sizeof(header.model_digest));
	driver_put(reply, header.name, sizeof(header.name));
	driver_put(reply, header.bytes, sizeof(header.bytes));

	return CML_OK;
}

/* u8 form, x, y -> u32: is it a point? */
static enum cml_status run_p256_is_point(struct cml_bytes payload,
					 struct driver_reply *reply)
{
	if (payload.len != CML_P256_POINT_SIZE)
		return CML_INTERNAL;
	driver_put_u32(reply, cml_p256_is_point(payload.ptr));

	return CML_OK;
}

struct sink {
	struct driver_reply plain;
	uint32_t calls;
	int64_t fail_call;
};

static enum cml_status collect(void *ctx, struct cml_bytes plain)
{
	struct sink *sink = ctx;

	if (sink->fail_call == sink->calls++)
		return CML_JPEG_CORRUPT;
	driver_put(&sink->plain, plain.ptr, plain.len);

	return CML_OK;
}

struct stream_request {
	int64_t fail_allocation, fail_crypto;
	struct cml_bytes key, associated, pieces, sealed;
	uint64_t plaintext_len;
};

/* Pushes @sealed in pieces of the sizes given, over and over. */
static enum cml_status push_pieces(struct cml_stream *stream,
				   const struct stream_request *request)
{
	struct cml_cursor sizes = cml_cursor(request->pieces);
	struct cml_cursor cur = cml_cursor(request->sealed);
	enum cml_status status = CML_OK;
	size_t len = 0;

	while (!status && cml_cursor_remaining(&cur)) {
		len = cml_cursor_remaining(&cur);
		if (request->pieces.len) {
			if (!cml_cursor_remaining(&sizes))
				sizes = cml_cursor(request->pieces);
			len = driver_u32(&sizes);
			if (len > cml_cursor_remaining(&cur))
				len = cml_cursor_remaining(&cur);
		}
		status = cml_stream_push(stream, cml_cursor_take(&cur, len));
	}

	return status;
}

static enum cml_status open_stream(const struct stream_request *request,
				   struct sink *sink, uint8_t *digest)
{
	enum cml_status status = CML_INTERNAL;
	struct cml_stream *stream = NULL;

	status = cml_stream_new(driver_allocator(), request->key.ptr,
				request->associated, request->plaintext_len,
				collect, sink, &stream);
	if (status)
		return status;
	status = push_pieces(stream, request);
	/* An error sticks. */
	if (status && (cml_stream_push(stream, request->sealed) != status ||
		       cml_stream_finish(stream) != status))
		status = CML_INTERNAL;
	if (!status)
		status = cml_stream_finish(stream);
	if (!status)
		status = cml_stream_digest(stream, digest);
	if (!status && (cml_stream_finish(stream) != CML_BAD_STATE ||
			cml_stream_push(stream, request->sealed) !=
			CML_BAD_STATE ||
			cml_stream_digest(stream, digest) != CML_BAD_STATE))
		status = CML_INTERNAL;
	cml_stream_free(stream);

	return status;
}

/*
 * i64 allocation to fail, i64 crypto call to fail, i64 sink call to fail, key,
 * u64 plaintext length, associated data, sizes of pieces, stream
 * -> u32 length, plaintext that reached the sink, digest
 */
static enum cml_status run_stream(struct cml_bytes payload,
				  struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	struct stream_request request = {
		.fail_allocation = driver_u64(&cur),
		.fail_crypto = driver_u64(&cur),
	};
	struct sink sink = { .fail_call = driver_u64(&cur) };
	uint8_t digest[CML_SHA256_SIZE] = { 0 };
	size_t blocks = driver_allocated();
	enum cml_status status = CML_INTERNAL;

	request.key = cml_cursor_take(&cur, CML_AES256_KEY_SIZE);
	request.plaintext_len = driver_u64(&cur);
	request.associated = driver_string(&cur);
	request.pieces = driver_string(&cur);
	request.sealed = driver_rest(&cur);
	if (!cml_cursor_ok(&cur))
		return CML_INTERNAL;

	driver_fail_allocation(request.fail_allocation);
	openssl_fail_call(request.fail_crypto, CML_CRYPTO);
	status = open_stream(&request, &sink, digest);
	openssl_fail_call(-1, CML_OK);
	driver_fail_allocation(-1);
	if (driver_allocated() != blocks)
		status = CML_INTERNAL;

	driver_put_u32(reply, sink.plain.len);
	driver_put(reply, sink.plain.data, sink.plain.len);
	driver_put(reply, digest, sizeof(digest));
	free(sink.plain.data);

	return status;
}

/*
 * u32 room, u32 layers (CML_REQUEST_*), key, scalar of the signer, external AAD,
 * plaintext -> sealed
 */
static enum cml_status run_result_seal(struct cml_bytes payload,
				       struct driver_reply *reply)
{
	struct cml_cursor cur = cml_cursor(payload);
	size_t len = driver_u32(&cur);
	uint32_t flags = driver_u32(&cur);
	struct cml_bytes key = cml_cursor_take(&cur, CML_AES256_KEY_SIZE);
	struct cml_bytes scalar = cml_cursor_take(&cur, CML_P256_SCALAR_SIZE);
	struct cml_bytes aad = driver_string(&cur);
	struct cml_bytes plain = driver_rest(&cur);
	const struct cml_allocator *allocator = driver_allocator();
	uint8_t point[CML_P256_POINT_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;
	struct cml_cose_signer signer = { 0 };
	struct cml_result_seal how = { 0 };
	size_t room = len;
	uint8_t *out = NULL;

	if (!cml_cursor_ok(&cur))
		return CML_INTERNAL;
	if (!(flags & CML_REQUEST_CLEAR))
		how.data_key = key.ptr;
	if (flags & CML_REQUEST_SIGNED)
		how.signer = &signer;
	status = cml_crypto_p256_new(scalar.ptr, CML_P256_SIGN, &signer.key);
	if (!status)
		status = cml_crypto_p256_public(signer.key, point);
	if (!status)
		status = cml_cose_key_thumbprint(point, signer.kid);
	out = allocator->alloc(allocator->ctx, room);
	if (!status && !out)
		status = CML_NO_MEMORY;
	if (!status)
		status = cml_result_seal(&how, aad, plain, out, &len);
	if (!status)
		driver_put(reply, out, len);
	allocator->release(allocator->ctx, out, room);
	cml_crypto_p256_free(signer.key);

	return status;
}

const struct driver_command driver_crypto_commands[] = {
	{ "hkdf", run_hkdf },
	{ "header", run_header },
	{ "key_id", run_key_id },
	{ "p256_is_point", run_p256_is_point },
	{ "result_seal", run_result_seal },
	{ "stream", run_stream },
	{ NULL, NULL },
};
