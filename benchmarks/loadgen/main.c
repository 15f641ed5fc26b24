/* main.c: toolboxsio-loadgen, a Socket.IO load generator: one thread, epoll, N WebSocket clients.
 *
 * Sends events, waits for their acks, and prints what it measured as one JSON object. The exit
 * status is 0 only when every event was acknowledged. Linux alone: epoll, timerfd, CPU clocks.
 */
#define _GNU_SOURCE 1

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "run.h"

static int
pin(int core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0) {
        fprintf(stderr, "toolboxsio-loadgen: core %d: %s\n", core, strerror(errno));
        return -1;
    }
    return 0;
}

static void
print_result(const lg_options *options, const lg_result *result)
{
    const lg_hist *latency = &result->latency;
    printf("{\"connections\": %d, \"in_flight\": %d, \"rate\": %.1f, ", options->connections,
           options->in_flight, options->rate);
    printf("\"connect_seconds\": %.4f, \"seconds\": %.4f, \"acks\": %llu, "
           "\"acks_per_second\": %.1f, ",
           result->connect_seconds, result->seconds, (unsigned long long)latency->count,
           (double)latency->count / result->seconds);
    printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, ",
           lg_hist_quantile(latency, 0.5) / 1e3, lg_hist_quantile(latency, 0.99) / 1e3,
           (double)latency->max / 1e3);
    printf("\"server_cpu_seconds\": %.6f, \"server_cpu_us_per_ack\": %.3f, ", result->server_cpu,
           latency->count > 0 ? result->server_cpu * 1e6 / (double)latency->count : 0.0);
    printf("\"generator_cpu_share\": %.4f}\n", result->own_cpu / result->seconds);
}

int
main(int argc, char **argv)
{
    lg_options options;
    lg_options_read(argc, argv, &options);
    static lg_result result;
    int status = 1;
    if ((options.core < 0 || pin(options.core) == 0) && lg_run(&options, &result) == 0) {
        print_result(&options, &result);
        status = 0;
    }
    lg_options_free(&options);
    return status;
}
