/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HELLO_WORLD_TA_H
#define HELLO_WORLD_TA_H

#define TA_HELLO_WORLD_UUID \
	{ 0xe2e00001, 0x4d6c, 0x4c83, \
		{ 0x9c, 0x27, 0x2f, 0x1d, 0x7a, 0x3c, 0x5b, 0x01 } }

/* [out] value[0].a: TA_HELLO_WORLD_ANSWER, as the TA was compiled */
#define TA_HELLO_WORLD_CMD_ANSWER	0

#define TA_HELLO_WORLD_ANSWER		41

#endif /* HELLO_WORLD_TA_H */
