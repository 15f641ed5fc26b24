/* harness.h: what a C test needs; included first, by the one .c file of a test program.
 *
 * The last line of a program is "N passed, M failed"; it exits with 1 when M is not 0.
 */
#ifndef TBX_TESTS_HARNESS_H
#define TBX_TESTS_HARNESS_H

#define _DEFAULT_SOURCE

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#include "on_windows.h"
#else
#include <sys/mman.h>
#include <unistd.h>

/* n bytes (whole pages), behind which a page without access begins; NULL on failure. */
static inline uint8_t *
tbx_guarded(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *p = mmap(NULL, n + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p != MAP_FAILED && mprotect(p + n, page, PROT_NONE) == 0 ? p : NULL;
}
#endif

static unsigned long tbx_passed, tbx_failed;

/* CHECK(condition, format, ...): the format tells the case. The first 20 failures are shown. */
#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (condition) {                                                                           \
            tbx_passed++;                                                                          \
        }                                                                                          \
        else if (tbx_failed++ < 20) {                                                              \
            printf("\n%s:%d: %s: ", __FILE__, __LINE__, #condition);                               \
            printf(__VA_ARGS__);                                                                   \
            printf("\n");                                                                          \
        }                                                                                          \
    } while (0)

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("\n%s:%d: cannot go on: %s\n", __FILE__, __LINE__, #condition);                 \
            exit(2);                                                                               \
        }                                                                                          \
    } while (0)

static inline int
tbx_report(void)
{
    printf("%lu passed, %lu failed\n", tbx_passed, tbx_failed);
    return tbx_failed != 0 || tbx_passed == 0;
}

#define TBX_GUARD_SIZE ((size_t)64 * 1024)

/* n bytes that end where a page without access begins. Two calls with the same slot share memory. */
static inline uint8_t *
tbx_guard_room(int slot, size_t n)
{
    static uint8_t *ends[4];
    REQUIRE(n <= TBX_GUARD_SIZE && slot >= 0 && slot < 4);
    if (ends[slot] == NULL) {
        uint8_t *p = tbx_guarded(TBX_GUARD_SIZE);
        REQUIRE(p != NULL);
        ends[slot] = p + TBX_GUARD_SIZE;
    }
    return ends[slot] - n;
}

/* A copy of n bytes that ends where a page without access begins; good until the next call. */
static inline uint8_t *
tbx_guard_copy(const void *src, size_t n)
{
    uint8_t *p = tbx_guard_room(0, n);
    memmove(p, src, n);
    return p;
}

static inline uint64_t
tbx_random(void)
{
    static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* ---- vector files: lines of fields with a tab between; binary fields are hexadecimal ---- */

#define TBX_FIELDS 8

typedef struct {
    FILE *file;
    char *line;
    size_t size;
    char *field[TBX_FIELDS];
} tbx_vectors;

static inline tbx_vectors
tbx_vectors_open(int argc, char **argv, const char *name)
{
    char path[4096];
    REQUIRE(argc == 2);
    snprintf(path, sizeof path, "%s/%s", argv[1], name);
    tbx_vectors v = {.file = fopen(path, "r")};
    REQUIRE(v.file != NULL);
    return v;
}

/* The next line; false at the end, where the file is closed and must have had lines. */
static inline bool
tbx_vectors_next(tbx_vectors *v, int fields)
{
    ssize_t len = getline(&v->line, &v->size, v->file);
    if (len <= 0) {
        REQUIRE(v->field[0] != NULL);
        free(v->line);
        fclose(v->file);
        return false;
    }
    v->line[len - 1] = '\0';
    char *rest = v->line;
    for (int i = 0; i < fields; i++) {
        REQUIRE(rest != NULL);
        v->field[i] = rest;
        rest = strchr(rest, '\t');
        if (rest != NULL) {
            *rest++ = '\0';
        }
    }
    REQUIRE(rest == NULL);
    return true;
}

/* Turns a hexadecimal field into bytes, in place. */
static inline size_t
tbx_unhex(char *field, uint8_t **bytes)
{
    *bytes = (uint8_t *)field;
    size_t n = strlen(field) / 2;
    for (size_t i = 0; i < n; i++) {
        char two[3] = {field[2 * i], field[2 * i + 1], '\0'};
        (*bytes)[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    return n;
}

#endif
