/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUSY_TA_H
#define BUSY_TA_H

#define BUSY_TA_UUID \
	{ 0x0b6d7c1e, 0x52f3, 0x4a8e, \
	  { 0x91, 0xd4, 0x3c, 0x7a, 0x58, 0xe2, 0x06, 0xbf } }

/* Value a: rounds in, a number that depends on all of them out */
#define BUSY_TA_CMD_WORK 0
/* Value a: rounds of hashing, which is the core's work */
#define BUSY_TA_CMD_HASH 1

#endif /* BUSY_TA_H */
