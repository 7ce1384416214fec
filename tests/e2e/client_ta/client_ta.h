/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_TA_H
#define CLIENT_TA_H

#define CLIENT_TA_UUID \
	{ 0x91c6d3f2, 0x0b7e, 0x4f55, \
	  { 0x9d, 0x18, 0xc2, 0xa4, 0x80, 0x6b, 0x7e, 0x35 } }

/* Opening a session: value[0] is turned round, if there is one. */

/* [inout] value[0] is turned round, [inout] memref[1] too */
#define CLIENT_TA_CMD_TURN	0
/* [in] value[0].a milliseconds, or until it is cancelled */
#define CLIENT_TA_CMD_WAIT	1
/* [in] value[0].a milliseconds of work, deaf to cancellation */
#define CLIENT_TA_CMD_WORK	2
/* Panics with [in] value[0].a */
#define CLIENT_TA_CMD_PANIC	3
/*
 * Reads a byte of [inout] memref[0] until the client alters it, then puts the
 * next number there.
 */
#define CLIENT_TA_CMD_LOOK	4

#endif /* CLIENT_TA_H */
