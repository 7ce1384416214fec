// SPDX-License-Identifier: Apache-2.0
/* The socket between `serve` and `call`. */
#ifndef UNIX_SOCKET_H
#define UNIX_SOCKET_H

#include <sys/socket.h>
#include <sys/un.h>

/*
 * A new stream socket, closed on exec, and the address of @path, for connect()
 * or bind(). Returns -1 and sets errno: ENAMETOOLONG when @path does not fit.
 */
int unix_socket(const char *path, struct sockaddr_un *address);

#endif /* UNIX_SOCKET_H */
