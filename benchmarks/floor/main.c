/* main.c: toolboxsio-floor, the least that a server has to do for the clients of the load generator:
 * epoll, accept, recv, send, and canned bytes. What costs less than this is out of reach with a system
 * call for each of these.
 *
 * Prints {"port": N} when it listens, and serves until it gets SIGTERM. Linux alone.
 */
#define _GNU_SOURCE 1

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
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

/* The text of a file without white space at its end. Its length. */
static size_t
read_event(const char *name, char json[EVENT_MAX])
{
    FILE *file = fopen(name, "rb");
    size_t n = file != NULL ? fread(json, 1, EVENT_MAX, file) : 0;
    if (n == 0 || n == EVENT_MAX) {
        refuse(name, "no event");
    }
    fclose(file);
    while (n > 0 && strchr(" \t\r\n", json[n - 1]) != NULL) {
        n--;
    }
    return n;
}

/* --payload FILE, --emits SHAPE; and --transport NAME, which makes no difference here. */
int
main(int argc, char **argv)
{
    static char json[EVENT_MAX];
    static const struct option OPTIONS[] = {
        {"payload", required_argument, NULL, 'p'},
        {"emits", required_argument, NULL, 'e'},
        {"transport", required_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    floor_mode mode = FLOOR_ACKS;
    size_t n = 0;
    struct rlimit files;
    int chosen;
    while ((chosen = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (chosen == 'p') {
            n = read_event(optarg, json);
        }
        else if (chosen == 'e') {
            mode = strcmp(optarg, "one") == 0 ? FLOOR_TOGETHER : FLOOR_EACH;
        }
        else if (chosen != 't') {
            return 2;
        }
    }
    if (n == 0) {
        refuse("--payload", "missing");
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    floor_session_init(mode, json, n);
    floor_serve(listen_somewhere(), floor_session_read, floor_session_close);
}
