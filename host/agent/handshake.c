// SPDX-License-Identifier: Apache-2.0
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <tomcrypt.h>

#include "handshake.h"

/* Who does not prove itself soon makes room for others. */
#define LIMIT_S		10
#define SAID_SIZE	(8 + 2 * NONCE_SIZE)

/* HMAC-SHA256 */
static bool prove(const uint8_t token[TOKEN_SIZE], const char *who,
		  const uint8_t nonces[2 * NONCE_SIZE],
		  uint8_t proof[PROOF_SIZE])
{
	const size_t len = strlen(who);
	const int hash = register_hash(&sha256_desc);
	uint8_t said[SAID_SIZE] = { 0 };
	unsigned long size = PROOF_SIZE;

	memcpy(said, who, len);
	memcpy(said + len, nonces, 2 * NONCE_SIZE);

	return hmac_memory(hash, token, TOKEN_SIZE, said, len + 2 * NONCE_SIZE,
			   proof, &size) == CRYPT_OK;
}

static void set_limit(int fd, time_t seconds)
{
	const struct timeval limit = { .tv_sec = seconds };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

static bool exchange(int fd, struct inbox *inbox,
		     const uint8_t token[TOKEN_SIZE])
{
	uint8_t challenge[NONCE_SIZE + PROOF_SIZE] = { 0 };
	uint8_t nonces[2 * NONCE_SIZE] = { 0 };
	uint8_t expected[PROOF_SIZE] = { 0 };
	struct frame frame = { 0 };

	if (!frame_receive(inbox, fd, &frame) || frame.type != FRAME_HELLO ||
	    frame.len != 4 + NONCE_SIZE)
		return false;
	if (load_u32(frame.data) != PROTOCOL_VERSION) {
		frame_send_failed(fd, 0, "another version of the protocol");
		return false;
	}
	memcpy(nonces, frame.data + 4, NONCE_SIZE);
	if (getrandom(nonces + NONCE_SIZE, NONCE_SIZE, 0) != NONCE_SIZE)
		return false;
	memcpy(challenge, nonces + NONCE_SIZE, NONCE_SIZE);
	if (!prove(token, "agent", nonces, challenge + NONCE_SIZE) ||
	    !prove(token, "host", nonces, expected) ||
	    !frame_send(fd, FRAME_CHALLENGE, challenge, sizeof(challenge)))
		return false;

	return frame_receive(inbox, fd, &frame) && frame.type == FRAME_PROOF &&
	       frame.len == PROOF_SIZE &&
	       /* In a time that does not tell where they differ */
	       !mem_neq(frame.data, expected, PROOF_SIZE);
}

bool handshake(int fd, struct inbox *inbox, const uint8_t token[TOKEN_SIZE])
{
	bool proved = false;

	inbox->limit = 4 + NONCE_SIZE;
	set_limit(fd, LIMIT_S);
	proved = exchange(fd, inbox, token);
	set_limit(fd, 0);

	return proved;
}
