/* options.c: the command line (contract in options.h). */
#define _GNU_SOURCE 1

#include "options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conn.h"

static const char USAGE[] =
    "usage: toolboxsio-loadgen --port PORT --payload FILE [options]\n"
    "   or: toolboxsio-loadgen --port PORT --idle S [options]\n"
    "   or: toolboxsio-loadgen --port PORT --payload FILE --receive W --seconds S [options]\n"
    "  --host ADDRESS      IPv4 address (127.0.0.1)\n"
    "  --path PATH         of the endpoint (/socket.io/)\n"
    "  --event NAME        event to send, or to receive (message)\n"
    "  --payload FILE      JSON text of its one argument\n"
    "  --expect TEXT       what each ack has behind its id\n"
    "  --connections N     (50)\n"
    "  --connecting M      at most so many handshakes under way (100)\n"
    "  --in-flight K       events of a connection that wait for an ack (1)\n"
    "  --rate R            or: events a second over all, on a fixed schedule\n"
    "  --warmup S          seconds before the measurement (0)\n"
    "  --seconds S         length of the measurement\n"
    "  --ops N             or: end after N acks\n"
    "  --silence S         a server that says nothing for so long has failed (10)\n"
    "  --announce          print the line \"measuring\" when the measurement begins\n"
    "  --idle S            or: connect, with --payload send one event and get its ack, stay for S\n"
    "                      seconds, and leave\n"
    "  --transport NAME    websocket, upgrade (polling, then a WebSocket) or polling (websocket)\n"
    "  --receive W         or: the server sends the event to all; at most W of them to each under "
    "way\n"
    "  --paced S           and then for S seconds at half of the rate that was reached\n"
    "  --publish PORT      cause the events by messages on this Redis, on the channel socketio, "
    "with\n"
    "  --messages FILE     those for one event to all, one a line\n"
    "  --server-pid PID    report the CPU time and, with --idle, the memory of this process\n"
    "  --core N            run on this core\n";

static _Noreturn void
refuse(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("toolboxsio-loadgen: ", stderr);
    vfprintf(stderr, format, args);
    fputs("\n", stderr);
    va_end(args);
    exit(2);
}

static double
read_number(const char *name, const char *text, double low, double high)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !(value >= low && value <= high)) {
        refuse("--%s must be a number from %g to %g, not '%s'", name, low, high, text);
    }
    return value;
}

static long
read_integer(const char *name, const char *text, long low, long high)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < low || value > high) {
        refuse("--%s must be an integer from %ld to %ld, not '%s'", name, low, high, text);
    }
    return value;
}

static lg_transport
read_transport(const char *text)
{
    static const char *const NAMES[] = {"websocket", "upgrade", "polling"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        if (strcmp(text, NAMES[i]) == 0) {
            return (lg_transport)i;
        }
    }
    refuse("--transport must be websocket, upgrade or polling, not '%s'", text);
}

/* `["name",<text of the file>]`, without white space at the end of the file. */
static char *
read_event(const char *name, const char *file)
{
    FILE *f = fopen(file, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0) {
        refuse("%s: %s", file, strerror(errno));
    }
    long size = ftell(f);
    if (size <= 0 || size > LG_EVENT_MAX) {
        refuse("%s: %ld bytes, not 1 to %d", file, size, LG_EVENT_MAX);
    }
    rewind(f);
    size_t room = strlen(name) + (size_t)size + sizeof "[\"\",]";
    char *event = malloc(room);
    if (event == NULL) {
        refuse("out of memory");
    }
    size_t n = (size_t)snprintf(event, room, "[\"%s\",", name);
    if (fread(event + n, 1, (size_t)size, f) != (size_t)size) {
        refuse("%s: cannot be read", file);
    }
    fclose(f);
    n += (size_t)size;
    while (strchr(" \t\r\n", event[n - 1]) != NULL) {
        n--;
    }
    memcpy(event + n, "]", 2);
    return event;
}

enum {
    O_HOST = 1,
    O_PORT,
    O_PATH,
    O_EVENT,
    O_PAYLOAD,
    O_EXPECT,
    O_CONNECTIONS,
    O_CONNECTING,
    O_IN_FLIGHT,
    O_RATE,
    O_WARMUP,
    O_SECONDS,
    O_OPS,
    O_SILENCE,
    O_ANNOUNCE,
    O_IDLE,
    O_TRANSPORT,
    O_RECEIVE,
    O_PACED,
    O_PUBLISH,
    O_MESSAGES,
    O_SERVER_PID,
    O_CORE,
    O_HELP
};

static const struct option OPTIONS[] = {
    {"host", required_argument, NULL, O_HOST},
    {"port", required_argument, NULL, O_PORT},
    {"path", required_argument, NULL, O_PATH},
    {"event", required_argument, NULL, O_EVENT},
    {"payload", required_argument, NULL, O_PAYLOAD},
    {"expect", required_argument, NULL, O_EXPECT},
    {"connections", required_argument, NULL, O_CONNECTIONS},
    {"connecting", required_argument, NULL, O_CONNECTING},
    {"in-flight", required_argument, NULL, O_IN_FLIGHT},
    {"rate", required_argument, NULL, O_RATE},
    {"warmup", required_argument, NULL, O_WARMUP},
    {"seconds", required_argument, NULL, O_SECONDS},
    {"ops", required_argument, NULL, O_OPS},
    {"silence", required_argument, NULL, O_SILENCE},
    {"announce", no_argument, NULL, O_ANNOUNCE},
    {"idle", required_argument, NULL, O_IDLE},
    {"transport", required_argument, NULL, O_TRANSPORT},
    {"receive", required_argument, NULL, O_RECEIVE},
    {"paced", required_argument, NULL, O_PACED},
    {"publish", required_argument, NULL, O_PUBLISH},
    {"messages", required_argument, NULL, O_MESSAGES},
    {"server-pid", required_argument, NULL, O_SERVER_PID},
    {"core", required_argument, NULL, O_CORE},
    {"help", no_argument, NULL, O_HELP},
    {NULL, 0, NULL, 0},
};

/* Refuses what does not go together, and fills in what one kind of load means without its figure. */
static void
check(lg_options *options)
{
    bool paced = options->rate > 0 || options->in_flight > 0;
    if (options->announce && (options->idle >= 0 || options->receive > 0)) {
        refuse("--announce goes without --idle and --receive");
    }
    bool ends = options->seconds > 0 || options->ops > 0;
    if (options->idle >= 0) {
        if (paced || ends || options->warmup > 0 || options->receive > 0) {
            refuse("--idle goes without --in-flight, --rate, --warmup, --seconds, --ops and "
                   "--receive");
        }
        return;
    }
    if (options->receive > 0) {
        if (options->transport == LG_POLLING) {
            refuse("--receive goes without --transport polling");
        }
        if (paced || options->ops > 0 || !ends || options->expect != NULL) {
            refuse(
                "--receive goes with --seconds and without --in-flight, --rate, --ops, --expect");
        }
        return;
    }
    if ((options->seconds > 0) == (options->ops > 0)) {
        refuse("give either --seconds or --ops");
    }
    if (options->ops > 0 && (options->warmup > 0 || options->rate > 0)) {
        refuse("--ops goes with --in-flight and without --warmup");
    }
    if (options->rate > 0 && options->in_flight > 0) {
        refuse("give either --rate or --in-flight");
    }
    if (!paced) {
        options->in_flight = 1;
    }
}

/* Long, because every option has its case. */
void
lg_options_read(int argc, char **argv, lg_options *options)
{
    const char *host = "127.0.0.1";
    const char *name = "message";
    const char *payload = NULL;
    long port = 0;
    *options = (lg_options){.path = "/socket.io/",
                            .connections = 50,
                            .connecting = 100,
                            .idle = -1,
                            .core = -1,
                            .silence = 10};
    int chosen;
    while ((chosen = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        switch (chosen) {
        case O_HOST:
            host = optarg;
            break;
        case O_PORT:
            port = read_integer("port", optarg, 1, 65535);
            break;
        case O_PATH:
            options->path = optarg;
            break;
        case O_EVENT:
            name = optarg;
            break;
        case O_PAYLOAD:
            payload = optarg;
            break;
        case O_EXPECT:
            options->expect = optarg;
            break;
        case O_CONNECTIONS:
            options->connections = (int)read_integer("connections", optarg, 1, 100000);
            break;
        case O_CONNECTING:
            options->connecting = (int)read_integer("connecting", optarg, 1, 4096);
            break;
        case O_IN_FLIGHT:
            options->in_flight = (int)read_integer("in-flight", optarg, 1, LG_SLOTS);
            break;
        case O_RATE:
            options->rate = read_number("rate", optarg, 1, 1e7);
            break;
        case O_WARMUP:
            options->warmup = read_number("warmup", optarg, 0, 3600);
            break;
        case O_SECONDS:
            options->seconds = read_number("seconds", optarg, 0.01, 3600);
            break;
        case O_OPS:
            options->ops = (uint64_t)read_integer("ops", optarg, 1, 1000000000);
            break;
        case O_SILENCE:
            options->silence = read_number("silence", optarg, 0.1, 3600);
            break;
        case O_ANNOUNCE:
            options->announce = true;
            break;
        case O_IDLE:
            options->idle = read_number("idle", optarg, 0, 3600);
            break;
        case O_TRANSPORT:
            options->transport = read_transport(optarg);
            break;
        case O_RECEIVE:
            options->receive = (int)read_integer("receive", optarg, 1, 10000);
            break;
        case O_PACED:
            options->paced = read_number("paced", optarg, 0.01, 3600);
            break;
        case O_PUBLISH:
            options->publish = (int)read_integer("publish", optarg, 1, 65535);
            break;
        case O_MESSAGES:
            options->messages = optarg;
            break;
        case O_SERVER_PID:
            options->server_pid = (int)read_integer("server-pid", optarg, 1, INT32_MAX);
            break;
        case O_CORE:
            options->core = (int)read_integer("core", optarg, 0, 1023);
            break;
        case O_HELP:
            fputs(USAGE, stdout);
            exit(0);
        default:
            fputs(USAGE, stderr);
            exit(2);
        }
    }
    if (optind != argc || port == 0 || (payload == NULL && options->idle < 0)) {
        fputs(USAGE, stderr);
        exit(2);
    }
    if ((options->publish > 0) != (options->messages != NULL) ||
        (options->receive == 0 && (options->publish > 0 || options->paced > 0))) {
        refuse("--paced goes with --receive, and so do --publish and --messages together");
    }
    check(options);
    options->address.sin_family = AF_INET;
    options->address.sin_port = htons((uint16_t)port);
    if (inet_pton(AF_INET, host, &options->address.sin_addr) != 1) {
        refuse("--host must be an IPv4 address, not '%s'", host);
    }
    options->event = payload != NULL ? read_event(name, payload) : NULL;
}

void
lg_options_free(lg_options *options)
{
    free(options->event);
    options->event = NULL;
}
