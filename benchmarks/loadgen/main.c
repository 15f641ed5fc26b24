/* main.c: toolboxsio-loadgen, a Socket.IO load generator: one thread, epoll, N clients.
 *
 * Sends events and waits for their acks, or receives events, or holds idle clients, and prints what it measured as one JSON object. The exit status is 0 only when every event was
 * acknowledged, every client got every event, and stayed as long as it should. Linux alone: epoll,
 * timerfd, CPU clocks, /proc.
 */
#define _GNU_SOURCE 1

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "emits.h"
#include "idle.h"
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
    const lg_usage *usage = &result->usage;
    printf("{\"connections\": %d, \"in_flight\": %d, \"rate\": %.1f, ", options->connections,
           options->in_flight, options->rate);
    printf("\"connect_seconds\": %.4f, \"seconds\": %.4f, \"acks\": %llu, "
           "\"acks_per_second\": %.1f, ",
           result->connect_seconds, usage->seconds, (unsigned long long)latency->count,
           (double)latency->count / usage->seconds);
    printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, ",
           lg_hist_quantile(latency, 0.5) / 1e3, lg_hist_quantile(latency, 0.99) / 1e3,
           (double)latency->max / 1e3);
    printf("\"late_p50_us\": %.1f, \"late_p99_us\": %.1f, \"late_max_us\": %.1f, ",
           lg_hist_quantile(&result->late, 0.5) / 1e3, lg_hist_quantile(&result->late, 0.99) / 1e3,
           (double)result->late.max / 1e3);
    printf("\"eio_pings\": %llu, \"ws_pings\": %llu, ", (unsigned long long)result->eio_pings,
           (unsigned long long)result->ws_pings);
    printf("\"server_cpu_seconds\": %.6f, \"server_cpu_us_per_ack\": %.3f, ", usage->server_cpu,
           latency->count > 0 ? usage->server_cpu * 1e6 / (double)latency->count : 0.0);
    printf("\"generator_cpu_share\": %.4f}\n", usage->own_cpu / usage->seconds);
}

static void
print_usage(const char *name, const lg_usage *usage)
{
    printf("\"%s\": {\"seconds\": %.4f, \"server_cpu_seconds\": %.6f, "
           "\"generator_cpu_seconds\": %.6f}, ",
           name, usage->seconds, usage->server_cpu, usage->own_cpu);
}

static void
print_idle_result(const lg_options *options, const lg_idle_result *result)
{
    printf("{\"connections\": %d, \"connecting\": %d, \"events\": %d, ", options->connections,
           options->connecting, options->event != NULL ? options->connections : 0);
    print_usage("connect", &result->connect);
    print_usage("idle", &result->idle);
    print_usage("disconnect", &result->close);
    const lg_hist *connects = &result->connects;
    printf("\"connect_p50_us\": %.1f, \"connect_p99_us\": %.1f, \"connect_max_us\": %.1f, ",
           lg_hist_quantile(connects, 0.5) / 1e3, lg_hist_quantile(connects, 0.99) / 1e3,
           (double)connects->max / 1e3);
    printf("\"eio_pings\": %llu, \"ws_pings\": %llu, ", (unsigned long long)result->eio_pings,
           (unsigned long long)result->ws_pings);
    printf("\"rss_kib\": {\"before\": %ld, \"joined\": %ld, \"idle\": %ld, \"after\": %ld}}\n",
           result->rss_before, result->rss_joined, result->rss_idle, result->rss_after);
}

static void
print_load(const char *name, const lg_load *load)
{
    const lg_usage *usage = &load->usage;
    printf("\"%s\": {\"seconds\": %.4f, \"rounds\": %llu, \"deliveries\": %llu, "
           "\"reads\": %llu, \"server_cpu_seconds\": %.6f, \"generator_cpu_seconds\": %.6f",
           name, usage->seconds, (unsigned long long)load->rounds,
           (unsigned long long)load->deliveries, (unsigned long long)load->reads, usage->server_cpu,
           usage->own_cpu);
    if (load->rate > 0) {
        const lg_hist *latency = &load->latency;
        printf(", \"rate\": %.3f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, "
               "\"late_p50_us\": %.1f, \"late_p99_us\": %.1f",
               load->rate, lg_hist_quantile(latency, 0.5) / 1e3,
               lg_hist_quantile(latency, 0.99) / 1e3, (double)latency->max / 1e3,
               lg_hist_quantile(&load->late, 0.5) / 1e3, lg_hist_quantile(&load->late, 0.99) / 1e3);
    }
    printf("}");
}

static void
print_emits_result(const lg_options *options, const lg_emits_result *result)
{
    printf("{\"connections\": %d, \"receive\": %d, \"connect_seconds\": %.4f, ",
           options->connections, options->receive, result->connect_seconds);
    if (options->publish > 0) {
        printf("\"messages_per_round\": %zu, ", result->messages);
    }
    print_load("saturated", &result->saturated);
    if (options->paced > 0) {
        printf(", ");
        print_load("paced", &result->paced);
    }
    printf("}\n");
}

static int
measure(const lg_options *options)
{
    static lg_result result; /* large, as the next two */
    static lg_emits_result emits_result;
    static lg_idle_result idle_result;
    if (options->core >= 0 && pin(options->core) < 0) {
        return -1;
    }
    if (options->idle >= 0) {
        if (lg_idle_run(options, &idle_result) < 0) {
            return -1;
        }
        print_idle_result(options, &idle_result);
        return 0;
    }
    if (options->receive > 0) {
        if (lg_emits_run(options, &emits_result) < 0) {
            return -1;
        }
        print_emits_result(options, &emits_result);
        return 0;
    }
    if (lg_run(options, &result) < 0) {
        return -1;
    }
    print_result(options, &result);
    return 0;
}

int
main(int argc, char **argv)
{
    lg_options options;
    lg_options_read(argc, argv, &options);
    int status = measure(&options) == 0 ? 0 : 1;
    lg_options_free(&options);
    return status;
}
