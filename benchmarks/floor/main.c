/* main.c: toolboxsio-floor, the least that a server has to do for the clients of the load generator:
 * epoll, accept, recv, send, and canned bytes. What costs less than this is out of reach with a system
 * call for each of these.
 *
 * Prints {"port": N} when it listens, and serves until it gets SIGTERM. Linux alone.
 */
#define _GNU_SOURCE 1

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "peer.h"
#include "session.h"

#define BACKLOG 2048
#define EVENT_MAX 65000 /* bytes: a frame with 16 bits of length */

static _Noreturn void
refuse(const char *what, const char *why)
{
    fprintf(stderr, "toolboxsio-floor: %s: %s\n", what, why);
    exit(2);
}

static int
listen_somewhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
        refuse("socket", strerror(errno));
    }
    printf("{\"port\": %u}\n", (unsigned)ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int
main(int argc, char **argv)
{
    static char json[EVENT_MAX];
    floor_mode mode = FLOOR_ACKS;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (argc < 2) {
        refuse("usage", "toolboxsio-floor FILE [broadcast | one | each]");
    }
    FILE *file = fopen(argv[1], "rb");
    size_t n = file != NULL ? fread(json, 1, sizeof json, file) : 0;
    if (n == 0 || n == sizeof json) {
        refuse(argv[1], "no event");
    }
    fclose(file);
    while (n > 0 && strchr(" \t\r\n", json[n - 1]) != NULL) {
        n--;
    }
    if (argc > 2) {
        mode = strcmp(argv[2], "one") == 0 ? FLOOR_TOGETHER : FLOOR_EACH;
    }
    floor_session_init(mode, json, n);
    floor_serve(listen_somewhere(), floor_session_read, floor_session_close);
}
