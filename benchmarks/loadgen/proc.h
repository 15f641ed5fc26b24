/* proc.h: clocks, CPU time, memory and open files, of this process and of the server.
 *
 * CPU time is that of all threads of a process, user and system, to the nanosecond.
 */
#ifndef LG_PROC_H
#define LG_PROC_H

#include <stdint.h>
#include <time.h>

#define LG_SECOND UINT64_C(1000000000)

typedef struct {
    int pid;         /* 0 without a server to look at: then all its figures are 0 */
    clockid_t clock; /* of its CPU time */
} lg_server;

/* What a span of time cost, in seconds. */
typedef struct {
    double seconds;
    double server_cpu;
    double own_cpu;
} lg_usage;

/* The monotonic clock, in nanoseconds. */
uint64_t lg_now(void);

double lg_seconds(uint64_t ns);

/* 0, or -1 when there is no such process; pid may be 0. */
int lg_server_open(lg_server *server, int pid);

/* Nanoseconds; 0 when the process is gone. */
uint64_t lg_server_cpu(const lg_server *server);

/* Rss of /proc/PID/smaps_rollup, in KiB; 0 without a server, -1 when it cannot be read. */
long lg_server_rss(const lg_server *server);

/* A span begins, or ends: the present readings are taken away, or added. */
void lg_usage_begin(lg_usage *usage, const lg_server *server, uint64_t now);
void lg_usage_end(lg_usage *usage, const lg_server *server, uint64_t now);

/* Raises the limit of open files as far as this process may; returns what it is then. */
uint64_t lg_files_raise(void);

#endif
