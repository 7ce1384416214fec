// SPDX-License-Identifier: Apache-2.0
/*
 * Sealed streams. Random bytes never open, so the input is a script: how long
 * the plaintext is, in what pieces the stream is pushed, and how it is bent
 * before. A stream that opens was not bent; from one that does not, whole
 * segments came first.
 */
#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "hkdf.h"
#include "stream.h"

#define FIRST_LEN	(CML_STREAM_SEGMENT_SIZE - CML_STREAM_HEADER_SIZE - \
			 CML_GCM_TAG_SIZE)
#define MORE_LEN	(CML_STREAM_SEGMENT_SIZE - CML_GCM_TAG_SIZE)
#define MAX_SEGMENTS	4
#define MAX_LEN		(FIRST_LEN + (MAX_SEGMENTS - 1) * MORE_LEN)
#define MAX_SEALED	(2 * (MAX_SEGMENTS + 1) * CML_STREAM_SEGMENT_SIZE)
#define MAX_BENDS	8

static const uint8_t input_key[CML_AES256_KEY_SIZE] = "a key for fuzzing";
static const char associated[] = "associated data";

struct fuzz_stream {
	uint8_t plain[MAX_LEN];
	size_t plain_len;
	size_t done;			/* what reached the sink */
	uint8_t sealed[MAX_SEALED];
	size_t sealed_len;
};

static enum cml_status collect(void *ctx, struct cml_bytes plain)
{
	struct fuzz_stream *fuzz = ctx;

	if (plain.len > fuzz->plain_len - fuzz->done ||
	    memcmp(fuzz->plain + fuzz->done, plain.ptr, plain.len))
		abort();
	fuzz->done += plain.len;

	return CML_OK;
}

/* The stream format, written: stream.h has it in words. */
static void seal(struct fuzz_stream *fuzz)
{
	uint8_t *head = fuzz->sealed;
	uint8_t key[CML_AES256_KEY_SIZE] = { 0 };
	uint8_t nonce[CML_GCM_NONCE_SIZE] = { 0 };
	struct cml_gcm *gcm = NULL;
	size_t done = 0;
	size_t len = FIRST_LEN;

	memset(head, 's', CML_STREAM_HEADER_SIZE);
	head[0] = CML_STREAM_HEADER_SIZE;
	if (cml_hkdf(cml_bytes(input_key, sizeof(input_key)),
		     cml_bytes(head + 1, 32),
		     cml_bytes(associated, sizeof(associated)), key,
		     sizeof(key)) || cml_crypto_gcm_new(key, &gcm))
		abort();
	memcpy(nonce, head + 33, 7);
	fuzz->sealed_len = CML_STREAM_HEADER_SIZE;
	for (uint32_t i = 0; done < fuzz->plain_len; i++) {
		if (len >= fuzz->plain_len - done) {
			len = fuzz->plain_len - done;
			nonce[11] = 1;
		}
		cml_store_be32(nonce + 7, i);
		if (cml_crypto_gcm_seal(gcm, nonce, cml_bytes(NULL, 0),
					cml_bytes(fuzz->plain + done, len),
					fuzz->sealed + fuzz->sealed_len))
			abort();
		fuzz->sealed_len += len + CML_GCM_TAG_SIZE;
		done += len;
		len = MORE_LEN;
	}
	cml_crypto_gcm_free(gcm);
}

static size_t take(struct cml_cursor *cur, size_t limit)
{
	return limit ? cml_cursor_be32(cur) % limit : 0;
}

/* Segments are where they were before the first bend. */
static uint8_t *segment(struct fuzz_stream *fuzz, size_t index)
{
	return fuzz->sealed + index * CML_STREAM_SEGMENT_SIZE;
}

static void swap(uint8_t *a, uint8_t *b, size_t len)
{
	uint8_t kept = 0;

	for (size_t i = 0; i < len; i++) {
		kept = a[i];
		a[i] = b[i];
		b[i] = kept;
	}
}

static void bend(struct fuzz_stream *fuzz, struct cml_cursor *cur)
{
	const size_t whole = fuzz->sealed_len / CML_STREAM_SEGMENT_SIZE;
	const size_t at = take(cur, fuzz->sealed_len);
	const size_t one = take(cur, whole);
	const size_t two = take(cur, whole);

	switch (cml_cursor_u8(cur) % 6) {
	case 0:
		if (at < fuzz->sealed_len)
			fuzz->sealed[at] ^= 1 << (cml_cursor_u8(cur) % 8);
		break;
	case 1:
		fuzz->sealed_len = at;
		break;
	case 2:
		fuzz->sealed_len += at % (MAX_SEALED - fuzz->sealed_len + 1);
		break;
	case 3:
		if (one != two)
			swap(segment(fuzz, one), segment(fuzz, two),
			     CML_STREAM_SEGMENT_SIZE);
		break;
	case 4:
		/* A segment dropped */
		if (one + 1 > whole)
			break;
		fuzz->sealed_len -= CML_STREAM_SEGMENT_SIZE;
		memmove(segment(fuzz, one), segment(fuzz, one + 1),
			fuzz->sealed_len - one * CML_STREAM_SEGMENT_SIZE);
		break;
	default:
		/* A segment twice */
		if (one + 1 > whole || fuzz->sealed_len >
		    MAX_SEALED - CML_STREAM_SEGMENT_SIZE)
			break;
		memmove(segment(fuzz, one + 1), segment(fuzz, one),
			fuzz->sealed_len - one * CML_STREAM_SEGMENT_SIZE);
		fuzz->sealed_len += CML_STREAM_SEGMENT_SIZE;
		break;
	}
}

static enum cml_status push(struct cml_stream *stream,
			    const struct fuzz_stream *fuzz,
			    struct cml_cursor *cur)
{
	enum cml_status status = CML_OK;
	size_t left = fuzz->sealed_len;
	size_t len = 0;

	for (size_t done = 0; !status && left; done += len, left -= len) {
		/* When the script ends the rest comes at once. */
		len = cml_cursor_remaining(cur) < 4 ? left :
		      take(cur, left + 1);
		status = cml_stream_push(stream, cml_bytes(fuzz->sealed + done,
							   len));
	}

	return status ? status : cml_stream_finish(stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cml_cursor cur = cml_cursor(cml_bytes(data, size));
	struct fuzz_stream *fuzz = calloc(1, sizeof(*fuzz));
	enum cml_status status = CML_INTERNAL;
	struct cml_stream *stream = NULL;
	uint8_t *good = NULL;
	size_t announced = 0;
	size_t good_len = 0;
	size_t bends = 0;
	bool same = false;

	if (!fuzz)
		abort();
	fuzz->plain_len = 1 + take(&cur, MAX_LEN);
	announced = fuzz->plain_len + cml_cursor_u8(&cur) / 255;
	bends = cml_cursor_u8(&cur) % MAX_BENDS;
	for (size_t i = 0; i < fuzz->plain_len; i++)
		fuzz->plain[i] = i ^ (i >> 8);
	seal(fuzz);
	good_len = fuzz->sealed_len;
	good = malloc(good_len);
	if (!good)
		abort();
	memcpy(good, fuzz->sealed, good_len);
	for (size_t i = 0; i < bends; i++)
		bend(fuzz, &cur);
	same = announced == fuzz->plain_len && good_len == fuzz->sealed_len &&
	       !memcmp(good, fuzz->sealed, good_len);

	if (cml_stream_new(driver_allocator(), input_key,
			   cml_bytes(associated, sizeof(associated)),
			   announced, collect, fuzz, &stream))
		abort();
	status = push(stream, fuzz, &cur);
	if (!status != same || (same && fuzz->done != fuzz->plain_len))
		abort();
	/* A bug would be a status that this input cannot have. */
	if (status && (status < CML_STREAM_HEADER ||
		       status > CML_STREAM_LENGTH ||
		       status == CML_STREAM_WRONG_KEY))
		abort();
	if (status && fuzz->done &&
	    (fuzz->done - FIRST_LEN) % MORE_LEN &&
	    fuzz->done != fuzz->plain_len)
		abort();
	cml_stream_free(stream);
	if (driver_allocated())
		abort();
	free(good);
	free(fuzz);

	return 0;
}
