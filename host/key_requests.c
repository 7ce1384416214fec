// SPDX-License-Identifier: Apache-2.0
/* Requests about keys that the device keeps, and what they are for. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cbor_json.h"
#include "cml_ta.h"
#include "requests_private.h"

/* CML_KEY_ID_SIZE, CML_HEADER_SIZE of ta/core/header.h; stream.h */
#define KEY_ID_SIZE		16
#define HEADER_SIZE		72
#define STREAM_HEADER_SIZE	40
#define TAG_SIZE		16
#define SEGMENT_SIZE		65536
/* More than any model that the TA takes */
#define FILE_MAX_SIZE		(16 << 20)
/* Of the TA's buffer; what comes out has the rest of it. */
#define PIECE_SIZE		(TA_CML_PUSH_MAX_SIZE / 4)

bool request_keys(struct connection *connection, char **words,
		  struct text *reply, struct failure *failure)
{
	struct tee_session *tee = connection->session->tee;
	size_t len = 0;

	(void)words;
	if (!tee_get(tee, TA_CML_CMD_KEY_LIST, &len, &failure->tee))
		return false;
	request_put_ok(reply);
	text_put(reply, ",");
	if (len > tee_session_buffer_size() ||
	    !cbor_json_members(reply, tee_session_buffer(tee), len))
		return request_fail(failure, "CA_INFO",
				    "KEY_LIST makes no sense", "TA");
	text_put(reply, "}");

	return true;
}

bool request_forget(struct connection *connection, char **words,
		    struct text *reply, struct failure *failure)
{
	struct tee_session *tee = connection->session->tee;

	if (request_from_hex(words[1], tee_session_buffer(tee), KEY_ID_SIZE) !=
	    KEY_ID_SIZE)
		return request_fail(failure, "CA_REQUEST",
				    "is no key id of 16 bytes in hexadecimal",
				    words[1]);
	if (!tee_put(tee, TA_CML_CMD_KEY_REMOVE, KEY_ID_SIZE, &failure->tee))
		return false;
	request_put_ok(reply);
	text_put(reply, "}");

	return true;
}

bool request_describe(struct connection *connection, char **words,
		      struct text *reply, struct failure *failure)
{
	struct tee_session *tee = connection->session->tee;
	size_t len = 0;

	(void)words;
	if (!tee_get(tee, TA_CML_CMD_MODEL_DESCRIBE, &len, &failure->tee))
		return false;
	request_put_ok(reply);
	request_put_hex(reply, "description", tee_session_buffer(tee), len);
	text_put(reply, "}");

	return true;
}

/* What is sealed, as it comes to be. */
struct sealed {
	uint8_t *bytes;
	size_t len, size;
};

/* What ENCRYPT_BEGIN or _PUSH gave for @len bytes in the TA's buffer. */
static bool encrypt(struct tee_session *tee, uint32_t command, size_t len,
		    struct sealed *sealed, struct failure *failure)
{
	const uint8_t *out = NULL;
	size_t out_len = 0;

	out = tee_encrypt(tee, command, len, &out_len, &failure->tee);
	if (!out)
		return false;
	if (out_len > sealed->size - sealed->len)
		return request_fail(failure, "CA_INFO",
				    "the sealed model is too long", "TA");
	memcpy(sealed->bytes + sealed->len, out, out_len);
	sealed->len += out_len;

	return true;
}

/* The header as it is, then what becomes of the rest. */
static bool encrypt_file(struct tee_session *tee, int fd, const char *path,
			 struct sealed *sealed, struct failure *failure)
{
	uint32_t command = TA_CML_CMD_ENCRYPT_BEGIN;
	size_t want = HEADER_SIZE;
	ssize_t len = 0;

	for (;;) {
		len = request_read(fd, tee, want);
		if (len < 0)
			return request_fail_file(failure, path);
		if (!len && command == TA_CML_CMD_ENCRYPT_PUSH)
			break;
		if (command == TA_CML_CMD_ENCRYPT_BEGIN) {
			memcpy(sealed->bytes, tee_session_buffer(tee), len);
			sealed->len = len;
		}
		if (!encrypt(tee, command, len, sealed, failure))
			return false;
		command = TA_CML_CMD_ENCRYPT_PUSH;
		want = PIECE_SIZE;
	}

	return tee_command(tee, TA_CML_CMD_ENCRYPT_FINISH, &failure->tee);
}

/* Room for a file of @len bytes, sealed; false: it is too large. */
static bool make_room(struct sealed *sealed, off_t len)
{
	if (len > FILE_MAX_SIZE)
		return false;
	sealed->size = HEADER_SIZE + STREAM_HEADER_SIZE + len +
		       (len / (SEGMENT_SIZE - TAG_SIZE) + 2) * TAG_SIZE;
	sealed->bytes = malloc(sealed->size);

	return sealed->bytes;
}

bool request_encrypt(struct connection *connection, char **words,
		     struct text *reply, struct failure *failure)
{
	const int fd = share_open_file(connection->share, words[1]);
	struct sealed sealed = { 0 };
	struct stat stat = { 0 };
	bool done = false;

	if (fd < 0)
		return request_fail_file(failure, words[1]);
	if (fstat(fd, &stat))
		request_fail_file(failure, words[1]);
	else if (!make_room(&sealed, stat.st_size))
		request_fail(failure, "CA_FILE", "is too large", words[1]);
	else
		done = encrypt_file(connection->session->tee, fd, words[1],
				    &sealed, failure);
	close(fd);
	if (done && share_write_file(connection->share, words[2], sealed.bytes,
				     sealed.len))
		done = request_fail_file(failure, words[2]);
	free(sealed.bytes);
	if (!done)
		return false;
	request_put_ok(reply);
	text_printf(reply, ",\"size\":%zu}", sealed.len);

	return true;
}
