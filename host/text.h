// SPDX-License-Identifier: Apache-2.0
/* A line of JSON under construction, in a buffer of fixed size. */
#ifndef CML_TEXT_H
#define CML_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXT_MAX_SIZE 8192

struct text {
	char data[TEXT_MAX_SIZE];
	size_t len;
	bool full;	/* something did not fit: not to be used */
};

void text_put(struct text *text, const char *string);
void text_printf(struct text *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* In quotes, escaped; what is not ASCII becomes U+FFFD. */
void text_put_json(struct text *text, const char *string, size_t len);
/* In quotes, lower case. */
void text_put_hex(struct text *text, const uint8_t *bytes, size_t len);

#endif /* CML_TEXT_H */
