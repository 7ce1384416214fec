/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent gives root to whoever reaches its port, which any user of the host
 * can. So both sides prove that they know the machine's token, a secret of the
 * machine's owner that was made for this boot:
 *
 *   host   HELLO      version, host's nonce
 *   agent  CHALLENGE  agent's nonce, HMAC(token, "agent" || both nonces)
 *   host   PROOF      HMAC(token, "host" || both nonces)
 *
 * The host goes first in trust: it sends neither proof nor request to what does
 * not know the token. The token itself never travels. What follows is neither
 * encrypted nor authenticated: between the two are the host's loopback device
 * and QEMU, and who controls those controls the machine anyway.
 */
#ifndef HANDSHAKE_H
#define HANDSHAKE_H

#include <stdbool.h>

#include "frame.h"

/* True when the other side has proved itself. */
bool handshake(int fd, struct inbox *inbox, const uint8_t token[TOKEN_SIZE]);

#endif /* HANDSHAKE_H */
