/* on_windows.h: what harness.h asks of POSIX, as Windows has it (`make portable` runs these tests there). */
#ifndef TBX_TESTS_ON_WINDOWS_H
#define TBX_TESTS_ON_WINDOWS_H

#include <windows.h>
#undef near
#undef far

typedef SSIZE_T ssize_t;

/* Reads a line of any length with its '\n' into *line, which grows; -1 at the end. */
static inline ssize_t
getline(char **line, size_t *size, FILE *file)
{
    size_t len = 0;
    for (int c = 0; c != '\n';) {
        if (len + 1 >= *size) {
            *size = *size * 2 + 1024;
            *line = realloc(*line, *size);
        }
        if (*line == NULL || (c = fgetc(file)) == EOF) {
            return -1;
        }
        (*line)[len++] = (char)c;
    }
    (*line)[len] = '\0';
    return (ssize_t)len;
}

static inline uint8_t *
tbx_guarded(size_t n)
{
    SYSTEM_INFO about;
    GetSystemInfo(&about);
    uint8_t *p = VirtualAlloc(NULL, n + about.dwPageSize, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
    DWORD before;
    return p != NULL && VirtualProtect(p + n, about.dwPageSize, PAGE_NOACCESS, &before) ? p : NULL;
}

#endif
