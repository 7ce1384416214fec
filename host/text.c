// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

static void put(struct text *text, const char *data, size_t len)
{
	/* One byte stays for the line's end. */
	if (text->full || len > sizeof(text->data) - 1 - text->len) {
		text->full = true;
		return;
	}
	memcpy(text->data + text->len, data, len);
	text->len += len;
}

void text_put(struct text *text, const char *string)
{
	put(text, string, strlen(string));
}

void text_printf(struct text *text, const char *format, ...)
{
	char formatted[256] = "";
	va_list args;
	int len = 0;

	va_start(args, format);
	len = vsnprintf(formatted, sizeof(formatted), format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(formatted)) {
		text->full = true;
		return;
	}
	put(text, formatted, len);
}

void text_put_json(struct text *text, const char *string, size_t len)
{
	put(text, "\"", 1);
	for (size_t i = 0; i < len; i++) {
		const unsigned char c = string[i];

		if (c == '"' || c == '\\')
			text_printf(text, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			text_printf(text, "\\u%04x", c);
		else if (c < 0x7f)
			put(text, &string[i], 1);
		else
			put(text, "\\ufffd", 6);
	}
	put(text, "\"", 1);
}

void text_put_hex(struct text *text, const uint8_t *bytes, size_t len)
{
	put(text, "\"", 1);
	for (size_t i = 0; i < len; i++)
		text_printf(text, "%02x", bytes[i]);
	put(text, "\"", 1);
}
