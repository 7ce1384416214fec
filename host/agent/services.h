/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each serves one connection whose first frame, @first, was for it. It returns
 * when the connection is over; the caller closes it and ends the process.
 */
#ifndef SERVICES_H
#define SERVICES_H

#include "frame.h"

void serve_command(int fd, struct inbox *inbox, const struct frame *first);
void serve_put(int fd, struct inbox *inbox, const struct frame *first);
void serve_get(int fd, const struct frame *first);
void serve_tee(int fd, struct inbox *inbox, const struct frame *first);

#endif /* SERVICES_H */
