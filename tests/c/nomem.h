/* nomem.h: puts test_nomem.c between the sources of floors 0 and 1 and the allocator.
 *
 * The Makefile compiles each source that allocates a second time with this file in front. A function that
 * is not wrapped here, but is on the Makefile's list of those that allocate, is a site that never fails:
 * the test says so.
 */
#ifndef TBX_TESTS_NOMEM_H
#define TBX_TESTS_NOMEM_H

#include <stddef.h>
#include <stdlib.h>

void *tbx_nomem_malloc(size_t size, const char *file, int line);
void *tbx_nomem_calloc(size_t n, size_t size, const char *file, int line);
void *tbx_nomem_realloc(void *block, size_t size, const char *file, int line);
void tbx_nomem_free(void *block);

#ifndef TBX_NOMEM_PLAIN
#define malloc(size) tbx_nomem_malloc(size, __FILE__, __LINE__)
#define calloc(n, size) tbx_nomem_calloc(n, size, __FILE__, __LINE__)
#define realloc(block, size) tbx_nomem_realloc(block, size, __FILE__, __LINE__)
#define free(block) tbx_nomem_free(block)
#endif

#endif
