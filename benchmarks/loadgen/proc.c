/* proc.c: what the kernel says about a process (contract in proc.h). */
#define _GNU_SOURCE 1

#include "proc.h"

#include <stdio.h>
#include <sys/resource.h>

static uint64_t
read_clock(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) < 0) {
        return 0;
    }
    return (uint64_t)t.tv_sec * LG_SECOND + (uint64_t)t.tv_nsec;
}

uint64_t
lg_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

double
lg_seconds(uint64_t ns)
{
    return (double)ns / (double)LG_SECOND;
}

int
lg_server_open(lg_server *server, int pid)
{
    server->pid = pid;
    return pid != 0 && clock_getcpuclockid(pid, &server->clock) != 0 ? -1 : 0;
}

uint64_t
lg_server_cpu(const lg_server *server)
{
    return server->pid != 0 ? read_clock(server->clock) : 0;
}

long
lg_server_rss(const lg_server *server)
{
    if (server->pid == 0) {
        return 0;
    }
    char line[256];
    snprintf(line, sizeof line, "/proc/%d/smaps_rollup", server->pid);
    FILE *file = fopen(line, "r");
    if (file == NULL) {
        return -1;
    }
    long kib = -1;
    while (kib < 0 && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "Rss: %ld kB", &kib) != 1) {
            kib = -1;
        }
    }
    fclose(file);
    return kib;
}

static void
add(lg_usage *usage, const lg_server *server, uint64_t now, int sign)
{
    usage->seconds += sign * lg_seconds(now);
    usage->own_cpu += sign * lg_seconds(read_clock(CLOCK_PROCESS_CPUTIME_ID));
    usage->server_cpu += sign * lg_seconds(lg_server_cpu(server));
}

void
lg_usage_begin(lg_usage *usage, const lg_server *server, uint64_t now)
{
    add(usage, server, now, -1);
}

void
lg_usage_end(lg_usage *usage, const lg_server *server, uint64_t now)
{
    add(usage, server, now, 1);
}

uint64_t
lg_files_raise(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0) {
        return 0;
    }
    if (files.rlim_cur < files.rlim_max) {
        struct rlimit more = {.rlim_cur = files.rlim_max, .rlim_max = files.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &more) == 0) {
            files = more;
        }
    }
    return files.rlim_cur;
}
