/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host and the guest's agent say to each other over one connection.
 * sandbox/machine/agent.py and sandbox/tee/wire.py mirror it, and
 * tests/unit/test_agent.py compares.
 *
 * Both send frames: type u8, length u32, payload. Integers are little endian.
 *
 * A connection begins with a mutual proof that both know the machine's token
 * (handshake.h); then its first frame says which of four services it is for:
 *
 * A command: any number of ARG, ENV and at most one CWD and TTY, in any order,
 * then RUN. The command's output comes back as STDOUT and STDERR. The host may
 * send WINDOW bytes of STDIN, and more as the command reads: CREDIT says how
 * much. So the agent always takes what arrives, and a SIGNAL is never stuck
 * behind input that nobody reads. EXIT is the last frame. A command whose host
 * hangs up is killed, with its process group.
 *
 * A file to the guest: PUT, any number of DATA, END; answered by DONE. The file
 * appears whole or not at all.
 *
 * A file from the guest: GET; answered by DATA, then END.
 *
 * The TEE: TEE_* (tee_message.h), each call answered by a TEE_DONE that repeats
 * its number. Calls run in parallel. The host's hanging up closes all.
 *
 * What cannot be done is answered by FAILED, after which nothing follows.
 */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#define PROTOCOL_VERSION	1
#define AGENT_PORT		4050

#define FRAME_HEADER_SIZE	5
/* An argument may be as long as Linux takes it: MAX_ARG_STRLEN. */
#define FRAME_MAX_SIZE		(128 * 1024)
/* All arguments and variables together, each with a few bytes for itself. */
#define COMMAND_MAX_SIZE	(2 * 1024 * 1024)
#define WINDOW			(256 * 1024)
/* One frame of the TEE service: the memory that a call takes along. */
#define TEE_FRAME_MAX_SIZE	(32 * 1024 * 1024 + 4096)

#define TOKEN_SIZE		32
#define NONCE_SIZE		32
#define PROOF_SIZE		32

/* From the host */
#define FRAME_HELLO		0x01	/* version u32, nonce */
#define FRAME_PROOF		0x02	/* proof */
#define FRAME_ARG		0x10	/* an argument, the program first */
#define FRAME_ENV		0x11	/* NAME=VALUE */
#define FRAME_CWD		0x12	/* path */
#define FRAME_TTY		0x13	/* rows u32, columns u32 */
#define FRAME_RUN		0x14
#define FRAME_STDIN		0x15	/* bytes */
#define FRAME_STDIN_END		0x16
#define FRAME_SIGNAL		0x17	/* number u32, to the process group */
#define FRAME_RESIZE		0x18	/* rows u32, columns u32 */
#define FRAME_PUT		0x20	/* mode u32, path */
#define FRAME_GET		0x21	/* path */
#define FRAME_TEE_INITIALIZE	0x30
#define FRAME_TEE_OPEN		0x31
#define FRAME_TEE_INVOKE	0x32
#define FRAME_TEE_CLOSE		0x33
#define FRAME_TEE_CANCEL	0x34
#define FRAME_TEE_SHARE		0x35
#define FRAME_TEE_RELEASE	0x36
#define FRAME_TEE_WRITE		0x37
#define FRAME_TEE_READ		0x38

/* From both */
#define FRAME_DATA		0x40	/* bytes of a file */
#define FRAME_END		0x41

/* From the agent */
#define FRAME_CHALLENGE		0x80	/* nonce, proof */
#define FRAME_STDOUT		0x90	/* bytes */
#define FRAME_STDERR		0x91	/* bytes */
#define FRAME_CREDIT		0x92	/* bytes u32 */
#define FRAME_EXIT		0x93	/* status u32, signal u32: one is 0 */
#define FRAME_DONE		0xa0
#define FRAME_FAILED		0xa1	/* errno u32, what was tried */
#define FRAME_TEE_DONE		0xb0

#endif /* PROTOCOL_H */
