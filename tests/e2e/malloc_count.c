/* malloc_count.c - preloaded into a program under test: counts its allocations in a file.
 *
 * QANAT_MALLOC_COUNT names a file of 8 bytes that is mapped; the number grows with each call of
 * malloc, calloc, realloc, aligned_alloc and posix_memalign.  Built by the test that uses it:
 * cc -shared -fPIC -o malloc_count.so malloc_count.c
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);

static _Atomic uint64_t nowhere;
static _Atomic uint64_t *count = &nowhere;

__attribute__((constructor)) static void open_count(void)
{
	const char *path = getenv("QANAT_MALLOC_COUNT");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	p = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED)
		count = p;
	close(fd);
}

void *malloc(size_t n)
{
	atomic_fetch_add(count, 1);
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	atomic_fetch_add(count, 1);
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	atomic_fetch_add(count, 1);
	return __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
	atomic_fetch_add(count, 1);
	return __libc_memalign(align, n);
}

int posix_memalign(void **out, size_t align, size_t n)
{
	atomic_fetch_add(count, 1);
	*out = __libc_memalign(align, n);
	return *out ? 0 : ENOMEM;
}
