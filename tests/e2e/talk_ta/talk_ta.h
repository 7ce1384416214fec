/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TALK_TA_H
#define TALK_TA_H

#define TALK_TA_UUID \
	{ 0x6e1d0b74, 0x8f25, 0x4c93, \
	  { 0xb0, 0x5a, 0x27, 0xd9, 0x4e, 0x61, 0xf3, 0x18 } }

/* Value a: a number to print */
#define TALK_TA_CMD_SAY 0
/* Value a: how often to print a line in three pieces */
#define TALK_TA_CMD_PIECES 1
/* Print what would pass for somebody else's line, if it could */
#define TALK_TA_CMD_LIE 2

#endif /* TALK_TA_H */
