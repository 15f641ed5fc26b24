/* publish.c: PUBLISH and its replies (contract in publish.h). */
#define _GNU_SOURCE 1

#include "publish.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define HEAD "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n" LG_CHANNEL "\r\n$%zu\r\n"
#define HEAD_MAX 128
#define TIMEOUT_SECONDS 10

/* Appends the command of one message to the round. */
static int
add_message(lg_publisher *publisher, lg_shared *shared, const char *message, size_t n)
{
    char *round = realloc(publisher->round, publisher->len + HEAD_MAX + n + 2);
    if (round == NULL) {
        return lg_fail(shared, "out of memory");
    }
    publisher->round = round;
    char *at = round + publisher->len;
    at += snprintf(at, HEAD_MAX, HEAD, sizeof LG_CHANNEL - 1, n);
    memcpy(at, message, n);
    memcpy(at + n, "\r\n", 2);
    publisher->len = (size_t)(at + n + 2 - round);
    publisher->messages++;
    return 0;
}

static int
read_messages(lg_publisher *publisher, lg_shared *shared)
{
    const char *name = shared->options->messages;
    FILE *file = fopen(name, "rb");
    if (file == NULL) {
        return lg_fail(shared, "%s: %s", name, strerror(errno));
    }
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int status = 0;
    while (status == 0 && (n = getline(&line, &cap, file)) > 0) {
        size_t len = (size_t)n - (line[n - 1] == '\n');
        status = add_message(publisher, shared, line, len);
    }
    free(line);
    fclose(file);
    if (status == 0 && publisher->messages == 0) {
        return lg_fail(shared, "%s: no messages", name);
    }
    return status;
}

int
lg_publisher_open(lg_publisher *publisher, lg_shared *shared)
{
    *publisher = (lg_publisher){.fd = -1};
    if (read_messages(publisher, shared) < 0) {
        return -1;
    }
    struct sockaddr_in address = shared->options->address;
    address.sin_port = htons((uint16_t)shared->options->publish);
    struct timeval timeout = {.tv_sec = TIMEOUT_SECONDS};
    publisher->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (publisher->fd < 0 ||
        setsockopt(publisher->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) < 0 ||
        setsockopt(publisher->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) < 0 ||
        connect(publisher->fd, (struct sockaddr *)&address, sizeof address) < 0) {
        return lg_fail(shared, "redis: %s", strerror(errno));
    }
    return 0;
}

void
lg_publisher_close(lg_publisher *publisher)
{
    if (publisher->fd >= 0) {
        close(publisher->fd);
    }
    free(publisher->round);
    *publisher = (lg_publisher){.fd = -1};
}

/* One byte of the replies, each `:<receivers>\r\n`. */
static int
take_byte(lg_publisher *publisher, lg_shared *shared, char c)
{
    if (c >= '0' && c <= '9' && publisher->at_number) {
        publisher->receivers = publisher->receivers < 1000 ? 10 * publisher->receivers + c - '0'
                                                           : publisher->receivers;
        return 0;
    }
    if (c == ':' && !publisher->at_number) {
        publisher->at_number = 1;
        publisher->receivers = 0;
        return 0;
    }
    if (c == '\r' && publisher->at_number) {
        return 0;
    }
    if (c != '\n' || !publisher->at_number || publisher->unproved == 0) {
        return lg_fail(shared, "redis: an unexpected reply");
    }
    if (publisher->receivers == 0) {
        return lg_fail(shared, "redis: nobody subscribes to " LG_CHANNEL);
    }
    publisher->at_number = 0;
    publisher->unproved--;
    return 0;
}

/* Reads replies once. Bytes read, 0 when there are none (with MSG_DONTWAIT), or -1. */
static ssize_t
read_replies(lg_publisher *publisher, lg_shared *shared, int flags)
{
    char replies[4096];
    ssize_t n = recv(publisher->fd, replies, sizeof replies, flags);
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && flags != 0) {
        return 0;
    }
    if (n <= 0) {
        return lg_fail(shared, "redis: %s", n == 0 ? "closed the connection" : strerror(errno));
    }
    for (ssize_t i = 0; i < n; i++) {
        if (take_byte(publisher, shared, replies[i]) < 0) {
            return -1;
        }
    }
    return n;
}

int
lg_publisher_send(lg_publisher *publisher, lg_shared *shared)
{
    size_t sent = 0;
    while (sent < publisher->len) {
        ssize_t n =
            send(publisher->fd, publisher->round + sent, publisher->len - sent, MSG_NOSIGNAL);
        if (n < 0) {
            return lg_fail(shared, "redis: %s", strerror(errno));
        }
        sent += (size_t)n;
    }
    publisher->unproved += publisher->messages;
    ssize_t n;
    do {
        n = read_replies(publisher, shared, MSG_DONTWAIT);
    } while (n > 0);
    return n < 0 ? -1 : 0;
}

int
lg_publisher_drain(lg_publisher *publisher, lg_shared *shared)
{
    while (publisher->unproved > 0) {
        if (read_replies(publisher, shared, 0) < 0) {
            return -1;
        }
    }
    return 0;
}
